//! Ways in: how a send is accepted, and how it gets from the outbox to the workers.
//!
//! [`Producer`] is what a program uses. [`relay`] runs beside the workers: it pushes what SQL callers accepted, what has
//! become due, and what Redis lost.
//!
//! A program that sends:
//! ```no_run
#![doc = include_str!("../../docs/examples/send.rs")]
//! ```

mod accept;
mod afterwards;
pub mod bounce;
mod contacts;
pub mod directory;
mod error;
#[cfg(feature = "reminders")]
pub mod event_trial;
pub mod numbers;
pub mod output_queue;
#[cfg(feature = "people")]
pub mod people;
mod producer;
pub mod push;
pub mod relay;
#[cfg(feature = "reminders")]
pub mod reminders;
pub mod sms_report;
pub mod task_queue;
pub mod workflow;

pub use error::SendError;
pub use herald_jobs::attachment::NewAttachment;
pub use herald_jobs::id::MessageId;
pub use herald_jobs::send::{NewContact, NewMessage};
pub use producer::{Batch, Options, Producer, Sent};
