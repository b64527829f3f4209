//! Sends copies out by SMS. What is not certain to have failed is never sent again.

mod provider;
mod settings;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use apalis::prelude::Data;
use chrono::{DateTime, TimeDelta, Utc};
use herald_jobs::address::Channel;
use herald_jobs::clock::Clock;
use herald_jobs::deliver::{AttemptOutcome, DeliverJob, Verdict};
use herald_jobs::group_commit::GroupCommit;
use herald_jobs::message_type::Lane;
use herald_jobs::sms::cut;
use herald_jobs::store;
use herald_jobs::store::deliveries::{Claim, Claimed};
use herald_queue::Failure;
use reqwest::Client;
use sqlx::PgPool;

use crate::context::Options;
use crate::guard;
use crate::ledger::{self, Entry, Ledger};
use crate::outcome::{failure, outage};
use crate::settings::Registry;
use crate::window::Window;

pub use self::provider::{Attempted, Sms, send};
pub use self::settings::{Body, Gateway, Provider, SmsSettings, read};

/// What the SMS handler of one lane needs.
#[derive(Clone)]
pub struct SmsContext {
    pool: PgPool,
    clock: Clock,
    registry: Arc<Registry>,
    /// Made when the first SMS goes out: while SMS is off, it costs nothing.
    client: Arc<OnceLock<Client>>,
    ledger: GroupCommit<Ledger>,
    allow_private: bool,
    patience: Duration,
    window: Option<Window>,
}

impl SmsContext {
    /// A context over `pool`. Must be made inside a tokio runtime.
    pub fn new(pool: PgPool, clock: Clock, registry: Arc<Registry>, lane: Lane, options: &Options) -> Self {
        Self {
            ledger: ledger::spawn(pool.clone(), clock.clone()),
            client: Arc::default(),
            allow_private: options.allow_private_sms,
            patience: options.sms_patience,
            window: options.windows.sms.clone().filter(|_| lane != Lane::Alert),
            pool,
            clock,
            registry,
        }
    }

    fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = guard::client(self.allow_private, self.patience);
        let made = made.map_err(|error| Failure::outage(error.to_string()))?;
        Ok(self.client.get_or_init(|| made))
    }
}

/// Claims the copy, hands it to the provider, records the outcome.
///
/// # Errors
/// The database or the provider is not available, or SMS is not configured rightly: the copy waits, and the channel pauses.
pub async fn sms(job: DeliverJob, context: Data<SmsContext>) -> Result<(), Failure> {
    let now = context.clock.now();
    if ledger::waits(context.window.as_ref(), &context.pool, job.id, now).await.map_err(outage)? {
        return Ok(());
    }
    let settings = context.registry.sms().await.map_err(outage)?;
    let settings = settings
        .as_ref()
        .as_ref()
        .map_err(|missing| Failure::outage(format!("not configured: {missing}")))?;
    let Some(settings) = settings else {
        return store::deliveries::suppress(&context.pool, job.id, super::send::SMS_IS_OFF)
            .await
            .map_err(outage);
    };
    guard::refuse_private(settings.provider.url(), context.allow_private)
        .map_err(|problem| Failure::outage(format!("not configured: SMS-URL: {problem}")))?;
    let client = context.client()?;
    let claim = Entry::Claim(Claim { id: job.id, at_hand: true });
    let Some(copy) = context.ledger.submit(claim).await.map_err(failure)? else {
        tracing::info!(delivery.id = %job.id, "The copy was sent before, or is not due");
        return Ok(());
    };
    attempt(&copy, settings, client, &context).await
}

/// One SMS outside the ledger.
///
/// # Errors
/// The provider may not be asked, or TLS cannot be set up.
pub(crate) async fn try_once(
    settings: &SmsSettings,
    allow_private: bool,
    sms: Sms<'_>,
    now: DateTime<Utc>,
) -> Result<Verdict, String> {
    guard::refuse_private(settings.provider.url(), allow_private)
        .map_err(|problem| format!("SMS-URL: {problem}"))?;
    let client = guard::client(allow_private, guard::PATIENCE).map_err(|error| error.to_string())?;
    Ok(send(&client, settings, sms, now).await.verdict)
}

async fn attempt(
    copy: &Claimed,
    settings: &SmsSettings,
    client: &Client,
    context: &SmsContext,
) -> Result<(), Failure> {
    let started_at = context.clock.now();
    let (id, text) = (copy.id.simple().to_string(), cut(&copy.text, settings.most_segments));
    let sms = Sms { id: &id, to: &copy.address, text: &text };
    let Attempted { verdict, wait } = send(client, settings, sms, started_at).await;
    let now = context.clock.now();
    let (outcome, reply) = (verdict.outcome, verdict.reply.clone());
    let mut record = ledger::record(Channel::Sms, copy, verdict, false, started_at, now);
    if let Some(wait) = wait.and_then(|wait| TimeDelta::from_std(wait).ok()) {
        record.next_attempt_at = record.next_attempt_at.max(now + wait);
    }
    context.ledger.submit(Entry::Record(record)).await.map_err(failure)?;
    if outcome == AttemptOutcome::Fault {
        // The copy waits in the ledger; the pause is for the channel.
        return Err(Failure::outage(reply));
    }
    Ok(())
}
