//! One copy of a message on its way out: the job, and what each outcome means for the ledger.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::id::DeliveryId;
use crate::message_type::names;

/// Send this copy. Everything else is in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverJob {
    /// The ledger's row.
    pub id: DeliveryId,
}

impl herald_queue::Job for DeliverJob {}

names! {
    /// How one copy stands.
    DeliveryState {
        /// To be sent when its time comes.
        Pending = "pending",
        /// Somebody is sending it.
        Sending = "sending",
        /// The server took it.
        Sent = "sent",
        /// The recipient has it, says the provider.
        Delivered = "delivered",
        /// Refused for good.
        Failed = "failed",
        /// Nobody knows whether it arrived: held for an operator.
        Unknown = "unknown",
        /// Not to be sent, with the reason.
        Suppressed = "suppressed",
        /// Withdrawn before it was sent.
        Cancelled = "cancelled",
    }
}
names! {
    /// How one attempt ended.
    AttemptOutcome {
        /// The server took the copy.
        Sent = "sent",
        /// Not sent; tried again later.
        Deferred = "deferred",
        /// Refused for good.
        Refused = "refused",
        /// Handed over, but the answer was lost.
        Unknown = "unknown",
        /// Not sent: our settings or the server's are wrong. Uses up no attempt.
        Fault = "fault",
        /// No attempt of ours: the server took the copy, and it came back later.
        Bounced = "bounced",
        /// No attempt of ours: a server that has the copy reports that it is late.
        Delayed = "delayed",
        /// No attempt of ours: the provider reports that the recipient has it.
        Delivered = "delivered",
    }
}

/// What an attempt brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// The SMTP reply code, where there was one.
    pub code: Option<u16>,
    /// The server's own words, or what went wrong here.
    pub reply: String,
}

/// What the ledger records after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// The new state.
    pub state: DeliveryState,
    /// When a pending copy is tried again.
    pub at: DateTime<Utc>,
}

/// How long a claim may stay silent before the outcome counts as unknown, in seconds. Longer than one SMTP command may take.
pub const LEASE_SECONDS: i64 = 120;

/// How long after a deferral the next attempt follows, in minutes; the last one repeats.
const BACKOFF_MINUTES: [i64; 8] = [1, 5, 15, 30, 60, 120, 240, 480];

/// How long a copy waits after a fault of the settings, in seconds.
const FAULT_SECONDS: i64 = 30;

/// The state that follows an attempt.
///
/// `attempts` counts this one; `unknowns` those before it that ended unknown; a deferred copy is given up when its next attempt would
/// come after `give_up`; `jitter` is drawn from 0 to 1 and spreads retries.
pub fn next(
    outcome: AttemptOutcome,
    attempts: u32,
    unknowns: u32,
    retry_unknown: bool,
    give_up: DateTime<Utc>,
    now: DateTime<Utc>,
    jitter: f64,
) -> Next {
    match outcome {
        AttemptOutcome::Sent | AttemptOutcome::Delayed => Next { state: DeliveryState::Sent, at: now },
        AttemptOutcome::Delivered => Next { state: DeliveryState::Delivered, at: now },
        AttemptOutcome::Refused | AttemptOutcome::Bounced => Next { state: DeliveryState::Failed, at: now },
        AttemptOutcome::Unknown if retry_unknown && unknowns == 0 => {
            Next { state: DeliveryState::Pending, at: now }
        }
        AttemptOutcome::Unknown => Next { state: DeliveryState::Unknown, at: now },
        AttemptOutcome::Fault => {
            Next { state: DeliveryState::Pending, at: now + TimeDelta::seconds(FAULT_SECONDS) }
        }
        AttemptOutcome::Deferred => {
            let step = usize::try_from(attempts.saturating_sub(1))
                .unwrap_or(usize::MAX)
                .min(BACKOFF_MINUTES.len() - 1);
            let seconds = BACKOFF_MINUTES[step] * 60;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "at most some hours, in seconds"
            )]
            let spread = (seconds as f64 * 0.2 * jitter) as i64;
            let at = now + TimeDelta::seconds(seconds + spread);
            if at > give_up {
                Next { state: DeliveryState::Failed, at: now }
            } else {
                Next { state: DeliveryState::Pending, at }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(outcome: AttemptOutcome, attempts: u32, unknowns: u32, retry: bool) -> (DeliveryState, i64) {
        let now = DateTime::UNIX_EPOCH;
        let next = next(outcome, attempts, unknowns, retry, now + TimeDelta::days(5), now, 0.0);
        (next.state, (next.at - now).num_seconds())
    }

    #[test]
    fn deferrals_back_off_and_give_up() {
        assert_eq!(after(AttemptOutcome::Deferred, 1, 0, true), (DeliveryState::Pending, 60));
        assert_eq!(after(AttemptOutcome::Deferred, 3, 0, true), (DeliveryState::Pending, 900));
        assert_eq!(after(AttemptOutcome::Deferred, 99, 0, true), (DeliveryState::Pending, 28_800));
        let now = DateTime::UNIX_EPOCH;
        let given_up = next(AttemptOutcome::Deferred, 20, 0, true, now + TimeDelta::hours(7), now, 1.0);
        assert_eq!(given_up.state, DeliveryState::Failed);
    }

    #[test]
    fn unknown_is_retried_once_and_then_held() {
        assert_eq!(after(AttemptOutcome::Unknown, 1, 0, true).0, DeliveryState::Pending);
        assert_eq!(after(AttemptOutcome::Unknown, 2, 1, true).0, DeliveryState::Unknown);
        assert_eq!(after(AttemptOutcome::Unknown, 1, 0, false).0, DeliveryState::Unknown);
    }
}
