//! The schedule: apalis-cron ticks, and each tick pushes a job.
//!
//! Any number of processes may tick: they name the same slots, and the worker's row for a slot lets one run happen. The latest
//! slot is pushed at start too, so that one which came while no process ran is made up for, and whenever it has come without a tick:
//! waiting goes by a clock that nobody sets, slots by one that may be set, or that went on while the machine slept.

mod slots;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use apalis::prelude::{BoxDynError, Data, WorkerBuilder};
use apalis_cron::{CronScheduler, Tick};
use chrono::{DateTime, Utc};
use herald_jobs::clock::Clock;
use herald_jobs::periodic::{PeriodicJob, PeriodicName};
use herald_jobs::queues::Queues;
use tokio_util::sync::CancellationToken;

pub use slots::{Slots, SlotsError};

/// How long to wait before ticking anew after a fault.
const AGAIN: Duration = Duration::from_secs(1);

/// For how long to wait at most before looking at the clock again.
const LOOK: Duration = Duration::from_secs(15);

/// When a periodic job is due.
#[derive(Clone, Debug)]
pub struct Periodic {
    /// Which job.
    pub name: PeriodicName,
    /// Its slots.
    pub slots: Slots,
    /// Whether it is started in them.
    pub enabled: bool,
}

impl Periodic {
    /// When it is due next; `None`: it is disabled.
    pub fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.enabled.then(|| self.slots.next(now))
    }
}

/// What is due when, and where it is pushed to.
#[derive(Clone)]
pub struct Schedule {
    queues: Queues,
    jobs: Vec<Periodic>,
}

impl Schedule {
    /// Pushes those of `jobs` that are enabled to `queues`.
    pub fn new(queues: Queues, mut jobs: Vec<Periodic>) -> Self {
        jobs.retain(|job| job.enabled);
        Self { queues, jobs }
    }
}

/// Pushes the job of each slot as it comes, until `stop`.
pub async fn run(schedule: Schedule, stop: CancellationToken) {
    let Schedule { queues, jobs } = schedule;
    futures::future::join_all(jobs.into_iter().map(|job| tick(queues.clone(), job, stop.clone()))).await;
    stop.cancelled().await;
}

async fn tick(queues: Queues, job: Periodic, stop: CancellationToken) {
    let pushing = Pushing { queues, name: job.name, last: Arc::new(AtomicI64::new(i64::MIN)) };
    while !stop.is_cancelled() {
        pushing.push(job.slots.latest(Clock::system().now())).await;
        let worker = WorkerBuilder::new(format!("schedule-{}", job.name))
            .backend(CronScheduler::new(Due(job.slots.clone())))
            .data(pushing.clone())
            .build(ticked);
        let stopping = stop.clone();
        let enough = async move {
            // Either will do.
            let _ = tokio::time::timeout(LOOK, stopping.cancelled()).await;
            Ok::<(), std::io::Error>(())
        };
        // A tick that came late, as after a laptop's sleep, is an error to apalis-cron that stays: begin anew.
        if let Err(error) = worker.run_until(enough).await {
            tracing::warn!(job = %job.name, "The schedule stumbled and goes on: {error}");
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }
}

async fn ticked(tick: Tick, pushing: Data<Pushing>) -> Result<(), BoxDynError> {
    let slot =
        i64::try_from(tick.get_timestamp()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    if let Some(slot) = slot {
        pushing.push(slot).await;
    }
    Ok(())
}

/// Pushes the slots of one job, each once as they follow each other.
#[derive(Clone)]
struct Pushing {
    queues: Queues,
    name: PeriodicName,
    /// The slot that was pushed last, in seconds since 1970.
    last: Arc<AtomicI64>,
}

impl Pushing {
    /// A slot that cannot be pushed is tried again at the next look.
    async fn push(&self, slot: DateTime<Utc>) {
        let name = self.name;
        if self.last.load(Ordering::Relaxed) == slot.timestamp() {
            return;
        }
        match self.queues.periodic.push(&PeriodicJob { name, slot }).await {
            Ok(()) => {
                self.last.store(slot.timestamp(), Ordering::Relaxed);
                tracing::debug!(job = %name, "Pushed the slot of {slot}");
            }
            Err(error) => tracing::warn!(job = %name, "Could not push the slot of {slot}: {error}"),
        }
    }
}

/// Apalis-cron waits by the machine's clock, so the slots are taken from it too.
struct Due(Slots);

impl apalis_cron::Schedule<Utc> for Due {
    fn next_tick(&mut self, _zone: &Utc) -> Option<Tick> {
        u64::try_from(self.0.next(Clock::system().now()).timestamp()).ok().map(Tick::new)
    }
}
