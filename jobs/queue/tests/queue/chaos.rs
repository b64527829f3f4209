use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use herald_queue::{Failure, Queue, WorkerOptions};
use tokio::sync::Semaphore;

use crate::{
    support::{
        Kind, Log, PATIENCE, Server, TAKEOVER, Work, batches, eventually, noting, noting_batches, quick,
        singles, until_empty, work, works,
    },
    victim::{SLOW, Victim},
};

fn slow(number: u64) -> Work {
    Work { kind: Kind::Slow, ..work(number) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_workers_jobs_are_taken_over() {
    let server = Server::start();
    let (queue, log) = (server.queue("send:normal"), Log::default());
    queue.push_all(&(0..600).map(slow).collect::<Vec<_>>()).await.unwrap();
    let mut victim = Victim::start(&server, "send:normal", TAKEOVER);
    eventually("the victim works", async || victim.done().len() > 10).await;
    victim.signal("KILL");
    victim.end().await;
    assert!(queue.depth().await.unwrap().in_flight > 0, "it died with jobs in flight");
    let dead_worker = consumers(&server).await.pop().unwrap();

    let worker = noting(&queue, quick(), &log);
    until_empty(&queue).await;
    let done: HashSet<u64> = victim.done().into_iter().chain(log.counts().into_keys()).collect();
    assert_eq!(done.len(), 600);
    eventually("the dead worker's name is forgotten", async || {
        !consumers(&server).await.contains(&dead_worker)
    })
    .await;
    assert_eq!(consumers(&server).await.len(), 1);
    worker.stop().await;
    assert!(consumers(&server).await.is_empty(), "a worker that stops in order takes its name with it");
}

async fn consumers(server: &Server) -> Vec<String> {
    let mut list = redis::cmd("XINFO");
    list.arg("CONSUMERS").arg("herald:{send:normal:0}").arg("workers");
    let list: Vec<std::collections::HashMap<String, redis::Value>> =
        list.query_async(&mut server.plain().await).await.unwrap();
    list.into_iter().map(|mut info| redis::from_redis_value(info.remove("name").unwrap()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_gives_back_at_once_what_has_not_begun() {
    let server = Server::start();
    let (queue, begun) = (server.queue("send:normal"), Arc::new(Semaphore::new(0)));
    queue.push_all(&works(0..500)).await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    let worker = batches(&queue, WorkerOptions { concurrency: 1, batch: 50, ..WorkerOptions::default() }, {
        let (begun, gate) = (begun.clone(), gate.clone());
        move |batch| {
            let (begun, gate) = (begun.clone(), gate.clone());
            async move {
                begun.add_permits(1);
                let _pass = gate.acquire().await.unwrap();
                Ok(vec![Ok(()); batch.entries.len()])
            }
        }
    });
    eventually("one runs, one waits", async || queue.depth().await.unwrap().in_flight == 100).await;
    let stopping = tokio::spawn(worker.stop());
    eventually("what waited is given back", async || queue.depth().await.unwrap().in_flight == 50).await;
    assert_eq!((begun.available_permits(), queue.depth().await.unwrap().parked), (1, 50));
    gate.add_permits(1);
    stopping.await.unwrap();
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.jobs, depth.in_flight), (450, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_die_and_come_back() {
    let mut server = Server::start();
    let (queue, log, stop) = (server.queue("send:normal"), Log::default(), Arc::new(AtomicBool::new(false)));
    let worker = noting_batches(&queue, quick(), &log);
    let pushing = tokio::spawn(push_until(queue.clone(), stop.clone()));
    eventually("jobs run", async || log.total() > 2_000).await;
    server.kill();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let before = log.total();
    server.start_again();
    eventually("jobs run again", async || log.total() > before + 2_000).await;
    stop.store(true, Ordering::Relaxed);
    let accepted = pushing.await.unwrap();
    until_empty(&queue).await;
    assert!(!worker.has_ended());
    worker.stop().await;
    let counts = log.counts();
    let missing = accepted.iter().filter(|number| !counts.contains_key(number)).count();
    assert_eq!(missing, 0, "of {} accepted", accepted.len());
}

/// Pushes until told to stop; answers the numbers that Redis accepted.
async fn push_until(queue: Queue<Work>, stop: Arc<AtomicBool>) -> Vec<u64> {
    let (mut accepted, mut next) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let jobs = works(next..next + 50);
        next += 50;
        match queue.push_all(&jobs).await {
            Ok(()) => accepted.extend(jobs.iter().map(|job| job.number)),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    accepted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stood_still_does_not_end_what_others_took() {
    let server = Server::start();
    let queue = server.queue("send:normal");
    queue.push(&Work { kind: Kind::Long, ..work(1) }).await.unwrap();
    let mut victim = Victim::start(&server, "send:normal", TAKEOVER);
    eventually("the victim works", async || victim.begun() == [1]).await;
    victim.signal("STOP");

    let (began, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let worker = singles(&queue, quick(), {
        let (began, gate) = (began.clone(), gate.clone());
        move |_, delivery| {
            let (began, gate) = (began.clone(), gate.clone());
            async move {
                assert_eq!(delivery.attempt, 2);
                began.add_permits(1);
                let _pass = gate.acquire().await.unwrap();
                Ok(())
            }
        }
    });
    let _begun = tokio::time::timeout(PATIENCE, began.acquire()).await.unwrap().unwrap();
    victim.signal("CONT");
    eventually("the victim ends its job", async || victim.done() == [1]).await;
    tokio::time::sleep(TAKEOVER).await;
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.jobs, depth.in_flight, depth.parked), (1, 1, 0), "only its owner may end it");
    gate.add_permits(1);
    until_empty(&queue).await;
    victim.signal("TERM");
    assert!(victim.end().await.success());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_job_stays_with_its_worker() {
    let server = Server::start();
    let (queue, log) = (server.queue("send:normal"), Log::default());
    let handler = {
        let log = log.clone();
        move |job: Work, delivery: herald_queue::Delivery| {
            log.note(job.number, delivery.attempt);
            async {
                tokio::time::sleep(TAKEOVER * 3).await;
                Ok(())
            }
        }
    };
    let workers = [singles(&queue, quick(), handler.clone()), singles(&queue, quick(), handler)];
    queue.push(&work(1)).await.unwrap();
    until_empty(&queue).await;
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(log.attempts(1), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_groups_may_vanish_under_load() {
    let server = Server::start();
    let (queue, log, stop) = (server.queue("send:normal"), Log::default(), Arc::new(AtomicBool::new(false)));
    let worker = noting_batches(&queue, quick(), &log);
    let pushing = tokio::spawn(push_until(queue.clone(), stop.clone()));
    let mut plain = server.plain().await;
    let stream = "herald:{send:normal:0}";
    for command in [
        redis::cmd("DEL").arg(stream),
        redis::cmd("XGROUP").arg("DESTROY").arg(stream).arg("workers"),
        &mut redis::cmd("FLUSHALL"),
        redis::cmd("SCRIPT").arg("FLUSH"),
    ] {
        let before = log.total();
        eventually("jobs run", async || log.total() > before + 1_000).await;
        command.exec_async(&mut plain).await.unwrap();
    }
    let before = log.total();
    eventually("jobs run", async || log.total() > before + 1_000).await;
    stop.store(true, Ordering::Relaxed);
    pushing.await.unwrap();
    // Now with nobody pushing, while the worker waits for an entry.
    until_empty(&queue).await;
    redis::cmd("FLUSHALL").exec_async(&mut plain).await.unwrap();
    queue.push(&work(u64::MAX)).await.unwrap();
    eventually("the job behind the flush runs", async || log.times(u64::MAX) == 1).await;
    until_empty(&queue).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_aborts_its_worker_dies_alone() {
    let server = Server::start();
    let queue = server.queue("send:normal");
    let mut jobs: Vec<_> = (0..60).map(slow).collect();
    jobs.insert(20, Work { kind: Kind::Aborting, ..work(1_000) });
    queue.push_all(&jobs).await.unwrap();
    let mut crashes = 0;
    let mut victim = Victim::start(&server, "send:normal", TAKEOVER);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let depth = queue.depth().await.unwrap();
        if depth.jobs == 0 && depth.dead == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "after {crashes} crashes: {depth:?}");
        if victim.has_ended() {
            crashes += 1;
            victim = Victim::start(&server, "send:normal", TAKEOVER);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(crashes, 5, "it was delivered as often as the options say");
    let dead = queue.dead(None, 10).await.unwrap();
    assert!(dead[0].payload.contains("1000") && dead[0].reason.contains("vanished"), "{dead:?}");
    let done: HashSet<u64> = victim.done().into_iter().collect();
    assert_eq!(done, (0..60).collect());
    victim.signal("TERM");
    assert!(victim.end().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_may_be_due_at_once() {
    let server = Server::start();
    let options = WorkerOptions { concurrency: 256, ..quick() };
    // What this machine takes for as many that succeed: all are parked long before three times that.
    let (queue, log) = (server.queue("send:bulk"), Log::default());
    let begun = Instant::now();
    queue.push_all(&works(0..50_000)).await.unwrap();
    let worker = noting(&queue, WorkerOptions { concurrency: 256, ..quick() }, &log);
    until_empty(&queue).await;
    worker.stop().await;
    let usual = begun.elapsed();

    let (queue, log) = (server.queue("send:normal"), Log::default());
    queue.push_all(&works(0..50_000)).await.unwrap();
    let due = Instant::now() + Duration::from_secs(10) + 3 * usual;
    let worker = singles(&queue, options, {
        let log = log.clone();
        move |job, delivery| {
            log.note(job.number, delivery.attempt);
            let wait = due.saturating_duration_since(Instant::now());
            async move { if delivery.attempt == 1 { Err(Failure::retry_after("not yet", wait)) } else { Ok(()) } }
        }
    });
    eventually("all are parked", async || queue.depth().await.unwrap().parked == 50_000).await;
    assert!(Instant::now() < due, "the machine is too slow for this test");
    until_empty(&queue).await;
    worker.stop().await;
    assert_eq!((log.distinct(), log.total()), (50_000, 100_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_told_to_end_leaves_nothing_pending_and_nothing_twice() {
    let server = Server::start();
    let queue = server.queue("send:normal");
    queue.push_all(&(0..400).map(slow).collect::<Vec<_>>()).await.unwrap();
    let mut victim = Victim::start(&server, "send:normal", Duration::from_secs(30));
    eventually("the victim works", async || victim.done().len() > 40).await;
    let told = Instant::now();
    victim.signal("TERM");
    assert!(victim.end().await.success());
    // Far from the half minute that it may take at most.
    assert!(told.elapsed() < SLOW + Duration::from_secs(15), "{:?}", told.elapsed());
    let depth = queue.depth().await.unwrap();
    assert_eq!(depth.in_flight, 0);
    assert_eq!(depth.jobs, 400 - victim.done().len() as u64);

    // Whatever it gave back can be had at once.
    let log = Log::default();
    let worker = noting(&queue, WorkerOptions::default(), &log);
    until_empty(&queue).await;
    worker.stop().await;
    let (begun, done): (HashSet<_>, HashSet<_>) =
        (victim.begun().into_iter().collect(), victim.done().into_iter().collect());
    assert_eq!((begun.len(), done.len()), (victim.begun().len(), victim.done().len()));
    assert_eq!(begun, done);
    assert_eq!(done.len() + log.total(), 400);
    assert!((0..400).all(|number| u64::from(done.contains(&number)) + log.times(number) as u64 == 1));
    assert!((0..400).all(|number| log.attempts(number).iter().all(|attempt| *attempt == 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_dropped_in_the_middle_gives_its_jobs_back() {
    let server = Server::start();
    let (queue, log) = (server.queue("send:normal"), Log::default());
    queue.push_all(&works(0..10)).await.unwrap();
    let started = Log::default();
    let worker = singles(&queue, WorkerOptions { concurrency: 4, ..WorkerOptions::default() }, {
        let started = started.clone();
        move |job, delivery| {
            started.note(job.number, delivery.attempt);
            std::future::pending()
        }
    });
    eventually("four run", async || started.total() == 4).await;
    worker.drop_now().await;
    assert_eq!(queue.depth().await.unwrap().in_flight, 0);
    let worker = noting(&queue, WorkerOptions::default(), &log);
    until_empty(&queue).await;
    worker.stop().await;
    assert!((0..10).all(|number| log.attempts(number) == [1]), "being cut short is no attempt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stood_still_makes_nobody_a_thief() {
    let server = Server::start();
    let (queue, log) = (server.queue("send:normal"), Log::default());
    let handler = {
        let log = log.clone();
        move |job: Work, delivery: herald_queue::Delivery| {
            log.note(job.number, delivery.attempt);
            async {
                tokio::time::sleep(TAKEOVER * 6).await;
                Ok(())
            }
        }
    };
    let workers = [singles(&queue, quick(), handler.clone()), singles(&queue, quick(), handler)];
    queue.push_all(&works(0..20)).await.unwrap();
    eventually("all run", async || log.total() == 20).await;
    server.signal("STOP");
    tokio::time::sleep(TAKEOVER * 2).await;
    server.signal("CONT");
    until_empty(&queue).await;
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!(log.total(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_whose_delivery_was_lost_is_run_soon() {
    let server = Server::start();
    let (queue, log) = (server.queue("send:normal"), Log::default());
    let (mut plain, stream) = (server.plain().await, "herald:{send:normal:0}");
    let gate = Arc::new(Semaphore::new(0));
    let worker = singles(&queue, WorkerOptions { concurrency: 1, ..WorkerOptions::default() }, {
        let (gate, log) = (gate.clone(), log.clone());
        move |job, delivery| {
            let (gate, log) = (gate.clone(), log.clone());
            async move {
                let _pass = gate.acquire().await.unwrap();
                log.note(job.number, delivery.attempt);
                Ok(())
            }
        }
    });
    queue.push_all(&works(2..4)).await.unwrap();
    eventually("the first runs", async || queue.depth().await.unwrap().in_flight == 1).await;
    // A read whose answer the network swallowed: the entry is the worker's, and it does not know.
    let pending: Vec<(String, String, u64, u64)> = redis::cmd("XPENDING")
        .arg(stream)
        .arg(&["workers", "-", "+", "1"])
        .query_async(&mut plain)
        .await
        .unwrap();
    redis::cmd("XREADGROUP")
        .arg(&["GROUP", "workers", &pending[0].1, "STREAMS", stream, ">"])
        .exec_async(&mut plain)
        .await
        .unwrap();
    assert_eq!(queue.depth().await.unwrap().in_flight, 2);
    redis::cmd("CLIENT").arg(&["KILL", "TYPE", "normal"]).exec_async(&mut plain).await.unwrap();
    gate.add_permits(1);
    until_empty(&queue).await;
    worker.stop().await;
    assert_eq!((log.attempts(2), log.attempts(3)), (vec![1], vec![1]));
}
