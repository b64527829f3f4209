use std::{error::Error, time::Duration};

use apalis_core::error::BoxDynError;
use thiserror::Error;

/// Why a job did not succeed, and with it what becomes of the job. A handler that ends with any other error, by a
/// panic or by a layer's time-out has failed with `Retry` and the error's text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// Try again later; dead after [`WorkerOptions::max_attempts`](crate::WorkerOptions::max_attempts) deliveries.
    #[error("{reason}")]
    Retry {
        /// What went wrong, for people.
        reason: String,
        /// When to try again; by [`Backoff`](crate::Backoff) when `None`.
        after: Option<Duration>,
    },
    /// Trying again is of no use.
    #[error("{reason}")]
    Dead {
        /// What went wrong, for people.
        reason: String,
    },
    /// Something that all jobs need does not answer. It is not the job's failure and does not count as an attempt;
    /// the consumer pauses until the next try, longer each time, until something succeeds.
    #[error("{reason}")]
    Outage {
        /// What does not answer, for people.
        reason: String,
    },
}

/// How one entry of a batch ended.
pub type Outcome = Result<(), Failure>;

impl Failure {
    /// To be tried again after a delay that grows with the attempts.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into(), after: None }
    }

    /// To be tried again after this delay.
    pub fn retry_after(reason: impl Into<String>, after: Duration) -> Self {
        Self::Retry { reason: reason.into(), after: Some(after) }
    }

    /// Never to be tried again.
    pub fn dead(reason: impl Into<String>) -> Self {
        Self::Dead { reason: reason.into() }
    }

    /// Not the job's fault.
    pub fn outage(reason: impl Into<String>) -> Self {
        Self::Outage { reason: reason.into() }
    }

    /// The failure that is, or is the cause of, what a handler and its layers ended with.
    pub(crate) fn of(error: &BoxDynError) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error.as_ref());
        while let Some(error) = cause {
            if let Some(failure) = error.downcast_ref::<Self>() {
                return failure.clone();
            }
            cause = error.source();
        }
        Self::retry(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use apalis_core::error::{AbortError, BoxDynError};

    use super::Failure;

    #[test]
    fn a_failure_is_found_beneath_the_errors_of_layers() {
        let wrapped: BoxDynError = AbortError::new(Failure::outage("no database")).into();
        assert_eq!(Failure::of(&wrapped), Failure::outage("no database"));
    }

    #[test]
    fn any_other_error_is_a_retry_with_its_text() {
        assert_eq!(Failure::of(&"oops".into()), Failure::retry("oops"));
    }
}
