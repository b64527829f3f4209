//! Addresses that get no copies.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::id::DeliveryId;

/// An address that gets no copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// In lower case.
    pub address: String,
    /// Why, in the server's words or an operator's.
    pub reason: String,
    /// Whose bounce it was; `None`: an operator's doing.
    pub delivery_id: Option<Uuid>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// Suppresses an address, in any case. `false`: it is suppressed already, for its first reason.
///
/// # Errors
/// The database cannot be reached.
pub async fn add(
    executor: impl PgExecutor<'_>,
    address: &str,
    reason: &str,
    delivery: Option<DeliveryId>,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let added = sqlx::query!(
        "insert into herald.suppression (address, reason, delivery_id, created_at) values (lower($1), $2, $3, $4)
         on conflict (address) do nothing",
        address,
        reason,
        delivery.map(|delivery| delivery.0),
        now
    )
    .execute(executor)
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Lets copies go to an address again. Answers whether it was suppressed.
///
/// # Errors
/// The database cannot be reached.
pub async fn lift(executor: impl PgExecutor<'_>, address: &str) -> Result<bool, sqlx::Error> {
    let lifted = sqlx::query!("delete from herald.suppression where address = lower($1)", address)
        .execute(executor)
        .await?;
    Ok(lifted.rows_affected() == 1)
}

/// The same, where it was suppressed for this very reason.
///
/// # Errors
/// The database cannot be reached.
pub async fn lift_for(
    executor: impl PgExecutor<'_>,
    address: &str,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let lifted = sqlx::query!(
        "delete from herald.suppression where address = lower($1) and reason = $2",
        address,
        reason
    )
    .execute(executor)
    .await?;
    Ok(lifted.rows_affected() == 1)
}

/// Suppressed addresses, newest first, at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(executor: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Suppression>, sqlx::Error> {
    sqlx::query_as!(
        Suppression,
        "select address, reason, delivery_id, created_at from herald.suppression order by created_at desc, address limit $1",
        limit
    )
    .fetch_all(executor)
    .await
}

/// Why this address is suppressed; `None`: it is not.
///
/// # Errors
/// The database cannot be reached.
pub async fn reason(executor: impl PgExecutor<'_>, address: &str) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!("select reason from herald.suppression where address = lower($1)", address)
        .fetch_optional(executor)
        .await
}
