//! Pushes accepted jobs to Redis after their commit, in groups. A push that fails loses nothing: the sweep finds its row.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use herald_jobs::message_type::Lane;
use herald_jobs::queues::Lanes;
use herald_jobs::send::{RawSendJob, SendJob};
use herald_jobs::store::outbox::Accepting;
use herald_queue::{Job, Queue};
use tokio::sync::{mpsc, oneshot};

/// Most jobs pushed in one go.
const GROUP: usize = 500;
/// How often the queue is asked how deep it is.
const LOOK: Duration = Duration::from_millis(100);
/// How long whoever has committed waits for room here, at most. A Redis that hangs must not hold up accepting.
const PATIENCE: Duration = Duration::from_millis(500);

enum Order<J> {
    Push(Vec<J>),
    Flush(oneshot::Sender<()>),
}

/// Pushes to one queue. While that is deep or takes nothing, rows are to be written as not pushed: the relay pushes them when
/// there is room.
pub struct Pusher<J> {
    orders: mpsc::Sender<Order<J>>,
    deep: Arc<AtomicBool>,
}

impl<J: Job> Pusher<J> {
    /// Starts a task that pushes to `queue`, which is deep from `max_depth` jobs on.
    pub fn spawn(queue: Queue<J>, max_depth: u64) -> Self {
        let (orders, mut waiting) = mpsc::channel(4 * GROUP);
        let deep = Arc::new(AtomicBool::new(false));
        let is_deep = deep.clone();
        tokio::spawn(async move {
            let mut group = Vec::with_capacity(GROUP);
            let mut looked = Instant::now();
            loop {
                // While the queue is deep nothing is pushed, so somebody must look whether it still is.
                let patience = if is_deep.load(Ordering::Relaxed) { LOOK } else { LOOK * 100 };
                match tokio::time::timeout(patience, waiting.recv_many(&mut group, GROUP)).await {
                    Ok(0) => return,
                    Ok(_) if !push(&queue, &mut group).await => is_deep.store(true, Ordering::Relaxed),
                    Ok(_) | Err(_) => {}
                }
                if looked.elapsed() >= LOOK {
                    looked = Instant::now();
                    if let Ok(jobs) = queue.jobs().await {
                        is_deep.store(jobs >= max_depth, Ordering::Relaxed);
                    }
                }
            }
        });
        Self { orders, deep }
    }

    /// Whether the queue holds as many jobs as it may, or takes none.
    pub fn is_deep(&self) -> bool {
        self.deep.load(Ordering::Relaxed)
    }

    /// Hands jobs over, after the commit of their rows. Where there is no room for too long they are left to the sweep.
    pub async fn push(&self, jobs: Vec<J>) {
        if self.orders.send_timeout(Order::Push(jobs), PATIENCE).await.is_err() {
            self.deep.store(true, Ordering::Relaxed);
        }
    }

    /// Waits until what was handed over before has been pushed, or has failed to be.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

/// Pushes sends, each to its lane.
pub(crate) struct SendPushers([Pusher<RawSendJob>; 3]);

impl SendPushers {
    /// Starts a task for each lane.
    pub(crate) fn spawn(queues: &Lanes<SendJob>, max_depth: u64) -> Self {
        let pusher = |lane| Pusher::spawn(queues.lane(lane).retyped(), max_depth);
        Self([pusher(Lane::Alert), pusher(Lane::Normal), pusher(Lane::Bulk)])
    }

    /// The lane's.
    pub(crate) fn lane(&self, lane: Lane) -> &Pusher<RawSendJob> {
        match lane {
            Lane::Alert => &self.0[0],
            Lane::Normal => &self.0[1],
            Lane::Bulk => &self.0[2],
        }
    }

    /// Hands over those that were written as pushed.
    pub(crate) async fn push(&self, accepted: impl Iterator<Item = &Accepting>) {
        let accepted: Vec<_> = accepted.filter(|send| send.pushed).collect();
        for &lane in Lane::ALL {
            let of_lane = accepted.iter().filter(|send| send.lane == lane);
            let jobs: Vec<_> = of_lane.map(|send| send.job.clone()).collect();
            if !jobs.is_empty() {
                self.lane(lane).push(jobs).await;
            }
        }
    }

    /// Waits until what was handed over before has been pushed, or has failed to be.
    pub(crate) async fn flush(&self) {
        for pusher in &self.0 {
            pusher.flush().await;
        }
    }
}

/// Answers whether the queue took the jobs.
async fn push<J: Job>(queue: &Queue<J>, group: &mut Vec<Order<J>>) -> bool {
    let mut jobs = Vec::with_capacity(group.len());
    let mut flushes = Vec::new();
    for order in group.drain(..) {
        match order {
            Order::Push(some) => jobs.extend(some),
            Order::Flush(done) => flushes.push(done),
        }
    }
    let pushed = queue.push_all(&jobs).await;
    if let Err(error) = &pushed {
        metrics::counter!("herald_push_failures_total").increment(jobs.len() as u64);
        tracing::warn!(
            "Could not push {} jobs to {}; they stay in the outbox: {error}",
            jobs.len(),
            queue.name()
        );
    }
    for done in flushes {
        let _ = done.send(());
    }
    pushed.is_ok()
}
