//! The demo's worker: a process of its own, so that it can be killed. Another one is begun whenever it ends.

use std::io::BufRead as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::TimeDelta;
use herald_jobs::clock::Clock;
use herald_jobs::store;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::commands::serve::{self, Part};
use crate::config::Config;
use crate::logging;
use crate::wiring::Wiring;

/// The pause before another one is begun: somebody watches.
const AGAIN: Duration = Duration::from_millis(500);
/// How long it may take to end in order.
const GRACE: Duration = Duration::from_secs(40);
/// How soon another one takes over what a killed one was doing, in seconds.
const TAKEOVER: f64 = 2.0;

/// What the worker is told first; every further line says how far its clock is to be ahead.
#[derive(Deserialize, Serialize)]
struct Orders {
    config: Config,
    ahead_ms: i64,
}

/// The worker, as the demo sees it.
pub(super) struct Worker {
    config: Config,
    clock: Clock,
    moved: Notify,
    /// The process that runs; 0: none.
    pid: AtomicU32,
    begun: AtomicU32,
}

impl Worker {
    /// One that works by these settings and this clock.
    pub(super) fn new(config: &Config, clock: &Clock) -> Arc<Self> {
        let mut config = config.clone();
        config.web.ops_listen.clear();
        config.worker.takeover_after = TAKEOVER;
        Arc::new(Self {
            config,
            clock: clock.clone(),
            moved: Notify::new(),
            pid: AtomicU32::new(0),
            begun: AtomicU32::new(0),
        })
    }

    /// Keeps one running until `stop`, and then lets it end in order.
    ///
    /// # Errors
    /// The program cannot be started; everything is stopped then.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            let mut child = self.begin().inspect_err(|_| stop.cancel())?;
            self.pid.store(child.id().unwrap_or_default(), Ordering::Relaxed);
            self.begun.fetch_add(1, Ordering::Relaxed);
            let ended = self.follow(&mut child, &stop).await;
            self.pid.store(0, Ordering::Relaxed);
            ended?;
            tokio::select! { () = tokio::time::sleep(AGAIN) => {} () = stop.cancelled() => {} }
        }
        Ok(())
    }

    /// Kills it, as `kill -9` does. Answers which process that was.
    pub(super) fn kill(&self) -> Option<u32> {
        let pid = self.pid()?;
        kill(Pid::from_raw(pid.try_into().ok()?), Signal::SIGKILL).ok().map(|()| pid)
    }

    /// The process that runs.
    pub(super) fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// How many processes were begun.
    pub(super) fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    /// The clock was moved: it is told.
    pub(super) fn clock_moved(&self) {
        self.moved.notify_one();
    }

    fn begin(&self) -> Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        // Ctrl-C is for the demo, which ends it in its turn.
        command.args(["demo", "--worker"]).stdin(Stdio::piped()).process_group(0).kill_on_drop(true);
        command.spawn().context("start the demo's worker")
    }

    /// Tells it what it needs until it ends, or is to end.
    async fn follow(&self, child: &mut Child, stop: &CancellationToken) -> Result<()> {
        let mut input = child.stdin.take().context("the worker's input")?;
        let ahead_ms = || self.clock.offset().num_milliseconds();
        let mut line = serde_json::to_string(&Orders { config: self.config.clone(), ahead_ms: ahead_ms() })?;
        loop {
            line.push('\n');
            // One that has ended hears nothing.
            let _ = input.write_all(line.as_bytes()).await;
            tokio::select! {
                ended = child.wait() => {
                    tracing::debug!("The worker ended: {}", ended?);
                    return Ok(());
                }
                () = self.moved.notified() => line = ahead_ms().to_string(),
                () = stop.cancelled() => {
                    drop(input);
                    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
                        child.kill().await?;
                    }
                    return Ok(());
                }
            }
        }
    }
}

/// The process itself: works until its input ends, which it does when the demo is gone.
///
/// # Errors
/// It was not told what it needs, the database is not that of a demo, or a worker died.
pub async fn run() -> Result<()> {
    let mut first = String::new();
    std::io::stdin().lock().read_line(&mut first)?;
    let Orders { config, ahead_ms } = serde_json::from_str(&first).context("it is for the demo to start")?;
    logging::start(&config.log)?;
    let wiring = Wiring::new(config, "demo worker", 10)?;
    ensure!(store::registry::is_caught(&wiring.pool).await?, "this database is not that of `herald demo`");
    let stop = CancellationToken::new();
    let (clock, ending) = (wiring.clock.clone(), stop.clone());
    set(&clock, ahead_ms);
    // A thread that nobody waits for: reading cannot be called off.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            line.parse().into_iter().for_each(|ahead_ms| set(&clock, ahead_ms));
        }
        ending.cancel();
    });
    serve::run(&wiring, &[Part::Workers], stop).await
}

fn set(clock: &Clock, ahead_ms: i64) {
    clock.advance(TimeDelta::milliseconds(ahead_ms) - clock.offset());
}
