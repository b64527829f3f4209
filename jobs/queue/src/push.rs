use std::{
    convert::Infallible,
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::Task,
    worker::context::WorkerContext,
};
use futures::FutureExt;
use redis::{Pipeline, RedisError};
use tokio::task::JoinHandle;
use tower::layer::util::Identity;

use crate::{Job, connection::QueueError, envelope, queue::Core};

/// How many jobs go to Redis in one pipeline: enough to hide the round trip, and few enough that a pipeline of
/// them stays well under a megabyte.
const CHUNK: usize = 500;

/// Gathers pushes into pipelines; while one is under way, the next is written.
pub(crate) struct Pusher {
    core: Arc<Core>,
    gathered: Pipeline,
    /// How many jobs are gathered.
    jobs: usize,
    /// What the next pack of each shard holds so far.
    packs: Vec<Pack>,
    sending: Option<JoinHandle<Result<(), RedisError>>>,
}

/// Jobs of one shard and one trace.
#[derive(Clone, Default)]
struct Pack {
    jobs: Vec<Vec<u8>>,
    trace: Option<String>,
}

impl Pusher {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        let packs = vec![Pack::default(); core.shards.len()];
        Self { core, gathered: Pipeline::new(), jobs: 0, packs, sending: None }
    }

    /// Adds a job to the pipeline; `trace` is asked of the options when it is not given. An error forgets what was
    /// gathered with it, as every error here does: the caller is told that the push failed, and will repeat it.
    pub(crate) fn add<J: Job>(&mut self, job: &J, trace: Option<String>) -> Result<(), QueueError> {
        let trace = trace.or_else(|| self.core.trace());
        let payload = envelope::encode(job).inspect_err(|_| self.forget())?;
        let shard = self.core.shard_for(job);
        if self.packs[shard].trace != trace {
            self.close(shard);
            self.packs[shard].trace = trace;
        }
        self.jobs += 1;
        self.packs[shard].jobs.push(payload);
        if self.packs[shard].jobs.len() >= self.core.pack() {
            self.close(shard);
        }
        Ok(())
    }

    /// Adds a shard's pack to the pipeline.
    fn close(&mut self, shard: usize) {
        let (Pack { jobs, trace }, keys) = (&mut self.packs[shard], &self.core.shards[shard]);
        match jobs.as_slice() {
            [] => return,
            [job] => self.gathered.add_command(envelope::push_command(&keys.stream, job, trace.as_deref())),
            jobs => self.gathered.add_command(envelope::pack_command(keys, jobs, trace.as_deref())),
        };
        jobs.clear();
    }

    fn forget(&mut self) {
        self.gathered.clear();
        self.jobs = 0;
        self.packs.iter_mut().for_each(|pack| pack.jobs.clear());
    }

    /// Ready when another job may be added.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), QueueError>> {
        if self.jobs < CHUNK {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_sent(cx))?;
        Poll::Ready(self.send())
    }

    /// Ready when Redis has taken everything that was added.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), QueueError>> {
        loop {
            ready!(self.poll_sent(cx))?;
            if self.jobs == 0 {
                return Poll::Ready(Ok(()));
            }
            self.send()?;
        }
    }

    fn send(&mut self) -> Result<(), QueueError> {
        (0..self.packs.len()).for_each(|shard| self.close(shard));
        let mut connection = self.core.redis.bulk()?;
        self.jobs = 0;
        let pipeline = std::mem::replace(&mut self.gathered, Pipeline::with_capacity(CHUNK));
        self.sending = Some(tokio::spawn(async move { pipeline.exec_async(&mut connection).await }));
        Ok(())
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), QueueError>> {
        let Some(sending) = &mut self.sending else {
            return Poll::Ready(Ok(()));
        };
        let sent = ready!(sending.poll_unpin(cx));
        self.sending = None;
        let sent = sent.map_err(|_| QueueError::Cancelled).and_then(|sent| sent.map_err(QueueError::from));
        Poll::Ready(sent.inspect_err(|_| self.forget()))
    }
}

/// The producers' side of a queue as apalis knows it: import `apalis::prelude::TaskSink`, then `push`, `push_bulk`,
/// `push_stream`, `push_task` or `push_all`.
///
/// A trace in the task's metadata under `traceparent` travels with the job. A task with a time to run at is
/// refused: a stream hands out at once. As a worker's backend it is an empty one.
pub struct Sink<J> {
    pusher: Pusher,
    job: PhantomData<fn(J)>,
}

impl<J> Sink<J> {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { pusher: Pusher::new(core), job: PhantomData }
    }
}

impl<J> Clone for Sink<J> {
    /// A sink of its own over the same queue; what this one has gathered stays here.
    fn clone(&self) -> Self {
        Self::new(self.pusher.core.clone())
    }
}

impl<J> fmt::Debug for Sink<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sink").field("queue", &self.pusher.core.name).finish()
    }
}

impl<J: Job> futures::Sink<Task<J>> for Sink<J> {
    type Error = QueueError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), QueueError>> {
        self.pusher.poll_room(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, task: Task<J>) -> Result<(), QueueError> {
        if task.run_at().is_some() {
            return Err(QueueError::Scheduled);
        }
        let trace = task.metadata().get("traceparent").map(ToOwned::to_owned);
        self.pusher.add(&task.args, trace)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), QueueError>> {
        self.pusher.poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), QueueError>> {
        self.pusher.poll_flush(cx)
    }
}

impl<J: Job> Backend for Sink<J> {
    type Task = Task<J>;
    type Error = QueueError;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), QueueError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<J>, QueueError>>> {
        Poll::Ready(None)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), QueueError>> {
        self.pusher.poll_flush(cx)
    }
}

impl<J: Job> BackendConfig for Sink<J> {
    type Args = J;
    type Id = Infallible;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
