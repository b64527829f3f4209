//! A worker in a process of its own, which other tests stop and kill: the test binary, run again.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use apalis::prelude::{Data, Monitor, WorkerBuilder};
use herald_queue::{Delivery, Failure, Options, Queue, Redis, WorkerOptions};
use tokio::signal::unix::SignalKind;

use crate::support::{Kind, PATIENCE, Server, Work, quick, signal};

/// How long a slow job runs.
pub(crate) const SLOW: Duration = Duration::from_millis(200);
/// How long a job runs that is to be caught in the middle.
const LONG: Duration = Duration::from_secs(8);

/// The process, and the file in which it notes what begins and ends.
pub(crate) struct Victim {
    child: Child,
    log: PathBuf,
}

impl Victim {
    pub(crate) fn start(server: &Server, queue: &str, takeover_after: Duration) -> Self {
        let log = server.folder().join("victim.log");
        File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["victim::work_until_told", "--exact", "--ignored", "--nocapture"])
            .env("VICTIM_REDIS", server.url())
            .env("VICTIM_QUEUE", queue)
            .env("VICTIM_LOG", &log)
            .env("VICTIM_TAKEOVER_MS", takeover_after.as_millis().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) async fn end(&mut self) -> ExitStatus {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(std::time::Instant::now() < deadline, "the victim does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The jobs that began.
    pub(crate) fn begun(&self) -> Vec<u64> {
        noted(&self.log, "begin")
    }

    /// The jobs that ended well.
    pub(crate) fn done(&self) -> Vec<u64> {
        noted(&self.log, "done")
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn noted(log: &Path, what: &str) -> Vec<u64> {
    let text = std::fs::read_to_string(log).unwrap();
    text.lines().filter_map(|line| line.strip_prefix(what)?.trim().parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the other tests start this in a process of its own"]
async fn work_until_told() {
    let setting = |name| std::env::var(name).expect("set by the test that starts this");
    let redis = Redis::open(&setting("VICTIM_REDIS")).unwrap();
    let queue: Queue<Work> = Queue::new(&redis, &setting("VICTIM_QUEUE"), Options::default());
    let log = OpenOptions::new().append(true).open(setting("VICTIM_LOG")).unwrap();
    let log = Arc::new(Mutex::new(log));
    let takeover_after = Duration::from_millis(setting("VICTIM_TAKEOVER_MS").parse().unwrap());

    let consumer = queue.worker(WorkerOptions { takeover_after, ..quick() });
    let handle = consumer.handle();
    let consumer = Mutex::new(Some(consumer));
    let monitor = Monitor::new().shutdown_timeout(PATIENCE).register(move |_| {
        let log = log.clone();
        let handler = move |job: Work, _: Data<Delivery>| run(job, log.clone());
        WorkerBuilder::new("victim").backend(consumer.lock().unwrap().take().unwrap()).build(handler)
    });
    let mut told = tokio::signal::unix::signal(SignalKind::terminate()).unwrap();
    let told = async move {
        told.recv().await;
        Ok(())
    };
    monitor.run_with_signal(told).await.unwrap();
    assert!(handle.flush().await);
}

async fn run(job: Work, log: Arc<Mutex<File>>) -> Result<(), Failure> {
    let note =
        |what: &str| log.lock().unwrap().write_all(format!("{what} {}\n", job.number).as_bytes()).unwrap();
    note("begin");
    match job.kind {
        Kind::Good => {}
        Kind::Slow => tokio::time::sleep(SLOW).await,
        Kind::Long => tokio::time::sleep(LONG).await,
        Kind::Aborting => std::process::abort(),
        Kind::Failing => return Err(Failure::retry("it fails")),
        Kind::Hopeless => return Err(Failure::dead("no hope")),
        Kind::Panicking => panic!("it panics"),
    }
    note("done");
    Ok(())
}
