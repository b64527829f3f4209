//! The schedule: apalis-cron ticks, and each tick pushes a job.
//!
//! Any number of processes may tick: they name the same slots, and the worker's row for a slot lets one run happen. The latest
//! slot is pushed at start too, so that one which came while no process ran is made up for.

mod slots;

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
    let name = job.name;
    push(&queues, name, job.slots.latest(Clock::system().now())).await;
    while !stop.is_cancelled() {
        let worker = WorkerBuilder::new(format!("schedule-{name}"))
            .backend(CronScheduler::new(Due(job.slots.clone())))
            .data(queues.clone())
            .data(name)
            .build(ticked);
        let stopping = stop.clone();
        let stopped = async move {
            stopping.cancelled().await;
            Ok::<(), std::io::Error>(())
        };
        // A tick that came late, as after a laptop's sleep, is an error to apalis-cron that stays: begin anew.
        if let Err(error) = worker.run_until(stopped).await {
            tracing::warn!(job = %name, "The schedule stumbled and goes on: {error}");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn ticked(tick: Tick, queues: Data<Queues>, name: Data<PeriodicName>) -> Result<(), BoxDynError> {
    let slot =
        i64::try_from(tick.get_timestamp()).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    if let Some(slot) = slot {
        push(&queues, *name, slot).await;
    }
    Ok(())
}

/// A slot that cannot be pushed is made up for by the next one: periodic jobs do all that is due, not what their slot names.
async fn push(queues: &Queues, name: PeriodicName, slot: DateTime<Utc>) {
    match queues.periodic.push(&PeriodicJob { name, slot }).await {
        Ok(()) => tracing::debug!(job = %name, "Pushed the slot of {slot}"),
        Err(error) => tracing::warn!(job = %name, "Could not push the slot of {slot}: {error}"),
    }
}

/// Apalis-cron waits by the machine's clock, so the slots are taken from it too.
struct Due(Slots);

impl apalis_cron::Schedule<Utc> for Due {
    fn next_tick(&mut self, _zone: &Utc) -> Option<Tick> {
        u64::try_from(self.0.next(Clock::system().now()).timestamp()).ok().map(Tick::new)
    }
}
