//! Runs what the schedule started, each slot once.

use std::sync::{Arc, Mutex, PoisonError};

use apalis::prelude::Data;
use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use herald_jobs::periodic::{PeriodicJob, PeriodicName};
use herald_jobs::store;
use herald_producers::reminders::Reminders;
use herald_queue::Failure;

use crate::outcome::outage;
use crate::{Context, purge};

/// How long a run may be silent before another worker begins it again, in minutes.
const SILENT_MINUTES: i64 = 15;
/// How far a slot may lie ahead, by the database's time, in seconds.
const AHEAD_SECONDS: i64 = 60;

/// What the handler needs.
#[derive(Clone)]
pub(crate) struct PeriodicContext {
    pub(crate) context: Context,
    pub(crate) reminders: Reminders,
    pub(crate) running: Running,
}

/// The slots that this process runs now. By its row alone a slot that came twice would look like one whose first try was cut short.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<Vec<PeriodicJob>>>);

impl Running {
    /// `None`: it runs already.
    fn begin(&self, job: &PeriodicJob) -> Option<Begun> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains(job) {
            return None;
        }
        running.push(job.clone());
        Some(Begun { running: self.clone(), job: job.clone() })
    }
}

/// A slot's run, until it is dropped.
struct Begun {
    running: Running,
    job: PeriodicJob,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.running.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|job| *job != self.job);
    }
}

/// Runs one slot, unless somebody has it already.
///
/// # Errors
/// The database is not available.
pub(crate) async fn periodic(job: PeriodicJob, data: Data<PeriodicContext>) -> Result<(), Failure> {
    let PeriodicContext { context, reminders, running } = &*data;
    let now = reminders.now().await.map_err(outage)?;
    let job = in_time(job, now);
    let Some(_begun) = running.begin(&job) else {
        tracing::info!(slot = %job.slot, "The slot of {} is being run", job.name);
        return Ok(());
    };
    let begun = store::periodic::begin(
        &context.pool,
        &job,
        &context.name,
        context.clock.now(),
        TimeDelta::minutes(SILENT_MINUTES),
    )
    .await
    .map_err(outage)?;
    if !begun {
        tracing::info!(slot = %job.slot, "The slot of {} was run before", job.name);
        return Ok(());
    }
    let result = match job.name {
        PeriodicName::Purge => match purge::purge(&context.pool, context.options.retention, now).await {
            Ok(gone) => Ok(purge::told(&gone)),
            Err(error) => Err(error.to_string()),
        },
        PeriodicName::Reminders => match reminders.run_all().await {
            Ok(done) => done,
            Err(error) => Err(error.to_string()),
        },
    };
    let record = result.as_deref().map_err(String::as_str);
    store::periodic::finish(&context.pool, &job, record, context.clock.now()).await.map_err(outage)?;
    match result {
        Ok(done) => tracing::info!(slot = %job.slot, "Ran {}: {done}", job.name),
        // The next slot does what this one left.
        Err(error) => tracing::warn!(slot = %job.slot, "{} failed: {error}", job.name),
    }
    Ok(())
}

/// A machine whose clock is ahead must not use up later slots: what it pushes is run as of the minute that it is.
fn in_time(job: PeriodicJob, now: DateTime<Utc>) -> PeriodicJob {
    if job.slot <= now + TimeDelta::seconds(AHEAD_SECONDS) {
        return job;
    }
    tracing::warn!(slot = %job.slot, "The slot of {} is yet to come: a clock is wrong somewhere", job.name);
    PeriodicJob { slot: now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(now), ..job }
}
