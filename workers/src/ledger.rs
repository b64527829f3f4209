//! The ledger of copies, as handlers use it: claims and records of many share one commit.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use herald_jobs::address::Channel;
use herald_jobs::clock::Clock;
use herald_jobs::deliver::{self, AttemptOutcome, LEASE_SECONDS, Verdict};
use herald_jobs::group_commit::{Commit, GroupCommit, is_outage};
use herald_jobs::id::{self, DeliveryId};
use herald_jobs::store::deliveries::{self, Claim, Claimed, Lease, Record};
use sqlx::PgPool;

use crate::window::Window;

/// How long a commit is tried again while the database is away: less than the lease of what it records.
const PATIENCE: Duration = Duration::from_secs(20);
/// The pause before the next try.
const PAUSE: Duration = Duration::from_millis(200);
/// Most claims and verdicts in one commit.
const GROUP: usize = 200;

/// A ledger over `pool`. Must be made inside a tokio runtime.
pub(crate) fn spawn(pool: PgPool, clock: Clock) -> GroupCommit<Ledger> {
    GroupCommit::spawn(Ledger { pool, clock }, GROUP, 1)
}

/// Puts a copy off until its channel's window opens. `false`: it is open.
pub(crate) async fn waits(
    window: Option<&Window>,
    pool: &PgPool,
    id: DeliveryId,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let Some((window, opens)) = window.and_then(|it| Some((it, it.opens(now)?))) else { return Ok(false) };
    let reason = format!("Waits until the delivery window opens: {window}.");
    deliveries::postpone(pool, id, opens, &reason).await?;
    Ok(true)
}

/// What is recorded of an attempt, and what follows; counts and logs it. `again`: an unknown outcome is tried once more.
pub(crate) fn record(
    channel: Channel,
    copy: &Claimed,
    verdict: Verdict,
    again: bool,
    started_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Record {
    let Verdict { outcome, reply, .. } = &verdict;
    let next = deliver::next(
        *outcome,
        u32::try_from(copy.attempts).unwrap_or(0),
        u32::try_from(copy.unknowns).unwrap_or(0),
        again,
        copy.created_at + TimeDelta::hours(copy.retry_hours.into()),
        now,
        jitter(copy),
    );
    metrics::counter!("herald_deliveries_total", "channel" => channel.as_str(), "outcome" => outcome.as_str())
        .increment(1);
    if *outcome == AttemptOutcome::Sent {
        tracing::debug!(delivery.id = %copy.id, message.id = %copy.message_id, "Delivered by {channel}");
    } else {
        tracing::info!(delivery.id = %copy.id, message.id = %copy.message_id, "A copy by {channel} was {outcome}: {reply}");
    }
    Record {
        id: copy.id,
        lease_token: copy.lease_token,
        verdict,
        state: next.state,
        next_attempt_at: next.at,
        started_at,
    }
}

/// From 0 to 1, different for each copy: retries of one moment do not come back as one.
fn jitter(copy: &Claimed) -> f64 {
    f64::from(copy.id.as_bytes()[15]) / 255.0
}

/// Concurrent verdicts and claims share one commit.
pub(crate) struct Ledger {
    pool: PgPool,
    clock: Clock,
}

pub(crate) enum Entry {
    /// Brings the copy, if it is there to be sent.
    Claim(Claim),
    /// Brings nothing.
    Record(Record),
}

impl Commit for Ledger {
    type Item = Entry;
    type Outcome = Option<Claimed>;

    async fn commit(&self, entries: &[Entry]) -> Result<Vec<Option<Claimed>>, sqlx::Error> {
        let (mut claims, mut records) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                Entry::Claim(claim) => claims.push(*claim),
                Entry::Record(record) => records.push(record),
            }
        }
        let from = self.clock.now();
        let lease = Lease { token: id::new(from), from, until: from + TimeDelta::seconds(LEASE_SECONDS) };
        let begun = Instant::now();
        // What was sent is on the wire already: its record is worth some patience.
        let mut claimed = loop {
            match deliveries::record_and_claim(&self.pool, &records, &claims, lease).await {
                Err(error) if is_outage(&error) && begun.elapsed() < PATIENCE => {
                    tracing::info!("Tries again to record {} attempts: {error}", records.len());
                    tokio::time::sleep(PAUSE).await;
                }
                claimed => break claimed?,
            }
        };
        Ok(entries
            .iter()
            .map(|entry| match entry {
                Entry::Claim(claim) => {
                    let position = claimed.iter().position(|copy| copy.id == claim.id.0);
                    position.map(|position| claimed.swap_remove(position))
                }
                Entry::Record(_) => None,
            })
            .collect())
    }
}
