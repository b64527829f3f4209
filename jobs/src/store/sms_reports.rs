//! Copies by SMS, as their provider speaks of them.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::deliver::DeliveryState;

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
