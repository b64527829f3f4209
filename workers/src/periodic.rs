//! Runs what the schedule started, each slot once.

use apalis::prelude::Data;
use chrono::TimeDelta;
use herald_jobs::periodic::{PeriodicJob, PeriodicName};
use herald_jobs::store;
use herald_queue::Failure;

use crate::Context;
use crate::outcome::outage;

/// How long a run may be silent before another worker begins it again, in minutes.
const SILENT_MINUTES: i64 = 15;
/// Most rows deleted by one statement, so that no lock is held long.
const PURGE_ROWS: u64 = 1_000;
/// How long events are kept after they were handled, for rules to be tried on.
const EVENTS_KEPT: TimeDelta = TimeDelta::days(7);

/// Runs one slot, unless somebody has it already.
///
/// # Errors
/// The database is not available.
pub async fn periodic(job: PeriodicJob, context: Data<Context>) -> Result<(), Failure> {
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
        PeriodicName::Purge => purge(&context).await,
    };
    let record = result.as_deref().map_err(ToString::to_string);
    let record = record.as_ref().map(|text| *text).map_err(String::as_str);
    store::periodic::finish(&context.pool, &job, record, context.clock.now()).await.map_err(outage)?;
    match result {
        Ok(done) => tracing::info!(slot = %job.slot, "Ran {}: {done}", job.name),
        // The next slot does what this one left.
        Err(error) => tracing::warn!(slot = %job.slot, "{} failed: {error}", job.name),
    }
    Ok(())
}

/// Deletes what has outlived its retention: expired view messages, outputs, events, sessions, login links, idempotency keys.
async fn purge(context: &Context) -> Result<String, sqlx::Error> {
    let now = context.clock.now();
    let limit = i64::try_from(PURGE_ROWS).unwrap_or(i64::MAX);
    let mut messages = 0;
    loop {
        let purged = store::messages::purge_expired(&context.pool, now, limit).await?;
        messages += purged;
        if purged < PURGE_ROWS {
            break;
        }
    }
    let mut keys = 0;
    loop {
        let purged = store::outbox::purge_keys(&context.pool, now, limit).await?;
        keys += purged;
        if purged < PURGE_ROWS {
            break;
        }
    }
    let mut outputs = 0;
    loop {
        let purged = store::outputs::purge(&context.pool, now, limit).await?;
        outputs += purged;
        if purged < PURGE_ROWS {
            break;
        }
    }
    let mut events = 0;
    loop {
        let purged = store::events::purge(&context.pool, now - EVENTS_KEPT, limit).await?;
        events += purged;
        if purged < PURGE_ROWS {
            break;
        }
    }
    let sessions = store::access::purge(&mut *context.pool.acquire().await?, now).await?;
    Ok(format!(
        "purged {messages} messages, {keys} idempotency keys, {outputs} outputs, {events} events, {sessions} sessions and login links"
    ))
}
