//! What is pushed together and travels as one entry.

use std::{
    cell::RefCell,
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use apalis::prelude::TaskSink as _;
use herald_queue::{Batch, Failure, Options, Queue, WorkerOptions};
use tokio::sync::Semaphore;

use crate::{
    failures::{behave, dead_reasons, of_kind},
    support::{
        Kind, Log, Server, TAKEOVER, Work, batches, eventually, noting, noting_batches, quick, singles,
        until_empty, work, works,
    },
    victim::Victim,
};

const PACK: u16 = 16;

fn packed(server: &Server, name: &str) -> Queue<Work> {
    Queue::new(&server.redis(), name, Options { pack: PACK, ..Options::default() })
}

async fn entries(server: &Server, name: &str) -> u64 {
    let mut ask = redis::cmd("XLEN");
    ask.arg(format!("herald:{{{name}:0}}")).query_async(&mut server.plain().await).await.unwrap()
}

/// Nothing but the stream itself is left.
async fn assert_nothing_left(server: &Server, queue: &Queue<Work>) {
    assert_eq!((queue.jobs().await.unwrap(), entries(server, queue.name()).await), (0, 0));
    let mut ask = redis::cmd("EXISTS");
    ask.arg(format!("herald:{{{}:0}}:packed", queue.name()));
    assert_eq!(
        ask.query_async::<u64>(&mut server.plain().await).await.unwrap(),
        0,
        "the count goes with the last pack"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_pushed_together_travel_as_one_entry() {
    let server = Server::start();
    for (name, in_batches) in [("single", false), ("batch", true)] {
        let (queue, log) = (packed(&server, name), Log::default());
        queue.push_all(&works(0..100)).await.unwrap();
        queue.push(&work(100)).await.unwrap();
        let mut sink = queue.sink();
        sink.push_bulk(works(101..120)).await.unwrap();
        assert_eq!(entries(&server, name).await, 7 + 1 + 2);
        assert_eq!((queue.jobs().await.unwrap(), queue.depth().await.unwrap().jobs), (120, 120));
        let worker =
            if in_batches { noting_batches(&queue, quick(), &log) } else { noting(&queue, quick(), &log) };
        until_empty(&queue).await;
        worker.stop().await;
        assert!((0..120).all(|number| log.attempts(number) == [1]), "{name}");
        assert_nothing_left(&server, &queue).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_has_one_shard_and_one_trace() {
    thread_local!(static TRACE: RefCell<Option<String>> = const { RefCell::new(None) });
    let server = Server::start();
    let trace = || TRACE.with_borrow(Clone::clone);
    let options = Options { pack: PACK, shards: 3, trace: Some(trace), ..Options::default() };
    let queue: Queue<Work> = Queue::new(&server.redis(), "send:normal", options);
    let keyed = |number: u64| Work { filling: format!("user {}", number % 7), ..work(number) };
    TRACE.set(Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()));
    queue.push_all(&(0..50).map(keyed).collect::<Vec<_>>()).await.unwrap();
    TRACE.set(None);
    queue.push_all(&(50..100).map(keyed).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(queue.jobs().await.unwrap(), 100);

    let log = Log::default();
    let worker = singles(&queue, quick(), {
        let log = log.clone();
        move |job, delivery| {
            assert_eq!(delivery.trace.is_some(), job.number < 50);
            log.note(job.number, delivery.attempt);
            async { Ok(()) }
        }
    });
    until_empty(&queue).await;
    worker.stop().await;
    assert!((0..100).all(|number| log.attempts(number) == [1]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_job_leaves_its_pack_and_dies_alone() {
    let server = Server::start();
    for (name, in_batches) in [("single", false), ("batch", true)] {
        let (queue, log) = (packed(&server, name), Log::default());
        let mut jobs = works(0..100);
        jobs.insert(20, of_kind(Kind::Failing, 1_001));
        jobs.insert(21, of_kind(Kind::Hopeless, 1_002));
        jobs.insert(60, of_kind(Kind::Panicking, 1_003));
        queue.push_all(&jobs).await.unwrap();
        let mut add = redis::cmd("XADD");
        add.arg(format!("herald:{{{name}:0}}")).arg("*").arg("v").arg(2);
        add.arg("job")
            .arg(r#"{"number":200}"#)
            .arg("job")
            .arg("{not json")
            .arg("job")
            .arg(r#"{"number":201}"#);
        add.exec_async(&mut server.plain().await).await.unwrap();
        let mut add = redis::cmd("XADD");
        add.arg(format!("herald:{{{name}:0}}")).arg("*").arg("v").arg(2).arg("hello").arg("world");
        add.exec_async(&mut server.plain().await).await.unwrap();
        let options = WorkerOptions { max_attempts: 3, ..quick() };
        let noting = log.clone();
        let worker = if in_batches {
            batches(&queue, options, move |batch: Batch<Work>| {
                let log = noting.clone();
                async move {
                    batch.entries.iter().for_each(|entry| log.note(entry.job.number, entry.attempt));
                    Ok(batch.entries.iter().map(|entry| behave(&entry.job)).collect())
                }
            })
        } else {
            singles(&queue, options, move |job, delivery| {
                noting.note(job.number, delivery.attempt);
                async move { behave(&job) }
            })
        };
        until_empty(&queue).await;
        worker.stop().await;
        // Once in the pack, and then as often as the options say.
        assert_eq!(log.attempts(1_001), [1, 1, 2, 3], "{name}");
        assert_eq!(log.attempts(1_003), [1, 1, 2, 3], "{name}");
        let once = if in_batches { 1..=3 } else { 1..=1 };
        assert!((0..100).chain(200..202).all(|number| once.contains(&log.times(number))), "{name}");
        let mut reasons = dead_reasons(&queue).await;
        reasons.sort_unstable();
        let expected =
            ["it fails", "no hope", "panicked: it panics", "the job cannot be read", "the pack holds no job"];
        assert_eq!(reasons.len(), expected.len(), "{name}: {reasons:?}");
        assert!(reasons.iter().zip(expected).all(|(reason, start)| reason.starts_with(start)), "{reasons:?}");
        assert_nothing_left(&server, &queue).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_puts_back_what_has_not_begun() {
    let server = Server::start();
    let (queue, log, gate) = (packed(&server, "send:normal"), Log::default(), Arc::new(Semaphore::new(0)));
    queue.push_all(&works(0..32)).await.unwrap();
    let options = WorkerOptions { concurrency: 1, prefetch: Some(40), ..quick() };
    let worker = singles(&queue, options, {
        let (log, gate) = (log.clone(), gate.clone());
        move |job, delivery| {
            log.note(job.number, delivery.attempt);
            let gate = gate.clone();
            async move {
                let _pass = gate.acquire().await.unwrap();
                Ok(())
            }
        }
    });
    eventually("both packs are here", async || queue.depth().await.unwrap().in_flight == 2).await;
    let stopping = tokio::spawn(worker.stop());
    eventually("the second waits again", async || queue.depth().await.unwrap().parked == 1).await;
    gate.add_permits(1);
    stopping.await.unwrap();
    assert_eq!(queue.jobs().await.unwrap(), 31);
    assert_eq!(entries(&server, queue.name()).await, 15 + 1, "the one that nobody began is whole");

    let worker = noting(&queue, quick(), &log);
    until_empty(&queue).await;
    worker.stop().await;
    assert!((0..32).all(|number| log.attempts(number) == [1]));
    assert_nothing_left(&server, &queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_leaves_packs_whole() {
    let server = Server::start();
    let (queue, log, calls) = (packed(&server, "send:normal"), Log::default(), Arc::new(AtomicUsize::new(0)));
    queue.push_all(&works(0..64)).await.unwrap();
    let worker = batches(&queue, WorkerOptions { batch: 64, ..quick() }, {
        let (log, calls) = (log.clone(), calls.clone());
        move |batch: Batch<Work>| {
            let is_out = calls.fetch_add(1, Ordering::Relaxed) < 3;
            if !is_out {
                batch.entries.iter().for_each(|entry| log.note(entry.job.number, entry.attempt));
            }
            async move {
                if is_out {
                    Err(Failure::outage("the database is away"))
                } else {
                    Ok(vec![Ok(()); batch.entries.len()])
                }
            }
        }
    });
    eventually("the outage is there", async || calls.load(Ordering::Relaxed) > 1).await;
    assert_eq!((queue.jobs().await.unwrap(), entries(&server, queue.name()).await), (64, 4));
    until_empty(&queue).await;
    worker.stop().await;
    assert!((0..64).all(|number| log.attempts(number) == [1]));
    assert_nothing_left(&server, &queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_workers_packs_are_taken_over() {
    let server = Server::start();
    let (queue, log) = (packed(&server, "send:normal"), Log::default());
    queue.push_all(&(0..600).map(|number| of_kind(Kind::Slow, number)).collect::<Vec<_>>()).await.unwrap();
    let mut victim = Victim::start(&server, "send:normal", TAKEOVER);
    eventually("the victim works", async || victim.done().len() > 10).await;
    victim.signal("KILL");
    victim.end().await;
    let worker = noting(&queue, quick(), &log);
    until_empty(&queue).await;
    worker.stop().await;
    let done: HashSet<u64> = victim.done().into_iter().chain(log.counts().into_keys()).collect();
    assert_eq!(done.len(), 600);
    assert!(log.counts().values().all(|times| *times == 1), "what it left was taken apart, and run once");
    assert_nothing_left(&server, &queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_aborts_its_worker_leaves_its_pack_and_dies_alone() {
    let server = Server::start();
    let queue = packed(&server, "send:normal");
    let mut jobs: Vec<_> = (0..60).map(|number| of_kind(Kind::Slow, number)).collect();
    jobs.insert(20, of_kind(Kind::Aborting, 1_000));
    queue.push_all(&jobs).await.unwrap();
    let mut crashes = 0;
    let mut victim = Victim::start(&server, "send:normal", TAKEOVER);
    let deadline = Instant::now() + Duration::from_secs(60);
    while queue.depth().await.unwrap().jobs > 0 {
        assert!(Instant::now() < deadline, "after {crashes} crashes: {:?}", queue.depth().await);
        if victim.has_ended() {
            crashes += 1;
            victim = Victim::start(&server, "send:normal", TAKEOVER);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(crashes, 6, "once in its pack, and then as often as the options say");
    let dead = queue.dead(None, 10).await.unwrap();
    let [dead] = dead.as_slice() else { panic!("{dead:?}") };
    assert!(dead.payload.contains("1000") && dead.reason.contains("vanished"), "{dead:?}");
    let done: HashSet<u64> = victim.done().into_iter().collect();
    assert_eq!(done, (0..60).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_may_be_delivered_but_once_is_taken_apart_all_the_same() {
    let server = Server::start();
    let (queue, log) = (packed(&server, "send:normal"), Log::default());
    queue.push_all(&(0..16).map(|number| of_kind(Kind::Slow, number)).collect::<Vec<_>>()).await.unwrap();
    let mut victim = Victim::start(&server, "send:normal", TAKEOVER);
    eventually("the victim works", async || !victim.begun().is_empty()).await;
    victim.signal("KILL");
    victim.end().await;
    let worker = noting(&queue, WorkerOptions { max_attempts: 1, ..quick() }, &log);
    until_empty(&queue).await;
    worker.stop().await;
    assert_eq!((log.distinct(), queue.depth().await.unwrap().dead), (16, 0));
    assert_nothing_left(&server, &queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_count_of_jobs_goes_with_what_redis_forgets() {
    let server = Server::start();
    let queue = packed(&server, "send:normal");
    queue.push_all(&works(0..100)).await.unwrap();
    redis::cmd("FLUSHALL").exec_async(&mut server.plain().await).await.unwrap();
    assert_eq!(queue.jobs().await.unwrap(), 0);
    queue.push_all(&works(0..20)).await.unwrap();
    assert_eq!(queue.jobs().await.unwrap(), 20);
    // By hand, and without its count.
    redis::cmd("DEL").arg("herald:{send:normal:0}").exec_async(&mut server.plain().await).await.unwrap();
    assert_eq!(queue.jobs().await.unwrap(), 0);
    queue.push(&work(0)).await.unwrap();
    let worker = noting(&queue, quick(), &Log::default());
    until_empty(&queue).await;
    worker.stop().await;
    assert_nothing_left(&server, &queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_an_outage_met_in_the_middle_is_gone_on_with() {
    let server = Server::start();
    let (queue, log) = (packed(&server, "send:normal"), Log::default());
    queue.push_all(&works(0..16)).await.unwrap();
    let worker = singles(&queue, WorkerOptions { concurrency: 1, prefetch: Some(40), ..quick() }, {
        let log = log.clone();
        move |job, delivery| {
            let is_out = job.number == 3 && log.times(3) == 0;
            log.note(job.number, delivery.attempt);
            async move {
                // By then the next read waits, and nothing comes that would wake the worker.
                tokio::time::sleep(Duration::from_millis(20)).await;
                if is_out { Err(Failure::outage("once")) } else { Ok(()) }
            }
        }
    });
    until_empty(&queue).await;
    worker.stop().await;
    assert!((0..16).all(|number| log.times(number) == if number == 3 { 2 } else { 1 }));
    assert_eq!(log.attempts(3), [1, 1], "an outage is no attempt");
    assert_nothing_left(&server, &queue).await;
}
