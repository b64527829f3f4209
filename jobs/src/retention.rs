//! How long what is done with is kept.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::message_type::names;

names! {
    /// What is purged.
    Kept {
        /// View messages past their expiry, seen or not.
        Expired = "expired messages",
        /// Messages that were acted on, cancelled or withdrawn.
        History = "messages of the history",
        /// Copies that went out or will not, with their attempts.
        Ledger = "copies of the ledger",
        /// Files that waited to be fetched.
        Outputs = "outputs",
        /// Changes of watched tables that were handled.
        Events = "events",
        /// Answers that were told, were given up, or go nowhere; those that are still to be told stay.
        Answers = "answers that were told",
        /// Requests for a decision that have ended, with who was asked.
        Authorisations = "authorisations that ended",
        /// How many messages were purged unread, by day.
        Unread = "counts of unread messages",
        /// Marks of cancelled batches whose rows have followed.
        Batches = "marks of cancelled batches",
        /// Keys that tell a repeated send.
        Keys = "idempotency keys",
        /// Log-ins and login links.
        Sessions = "sessions and login links",
        /// API tokens that expired or were revoked.
        Tokens = "tokens",
        /// Who changed what.
        Audit = "audit entries",
        /// Runs of periodic jobs.
        Runs = "periodic runs",
    }
}

/// Days for which each is kept after its end; 0: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Messages, after they were acted on; requests for a decision, after they ended; counts of what was purged unread.
    pub history_days: u32,
    /// Copies, after their end. They outlive their messages.
    pub ledger_days: u32,
    /// API tokens.
    pub token_days: u32,
    /// The audit log.
    pub audit_days: u32,
    /// Runs of periodic jobs.
    pub run_days: u32,
    /// Changes of watched tables, after they were handled: event rules can be tried on them.
    pub event_days: u32,
    /// Answers, after they were told or given up.
    pub answer_days: u32,
}

/// Days for which nothing more is accepted for a batch that was cancelled: longer than any call that sends it lasts.
const BATCH_DAYS: u32 = 7;

impl Default for Retention {
    fn default() -> Self {
        Self {
            history_days: 365,
            ledger_days: 400,
            token_days: 90,
            audit_days: 0,
            run_days: 30,
            event_days: 7,
            answer_days: 90,
        }
    }
}

impl Retention {
    /// What ended by this time is purged at `now`; `None`: nothing is.
    pub fn until(self, kept: Kept, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let days = match kept {
            // These say themselves when they end.
            Kept::Expired | Kept::Outputs | Kept::Keys | Kept::Sessions => return Some(now),
            Kept::History | Kept::Authorisations | Kept::Unread => self.history_days,
            Kept::Ledger => self.ledger_days,
            Kept::Tokens => self.token_days,
            Kept::Audit => self.audit_days,
            Kept::Runs => self.run_days,
            Kept::Events => self.event_days,
            Kept::Answers => self.answer_days,
            Kept::Batches => BATCH_DAYS,
        };
        (days > 0)
            .then(|| now.checked_sub_signed(TimeDelta::days(days.into())).unwrap_or(DateTime::<Utc>::MIN_UTC))
    }
}
