//! The copies that go out by e-mail and SMS.

use std::str::FromStr as _;

use anyhow::{Context as _, Result, anyhow};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use herald_jobs::address::Channel;
use herald_jobs::deliver::DeliveryState;
use herald_jobs::id::{DeliveryId, MessageId};
use herald_jobs::store;
use herald_jobs::store::ledger::{Copy, Filter};

use crate::commands::{ACTOR, connect, one_line};
use crate::config::Config;
use crate::wiring::Wiring;

/// `herald delivery`
#[derive(Subcommand)]
pub enum Delivery {
    /// Shows copies, newest first.
    List(List),
    /// Shows one copy with all attempts.
    Show {
        /// What `list` shows in the first column.
        id: DeliveryId,
    },
    /// Tries a copy again at once that failed, is unknown or was suppressed. An unknown one may arrive twice.
    Retry {
        /// What `list` shows in the first column.
        id: DeliveryId,
    },
    /// Withdraws a pending copy: it is never sent. The message stays in its inbox.
    Cancel {
        /// What `list` shows in the first column.
        id: DeliveryId,
    },
}

/// `herald delivery list`
#[derive(Args)]
pub struct List {
    /// Only those in this state: pending, sending, sent, delivered, failed, unknown, suppressed or cancelled.
    #[arg(long, value_parser = DeliveryState::from_str)]
    state: Option<DeliveryState>,
    /// Only those by `email` or `sms`.
    #[arg(long, value_parser = Channel::from_str)]
    channel: Option<Channel>,
    /// Only those of this message.
    #[arg(long)]
    message: Option<MessageId>,
    /// Only those to this address or number.
    #[arg(long)]
    to: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

impl Delivery {
    /// Lists, shows, retries or cancels copies.
    ///
    /// # Errors
    /// There is no such copy, or its state does not allow that.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        match self {
            Self::List(list) => list.run(&wiring).await,
            Self::Show { id } => show(&wiring, id).await,
            Self::Retry { id } => retry(&wiring, id).await,
            Self::Cancel { id } => cancel(&wiring, id).await,
        }
    }
}

impl List {
    async fn run(self, wiring: &Wiring) -> Result<()> {
        let filter =
            Filter { state: self.state, channel: self.channel, message: self.message, address: self.to };
        for copy in store::ledger::list(&wiring.pool, &filter, self.limit).await? {
            let Copy { id, channel, state, .. } = copy;
            let (at, to) = (time(copy.created_at), one_line(&copy.address));
            let reason = copy.reason.map_or(String::new(), |reason| format!("  {}", one_line(&reason)));
            println!("{id}  {at}  {channel}  {state}  {}{reason}", if to.is_empty() { "-" } else { &to });
        }
        Ok(())
    }
}

async fn show(wiring: &Wiring, id: DeliveryId) -> Result<()> {
    let copy = find(wiring, id).await?;
    println!("delivery  {id}");
    println!("message   {}{}", copy.message_id, if copy.has_message { "" } else { " (not in an inbox)" });
    println!("to        {} by {}", one_line(&copy.address), copy.channel);
    println!("state     {}, attempts {}", copy.state, copy.attempts);
    if let Some(reason) = &copy.reason {
        println!("reason    {}", one_line(reason));
    }
    println!("asked     {}", time(copy.created_at));
    match (copy.state, copy.finished_at) {
        (DeliveryState::Pending, _) => println!("next      {}", time(copy.next_attempt_at)),
        (_, Some(at)) => println!("ended     {}", time(at)),
        (_, None) => {}
    }
    for attempt in store::ledger::attempts(&wiring.pool, &[id.0]).await? {
        let took = (attempt.finished_at - attempt.started_at).num_milliseconds();
        println!(
            "attempt {}: {} {}, {took} ms, code {}: {}",
            attempt.number,
            time(attempt.started_at),
            attempt.outcome,
            attempt.code.map_or_else(|| "-".to_owned(), |code| code.to_string()),
            one_line(&attempt.reply)
        );
    }
    Ok(())
}

async fn retry(wiring: &Wiring, id: DeliveryId) -> Result<()> {
    let copy = find(wiring, id).await?;
    let done = store::operating::retry(&wiring.pool, &copy, ACTOR, wiring.clock.now()).await;
    done.map_err(|why| anyhow!("{id} {}", one_line(&why.to_string())))?;
    println!("{id} is tried again");
    Ok(())
}

async fn cancel(wiring: &Wiring, id: DeliveryId) -> Result<()> {
    let copy = find(wiring, id).await?;
    let done = store::operating::cancel(&wiring.pool, &copy, ACTOR, wiring.clock.now()).await;
    done.map_err(|why| anyhow!("{id} {}", one_line(&why.to_string())))?;
    println!("{id} is cancelled");
    Ok(())
}

async fn find(wiring: &Wiring, id: DeliveryId) -> Result<Copy> {
    let copy = store::ledger::find(&wiring.pool, id).await?;
    copy.with_context(|| format!("there is no delivery {id}; `herald delivery list` shows them"))
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}
