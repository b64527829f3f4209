//! What can be done with a message after it was sent.

use herald_jobs::address::Contact;
use herald_jobs::refusal::Refusal;
use herald_jobs::send::NewContact;
use herald_jobs::store;
use herald_jobs::store::messages::Standing;
use uuid::Uuid;

use crate::numbers;
use crate::{MessageId, Producer, SendError};

impl Producer {
    /// Asks for a copy of a message for somebody outside, whether the message is in its inbox yet or not.
    ///
    /// # Errors
    /// [`SendError`], naming `contact_reference`, `email_mode` or `message_id`.
    pub async fn add_recipient(&self, message: MessageId, contact: &NewContact) -> Result<(), SendError> {
        let mut contact = contact.clone();
        numbers::normalise(&mut contact, self.region())?;
        let contact: Contact = contact.parse()?;
        let added = store::deliveries::add(self.pool(), message, &contact).await;
        added.map_err(|error| about(&error, message).unwrap_or_else(|| error.into()))
    }

    /// Cancels a message that waits, on its way or in its inbox, and its copies that have not gone out. `false`: it was cancelled
    /// before.
    ///
    /// # Errors
    /// [`SendError::TooLate`] where its recipient has acted on it; [`SendError::Refused`] where there is none.
    pub async fn cancel(&self, message: MessageId) -> Result<bool, SendError> {
        store::cancelling::cancel(self.pool(), message)
            .await
            .map_err(|error| about(&error, message).unwrap_or_else(|| error.into()))
    }

    /// Cancels all that waits of a send to many, on its way or in inboxes, and the copies that have not gone out: at once, however many
    /// they are. `false`: it was cancelled before.
    ///
    /// # Errors
    /// [`SendError::Refused`] where there is no such batch.
    pub async fn cancel_batch(&self, batch: Uuid) -> Result<bool, SendError> {
        let missing = || Refusal::new("batch_id", format!("there is no batch {batch}")).into();
        store::cancelling::cancel_batch(self.pool(), batch).await.map_err(|error| {
            match code(&error).as_deref() {
                Some("22023") => missing(),
                _ => error.into(),
            }
        })
    }

    /// How a message stands; `None` where there is none.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn standing(&self, message: MessageId) -> Result<Option<Standing>, SendError> {
        Ok(store::messages::standing(self.pool(), message).await?)
    }
}

/// What the database says of a message that it was asked about by its id.
fn about(error: &sqlx::Error, message: MessageId) -> Option<SendError> {
    match code(error).as_deref() {
        Some("22023") => Some(Refusal::new("message_id", format!("there is no message {message}")).into()),
        Some("55000") => {
            let said = error.as_database_error()?.message();
            Some(SendError::TooLate(said.trim_start_matches("message_id: ").to_owned()))
        }
        _ => None,
    }
}

fn code(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error()?.code()
}
