//! Programs that are told of answers by HTTP, and what they were told.

use std::str::FromStr as _;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use herald_jobs::answer::is_name;
use herald_jobs::secret::Secret;
use herald_jobs::store;
use herald_jobs::store::answer_events::{EventFilter, EventState};
use herald_jobs::store::webhooks::{self, sealed_for};
use ring::rand::{SecureRandom as _, SystemRandom};
use url::Url;
use uuid::Uuid;

use crate::commands::{ACTOR, connect, gone, one_line};
use crate::config::Config;
use crate::wiring::Wiring;

/// `herald webhook`
#[derive(Subcommand)]
pub enum Webhook {
    /// Adds one, and prints the secret that its requests are signed with: it is shown this once.
    Add {
        /// What `answer_to` names it by, as in webhook:NAME.
        name: String,
        /// Where requests go: https://..., or http://...
        url: Url,
    },
    /// Gives one a new secret, and prints it.
    Rotate {
        /// Which.
        name: String,
    },
    /// Lists them.
    List,
    /// Removes one. What it was still to be told fails.
    Remove {
        /// Which.
        name: String,
    },
    /// Lists answers that were told, or are to be, newest first.
    Events(Events),
    /// Shows one answer with all attempts.
    Show {
        /// What `events` shows in the first column.
        event: Uuid,
    },
    /// Tells answers once more, under the same ids.
    Replay {
        /// What `events` shows in the first column.
        #[arg(required = true)]
        events: Vec<Uuid>,
    },
}

/// `herald webhook events`
#[derive(Args)]
pub struct Events {
    /// Only those that are pending, sending, sent, failed or kept.
    #[arg(long, value_parser = EventState::from_str)]
    state: Option<EventState>,
    /// Only that of this message or authorisation.
    #[arg(long)]
    of: Option<Uuid>,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

impl Webhook {
    /// Adds, lists, removes, shows or replays.
    ///
    /// # Errors
    /// There is no such webhook or event, or there are no keys to seal its secret with.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        match self {
            Self::Add { name, url } => add(&wiring, name, &url).await,
            Self::Rotate { name } => {
                let known = webhooks::get(&wiring.pool, &name).await?;
                let known = known.with_context(|| format!("there is no webhook {name}"))?;
                put(&wiring, known.name, known.url, "webhook rotate").await
            }
            Self::List => {
                for it in webhooks::all(&wiring.pool).await? {
                    println!("{}  {}", it.name, one_line(&it.url));
                }
                Ok(())
            }
            Self::Remove { name } => {
                let mut transaction = wiring.pool.begin().await?;
                gone(webhooks::remove(&mut transaction, &name).await?, "webhook", &name)?;
                store::audit::record(&mut *transaction, ACTOR, "webhook remove", &name).await?;
                Ok(transaction.commit().await?)
            }
            Self::Events(Events { state, of, limit }) => {
                for it in store::answer_events::list(&wiring.pool, &EventFilter { state, of }, limit).await? {
                    let of = it.message_id.or(it.authorisation_id).unwrap_or_default();
                    let to = it.answer_to.as_deref().unwrap_or("-");
                    let reason = it.reason.map_or(String::new(), |it| format!("  {}", one_line(&it)));
                    println!("{}  {}  {of}  {to}  {}{reason}", it.id, time(it.created_at), it.state);
                }
                Ok(())
            }
            Self::Show { event } => show(&wiring, event).await,
            Self::Replay { events } => replay(&wiring, &events).await,
        }
    }
}

async fn add(wiring: &Wiring, name: String, url: &Url) -> Result<()> {
    if !is_name(&name) {
        bail!(
            "name: must begin with a letter or digit and be of a to z, 0 to 9, _ . and -, at most 60 together"
        );
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        bail!("url: must begin with https:// or http://");
    }
    if webhooks::get(&wiring.pool, &name).await?.is_some() {
        bail!("there is a webhook {name}: remove it first, or give this one another name");
    }
    put(wiring, name, url.to_string(), "webhook add").await
}

/// Keeps it under a new secret, and prints that.
async fn put(wiring: &Wiring, name: String, url: String, what: &str) -> Result<()> {
    let random = SystemRandom::new();
    let mut bytes = [0; 32];
    random.fill(&mut bytes).map_err(|_| anyhow::anyhow!("this machine has no randomness"))?;
    let secret = Secret::new(format!("whsec_{}", BASE64_STANDARD.encode(bytes)));
    let keys = wiring.registry_access()?.keys;
    let sealed = keys.seal(&sealed_for(&name), &secret, &random)?;
    let created_at = wiring.clock.now();
    let mut transaction = wiring.pool.begin().await?;
    let webhook = webhooks::Webhook { name, url, secret: sealed, created_at };
    webhooks::put(&mut transaction, &webhook).await?;
    store::audit::record(&mut *transaction, ACTOR, what, &webhook.name).await?;
    transaction.commit().await?;
    println!("{}", secret.expose());
    Ok(())
}

async fn show(wiring: &Wiring, event: Uuid) -> Result<()> {
    let filter = EventFilter { of: Some(event), ..EventFilter::default() };
    let it = store::answer_events::list(&wiring.pool, &filter, 1).await?.pop();
    let it = it.with_context(|| format!("there is no event {event}; `herald webhook events` shows them"))?;
    println!("event    {}", it.id);
    println!("to       {}", it.answer_to.as_deref().unwrap_or("-"));
    println!("state    {}, attempts {}", it.state, it.attempts);
    if it.state == EventState::Pending {
        println!("next     {}", time(it.next_attempt_at));
    }
    println!("payload  {}", it.payload);
    for attempt in store::answer_events::attempts(&wiring.pool, it.id).await? {
        let code = attempt.code.map_or_else(|| "-".to_owned(), |code| code.to_string());
        let (at, reply) = (time(attempt.started_at), one_line(&attempt.reply));
        println!("attempt {}: {at} {}, code {code}: {reply}", attempt.number, attempt.outcome);
    }
    Ok(())
}

async fn replay(wiring: &Wiring, events: &[Uuid]) -> Result<()> {
    for event in events {
        let mut transaction = wiring.pool.begin().await?;
        if !store::answer_events::replay(&mut *transaction, *event, wiring.clock.now()).await? {
            bail!("{event} cannot be told again: there is none, it is under way, or it goes nowhere");
        }
        store::audit::record(&mut *transaction, ACTOR, "webhook replay", &event.to_string()).await?;
        transaction.commit().await?;
        println!("{event} is told again");
    }
    Ok(())
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}
