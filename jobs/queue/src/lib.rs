#![doc = include_str!("../README.md")]
//!
//! ## How the code is laid out
//!
//! `queue`, `push` and `inspect` are the producers' and operators' side. `consumer` is what apalis polls, and `layer`
//! its middleware; both only look into `hub`, which holds what waits to start. The work with Redis is done in
//! `lane`, by a task for each concern, and by the scripts beside it.

mod connection;
mod consumer;
mod control;
mod envelope;
mod figures;
mod hub;
mod id;
mod inspect;
mod lane;
mod layer;
mod options;
mod outcome;
mod push;
mod queue;
mod reply;
mod script;

use serde::{Serialize, de::DeserializeOwned};

pub use crate::{
    connection::{OpenError, QueueError, Redis},
    consumer::{Batch, BatchConsumer, Consumer, ConsumerHandle, Delivery, Many, Shape, Single},
    envelope::Entry,
    id::EntryId,
    inspect::{DeadEntry, Depth},
    layer::{ResultLayer, ResultService},
    options::{Backoff, DeadDecision, DeadJob, OnDead, WorkerOptions},
    outcome::{Failure, Outcome},
    push::Sink,
    queue::{Options, Queue},
};

/// What can be pushed: anything that is written and read as JSON.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Jobs of the same key go to the same shard; without one they are spread evenly.
    fn shard_key(&self) -> Option<&str> {
        None
    }
}
