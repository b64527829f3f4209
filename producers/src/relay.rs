//! From the outbox and the ledger to Redis: what nobody has pushed yet, and what Redis or a crash of Postgres lost.
//!
//! Every worker process runs a relay; a leased row elects the one that works. Two at once would do no harm: a job that is
//! pushed twice finds its row gone.

use std::time::Duration;

use herald_jobs::address::Channel;
use herald_jobs::clock::Clock;
use herald_jobs::deliver::DeliverJob;
use herald_jobs::id::{DeliveryId, MessageId};
use herald_jobs::message_type::Lane;
use herald_jobs::queues::Queues;
use herald_jobs::send::{Origin, RawSendJob};
use herald_jobs::store;
use herald_jobs::store::outbox::{LaneWork, Pushable};
use herald_queue::{Job, Queue, QueueError};
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Pause between rounds while there is work, and when there has been none for a while.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// How long a relay may be silent before another takes over, in seconds.
const LEASE_SECONDS: f64 = 5.0;
/// How often the lease is renewed and lost jobs are looked for.
const SWEEP: Duration = Duration::from_secs(1);
/// How much longer ago than the stream's oldest entry a row must have been pushed to count as lost, in seconds: the time
/// that a commit and its push may take.
const GRACE_SECONDS: f64 = 5.0;
/// Most rows moved in one statement.
const ROUND: u64 = 1_000;

/// Moves jobs to Redis.
pub struct Relay {
    pool: PgPool,
    queues: Queues,
    clock: Clock,
    max_depth: u64,
    holder: Uuid,
}

/// Why a round did not end well. The next one tries again.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Postgres did not do its part.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
    /// Redis did not do its part. Rows counted as pushed are found by the sweep.
    #[error("the queue: {0}")]
    Queue(#[from] QueueError),
}

impl Relay {
    /// A relay that lets each lane grow to at most `max_depth` jobs.
    pub fn new(pool: PgPool, queues: Queues, clock: Clock, max_depth: u64) -> Self {
        Self { pool, queues, holder: herald_jobs::id::new(clock.now()), clock, max_depth }
    }

