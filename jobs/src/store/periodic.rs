//! The runs of periodic jobs: one row for each slot, written by whoever runs it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgExecutor;

use crate::periodic::{PeriodicJob, PeriodicName};

/// Begins a slot's run. `false`: somebody has it already, and has finished or is not yet `silent` for so long.
///
/// # Errors
/// The database cannot be reached.
pub async fn begin(
    executor: impl PgExecutor<'_>,
    job: &PeriodicJob,
    worker: &str,
    now: DateTime<Utc>,
    silent: chrono::TimeDelta,
) -> Result<bool, sqlx::Error> {
    let begun = sqlx::query!(
        "insert into herald.periodic_run as r (job, slot, worker, started_at) values ($1, $2, $3, $4)
         on conflict (job, slot) do update set worker = excluded.worker, started_at = excluded.started_at
         where r.finished_at is null and (r.started_at < $5 or r.worker = excluded.worker)",
        job.name.as_str(),
        job.slot,
        worker,
        now,
        now - silent
    )
    .execute(executor)
    .await?;
    Ok(begun.rows_affected() == 1)
}

/// Ends a slot's run with what it did, or its error.
///
/// # Errors
/// The database cannot be reached.
pub async fn finish(
    executor: impl PgExecutor<'_>,
    job: &PeriodicJob,
    result: Result<&str, &str>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (Ok(text) | Err(text)) = result;
    sqlx::query!(
        "update herald.periodic_run set finished_at = $3, result = $4, succeeded = $5 where job = $1 and slot = $2",
        job.name.as_str(),
        job.slot,
        now,
        text,
        result.is_ok()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// A run, finished or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Run {
    /// Which job.
    pub job: String,
    /// The instant it was due.
    pub slot: DateTime<Utc>,
    /// Who ran it.
    pub worker: String,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// What it did, or its error.
    pub result: Option<String>,
    /// Whether it did what it should.
    pub succeeded: Option<bool>,
}

/// The latest runs, newest first.
///
/// # Errors
/// The database cannot be reached.
pub async fn latest(executor: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Run>, sqlx::Error> {
    sqlx::query_as!(
        Run,
        "select job, slot, worker, started_at, finished_at, result, succeeded from herald.periodic_run order by slot desc limit $1",
        limit
    )
    .fetch_all(executor)
    .await
}

/// The latest run of each job.
///
/// # Errors
/// The database cannot be reached.
pub async fn last_of_each(executor: impl PgExecutor<'_>) -> Result<Vec<Run>, sqlx::Error> {
    let names: Vec<&str> = PeriodicName::ALL.iter().map(|name| name.as_str()).collect();
    sqlx::query_as!(
        Run,
        r#"select run.job, run.slot, run.worker, run.started_at, run.finished_at, run.result, run.succeeded
           from unnest($1::text[]) as name
           cross join lateral (select * from herald.periodic_run where job = name order by slot desc limit 1) as run"#,
        &names as &[&str]
    )
    .fetch_all(executor)
    .await
}

/// The run of one slot.
///
/// # Errors
/// The database cannot be reached.
pub async fn of_slot(
    executor: impl PgExecutor<'_>,
    name: PeriodicName,
    slot: DateTime<Utc>,
) -> Result<Option<Run>, sqlx::Error> {
    sqlx::query_as!(
        Run,
        "select job, slot, worker, started_at, finished_at, result, succeeded from herald.periodic_run where job = $1 and slot = $2",
        name.as_str(),
        slot
    )
    .fetch_optional(executor)
    .await
}
