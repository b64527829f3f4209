//! A try of a way out, with one message of its own.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::address::Channel;

/// Try this way. It is done once: what it says is in `store::checks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckJob {
    /// Names the try.
    pub id: Uuid,
    /// The way.
    pub channel: Channel,
    /// Where the message goes: an e-mail address, or a number in E.164 form.
    pub address: String,
}

impl herald_queue::Job for CheckJob {}
