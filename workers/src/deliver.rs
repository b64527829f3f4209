//! Sends copies out. What `herald_jobs::deliver` says, this does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apalis::prelude::Data;
use chrono::TimeDelta;
use herald_jobs::address::Channel;
use herald_jobs::attachment::Limits;
use herald_jobs::clock::Clock;
use herald_jobs::deliver::{self, AttemptOutcome, DeliverJob, LEASE_SECONDS};
use herald_jobs::group_commit::GroupCommit;
use herald_jobs::id::DeliveryId;
use herald_jobs::message_type::{Lane, OnUnknown};
use herald_jobs::store::deliveries::{self, Claim, Claimed};
use herald_queue::Failure;
use lettre::Address;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::context::{AnswerLinks, Options};
use crate::files;
use crate::ledger::{self, Entry, Ledger};
use crate::links;
use crate::mail;
use crate::outcome::{failure, outage};
use crate::sessions::{Lent, Sessions};
use crate::settings::{MailSettings, Registry};
use crate::smtp::{Fault, FaultKind, Server, Verdict};
use crate::window::Window;

/// What the e-mail handler of one lane needs.
#[derive(Clone)]
pub struct DeliverContext {
    pool: PgPool,
    clock: Clock,
    registry: Arc<Registry>,
    sessions: Arc<Sessions>,
    ledger: GroupCommit<Ledger>,
    domain: Option<String>,
    attachments: Limits,
    links: Option<AnswerLinks>,
    /// `None`: always open.
    window: Option<Window>,
    stop: CancellationToken,
}

