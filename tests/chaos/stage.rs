//! What these tests share: worker processes, floods of messages, and a look at Redis' memory.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures::future::join_all;
use herald_producers::MessageId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use uuid::Uuid;

use crate::support::eventually;
use crate::support::herald::{Herald, message};

/// How long many messages may take on a machine that does much else.
pub(crate) const AMPLE: Duration = Duration::from_secs(90);
/// How much more Redis may use afterwards, in bytes: its own buffers. A thousand forgotten entries would show.
const MEMORY_SLACK: u64 = 1_500_000;

/// A `herald worker` or `herald web` process. It dies with the test; what it logged is shown when that fails.
pub(crate) struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    /// Starts a process whose jobs are taken over two seconds after it fell silent.
    pub(crate) fn start(herald: &Herald) -> Self {
        Self::start_with(herald, &[])
    }

    /// The same with further settings.
    pub(crate) fn start_with(herald: &Herald, settings: &[(&str, &str)]) -> Self {
        Self::start_part(herald, "worker", settings)
    }

    /// Starts a `herald web` process, which is handled as a worker is.
    pub(crate) fn web(herald: &Herald, listen: SocketAddr) -> Self {
        Self::web_with(herald, listen, &[])
    }

    /// The same with further settings.
    pub(crate) fn web_with(herald: &Herald, listen: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let listen = listen.to_string();
        let settings: Vec<_> = settings.iter().copied().chain([("HERALD__WEB__LISTEN", &*listen)]).collect();
        Self::start_part(herald, "web", &settings)
    }

    fn start_part(herald: &Herald, part: &str, settings: &[(&str, &str)]) -> Self {
        let log = tempfile::Builder::new().prefix("herald-chaos-").tempfile().unwrap();
        let (file, log) = log.keep().unwrap();
        let mut command = herald.command(&[part]);
        command
            .env("HERALD__WEB__OPS_LISTEN", "")
            .env("HERALD__WORKER__TAKEOVER_AFTER", "2")
            .env("HERALD__WORKER__GRACE", "20")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(file));
        Self { child: command.spawn().unwrap(), log }
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().expect("the worker lives");
        kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
    }

    /// Kills the process, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.end().await;
    }

    /// Tells the process to stop; it must end in order, within its grace.
    pub(crate) async fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.end().await;
        assert!(status.success(), "the worker ended with {status}");
        let said = std::fs::read_to_string(&self.log).unwrap();
        assert!(!said.contains("panicked"), "{said}");
    }

    async fn end(&mut self) -> ExitStatus {
        tokio::time::timeout(Duration::from_secs(40), self.child.wait())
            .await
            .expect("the worker ends")
            .unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last: Vec<_> = said.lines().rev().take(40).collect();
            eprintln!("A worker said:");
            last.into_iter().rev().for_each(|line| eprintln!("  {line}"));
        }
        // A log that stays harms nobody.
        let _ = std::fs::remove_file(&self.log);
    }
}

/// Sends messages, and answers their ids; all must be accepted.
pub(crate) async fn flood(herald: &Herald, number: usize) -> BTreeSet<Uuid> {
    let mut accepted = BTreeSet::new();
    for chunk in (0..number).collect::<Vec<_>>().chunks(2_000) {
        let sends = chunk.iter().map(|n| {
            let (kind, to) = (["VIEW-NORMAL", "ALERT-VIEW"][n % 2], ["ann", "bob"][n / 2 % 2]);
            herald.producer.send(message(to, kind, &n.to_string()))
        });
        accepted.extend(join_all(sends).await.into_iter().map(|sent: Result<MessageId, _>| sent.unwrap().0));
    }
    accepted
}

/// Waits until some messages have been delivered and others are still on their way.
pub(crate) async fn amid(herald: &Herald, delivered: i64) {
    eventually("the work to be under way", async || {
        herald.count("select count(*) from herald.message").await >= delivered
    })
    .await;
}

/// What Redis uses, in bytes.
pub(crate) async fn memory(herald: &Herald) -> u64 {
    let mut redis = herald.plain_redis().await;
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut redis).await.unwrap();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    used.trim().parse().unwrap()
}

/// What Redis uses once a worker and this process have connected and nothing has happened yet.
pub(crate) async fn memory_at_rest(herald: &Herald) -> u64 {
    let accepted = flood(herald, 2).await;
    eventually("the worker to work", async || herald.delivered().await.len() >= accepted.len()).await;
    herald.execute("delete from herald.message").await;
    memory(herald).await
}

/// Fails the test unless Redis gives back what it took.
pub(crate) async fn assert_memory_returns(herald: &Herald, before: u64) {
    eventually("Redis' memory to return", async || memory(herald).await < before + MEMORY_SLACK).await;
}

/// Entries that stand in the streams of all sends.
pub(crate) async fn sends_in_redis(herald: &Herald) -> u64 {
    let mut jobs = 0;
    for (_, queue) in herald.queues.send.iter() {
        jobs += queue.jobs().await.unwrap_or(0);
    }
    jobs
}
