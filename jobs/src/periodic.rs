//! Jobs that the schedule starts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::message_type::names;

names! {
    /// The periodic jobs.
    PeriodicName {
        /// Deletes what has outlived its retention.
        Purge = "purge",
        /// Sends the reminders that are due.
        Reminders = "reminders",
    }
}

/// One slot of a periodic job. Any number of schedulers may push it: one run happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodicJob {
    /// Which job.
    pub name: PeriodicName,
    /// The instant it was due.
    pub slot: DateTime<Utc>,
}

impl herald_queue::Job for PeriodicJob {}
