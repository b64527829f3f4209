//! A private Redis server, and workers that note what they ran.

use std::{
    collections::HashMap,
    future::Future,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use apalis::prelude::{WorkerBuilder, WorkerError};
use herald_queue::{
    Batch, ConsumerHandle, Delivery, Failure, Job, Options, Outcome, Queue, Redis, WorkerOptions,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

/// How long anything may take before the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A takeover time that suits tests.
pub(crate) const TAKEOVER: Duration = Duration::from_millis(1_000);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) number: u64,
    #[serde(default)]
    pub(crate) kind: Kind,
    #[serde(default)]
    pub(crate) filling: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    #[default]
    Good,
    Failing,
    Panicking,
    Aborting,
    Hopeless,
    Slow,
    Long,
}

impl Job for Work {
    fn shard_key(&self) -> Option<&str> {
        (!self.filling.is_empty()).then_some(&self.filling)
    }
}

pub(crate) fn work(number: u64) -> Work {
    Work { number, kind: Kind::Good, filling: String::new() }
}

pub(crate) fn works(numbers: impl IntoIterator<Item = u64>) -> Vec<Work> {
    numbers.into_iter().map(work).collect()
}

/// A Redis server on a port of its own, with its data in a folder of its own.
pub(crate) struct Server {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        Self { child: launch(port, folder.path()), port, folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Ends the server as a power cut of its machine's process would: at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.child = launch(self.port, self.folder.path());
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn redis(&self) -> Redis {
        Redis::open(&self.url()).unwrap()
    }

    pub(crate) fn queue(&self, name: &str) -> Queue<Work> {
        Queue::new(&self.redis(), name, Options::default())
    }

