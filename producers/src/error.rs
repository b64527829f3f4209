use herald_jobs::group_commit::CommitError;
use herald_jobs::id::MessageId;
use herald_jobs::refusal::Refusal;
use herald_queue::QueueError;

/// Why a send was not accepted. Nothing was sent then.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The request is at fault.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The idempotency key stands for another request, which was accepted as this message.
    #[error("idempotency_key: was used for another request, {0}")]
    KeyTaken(MessageId),
    /// A send with this idempotency key is under way elsewhere and has not ended within two seconds.
    #[error("idempotency_key: another send with this key is under way; try again")]
    KeyBusy,
    /// What was to be cancelled has been acted on, or withdrawn.
    #[error("message_id: {0}")]
    TooLate(String),
    /// The database did not take it. Whether a lost answer meant yes cannot be known: repeat with an idempotency key.
    #[error("not accepted, try again: {0}")]
    Unavailable(String),
    /// Redis did not take it (fast lane only).
    #[error("the queue is not available: {0}")]
    Queue(#[from] QueueError),
}

impl From<sqlx::Error> for SendError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
            Some("55P03") => Self::KeyBusy,
            // Class 22, data exception: repeating it would not help.
            Some(code) if code.starts_with("22") => {
                Self::Refused(Refusal::new("message", format!("the database refuses this: {error}")))
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<CommitError> for SendError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Data(problem) => Self::Refused(Refusal::new("message", problem)),
            CommitError::Outage(problem) => Self::Unavailable(problem),
        }
    }
}
