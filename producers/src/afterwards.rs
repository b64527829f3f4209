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

    /// Cancels what is still waiting of a send to many. Answers how many messages were cancelled now.
    ///
    /// # Errors
    /// The database cannot be reached; what was cancelled until then stays so.
    pub async fn cancel_batch(&self, batch: Uuid) -> Result<u64, SendError> {
        Ok(store::cancelling::cancel_batch(self.pool(), batch, self.clock().now()).await?)
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
    let said = error.as_database_error()?;
    match said.code().as_deref() {
        Some("22023") => Some(Refusal::new("message_id", format!("there is no message {message}")).into()),
        Some("55000") => {
            Some(SendError::TooLate(said.message().trim_start_matches("message_id: ").to_owned()))
        }
        _ => None,
    }
}
