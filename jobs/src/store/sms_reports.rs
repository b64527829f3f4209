//! Copies by SMS, as their provider speaks of them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::deliver::DeliveryState;
use crate::id::DeliveryId;

/// A copy that a provider speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    /// The ledger's key.
    pub id: Uuid,
    /// How it stands.
    pub state: DeliveryState,
}

/// The copy that a provider calls by its own id or by ours, and how it stands; locked until the transaction ends.
///
/// # Errors
/// The database cannot be reached.
pub async fn lock(transaction: &mut PgConnection, reference: &str) -> Result<Option<Concerned>, sqlx::Error> {
    sqlx::query_as!(
        Concerned,
        "select id, state from herald.delivery
         where channel = 'sms' and id = coalesce((select id from herald.delivery where provider_id = $1 limit 1), $2)
         for update",
        reference,
        Uuid::try_parse(reference).ok()
    )
    .fetch_optional(transaction)
    .await
}

/// The copy has arrived, whatever was thought of it, unless it has failed or was never to be sent.
///
/// # Errors
/// The database cannot be reached.
pub async fn arrive(
    executor: impl PgExecutor<'_>,
    id: DeliveryId,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update herald.delivery
         set state = 'delivered', reason = $2, pushed_at = null, finished_at = $3
         where id = $1 and state in ('sent', 'unknown', 'pending')",
        id.0,
        reason,
        now
    )
    .execute(executor)
    .await?;
    Ok(())
}
