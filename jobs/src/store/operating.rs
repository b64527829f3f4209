//! What operators do to the copies that go out: on the command line and on pages alike, and each with its line in the audit log.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::change::ChangeError;
use super::ledger::{self, Copy};
use super::{audit, suppressions};
use crate::deliver::DeliveryState;
use crate::id::DeliveryId;

/// Tries a copy again at once. An unknown one may arrive twice.
///
/// # Errors
/// [`ChangeError::Kept`] says what stands against it, to go on with after the copy's name.
pub async fn retry(pool: &PgPool, copy: &Copy, actor: &str, now: DateTime<Utc>) -> Result<(), ChangeError> {
    let kept = match copy.state {
        DeliveryState::Pending => {
            let at = copy.next_attempt_at.format("%Y-%m-%d %H:%M:%SZ");
            Some(format!("is pending: it is tried by itself at {at}"))
        }
        DeliveryState::Sending => Some("is under way: a worker is sending it".to_owned()),
        DeliveryState::Sent | DeliveryState::Delivered => Some("was sent: send a new message".to_owned()),
        DeliveryState::Cancelled => Some("was cancelled: send a new message".to_owned()),
        _ if copy.address.is_empty() => {
            Some("has no address: give the user one, and send a new message".to_owned())
        }
        DeliveryState::Failed | DeliveryState::Unknown | DeliveryState::Suppressed => None,
    };
    if let Some(why) = kept {
        return Err(ChangeError::Kept(why));
    }
    if let Some(reason) = suppressions::reason(pool, &copy.address).await? {
        let to = &copy.address;
        return Err(ChangeError::Kept(format!(
            "cannot be tried again: {to} gets no copies ({reason}): run `herald suppression lift {to}` first"
        )));
    }
    let mut transaction = pool.begin().await?;
    if !ledger::retry(&mut *transaction, DeliveryId(copy.id), now).await? {
        let why = "cannot be tried again: its message is no longer there, or was cancelled";
        return Err(ChangeError::Kept(why.to_owned()));
    }
    audit::record(&mut *transaction, actor, "delivery retry", &copy.id.to_string()).await?;
    transaction.commit().await?;
    Ok(())
}

/// Withdraws a pending copy: it is never sent. The message stays in its inbox.
///
/// # Errors
/// As [`retry`].
pub async fn cancel(pool: &PgPool, copy: &Copy, actor: &str, now: DateTime<Utc>) -> Result<(), ChangeError> {
    let mut transaction = pool.begin().await?;
    if !ledger::cancel(&mut *transaction, DeliveryId(copy.id), now).await? {
        let state =
            ledger::find(&mut *transaction, DeliveryId(copy.id)).await?.map_or(copy.state, |it| it.state);
        return Err(ChangeError::Kept(match state {
            DeliveryState::Sending => "is under way: a worker is sending it".to_owned(),
            state => format!("is {state}: only what is pending can be cancelled"),
        }));
    }
    audit::record(&mut *transaction, actor, "delivery cancel", &copy.id.to_string()).await?;
    transaction.commit().await?;
    Ok(())
}
