//! Prints how fast the queue is on this machine, beside what Redis alone does.
//!
//!     redis-server --port 6399 --appendonly yes &
//!     cargo run --release -p herald-queue --example throughput -- redis://127.0.0.1:6399/ 200000

use std::{
    error::Error,
    future::Future,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use apalis::prelude::{Data, TaskBuilder, TaskSink, WorkerBuilder};
use futures::stream;
use herald_queue::{Batch, Delivery, Failure, Job, Options, Queue, Redis, WorkerOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// What a job's payload takes, in bytes.
const PAYLOAD: usize = 400;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Noop {
    filling: String,
}

impl Job for Noop {}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "redis://127.0.0.1:6379/".into());
    let count: usize = arguments.next().map_or(Ok(200_000), |count| count.parse())?;
    let redis = Redis::open(&url)?;
    let queue: Queue<Noop> = Queue::new(&redis, "throughput", Options::default());
    let job = Noop { filling: "x".repeat(PAYLOAD - r#"{"filling":""}"#.len()) };

    let by_hand =
        measured("push, XADD pipelined by hand", &url, count, push_by_hand(&url, &job, count)).await?;
    clear(&url).await?;
    measured("push, Queue::push_all", &url, count, async {
        Ok(queue.push_all(std::iter::repeat_n(&job, count)).await?)
    })
    .await?;
    clear(&url).await?;
    let tasks = (0..count).map(|_| TaskBuilder::new(job.clone()).build());
    let mut sink = queue.sink();
    let by_sink = measured("push, TaskSink::push_all", &url, count, async {
        Ok(TaskSink::push_all(&mut sink, stream::iter(tasks)).await?)
    })
    .await?;
    println!("{:40} {:.2}", "TaskSink over by hand", by_hand.as_secs_f64() / by_sink.as_secs_f64());

    measured("work, batches of up to 500", &url, count, drain_batches(&queue)).await?;
    queue.push_all(std::iter::repeat_n(&job, count)).await?;
    measured("work, single jobs, 256 at once", &url, count, drain_singles(&queue)).await?;
    latency(&queue, &job).await?;
    println!("{:40} {}", "peak memory", status("VmHWM:"));
    Ok(())
}

async fn push_by_hand(url: &str, job: &Noop, count: usize) -> Result<(), Box<dyn Error>> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut left = count;
    while left > 0 {
        let mut pipeline = redis::pipe();
        for _ in 0..left.min(500) {
            let add = pipeline.cmd("XADD").arg("herald:{throughput:0}").arg("*").arg("v").arg(1).arg("job");
            add.arg(serde_json::to_vec(job)?).ignore();
        }
        pipeline.exec_async(&mut connection).await?;
        left -= left.min(500);
    }
    Ok(())
}

async fn clear(url: &str) -> Result<(), Box<dyn Error>> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    Ok(redis::cmd("DEL").arg("herald:{throughput:0}").exec_async(&mut connection).await?)
}

async fn drain_batches(queue: &Queue<Noop>) -> Result<(), Box<dyn Error>> {
    let consumer = queue.batches(WorkerOptions { concurrency: 2, ..WorkerOptions::default() });
    let handle = consumer.handle();
    let worker = WorkerBuilder::new("batches")
        .backend(consumer)
        .build(|batch: Batch<Noop>| async move { Ok::<_, Failure>(vec![Ok(()); batch.entries.len()]) });
    let running = tokio::spawn(worker.run());
    drained(queue).await?;
    handle.flush().await;
    Ok(running.await??)
}

async fn drain_singles(queue: &Queue<Noop>) -> Result<(), Box<dyn Error>> {
    let consumer = queue.worker(WorkerOptions { concurrency: 256, ..WorkerOptions::default() });
    let handle = consumer.handle();
    let worker = WorkerBuilder::new("singles")
        .backend(consumer)
        .build(|_: Noop, _: Data<Delivery>| async { Ok::<_, Failure>(()) });
    let running = tokio::spawn(worker.run());
    drained(queue).await?;
    handle.flush().await;
    Ok(running.await??)
}

async fn drained(queue: &Queue<Noop>) -> Result<(), Box<dyn Error>> {
    while queue.depth().await?.jobs > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// From just before a push to the handler's start, at 200 pushes a second.
async fn latency(queue: &Queue<Noop>, job: &Noop) -> Result<(), Box<dyn Error>> {
    let begun: Arc<Mutex<Option<oneshot::Sender<Instant>>>> = Arc::default();
    let consumer = queue.worker(WorkerOptions::default());
    let handle = consumer.handle();
    let told = begun.clone();
    let worker = WorkerBuilder::new("latency").backend(consumer).build(move |_: Noop, _: Data<Delivery>| {
        if let Some(begin) = told.lock().ok().and_then(|mut begin| begin.take()) {
            let _ = begin.send(Instant::now());
        }
        async { Ok::<_, Failure>(()) }
    });
    let running = tokio::spawn(worker.run());
    let mut taken = Vec::new();
    let mut beat = tokio::time::interval(Duration::from_millis(5));
    for _ in 0..1_000 {
        beat.tick().await;
        let (begin, began) = oneshot::channel();
        if let Ok(mut slot) = begun.lock() {
            *slot = Some(begin);
        }
        let pushed = Instant::now();
        queue.push(job).await?;
        taken.push(began.await? - pushed);
    }
    handle.flush().await;
    running.await??;
    taken.sort_unstable();
    let at = |share: usize| taken.get(taken.len() * share / 100).copied().unwrap_or_default();
    println!("{:40} p50 {:?}, p99 {:?}", "push to handler at 200/s", at(50), at(99));
    Ok(())
}

/// Runs and prints: the rate, and the CPU time of this process and of Redis for 10,000 jobs.
async fn measured(
    what: &str,
    url: &str,
    count: usize,
    run: impl Future<Output = Result<(), Box<dyn Error>>>,
) -> Result<Duration, Box<dyn Error>> {
    let (began, cpu, redis_cpu) = (Instant::now(), cpu_seconds(), redis_cpu_seconds(url).await?);
    run.await?;
    let (took, cpu, redis_cpu) =
        (began.elapsed(), cpu_seconds() - cpu, redis_cpu_seconds(url).await? - redis_cpu);
    let (rate, tens) = (count as f64 / took.as_secs_f64(), count as f64 / 10_000.0);
    println!("{what:40} {rate:>9.0}/s, CPU for 10,000: {:.3} s, Redis {:.3} s", cpu / tens, redis_cpu / tens);
    Ok(took)
}

/// User and system time of the Redis server.
async fn redis_cpu_seconds(url: &str) -> Result<f64, Box<dyn Error>> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO").arg("cpu").query_async(&mut connection).await?;
    let used = |line: &str| {
        let value = line.strip_prefix("used_cpu_sys:").or_else(|| line.strip_prefix("used_cpu_user:"))?;
        value.trim().parse::<f64>().ok()
    };
    Ok(info.lines().filter_map(used).sum())
}

/// User and system time of this process; Linux only.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn status(field: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap_or_default().trim().to_owned()
}
