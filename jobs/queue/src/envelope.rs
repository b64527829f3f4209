//! How a job looks in the stream: the fields `v` (the version of this envelope), `at` (only where the entry was
//! put back: when it first came, in milliseconds since the epoch), `trace` (the W3C traceparent of who pushed it,
//! if any) and `job` (JSON).
//!
//! An entry without `v` is version 0: the same without promises, so that a job can be pushed by hand.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use redis::Cmd;

use crate::{Job, connection::QueueError, id::EntryId, reply::Fields};

/// The version that is written. It and the one before it are read.
const VERSION: u32 = 1;
const OLDEST_VERSION: u32 = VERSION - 1;

/// A job as it was delivered, with what the queue knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<J> {
    /// The name of the entry, the same at each delivery.
    pub id: EntryId,
    /// Which delivery this is, from 1. What an outage cut short does not count.
    pub attempt: u32,
    /// When the job was pushed, since the epoch by Redis's clock.
    pub enqueued_at: Duration,
    /// The W3C traceparent of who pushed the job.
    pub trace: Option<String>,
    /// The job itself.
    pub job: J,
}

/// What was found in a stream's entry; the job still as text.
pub(crate) struct Envelope {
    version: Result<u32, String>,
    pub(crate) enqueued_at: Duration,
    pub(crate) trace: Option<String>,
    job: Option<Vec<u8>>,
}

/// The command that pushes a job: `XADD key * v 1 job {...}`.
pub(crate) fn push_command<J: Job>(key: &str, job: &J, trace: Option<&str>) -> Result<Cmd, QueueError> {
    let payload = serde_json::to_vec(job).map_err(QueueError::Encode)?;
    let mut command = Cmd::with_capacity(9, payload.len() + key.len() + trace.map_or(0, str::len) + 32);
    command.arg("XADD").arg(key).arg("*").arg("v").arg(VERSION);
    if let Some(trace) = trace {
        command.arg("trace").arg(trace);
    }
    command.arg("job").arg(payload);
    Ok(command)
}

impl Envelope {
    pub(crate) fn read(id: EntryId, fields: Fields) -> Self {
        let mut envelope =
            Self { version: Ok(0), enqueued_at: Duration::from_millis(id.ms), trace: None, job: None };
        for (name, value) in fields {
            match name.as_slice() {
                b"v" => envelope.version = number(&value).ok_or_else(|| lossy(&value)),
                b"at" => {
                    if let Some(ms) = number(&value) {
                        envelope.enqueued_at = Duration::from_millis(ms);
                    }
                }
                b"trace" => envelope.trace = String::from_utf8(value).ok(),
                b"job" => envelope.job = Some(value),
                _ => {}
            }
        }
        envelope
    }

    /// The job, or why this entry can never be one.
    pub(crate) fn decode<J: Job>(&self) -> Result<J, String> {
        match &self.version {
            Ok(OLDEST_VERSION..=VERSION) => {}
            Ok(version) => return Err(format!("version {version} of the envelope is not known here")),
            Err(version) => return Err(format!("`{version}` is not a version of the envelope")),
        }
        let payload = self.job.as_deref().ok_or("the entry has no field `job`")?;
        // A panic in somebody's Deserialize must not end the task that reads for everybody.
        catch_unwind(AssertUnwindSafe(|| serde_json::from_slice(payload)))
            .map_err(|_| "reading the job panicked".to_owned())?
            .map_err(|error| format!("the job cannot be read: {error}"))
    }
}

/// What an entry holds, for people: its job if there is one, else all that is there.
pub(crate) fn payload_text(fields: &Fields) -> String {
    match fields.iter().find(|(name, _)| name == b"job") {
        Some((_, job)) => lossy(job),
        None => {
            let pairs: Vec<_> =
                fields.iter().map(|(name, value)| format!("{}={}", lossy(name), lossy(value))).collect();
            pairs.join(" ")
        }
    }
}

fn number<N: std::str::FromStr>(value: &[u8]) -> Option<N> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn lossy(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}
