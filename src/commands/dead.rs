//! Jobs that failed for good.

use anyhow::{Result, bail};
use clap::Subcommand;
use herald_jobs::store;
use herald_queue::{Job, Queue};
use uuid::Uuid;

use crate::commands::{ACTOR, connect, one_line};
use crate::config::Config;
use crate::wiring::Wiring;

/// Most entries shown.
const MOST: usize = 1_000;

/// `herald dead`
#[derive(Subcommand)]
pub enum Dead {
    /// Shows them, with the reasons.
    List,
    /// Lets one run again, or all.
    Replay {
        /// What `list` shows in the first column, or `all`.
        id: String,
    },
    /// Deletes one. What it would have sent is not sent.
    Drop {
        /// What `list` shows in the first column.
        id: String,
    },
}

impl Dead {
    /// Lists, replays or drops sends that stand in the outbox, and queue entries that have no row there.
    ///
    /// # Errors
    /// There is no such job.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        match self {
            Self::List => list(&wiring).await,
            Self::Replay { id } => {
                store::audit::record(&wiring.pool, ACTOR, "dead replay", &id).await?;
                replay(&wiring, &id).await
            }
            Self::Drop { id } => {
                store::audit::record(&wiring.pool, ACTOR, "dead drop", &id).await?;
                drop(&wiring, &id).await
            }
        }
    }
}

async fn list(wiring: &Wiring) -> Result<()> {
    for failed in store::outbox::failed(&wiring.pool, i64::try_from(MOST)?).await? {
        let at = failed.failed_at.format("%Y-%m-%d %H:%M:%S");
        println!("{}  {at}  {}", failed.id, one_line(&failed.reason));
    }
    for (_, queue) in wiring.queues.send.iter() {
        list_queue(queue).await?;
    }
    for queue in wiring.queues.all_copies() {
        list_queue(queue).await?;
    }
    list_queue(&wiring.queues.periodic).await?;
    list_queue(&wiring.queues.check).await
}

async fn list_queue<J: Job>(queue: &Queue<J>) -> Result<()> {
    for dead in queue.dead(None, MOST).await? {
        println!("{}/{}  {}  {}", queue.name(), dead.id, one_line(&dead.reason), one_line(&dead.payload));
    }
    Ok(())
}

async fn replay(wiring: &Wiring, id: &str) -> Result<()> {
    let replayed = if id == "all" {
        let mut replayed = store::outbox::replay(&wiring.pool, None).await?;
        for (_, queue) in wiring.queues.send.iter() {
            replayed += replay_queue(queue).await?;
        }
        for queue in wiring.queues.all_copies() {
            replayed += replay_queue(queue).await?;
        }
        replayed += replay_queue(&wiring.queues.periodic).await?;
        replayed + replay_queue(&wiring.queues.check).await?
    } else if let Some((name, entry)) = id.split_once('/') {
        u64::from(of_queue(wiring, name, entry, true).await?)
    } else {
        store::outbox::replay(&wiring.pool, Some(id.parse()?)).await?
    };
    println!("{replayed} replayed");
    if replayed == 0 && id != "all" { bail!("there is no dead job {id}") } else { Ok(()) }
}

async fn replay_queue<J: Job>(queue: &Queue<J>) -> Result<u64> {
    let mut replayed = 0;
    for dead in queue.dead(None, MOST).await? {
        replayed += u64::from(queue.replay_dead(&dead.id.to_string()).await?);
    }
    Ok(replayed)
}

async fn drop(wiring: &Wiring, id: &str) -> Result<()> {
    let dropped = if let Some((name, entry)) = id.split_once('/') {
        of_queue(wiring, name, entry, false).await?
    } else {
        store::outbox::discard(&wiring.pool, id.parse::<Uuid>()?).await?
    };
    if dropped { Ok(()) } else { bail!("there is no dead job {id}") }
}

/// Replays or drops one entry of the queue that has this name.
async fn of_queue(wiring: &Wiring, name: &str, entry: &str, again: bool) -> Result<bool> {
    async fn one<J: Job>(queue: &Queue<J>, entry: &str, again: bool) -> Result<bool> {
        Ok(if again { queue.replay_dead(entry).await? } else { queue.drop_dead(entry).await? })
    }
    for (_, queue) in wiring.queues.send.iter() {
        if queue.name() == name {
            return one(queue, entry, again).await;
        }
    }
    for queue in wiring.queues.all_copies() {
        if queue.name() == name {
            return one(queue, entry, again).await;
        }
    }
    if wiring.queues.periodic.name() == name {
        return one(&wiring.queues.periodic, entry, again).await;
    }
    if wiring.queues.check.name() == name {
        return one(&wiring.queues.check, entry, again).await;
    }
    bail!("there is no queue {name}")
}
