//! Periodic jobs.

use std::str::FromStr as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use herald_jobs::periodic::{PeriodicJob, PeriodicName};
use herald_jobs::store;
use herald_jobs::store::periodic::Run;

use crate::commands::{connect, one_line};
use crate::config::Config;
use crate::wiring::Wiring;

/// How long a run may take while somebody looks on.
const PATIENCE: Duration = Duration::from_secs(600);

/// `herald periodic`
#[derive(Subcommand)]
pub enum Periodic {
    /// Lists the jobs: when each ran last, how long it took and what it did, and when it runs next.
    List,
    /// Runs a job now, on a worker, whether it is enabled or not; waits for its end.
    Run {
        /// Its name, as `list` shows it.
        #[arg(value_parser = PeriodicName::from_str)]
        name: PeriodicName,
    },
}

impl Periodic {
    /// Lists the jobs, or runs one.
    ///
    /// # Errors
    /// The run failed, or no worker took it.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        match self {
            Self::List => list(&wiring).await,
            Self::Run { name } => run(&wiring, name).await,
        }
    }
}

async fn list(wiring: &Wiring) -> Result<()> {
    let last = store::periodic::last_of_each(&wiring.pool).await?;
    let scheduled = wiring.periodic()?;
    let now = store::now(&wiring.pool).await?;
    for &name in PeriodicName::ALL {
        let next = scheduled.iter().find(|job| job.name == name).and_then(|job| job.next(now));
        let next = next.map_or_else(|| "disabled".to_owned(), |next| format!("next {}", time(next)));
        println!("{name}  {next}");
        match last.iter().find(|run| run.job == name.as_str()) {
            Some(run) => println!("  {}", told(run)),
            None => println!("  never ran"),
        }
    }
    Ok(())
}

async fn run(wiring: &Wiring, name: PeriodicName) -> Result<()> {
    let slot = store::now(&wiring.pool).await?;
    wiring.queues.periodic.push(&PeriodicJob { name, slot }).await.context("the queue does not take it")?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(run) = store::periodic::of_slot(&wiring.pool, name, slot).await?
            && run.finished_at.is_some()
        {
            println!("{}", told(&run));
            return match run.succeeded {
                Some(true) => Ok(()),
                _ => bail!("{name} failed"),
            };
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("{name} has not ended within {} minutes; does a worker run?", PATIENCE.as_secs() / 60)
}

fn told(run: &Run) -> String {
    let result = one_line(run.result.as_deref().unwrap_or_default());
    let slot = time(run.slot);
    match (run.finished_at, run.succeeded) {
        (None, _) => format!("slot {slot}: runs since {}", time(run.started_at)),
        (Some(end), succeeded) => {
            let took = (end - run.started_at).num_milliseconds();
            let failed = if succeeded == Some(true) { "" } else { "failed: " };
            format!("slot {slot}: took {took} ms, {failed}{result}")
        }
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
