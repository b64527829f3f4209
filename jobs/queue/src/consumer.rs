use std::{
    convert::Infallible,
    fmt,
    marker::PhantomData,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::{Task, builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use futures::{FutureExt, future::BoxFuture, future::join_all};
use tracing::error;
use uuid::Uuid;

use crate::{
    Entry, EntryId, Failure, Job, Outcome, WorkerOptions,
    control::{Control, Phase},
    hub::{Hub, Ticket},
    lane::{self, Inboxes, Lane},
    layer::ResultLayer,
    queue::Core,
};

/// How often a consumer asks its worker whether it is shutting down (while handlers run, apalis does not say so), and looks
/// whether a pause has ended.
const LOOK: Duration = Duration::from_millis(50);

/// The consuming side of a queue, for `WorkerBuilder::backend`. It cannot fail: whatever Redis does, it tries again.
///
/// It starts when the worker first polls it, and must be polled inside a tokio runtime.
pub struct Consumer<J: Job, S: Shape<J> = Single> {
    hub: Arc<Hub<J>>,
    /// Until the tasks are started.
    inboxes: Option<Vec<Inboxes>>,
    closing: Option<BoxFuture<'static, Phase>>,
    shape: PhantomData<fn() -> S>,
}

/// A [`Consumer`] whose handler takes batches.
pub type BatchConsumer<J> = Consumer<J, Many>;

/// What a handler is given of an entry beside the job: take it as an argument `Data<Delivery>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The name of the entry, the same at each delivery; a job that leaves its pack gets another.
    pub id: EntryId,
    /// Which delivery this is, from 1. That in a pack does not count.
    pub attempt: u32,
    /// When the job was pushed, since the epoch by Redis's clock.
    pub enqueued_at: Duration,
    /// The W3C traceparent of who pushed the job.
    pub trace: Option<String>,
}

/// Jobs that are handled together: what was there, oldest first, at least one. One that was delivered before comes
/// alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch<J> {
    /// The jobs, and what is known of each.
    pub entries: Vec<Entry<J>>,
}

/// Handlers take one job: `async fn(J) -> Result<(), Failure>`.
#[derive(Debug)]
pub enum Single {}

/// Handlers take a [`Batch`]: `async fn(Batch<J>) -> Result<Vec<Outcome>, Failure>`, with an outcome for each entry
/// in the order of the batch. An error is the outcome of every entry.
#[derive(Debug)]
pub enum Many {}

/// What a handler takes and returns: [`Single`] or [`Many`].
pub trait Shape<J>: private::Sealed + 'static {
    /// What the handler takes.
    type Args: Send + 'static;
    /// What the handler returns on success.
    type Response: Send + Sync + 'static;

    /// The most entries of one task.
    #[doc(hidden)]
    fn most(batch: usize) -> usize;
    /// The task that holds these entries; `None` when there are none.
    #[doc(hidden)]
    fn task(entries: Vec<Entry<J>>) -> Option<Task<Self::Args>>;
    /// The entries that a task holds.
    #[doc(hidden)]
    fn tickets(task: &Task<Self::Args>) -> Vec<Ticket>;
    /// The failure of each entry of a task whose handler succeeded, or that of the handler if it answered nonsense.
    #[doc(hidden)]
    fn failures(response: &Self::Response, entries: usize) -> Result<Vec<Option<&Failure>>, Failure>;
}

mod private {
    /// Keeps others from implementing `Shape`.
    pub trait Sealed {}
    impl Sealed for super::Single {}
    impl Sealed for super::Many {}
}

impl<J: Job> Shape<J> for Single {
    type Args = J;
    type Response = ();

    fn most(_: usize) -> usize {
        1
    }

    fn task(entries: Vec<Entry<J>>) -> Option<Task<J>> {
        let Entry { id, attempt, enqueued_at, trace, job } = entries.into_iter().next()?;
        Some(
            TaskBuilder::new(job)
                .task_id(TaskId::String(id.to_string()))
                // apalis counts the attempt when it starts.
                .attempt(attempt.saturating_sub(1) as usize)
                .data(Delivery { id, attempt, enqueued_at, trace })
                .build(),
        )
    }

    fn tickets(task: &Task<J>) -> Vec<Ticket> {
        let delivery = task.data().get::<Delivery>();
        delivery.iter().map(|delivery| Ticket { id: delivery.id, attempt: delivery.attempt }).collect()
    }

    fn failures((): &(), entries: usize) -> Result<Vec<Option<&Failure>>, Failure> {
        Ok(vec![None; entries])
    }
}

impl<J: Job> Shape<J> for Many {
    type Args = Batch<J>;
    type Response = Vec<Outcome>;

    fn most(batch: usize) -> usize {
        batch
    }

    fn task(entries: Vec<Entry<J>>) -> Option<Task<Batch<J>>> {
        let id = TaskId::String(entries.first()?.id.to_string());
        Some(TaskBuilder::new(Batch { entries }).task_id(id).build())
    }

    fn tickets(task: &Task<Batch<J>>) -> Vec<Ticket> {
        task.args.entries.iter().map(Entry::ticket).collect()
    }

    fn failures(response: &Vec<Outcome>, entries: usize) -> Result<Vec<Option<&Failure>>, Failure> {
        if response.len() == entries {
            return Ok(response.iter().map(|outcome| outcome.as_ref().err()).collect());
        }
        Err(Failure::retry(format!("the handler gave {} outcomes for {entries} entries", response.len())))
    }
}