    /// Works until `stop`, whatever fails meanwhile.
    pub async fn run(self, stop: CancellationToken) {
        let (busy, idle) = PAUSE;
        let mut pause = busy;
        // A moment, not a pause: one that begins anew with each look at the lease might never end.
        let mut next = Instant::now();
        let mut elected = false;
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = sweep.tick() => {
                    elected = self.elect().await;
                    if elected && let Err(error) = self.sweep().await {
                        tracing::warn!("The relay could not look for lost jobs: {error}");
                    }
                }
                () = tokio::time::sleep_until(next), if elected => {
                    pause = match self.push_due().await {
                        Ok(0) => (pause * 2).min(idle),
                        Ok(_) => busy,
                        Err(error) => {
                            tracing::warn!("The relay could not push what is due: {error}");
                            SWEEP
                        }
                    };
                    next = Instant::now() + pause;
                }
            }
        }
        if elected && let Err(error) = store::leases::release(&self.pool, "relay", self.holder).await {
            tracing::info!("The relay's lease will run out by itself: {error}");
        }
    }

    async fn elect(&self) -> bool {
        store::leases::hold(&self.pool, "relay", self.holder, LEASE_SECONDS).await.unwrap_or_else(|error| {
            tracing::warn!("The relay could not renew its lease: {error}");
            false
        })
    }

    /// Pushes what has yet to be pushed and is due, as far as there is room. Answers how many it moved out of the way.
    ///
    /// # Errors
    /// [`RelayError`].
    pub async fn push_due(&self) -> Result<usize, RelayError> {
        let mut moved = 0;
        let now = self.clock.now();
        for LaneWork { lane, sends, copies } in store::outbox::lanes_with_work(&self.pool, now).await? {
            if sends {
                let queue = self.sends(lane);
                let room = self.room(&queue).await?;
                if room > 0 {
                    let rows = store::outbox::take_unpushed(&self.pool, lane, now, room).await?;
                    moved += rows.len();
                    self.push_sends(&queue, rows).await?;
                }
            }
            for channel in copies {
                let queue = self.queues.copies(channel).lane(lane);
                let room = self.room(queue).await?;
                if room > 0 {
                    let ids = store::deliveries::take_unpushed(&self.pool, channel, lane, now, room).await?;
                    moved += push_copies(queue, ids).await?;
                }
            }
        }
        Ok(moved)
    }

    /// Pushes again what Redis lost: rows pushed longer ago than the oldest entry that their stream still holds. Ends claims
    /// of deliveries that fell silent. Answers how many jobs were lost.
    ///
    /// # Errors
    /// [`RelayError`].
    pub async fn sweep(&self) -> Result<usize, RelayError> {
        let silent = store::deliveries::expire_leases(&self.pool, self.clock.now()).await?;
        if silent > 0 {
            tracing::warn!("{silent} deliveries fell silent while they were being sent");
        }
        let mut lost = 0;
        for &lane in Lane::ALL {
            let queue = self.sends(lane);
            while let Some((age, room)) = self.age_of_lost(&queue).await? {
                let rows = store::outbox::take_lost(&self.pool, lane, age, room).await?;
                let found = rows.len() as u64;
                lost += self.push_sends(&queue, rows).await?;
                if found < ROUND {
                    break;
                }
            }
            for &channel in Channel::ALL {
                let queue = self.queues.copies(channel).lane(lane);
                while let Some((age, room)) = self.age_of_lost(queue).await? {
                    let ids = store::deliveries::take_lost(&self.pool, channel, lane, age, room).await?;
                    let found = ids.len() as u64;
                    lost += push_copies(queue, ids).await?;
                    if found < ROUND {
                        break;
                    }
                }
            }
        }
        if lost > 0 {
            metrics::counter!("herald_lost_jobs_total").increment(lost as u64);
            tracing::warn!("Pushed {lost} jobs again that were gone");
        }
        Ok(lost)
    }

    /// From what age on a pushed row counts as lost, and how many may be pushed again; `None` while nothing can be said, or
    /// there is no room.
    async fn age_of_lost<J: Job>(&self, queue: &Queue<J>) -> Result<Option<(f64, i64)>, QueueError> {
        let depth = queue.depth().await?;
        let room = room(self.max_depth, depth.jobs);
        let oldest = match depth.oldest_age {
            None if depth.jobs == 0 => Duration::ZERO,
            // Redis' clock was set back behind its oldest entry: wait until it has caught up.
            None => return Ok(None),
            Some(age) => age,
        };
        Ok((room > 0).then_some((oldest.as_secs_f64() + GRACE_SECONDS, room)))
    }

    /// Pushes sends, those of cancelled batches excepted, and answers how many. One that is not the job of its own row could
    /// never settle that row, and fails at once.
    async fn push_sends(&self, queue: &Queue<RawSendJob>, rows: Vec<Pushable>) -> Result<usize, RelayError> {
        let mut jobs = Vec::with_capacity(rows.len());
        for Pushable { id, payload } in rows {
            let Some(payload) = payload else { continue };
            match job(id, payload) {
                Ok(job) => jobs.push(job),
                Err(reason) => {
                    tracing::warn!(message.id = %id, "Gave up sending a message: {reason}");
                    store::outbox::fail(&self.pool, MessageId(id), &reason).await?;
                }
            }
        }
        queue.push_all(&jobs).await?;
        Ok(jobs.len())
    }

    async fn room<J: Job>(&self, queue: &Queue<J>) -> Result<i64, QueueError> {
        Ok(room(self.max_depth, queue.jobs().await?))
    }

    fn sends(&self, lane: Lane) -> Queue<RawSendJob> {
        self.queues.send.lane(lane).retyped()
    }
}

fn room(max_depth: u64, jobs: u64) -> i64 {
    i64::try_from(max_depth.saturating_sub(jobs).min(ROUND)).unwrap_or(0)
}

/// The job of the row `id`, as it is passed on, or why it is none.
fn job(id: Uuid, payload: String) -> Result<RawSendJob, String> {
    #[derive(Deserialize)]
    struct Head {
        id: Uuid,
        origin: Origin,
    }
    let unreadable = |error: serde_json::Error| format!("the job cannot be read: {error}");
    let head: Head = serde_json::from_str(&payload).map_err(unreadable)?;
    if head.id != id || head.origin != Origin::Outbox {
        return Err("the job is not that of its row".into());
    }
    RawValue::from_string(payload).map(RawSendJob).map_err(unreadable)
}

async fn push_copies(queue: &Queue<DeliverJob>, ids: Vec<Uuid>) -> Result<usize, RelayError> {
    let jobs: Vec<DeliverJob> = ids.into_iter().map(|id| DeliverJob { id: DeliveryId(id) }).collect();
    queue.push_all(&jobs).await?;
    Ok(jobs.len())
}
