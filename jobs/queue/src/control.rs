//! How far a consumer is on its way to its end.

use tokio::sync::watch;

/// How far a consumer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// Nothing is fetched any more; what runs may end.
    Stopping,
    /// No handler will be started again, and results are to be saved.
    Closing,
    /// Every task of the consumer has ended; whether all results were saved.
    Finished(bool),
}

/// Moves a consumer on to its end, and tells how far it is.
pub(crate) struct Control {
    phase: watch::Sender<Phase>,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self { phase: watch::Sender::new(Phase::Running) }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes on to `phase`, never back.
    pub(crate) fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }

    pub(crate) async fn reached(&self, phase: Phase) -> Phase {
        match self.phase.subscribe().wait_for(|current| *current >= phase).await {
            Ok(current) => *current,
            // The sender lives in `self`.
            Err(_) => phase,
        }
    }
}
