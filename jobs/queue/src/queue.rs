use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::poll_fn;

use crate::{
    Consumer, Job, WorkerOptions,
    connection::{QueueError, Redis},
    consumer::BatchConsumer,
    envelope,
    push::{Pusher, Sink},
};

/// How a queue is laid out in Redis. Producers and workers of one queue must agree on it.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the keys begin with.
    pub prefix: String,
    /// The consumer group that all workers share.
    pub group: String,
    /// How many streams the queue is spread over. Jobs are spread by [`Job::shard_key`], or in turn.
    pub shards: u16,
    /// The most jobs of one entry, up to 1,000. Jobs that are pushed together, for the same shard and with the same trace,
    /// travel as one entry of so many at most, a *pack*, which costs Redis little more than one job. 1: each is an entry of
    /// its own.
    pub pack: u16,
    /// About how many dead entries are kept for each shard; all of them when `None`.
    pub dead_limit: Option<usize>,
    /// Asked at each push for the W3C traceparent of the current span, which travels with the job.
    pub trace: Option<fn() -> Option<String>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "herald".into(),
            group: "workers".into(),
            shards: 1,
            pack: 1,
            dead_limit: None,
            trace: None,
        }
    }
}

/// A named queue of jobs of type `J`: a Redis stream for each shard, and one consumer group over it.
///
/// The keys are `{prefix}:{{name:shard}}`, as in `herald:{send:alert:0}`, and the same with `:dead` behind it for
/// the entries that failed for good and `:packed` for a count. The braces are Redis Cluster's hash tag. Clones are cheap.
pub struct Queue<J> {
    pub(crate) core: Arc<Core>,
    job: PhantomData<fn(J) -> J>,
}

/// What all clones of a queue share.
pub(crate) struct Core {
    pub(crate) redis: Redis,
    pub(crate) name: String,
    pub(crate) options: Options,
    pub(crate) shards: Vec<Keys>,
    turn: AtomicUsize,
}

/// The keys of one shard.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) shard: u16,
    pub(crate) stream: String,
    pub(crate) dead: String,
    /// How many jobs have no entry of their own, as packs hold more than one.
    pub(crate) packed: String,
}

impl<J: Job> Queue<J> {
    /// Names a queue, such as `send:alert`. Nothing is made in Redis before the first push or fetch.
    pub fn new(redis: &Redis, name: &str, options: Options) -> Self {
        let shards = (0..options.shards.max(1))
            .map(|shard| {
                let stream = format!("{}:{{{name}:{shard}}}", options.prefix);
                Keys { shard, dead: format!("{stream}:dead"), packed: format!("{stream}:packed"), stream }
            })
            .collect();
        let core =
            Core { redis: redis.clone(), name: name.to_owned(), options, shards, turn: AtomicUsize::new(0) };
        Self { core: Arc::new(core), job: PhantomData }
    }

    /// The name as it was given to [`new`](Self::new).
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The same queue, for jobs that are written in the same way but kept as another type, such as JSON as it is.
    pub fn retyped<K: Job>(&self) -> Queue<K> {
        Queue { core: self.core.clone(), job: PhantomData }
    }

    /// Pushes one job. When this is an error the job may be in the stream nevertheless: Redis may have taken it
    /// and the answer been lost.
    pub async fn push(&self, job: &J) -> Result<(), QueueError> {
        let command = envelope::push_command(
            &self.core.shards[self.core.shard_for(job)].stream,
            &envelope::encode(job)?,
            self.core.trace().as_deref(),
        );
        Ok(command.exec_async(&mut self.core.redis.single()?).await?)
    }

    /// Pushes many jobs, pipelined in chunks. When this is an error any of them may be in the stream.
    pub async fn push_all<'a>(&self, jobs: impl IntoIterator<Item = &'a J>) -> Result<(), QueueError> {
        let mut pusher = Pusher::new(self.core.clone());
        for job in jobs {
            poll_fn(|cx| pusher.poll_room(cx)).await?;
            pusher.add(job, None)?;
        }
        poll_fn(|cx| pusher.poll_flush(cx)).await
    }

    /// The side of the queue that implements apalis' `TaskSink`.
    pub fn sink(&self) -> Sink<J> {
        Sink::new(self.core.clone())
    }

    /// A backend for an apalis worker whose handler takes one job at a time: `async fn(J) -> Result<(), Failure>`.
    ///
    /// Nothing is fetched before the worker runs, which must be inside a tokio runtime.
    pub fn worker(&self, options: WorkerOptions<J>) -> Consumer<J> {
        Consumer::new(self.core.clone(), options)
    }

    /// A backend for an apalis worker whose handler takes what is there, up to [`WorkerOptions::batch`] jobs:
    /// `async fn(Batch<J>) -> Result<Vec<Outcome>, Failure>`.
    pub fn batches(&self, options: WorkerOptions<J>) -> BatchConsumer<J> {
        BatchConsumer::new(self.core.clone(), options)
    }
}

impl<J> Clone for Queue<J> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone(), job: PhantomData }
    }
}

impl<J> fmt::Debug for Queue<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("name", &self.core.name).field("options", &self.core.options).finish()
    }
}

impl Core {
    pub(crate) fn trace(&self) -> Option<String> {
        self.options.trace.and_then(|current| current())
    }

    /// The most jobs of one entry: Lua can unpack fewer than 8,000 values.
    pub(crate) fn pack(&self) -> usize {
        self.options.pack.clamp(1, 1_000).into()
    }

    pub(crate) fn shard_for<J: Job>(&self, job: &J) -> usize {
        match job.shard_key() {
            _ if self.shards.len() == 1 => 0,
            Some(key) => usize::try_from(hash(key.as_bytes()) % self.shards.len() as u64).unwrap_or(0),
            None => self.turn.fetch_add(1, Ordering::Relaxed) % self.shards.len(),
        }
    }
}

/// FNV-1a, 64 bits: the same in every process and version, as the spreading over shards must be.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
