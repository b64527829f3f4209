use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;

use crate::EntryId;

/// How a worker consumes a queue.
pub struct WorkerOptions<J> {
    /// How many jobs, or batches of jobs, run at once.
    pub concurrency: usize,
    /// The most entries of one batch, and of one read.
    pub batch: usize,
    /// How many entries are read ahead of what can start now: 0 for single jobs, so that none waits here while
    /// another worker is idle, and one batch for batches, when `None`. The last pack that is read may bring more.
    pub prefetch: Option<usize>,
    /// How often an entry is delivered before it is dead. Outages and orderly stops do not count, the death of
    /// a worker does.
    pub max_attempts: u32,
    /// How long a failed job waits before it is tried again.
    pub retry: Backoff,
    /// How long a worker may be silent before others take over what it was doing. Its own entries are renewed
    /// every third of it.
    pub takeover_after: Duration,
    /// Told of each entry that has failed for good, before it is put among the dead.
    pub on_dead: Option<OnDead<J>>,
}

/// See [`WorkerOptions::on_dead`].
pub type OnDead<J> = Arc<dyn Fn(DeadJob<J>) -> BoxFuture<'static, DeadDecision> + Send + Sync>;

/// An entry that has failed for good.
#[derive(Debug, Clone)]
pub struct DeadJob<J> {
    /// The name that the entry had in the stream.
    pub id: EntryId,
    /// The job, where it can be read.
    pub job: Option<J>,
    /// The job as text, or where it has none all fields of the entry.
    pub payload: String,
    /// Why it failed.
    pub reason: String,
    /// How often it was delivered.
    pub attempts: u32,
    /// When it was pushed, since the epoch by Redis's clock.
    pub enqueued_at: Duration,
    /// The W3C traceparent of who pushed it.
    pub trace: Option<String>,
}

/// What [`WorkerOptions::on_dead`] wants done with the entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadDecision {
    /// Keep it in the stream of dead entries.
    Keep,
    /// It is recorded elsewhere: delete it.
    Drop,
    /// It could not be recorded now, for this reason: ask again later.
    Later(String),
}

/// Delays that grow with the attempts: `first`, then `factor` times more each time, up to `limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first attempt.
    pub first: Duration,
    /// What the delay grows by.
    pub factor: u32,
    /// The longest delay.
    pub limit: Duration,
}

impl Backoff {
    /// The delay after that many attempts.
    #[must_use]
    pub fn after(&self, attempts: u32) -> Duration {
        let growth = self.factor.saturating_pow(attempts.saturating_sub(1));
        self.first.saturating_mul(growth).min(self.limit)
    }
}

impl Default for Backoff {
    /// 2 s, 8 s, 32 s, 128 s, then 5 minutes.
    fn default() -> Self {
        Self { first: Duration::from_secs(2), factor: 4, limit: Duration::from_secs(300) }
    }
}

impl<J> Default for WorkerOptions<J> {
    fn default() -> Self {
        Self {
            concurrency: 16,
            batch: 500,
            prefetch: None,
            max_attempts: 5,
            retry: Backoff::default(),
            takeover_after: Duration::from_secs(30),
            on_dead: None,
        }
    }
}

impl<J> Clone for WorkerOptions<J> {
    fn clone(&self) -> Self {
        Self { on_dead: self.on_dead.clone(), retry: self.retry, ..*self }
    }
}

impl<J> fmt::Debug for WorkerOptions<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerOptions")
            .field("concurrency", &self.concurrency)
            .field("batch", &self.batch)
            .field("prefetch", &self.prefetch)
            .field("max_attempts", &self.max_attempts)
            .field("retry", &self.retry)
            .field("takeover_after", &self.takeover_after)
            .field("on_dead", &self.on_dead.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;

    #[test]
    fn delays_grow_up_to_the_limit() {
        let delays: Vec<_> = (1..=6).map(|attempts| Backoff::default().after(attempts).as_secs()).collect();
        assert_eq!(delays, [2, 8, 32, 128, 300, 300]);
        assert_eq!(Backoff::default().after(u32::MAX), Duration::from_secs(300));
    }
}