    /// A plain connection, to look behind the queue's back.
    pub(crate) async fn plain(&self) -> redis::aio::MultiplexedConnection {
        redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody has. It is none of those that the system gives away by itself, so that nobody gets it by chance before the
/// server comes to take it, or while it is down.
fn free_port() -> u16 {
    let mut ports = std::iter::repeat_with(|| 12_000 + RandomState::new().build_hasher().finish() % 8_000);
    let mut ports = ports.by_ref().filter_map(|port| u16::try_from(port).ok());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// Sends a process a signal, such as `STOP`.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

fn launch(port: u16, folder: &Path) -> Child {
    let binary = server_binary();
    let mut command = Command::new(&binary);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    // What it has answered to outlives its process: it is written before the answer, and not held back while a disk is slow.
    command.args(["--appendonly", "yes", "--appendfsync", "no"]).arg("--dir").arg(folder);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(libraries) = unpacked_libraries(&binary) {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    let mut child = command.spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !answers(port) {
        assert!(child.try_wait().unwrap().is_none(), "{} did not start", binary.display());
        assert!(Instant::now() < deadline, "{} does not answer", binary.display());
        std::thread::yield_now();
    }
    child
}

/// Whether the server answers, and has read its data.
fn answers(port: u16) -> bool {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
    let ping = |mut connection| redis::cmd("PING").query::<String>(&mut connection);
    client.get_connection_with_timeout(Duration::from_millis(200)).and_then(ping).is_ok()
}

fn server_binary() -> PathBuf {
    if let Some(named) = std::env::var_os("HERALD_REDIS_SERVER") {
        return named.into();
    }
    let unpacked = "usr/bin/redis-server";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    std::env::split_paths(&path)
        .map(|folder| folder.join("redis-server"))
        .chain(["redis", "valkey"].map(|name| Path::new("/opt").join(name).join(unpacked)))
        .chain(above.map(|folder| folder.join(".herald/pkg").join(unpacked)))
        .find(|candidate| candidate.is_file())
        .expect("no redis-server: install it, or name one in HERALD_REDIS_SERVER")
}

/// The libraries of a server that was unpacked from its packages rather than installed.
fn unpacked_libraries(binary: &Path) -> Option<PathBuf> {
    let root = binary.ancestors().nth(3).filter(|root| *root != Path::new("/"))?;
    std::fs::read_dir(root.join("usr/lib"))
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.is_dir())
}

/// Waits until `done` answers true.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !done().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the queue holds nothing.
pub(crate) async fn until_empty(queue: &Queue<Work>) {
    eventually("the queue is empty", async || queue.depth().await.is_ok_and(|depth| depth.jobs == 0)).await;
}

/// What handlers ran: the number of a job, and how often it was delivered then.
#[derive(Clone, Default)]
pub(crate) struct Log {
    runs: Arc<Mutex<Vec<(u64, u32, Instant)>>>,
}

impl Log {
    pub(crate) fn note(&self, number: u64, attempt: u32) {
        self.runs.lock().unwrap().push((number, attempt, Instant::now()));
    }

    pub(crate) fn times(&self, number: u64) -> usize {
        self.runs.lock().unwrap().iter().filter(|run| run.0 == number).count()
    }

    pub(crate) fn attempts(&self, number: u64) -> Vec<u32> {
        self.runs.lock().unwrap().iter().filter(|run| run.0 == number).map(|run| run.1).collect()
    }

    pub(crate) fn moments(&self, number: u64) -> Vec<Instant> {
        self.runs.lock().unwrap().iter().filter(|run| run.0 == number).map(|run| run.2).collect()
    }

    pub(crate) fn distinct(&self) -> usize {
        self.counts().len()
    }

    pub(crate) fn total(&self) -> usize {
        self.runs.lock().unwrap().len()
    }

    pub(crate) fn counts(&self) -> HashMap<u64, usize> {
        let mut counts = HashMap::new();
        for (number, ..) in self.runs.lock().unwrap().iter() {
            *counts.entry(*number).or_insert(0) += 1;
        }
        counts
    }
}

/// A worker that runs in this process.
pub(crate) struct Running {
    pub(crate) handle: ConsumerHandle,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    /// Stops the worker in order.
    pub(crate) async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        tokio::time::timeout(PATIENCE, self.ended).await.unwrap().unwrap().unwrap();
        assert!(self.handle.flush().await);
    }

    /// Drops the worker in the middle of what it does.
    pub(crate) async fn drop_now(self) {
        self.ended.abort();
        let _ = self.ended.await;
        assert!(self.handle.flush().await);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_finished()
    }
}

async fn stopped(stop: oneshot::Receiver<()>) -> Result<(), std::io::Error> {
    let _ = stop.await;
    Ok(())
}

/// Runs a worker over single jobs.
pub(crate) fn singles<F, Fut>(queue: &Queue<Work>, options: WorkerOptions<Work>, handler: F) -> Running
where
    F: Fn(Work, Delivery) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let consumer = queue.worker(options);
    let handle = consumer.handle();
    let (stop, stop_asked) = oneshot::channel();
    let worker = WorkerBuilder::new("singles")
        .backend(consumer)
        .build(move |job: Work, delivery: apalis::prelude::Data<Delivery>| handler(job, (*delivery).clone()));
    Running { handle, stop: Some(stop), ended: tokio::spawn(worker.run_until(stopped(stop_asked))) }
}

/// Runs a worker over batches.
pub(crate) fn batches<F, Fut>(queue: &Queue<Work>, options: WorkerOptions<Work>, handler: F) -> Running
where
    F: Fn(Batch<Work>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<Outcome>, Failure>> + Send + 'static,
{
    let consumer = queue.batches(options);
    let handle = consumer.handle();
    let (stop, stop_asked) = oneshot::channel();
    let worker = WorkerBuilder::new("batches").backend(consumer).build(handler);
    Running { handle, stop: Some(stop), ended: tokio::spawn(worker.run_until(stopped(stop_asked))) }
}

/// A worker over single jobs that notes each and succeeds.
pub(crate) fn noting(queue: &Queue<Work>, options: WorkerOptions<Work>, log: &Log) -> Running {
    let log = log.clone();
    singles(queue, options, move |job, delivery| {
        log.note(job.number, delivery.attempt);
        async { Ok(()) }
    })
}

/// A worker over batches that notes each job and succeeds.
pub(crate) fn noting_batches(queue: &Queue<Work>, options: WorkerOptions<Work>, log: &Log) -> Running {
    let log = log.clone();
    batches(queue, options, move |batch| {
        for entry in &batch.entries {
            log.note(entry.job.number, entry.attempt);
        }
        async move { Ok(vec![Ok(()); batch.entries.len()]) }
    })
}

/// Options with a short takeover time and quick retries.
pub(crate) fn quick() -> WorkerOptions<Work> {
    let retry = herald_queue::Backoff {
        first: Duration::from_millis(20),
        factor: 2,
        limit: Duration::from_millis(100),
    };
    WorkerOptions { takeover_after: TAKEOVER, retry, ..WorkerOptions::default() }
}
