//! What came back of copies that a server had taken.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use crate::deliver::{AttemptOutcome, DeliveryState};
use crate::id::DeliveryId;

/// A copy of which something came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    /// How it stands.
    pub state: DeliveryState,
    /// Where it went.
    pub address: String,
}

/// The copy, locked until the transaction ends.
///
/// # Errors
/// The database cannot be reached.
pub async fn lock(transaction: &mut PgConnection, id: DeliveryId) -> Result<Option<Concerned>, sqlx::Error> {
    sqlx::query_as!(Concerned, "select state, address from herald.delivery where id = $1 for update", id.0)
        .fetch_optional(transaction)
        .await
}

/// What a server reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The same for the same report, however often it comes.
    pub fingerprint: Vec<u8>,
    /// [`AttemptOutcome::Bounced`] or [`AttemptOutcome::Delayed`].
    pub outcome: AttemptOutcome,
    /// The SMTP reply code, where it tells one.
    pub code: Option<u16>,
    /// The server's own words.
    pub reply: String,
}

/// Records a report beside the attempts of a copy that [`lock`] has found. `false`: it was recorded before.
///
/// # Errors
/// The database cannot be reached.
pub async fn record(
    transaction: &mut PgConnection,
    id: DeliveryId,
    report: &Report,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let recorded = sqlx::query!(
        "insert into herald.delivery_attempt (delivery_id, number, started_at, finished_at, outcome, code, reply, report)
         values ($1, (select coalesce(max(number), 0) + 1 from herald.delivery_attempt a where a.delivery_id = $1),
                 $2, $2, $3, $4, $5, $6)
         on conflict (delivery_id, report) where report is not null do nothing",
        id.0,
        now,
        report.outcome.as_str(),
        report.code.map(i32::from),
        report.reply,
        report.fingerprint
    )
    .execute(transaction)
    .await?;
    Ok(recorded.rows_affected() == 1)
}

/// What is known now of a copy that a server had taken, or may have: not sent again, whatever was thought of it. One that was never
/// to be sent, or that is being sent now, stays as it is.
///
/// # Errors
/// The database cannot be reached.
pub async fn settle(
    executor: impl PgExecutor<'_>,
    id: DeliveryId,
    state: DeliveryState,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.delivery
         set state = $2, reason = $3, pushed_at = null, finished_at = $4
         where id = $1 and state in ('sent', 'unknown', 'pending')",
        id.0,
        state.as_str(),
        reason,
        now
    )
    .execute(executor)
    .await?;
    Ok(())
}