impl<J: Job, S: Shape<J>> Consumer<J, S> {
    pub(crate) fn new(core: Arc<Core>, options: WorkerOptions<J>) -> Self {
        let consumer = format!("{}-{}", std::process::id(), Uuid::now_v7().simple());
        let (lanes, inboxes) = core
            .shards
            .iter()
            .map(|keys| Lane::new(&core, keys.clone(), consumer.clone(), options.takeover_after))
            .map(|(lane, inboxes)| (Arc::new(lane), inboxes))
            .unzip();
        let per_place = S::most(options.batch.max(1));
        let prefetch = options.prefetch.unwrap_or(if per_place > 1 { per_place } else { 0 });
        let hub = Hub::new(core, options, lanes, per_place, prefetch);
        Self { hub: Arc::new(hub), inboxes: Some(inboxes), closing: None, shape: PhantomData }
    }

    /// A handle by which to wait for this consumer's end after its worker is gone.
    pub fn handle(&self) -> ConsumerHandle {
        ConsumerHandle { control: self.hub.control.clone() }
    }

    fn start(&mut self, worker: &WorkerContext) {
        if let Some(inboxes) = self.inboxes.take() {
            let lanes = self.hub.lanes.iter().cloned().zip(inboxes);
            let lanes = lanes.map(|(lane, inboxes)| tokio::spawn(lane::run(self.hub.clone(), lane, inboxes)));
            tokio::spawn(supervise(self.hub.clone(), worker.clone(), lanes.collect()));
        }
    }
}

/// Wakes the worker at the end of pauses, stops the consumer as soon as its worker shuts down, and tells when all of it has
/// ended.
async fn supervise<J: Job>(
    hub: Arc<Hub<J>>,
    worker: WorkerContext,
    lanes: Vec<tokio::task::JoinHandle<bool>>,
) {
    while hub.control.phase() == Phase::Running && !worker.is_shutting_down() {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => hub.end_pause(),
            _ = hub.control.reached(Phase::Stopping) => {}
        }
    }
    if !worker.is_shutting_down() {
        // A worker whose backend has ended waits to be stopped. It has none to stop when it was dropped.
        let _ = worker.stop();
    }
    drop(worker);
    hub.control.advance(Phase::Stopping);
    hub.stop();
    let mut all_saved = true;
    for lane in join_all(lanes).await {
        match lane {
            Ok(saved) => all_saved &= saved,
            Err(error) => {
                error!(queue = hub.core.name, %error, "A part of the queue died");
                all_saved = false;
            }
        }
    }
    hub.control.advance(Phase::Finished(all_saved));
}

impl<J: Job, S: Shape<J>> Backend for Consumer<J, S> {
    type Task = Task<S::Args>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        self.start(worker);
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<S::Args>, Infallible>>> {
        self.hub.taker.register(cx.waker());
        match S::task(self.hub.take(S::most(self.hub.options.batch.max(1)))) {
            Some(task) => Poll::Ready(Some(Ok(task))),
            None if self.hub.control.phase() > Phase::Running => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        let handle = self.handle();
        if self.inboxes.is_some() {
            handle.control.advance(Phase::Finished(true));
        }
        self.closing
            .get_or_insert_with(|| {
                async move {
                    handle.control.advance(Phase::Closing);
                    handle.control.reached(Phase::Finished(false)).await
                }
                .boxed()
            })
            .poll_unpin(cx)
            .map(|_| Ok(()))
    }
}

impl<J: Job, S: Shape<J>> BackendConfig for Consumer<J, S> {
    type Args = S::Args;
    type Id = EntryId;
    type Kind = Ephemeral;
    type Config = WorkerOptions<J>;
    type Layer = ResultLayer<J, S>;

    fn config(&self) -> &WorkerOptions<J> {
        &self.hub.options
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> ResultLayer<J, S> {
        ResultLayer::new(self.hub.clone())
    }
}

impl<J: Job, S: Shape<J>> Drop for Consumer<J, S> {
    /// A worker that is dropped in the middle: its handlers are dropped with it, and their jobs given back.
    fn drop(&mut self) {
        let end = if self.inboxes.is_some() { Phase::Finished(true) } else { Phase::Closing };
        self.hub.control.advance(end);
    }
}

impl<J: Job, S: Shape<J>> fmt::Debug for Consumer<J, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("queue", &self.hub.core.name)
            .field("options", &self.hub.options)
            .finish_non_exhaustive()
    }
}

/// Waits for a [`Consumer`] whose worker, or whole monitor, has ended.
#[derive(Clone)]
pub struct ConsumerHandle {
    control: Arc<Control>,
}

impl ConsumerHandle {
    /// Stops the consumer if nobody has yet, waits for the handlers that run, and then until every result is in
    /// Redis and everything that was not started has been given back. False when Redis could not be reached for
    /// 10 seconds; what was not saved then will run again.
    pub async fn flush(&self) -> bool {
        self.control.advance(Phase::Closing);
        self.control.reached(Phase::Finished(false)).await == Phase::Finished(true)
    }
}

impl fmt::Debug for ConsumerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerHandle").field("phase", &self.control.phase()).finish()
    }
}
