//! Sends copies out. What `herald_jobs::deliver` says, this does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apalis::prelude::Data;
use chrono::TimeDelta;
use herald_jobs::clock::Clock;
use herald_jobs::deliver::{self, AttemptOutcome, DeliverJob, LEASE_SECONDS};
use herald_jobs::group_commit::{Commit, GroupCommit};
use herald_jobs::id::{self, DeliveryId};
use herald_jobs::message_type::OnUnknown;
use herald_jobs::store::deliveries::{self, Claimed, Record};
use herald_queue::Failure;
use sqlx::PgPool;

use crate::mail;
use crate::outcome::{failure, outage};
use crate::sessions::{Lent, Sessions};
use crate::settings::{MailSettings, Registry};
use crate::smtp::Verdict;

/// Most claims or verdicts in one commit.
const GROUP: usize = 200;

/// What the e-mail handler of one lane needs.
#[derive(Clone)]
pub struct DeliverContext {
    pool: PgPool,
    clock: Clock,
    registry: Arc<Registry>,
    sessions: Arc<Sessions>,
    claims: GroupCommit<Claim>,
    records: GroupCommit<Keep>,
    domain: Option<String>,
}

impl DeliverContext {
    /// A context over `pool`. Must be made inside a tokio runtime.
    pub fn new(pool: PgPool, clock: Clock, registry: Arc<Registry>, domain: Option<String>) -> Self {
        Self {
            claims: GroupCommit::spawn(Claim { pool: pool.clone(), clock: clock.clone() }, GROUP),
            records: GroupCommit::spawn(Keep { pool: pool.clone(), clock: clock.clone() }, GROUP),
            sessions: Arc::default(),
            pool,
            clock,
            registry,
            domain,
        }
    }

    /// Ends the SMTP sessions.
    pub async fn close(&self) {
        self.sessions.quit().await;
    }
}

/// Claims the copy, sends it, records the outcome.
///
/// # Errors
/// The database or the mail server is not available, or mail is not configured: the copy waits, and the channel pauses.
pub async fn email(job: DeliverJob, context: Data<DeliverContext>) -> Result<(), Failure> {
    let settings = context.registry.mail().await.map_err(outage)?;
    let settings = settings
        .as_ref()
        .as_ref()
        .map_err(|missing| Failure::outage(format!("not configured: {missing}")))?;
    // Before the claim: a server that cannot be used costs the copy nothing.
    let lent =
        context.sessions.get(&settings.server).await.map_err(|fault| Failure::outage(fault.sentence))?;
    let started = Instant::now();
    let Some(copy) = context.claims.submit(job.id).await.map_err(failure)? else {
        context.sessions.put(&settings.server, lent.session);
        tracing::info!(delivery.id = %job.id, "The copy was sent before, or is not due");
        return Ok(());
    };
    let started_at = context.clock.now() - TimeDelta::from_std(started.elapsed()).unwrap_or_default();
    let verdict = tokio::select! {
        verdict = attempt(&copy, settings, lent, &context) => verdict,
        never = keep_lease(&copy, &context) => never,
    };
    record(&copy, verdict, started_at, &context).await
}

/// One attempt, or two where a reused session turns out to be closed before anything was said.
async fn attempt(copy: &Claimed, settings: &MailSettings, lent: Lent, context: &DeliverContext) -> Verdict {
    let domain = context.domain.as_deref().unwrap_or(settings.from.domain());
    let (to, message) = match mail::address(&copy.address)
        .and_then(|to| Ok((to, mail::compose(copy, &settings.from, domain)?)))
    {
        Ok(composed) => composed,
        Err(reply) => return Verdict::Refused { code: None, reply },
    };
    let Lent { mut session, mut reused } = lent;
    let claimed = Instant::now();
    loop {
        let still_mine = async || claimed.elapsed() < LEASE || renew(copy, context).await;
        let verdict = session.send(&settings.from, &to, &message, still_mine).await;
        context.sessions.put(&settings.server, session);
        if !(reused && matches!(verdict, Verdict::Deferred { untouched: true, .. })) {
            return verdict;
        }
        match context.sessions.get(&settings.server).await {
            Ok(next) => Lent { session, reused } = next,
            Err(fault) => return Verdict::Fault(fault),
        }
    }
}