impl DeliverContext {
    /// A context over `pool`, which begins no copy that waits for its turn after `stop`. Must be made inside a tokio runtime.
    pub fn new(
        pool: PgPool,
        clock: Clock,
        registry: Arc<Registry>,
        lane: Lane,
        options: &Options,
        stop: CancellationToken,
    ) -> Self {
        Self {
            ledger: ledger::spawn(pool.clone(), clock.clone()),
            sessions: Arc::new(Sessions::new(options.sessions)),
            pool,
            clock,
            registry,
            domain: options.message_id_domain.clone(),
            attachments: options.attachments.clone(),
            links: options.answer_links.clone(),
            // An alert is of no use in the morning.
            window: options.windows.email.clone().filter(|_| lane != Lane::Alert),
            stop,
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
    let now = context.clock.now();
    if ledger::waits(context.window.as_ref(), &context.pool, job.id, now).await.map_err(outage)? {
        return Ok(());
    }
    let settings = context.registry.mail().await.map_err(outage)?;
    let settings = settings
        .as_ref()
        .as_ref()
        .map_err(|missing| Failure::outage(format!("not configured: {missing}")))?;
    // Before the claim: a server that cannot be used costs the copy nothing.
    context.sessions.ready(&settings.server).await.map_err(|fault| Failure::outage(fault.sentence))?;
    let Some((copy, held)) = claim(job.id, &settings.server, &context).await? else {
        tracing::info!(delivery.id = %job.id, "The copy was sent before, or is not due");
        return Ok(());
    };
    let started_at = context.clock.now() - TimeDelta::from_std(held.since.elapsed()).unwrap_or_default();
    let verdict = tokio::select! {
        verdict = attempt(&copy, settings, held, &context) => verdict,
        never = keep_lease(&copy, &context) => never,
    };
    match verdict {
        Some(verdict) => record(&copy, verdict, started_at, &context).await,
        None => deliveries::release(&context.pool, job.id, copy.lease_token, context.clock.now())
            .await
            .map_err(outage),
    }
}

/// What a claimed copy holds until it is sent.
struct Held {
    since: Instant,
    lent: Option<Lent>,
}

/// Claims the copy ahead of a session, or with one at hand where a doubt would not be ended by sending it again. `None`: there is
/// nothing to send.
async fn claim(
    id: DeliveryId,
    server: &Server,
    context: &DeliverContext,
) -> Result<Option<(Claimed, Held)>, Failure> {
    let since = Instant::now();
    let entry = Entry::Claim(Claim { id, at_hand: false });
    if let Some(copy) = context.ledger.submit(entry).await.map_err(failure)? {
        return Ok(Some((copy, Held { since, lent: None })));
    }
    let lent = context.sessions.get(server).await.map_err(|fault| Failure::outage(fault.sentence))?;
    let since = Instant::now();
    let entry = Entry::Claim(Claim { id, at_hand: true });
    match context.ledger.submit(entry).await {
        Ok(Some(copy)) => Ok(Some((copy, Held { since, lent: Some(lent) }))),
        other => {
            context.sessions.put(server, lent);
            other.map_err(failure)?;
            Ok(None)
        }
    }
}

/// A mail as the server is told it.
struct Prepared {
    from: Address,
    to: Address,
    message: Vec<u8>,
    remark: String,
}

async fn prepare(
    copy: &Claimed,
    settings: &MailSettings,
    context: &DeliverContext,
) -> Result<Prepared, Verdict> {
    let domain = context.domain.as_deref().unwrap_or(settings.from.domain());
    let files = files::of(&context.pool, copy, &context.attachments)
        .await
        .map_err(|reply| Verdict::Deferred { code: None, reply, untouched: false })?;
    let keys = context.registry.keys();
    let links = context.links.as_ref().map_or(Vec::new(), |links| links::of(copy, keys, links));
    let (to, message) = mail::address(&copy.address)
        .and_then(|to| Ok((to, mail::compose(copy, &files, &links, settings, domain)?)))
        .map_err(|reply| Verdict::Refused { code: None, reply })?;
    let from = context
        .registry
        .return_path(settings, DeliveryId(copy.id))
        .map_err(|error| Verdict::Fault(Fault::new(FaultKind::Settings, error.to_string())))?;
    Ok(Prepared { from, to, message, remark: files.remark() })
}

/// One attempt, or two where a reused session turns out to be closed before anything was said. `None`: it was not begun, since
/// the worker stops.
async fn attempt(
    copy: &Claimed,
    settings: &MailSettings,
    held: Held,
    context: &DeliverContext,
) -> Option<Verdict> {
    let Held { since, lent } = held;
    let mut lent = match lent {
        Some(lent) => lent,
        None => tokio::select! {
            biased;
            lent = context.sessions.get(&settings.server) => match lent {
                Ok(lent) => lent,
                Err(fault) => return Some(Verdict::Fault(fault)),
            },
            () = context.stop.cancelled() => return None,
        },
    };
    // Only now: with its files a mail may be large, and many wait for their turn.
    let Prepared { from, to, message, remark } = match prepare(copy, settings, context).await {
        Ok(prepared) => prepared,
        Err(verdict) => {
            context.sessions.put(&settings.server, lent);
            return Some(verdict);
        }
    };
    loop {
        let still_mine = async || since.elapsed() < LEASE_TIME || renew(copy, context).await;
        let verdict = lent.session.send(&from, &to, &message, still_mine).await;
        let reused = lent.reused;
        context.sessions.put(&settings.server, lent);
        if !(reused && matches!(verdict, Verdict::Deferred { untouched: true, .. })) {
            return Some(match verdict {
                Verdict::Sent { reply } => Verdict::Sent { reply: format!("{reply}{remark}") },
                other => other,
            });
        }
        lent = match context.sessions.get(&settings.server).await {
            Ok(lent) => lent,
            Err(fault) => return Some(Verdict::Fault(fault)),
        };
    }
}

const LEASE_TIME: Duration = Duration::from_secs(LEASE_SECONDS.unsigned_abs());

/// Renews the claim while the attempt lasts.
async fn keep_lease(copy: &Claimed, context: &DeliverContext) -> Option<Verdict> {
    loop {
        tokio::time::sleep(LEASE_TIME / 3).await;
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
    let verdict = deliver::Verdict { outcome, code, reply: reply.clone() };
    let again = copy.on_unknown == OnUnknown::RetryOnce;
    let record = ledger::record(Channel::Email, copy, verdict, again, started_at, context.clock.now());
    context.ledger.submit(Entry::Record(record)).await.map_err(failure)?;
    if outcome == AttemptOutcome::Fault {
        // The copy waits in the ledger; the pause is for the channel.
        return Err(Failure::outage(reply));
    }
    Ok(())
}
