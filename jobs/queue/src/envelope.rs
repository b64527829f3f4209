//! How a job looks in the stream: the fields `v` (the version of this envelope), `at` (only where the entry was
//! put back: when it first came, in milliseconds since the epoch), `trace` (the W3C traceparent of who pushed it,
//! if any) and `job` (JSON). In version 2 `job` comes once for each job of a pack.
//!
//! An entry without `v` is version 0: the same without promises, so that a job can be pushed by hand.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use redis::Cmd;

use crate::{Job, connection::QueueError, id::EntryId, queue::Keys, reply::Fields, script};

/// The versions of single jobs and of packs, of which a reader of the first would find but one job.
const SINGLE: u32 = 1;
const PACK: u32 = 2;

/// A job as it was delivered, with what the queue knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<J> {
    /// The name of the entry, the same at each delivery; a job that leaves its pack gets another.
    pub id: EntryId,
    /// Which delivery this is, from 1. What an outage cut short does not count, nor the one in a pack.
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
    jobs: Vec<Vec<u8>>,
}

pub(crate) fn encode<J: Job>(job: &J) -> Result<Vec<u8>, QueueError> {
    serde_json::to_vec(job).map_err(QueueError::Encode)
}

/// The command that pushes a job: `XADD key * v 1 job {...}`.
pub(crate) fn push_command(stream: &str, job: &[u8], trace: Option<&str>) -> Cmd {
    let mut command = Cmd::with_capacity(9, job.len() + stream.len() + trace.map_or(0, str::len) + 32);
    command.arg("XADD").arg(stream).arg("*").arg("v").arg(SINGLE);
    if let Some(trace) = trace {
        command.arg("trace").arg(trace);
    }
    command.arg("job").arg(job);
    command
}

/// The command that pushes jobs as one entry.
pub(crate) fn pack_command(keys: &Keys, jobs: &[Vec<u8>], trace: Option<&str>) -> Cmd {
    let bytes: usize = jobs.iter().map(|job| job.len() + 8).sum();
    let mut command = Cmd::with_capacity(9 + 2 * jobs.len(), bytes + script::PACK.len() + 256);
    command.arg("EVAL").arg(script::PACK).arg(2).arg(&keys.stream).arg(&keys.packed).arg("v").arg(PACK);
    if let Some(trace) = trace {
        command.arg("trace").arg(trace);
    }
    for job in jobs {
        command.arg("job").arg(job.as_slice());
    }
    command
}

impl Envelope {
    pub(crate) fn read(id: EntryId, fields: Fields) -> Self {
        let enqueued_at = Duration::from_millis(id.ms);
        let mut envelope = Self { version: Ok(0), enqueued_at, trace: None, jobs: Vec::new() };
        for (name, value) in fields {
            match name.as_slice() {
                b"v" => envelope.version = number(&value).ok_or_else(|| lossy(&value)),
                b"at" => {
                    if let Some(ms) = number(&value) {
                        envelope.enqueued_at = Duration::from_millis(ms);
                    }
                }
                b"trace" => envelope.trace = String::from_utf8(value).ok(),
                b"job" => envelope.jobs.push(value),
                _ => {}
            }
        }
        envelope
    }

    /// How many jobs it holds, where it is a pack.
    pub(crate) fn pack(&self) -> Option<u16> {
        let jobs = u16::try_from(self.jobs.len()).ok()?;
        (self.version == Ok(PACK)).then_some(jobs).filter(|jobs| *jobs > 0)
    }

    /// The jobs of a pack, each with its place, from 1.
    pub(crate) fn parts<J: Job>(&self) -> impl Iterator<Item = (u16, Result<J, String>)> {
        (1..).zip(self.jobs.iter().map(|job| decode(job)))
    }

    /// The job, or why this entry can never be one.
    pub(crate) fn decode<J: Job>(&self) -> Result<J, String> {
        match &self.version {
            Ok(0..=SINGLE) => {}
            Ok(PACK) => return Err("the pack holds no job, or too many".to_owned()),
            Ok(version) => return Err(format!("version {version} of the envelope is not known here")),
            Err(version) => return Err(format!("`{version}` is not a version of the envelope")),
        }
        decode(self.jobs.last().ok_or("the entry has no field `job`")?)
    }
}

fn decode<J: Job>(payload: &[u8]) -> Result<J, String> {
    // A panic in somebody's Deserialize must not end the task that reads for everybody.
    catch_unwind(AssertUnwindSafe(|| serde_json::from_slice(payload)))
        .map_err(|_| "reading the job panicked".to_owned())?
        .map_err(|error| format!("the job cannot be read: {error}"))
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