const LEASE: Duration = Duration::from_secs(LEASE_SECONDS.unsigned_abs());

/// Renews the claim while the attempt lasts.
async fn keep_lease(copy: &Claimed, context: &DeliverContext) -> Verdict {
    loop {
        tokio::time::sleep(LEASE / 3).await;
        renew(copy, context).await;
    }
}

async fn renew(copy: &Claimed, context: &DeliverContext) -> bool {
    let until = context.clock.now() + TimeDelta::seconds(LEASE_SECONDS);
    deliveries::renew(&context.pool, DeliveryId(copy.id), copy.lease_token, until).await.unwrap_or_else(
        |error| {
            tracing::warn!(delivery.id = %copy.id, "Could not renew the claim: {error}");
            false
        },
    )
}

async fn record(
    copy: &Claimed,
    verdict: Verdict,
    started_at: chrono::DateTime<chrono::Utc>,
    context: &DeliverContext,
) -> Result<(), Failure> {
    let (outcome, code, reply) = match verdict {
        Verdict::Sent { reply } => (AttemptOutcome::Sent, Some(250), reply),
        Verdict::Refused { code, reply } => (AttemptOutcome::Refused, code, reply),
        Verdict::Deferred { code, reply, .. } => (AttemptOutcome::Deferred, code, reply),
        Verdict::Unknown { error } => (AttemptOutcome::Unknown, None, error),
        Verdict::Fault(fault) => (AttemptOutcome::Fault, None, fault.sentence),
        Verdict::Abandoned => {
            tracing::warn!(delivery.id = %copy.id, "Another worker took the copy over; nothing was sent");
            return Ok(());
        }
    };
    let now = context.clock.now();
    let next = deliver::next(
        outcome,
        u32::try_from(copy.attempts).unwrap_or(0),
        u32::try_from(copy.unknowns).unwrap_or(0),
        copy.on_unknown == OnUnknown::RetryOnce,
        copy.created_at,
        now,
        jitter(copy),
    );
    metrics::counter!("herald_deliveries_total", "channel" => "email", "outcome" => outcome.as_str())
        .increment(1);
    if outcome == AttemptOutcome::Sent {
        tracing::debug!(delivery.id = %copy.id, message.id = %copy.message_id, "Delivered an e-mail");
    } else {
        tracing::info!(delivery.id = %copy.id, message.id = %copy.message_id, "An e-mail was {outcome}: {reply}");
    }
    let record = Record {
        id: copy.id,
        lease_token: copy.lease_token,
        verdict: deliver::Verdict { outcome, code, reply: reply.clone() },
        state: next.state,
        next_attempt_at: next.at,
        started_at,
    };
    context.records.submit(record).await.map_err(failure)?;
    if outcome == AttemptOutcome::Fault {
        // The copy waits in the ledger; the pause is for the channel.
        return Err(Failure::outage(reply));
    }
    Ok(())
}

/// From 0 to 1, different for each copy: retries of one moment do not come back as one.
fn jitter(copy: &Claimed) -> f64 {
    f64::from(copy.id.as_bytes()[15]) / 255.0
}

/// Concurrent claims share one commit.
struct Claim {
    pool: PgPool,
    clock: Clock,
}

impl Commit for Claim {
    type Item = DeliveryId;
    type Outcome = Option<Claimed>;

    async fn commit(&self, ids: &[DeliveryId]) -> Result<Vec<Option<Claimed>>, sqlx::Error> {
        let now = self.clock.now();
        let token = id::new(now);
        let mut claimed =
            deliveries::claim(&self.pool, ids, token, now, TimeDelta::seconds(LEASE_SECONDS)).await?;
        Ok(ids
            .iter()
            .map(|id| {
                claimed.iter().position(|copy| copy.id == id.0).map(|position| claimed.swap_remove(position))
            })
            .collect())
    }
}

/// Concurrent verdicts share one commit.
struct Keep {
    pool: PgPool,
    clock: Clock,
}

impl Commit for Keep {
    type Item = Record;
    type Outcome = ();

    async fn commit(&self, records: &[Record]) -> Result<Vec<()>, sqlx::Error> {
        deliveries::record(&self.pool, records, self.clock.now()).await?;
        Ok(vec![(); records.len()])
    }
}
