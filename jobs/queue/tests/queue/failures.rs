use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use apalis::prelude::{Data, WorkerBuilder, WorkerBuilderExt};
use futures::FutureExt;
use herald_queue::{Batch, DeadDecision, DeadJob, Delivery, Failure, OnDead, Outcome, Queue, WorkerOptions};

use crate::support::{
    Kind, Log, Server, Work, batches, eventually, quick, singles, until_empty, work, works,
};

pub(crate) fn of_kind(kind: Kind, number: u64) -> Work {
    Work { kind, ..work(number) }
}

pub(crate) fn behave(job: &Work) -> Outcome {
    match job.kind {
        Kind::Good | Kind::Slow | Kind::Long => Ok(()),
        Kind::Failing => Err(Failure::retry("it fails")),
        Kind::Hopeless => Err(Failure::dead("no hope")),
        Kind::Panicking | Kind::Aborting => panic!("it panics"),
    }
}

/// Pushes what no job can be read from.
async fn push_garbage(server: &Server, stream: &str) {
    for fields in [
        &["v", "1", "job", "{not json"][..],
        &["v", "99", "job", r#"{"number":1}"#],
        &["v", "one", "job", r#"{"number":1}"#],
        &["v", "1", "job", r#"{"other":true}"#],
        &["hello", "world", "reason", "none"],
    ] {
        redis::cmd("XADD")
            .arg(stream)
            .arg("*")
            .arg(fields)
            .exec_async(&mut server.plain().await)
            .await
            .unwrap();
    }
}

pub(crate) async fn dead_reasons(queue: &Queue<Work>) -> Vec<String> {
    queue.dead(None, 100).await.unwrap().into_iter().map(|dead| dead.reason).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_entries_die_with_their_reasons_and_harm_no_good_ones() {
    let server = Server::start();
    for (name, in_batches) in [("single", false), ("batch", true)] {
        let (queue, log) = (server.queue(name), Log::default());
        let mut jobs = works(0..300);
        jobs.insert(100, of_kind(Kind::Failing, 1_001));
        jobs.insert(150, of_kind(Kind::Hopeless, 1_002));
        jobs.insert(200, of_kind(Kind::Panicking, 1_003));
        queue.push_all(&jobs[..200]).await.unwrap();
        push_garbage(&server, &format!("herald:{{{name}:0}}")).await;
        queue.push_all(&jobs[200..]).await.unwrap();
        let noting = log.clone();
        let worker = if in_batches {
            batches(&queue, WorkerOptions { max_attempts: 3, ..quick() }, move |batch: Batch<Work>| {
                let log = noting.clone();
                async move {
                    batch.entries.iter().for_each(|entry| log.note(entry.job.number, entry.attempt));
                    Ok(batch.entries.iter().map(|entry| behave(&entry.job)).collect())
                }
            })
        } else {
            singles(&queue, WorkerOptions { max_attempts: 3, ..quick() }, move |job, delivery| {
                noting.note(job.number, delivery.attempt);
                async move { behave(&job) }
            })
        };
        until_empty(&queue).await;
        worker.stop().await;
        assert_eq!(log.attempts(1_001), [1, 2, 3], "{name}");
        assert_eq!(log.attempts(1_002)[0], 1, "{name}");
        assert_eq!(log.attempts(1_003), [1, 2, 3], "{name}");
        assert!((0..300).all(|number| (1..=2).contains(&log.times(number))), "{name}");
        let mut reasons = dead_reasons(&queue).await;
        reasons.sort_unstable();
        assert_eq!(reasons.len(), 8, "{name}: {reasons:?}");
        let expected = [
            "`one` is not a version",
            "it fails",
            "no hope",
            "panicked: it panics",
            "the entry has no field `job`",
            "the job cannot be read",
            "the job cannot be read",
            "version 99 of the envelope",
        ];
        assert!(reasons.iter().zip(expected).all(|(reason, start)| reason.starts_with(start)), "{reasons:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_without_a_version_is_read() {
    let server = Server::start();
    let (queue, log) = (server.queue("send:normal"), Log::default());
    let mut add = redis::cmd("XADD");
    add.arg("herald:{send:normal:0}").arg("*").arg("job").arg(r#"{"number":5}"#);
    add.exec_async(&mut server.plain().await).await.unwrap();
    let worker = crate::support::noting(&queue, quick(), &log);
    until_empty(&queue).await;
    worker.stop().await;
    assert_eq!(log.attempts(5), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_waits_as_long_as_it_was_told() {
    let server = Server::start();
    let (queue, log) = (server.queue("send:normal"), Log::default());
    queue.push(&work(1)).await.unwrap();
    // Longer than the takeover time, which the idle time alone could not tell apart.
    let told = Duration::from_millis(1_600);
    let worker = singles(&queue, quick(), {
        let log = log.clone();
        move |job, delivery| {
            log.note(job.number, delivery.attempt);
            async move { if delivery.attempt == 1 { Err(Failure::retry_after("later", told)) } else { Ok(()) } }
        }
    });
    eventually("it is parked", async || queue.depth().await.unwrap().parked == 1).await;
    until_empty(&queue).await;
    worker.stop().await;
    let moments = log.moments(1);
    let waited = moments[1] - moments[0];
    assert!(waited >= told, "{waited:?}");
    assert_eq!(log.attempts(1), [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_counts_no_attempts_and_pauses() {
    let server = Server::start();
    for (name, in_batches) in [("single", false), ("batch", true)] {
        let (queue, log, out) = (server.queue(name), Log::default(), Arc::new(AtomicBool::new(true)));
        queue.push_all(&works(0..100)).await.unwrap();
        let (noting, still) = (log.clone(), out.clone());
        let outage =
            move || if still.load(Ordering::Relaxed) { Err(Failure::outage("no database")) } else { Ok(()) };
        let options = WorkerOptions { concurrency: 4, max_attempts: 2, ..quick() };
        let worker = if in_batches {
            batches(&queue, options, move |batch: Batch<Work>| {
                batch.entries.iter().for_each(|entry| noting.note(entry.job.number, entry.attempt));
                let ended = outage().map(|()| vec![Ok(()); batch.entries.len()]);
                async move { ended }
            })
        } else {
            singles(&queue, options, move |job, delivery| {
                noting.note(job.number, delivery.attempt);
                let ended = outage();
                async move { ended }
            })
        };
        tokio::time::sleep(Duration::from_millis(1_800)).await;
        let tries = log.total();
        // Pauses of 100, 200, 400 and 800 ms: four places are tried five times, at most a few more.
        assert!(tries > 0 && tries <= if in_batches { 600 } else { 40 }, "{name}: {tries} tries");
        assert_eq!(queue.depth().await.unwrap().jobs, 100, "{name}");
        out.store(false, Ordering::Relaxed);
        until_empty(&queue).await;
        worker.stop().await;
        assert_eq!(log.distinct(), 100, "{name}");
        assert!((0..100).all(|number| log.attempts(number).iter().all(|attempt| *attempt == 1)), "{name}");
        assert_eq!(queue.depth().await.unwrap().dead, 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_entry_that_was_delivered_before_comes_alone() {
    let server = Server::start();
    let (queue, log) = (server.queue("send:bulk"), Log::default());
    let company = Arc::new(Mutex::new(Vec::new()));
    queue.push_all(&works(0..50)).await.unwrap();
    let worker = batches(&queue, quick(), {
        let (log, company) = (log.clone(), company.clone());
        move |batch: Batch<Work>| {
            for entry in &batch.entries {
                log.note(entry.job.number, entry.attempt);
                company.lock().unwrap().push((entry.attempt, batch.entries.len()));
            }
            // The first is poisonous: nobody knows which, so all of its batch fail.
            let poisonous = batch.entries.iter().any(|entry| entry.job.number == 25);
            async move {
                if poisonous {
                    Err(Failure::retry("one of these"))
                } else {
                    Ok(vec![Ok(()); batch.entries.len()])
                }
            }
        }
    });
    until_empty(&queue).await;
    worker.stop().await;
    assert!(company.lock().unwrap().iter().all(|(attempt, together)| *attempt == 1 || *together == 1));
    assert_eq!(log.attempts(25), [1, 2, 3, 4, 5]);
    assert!((0..50).filter(|number| *number != 25).all(|number| log.attempts(number).len() <= 2));
    assert_eq!(dead_reasons(&queue).await, ["one of these"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_handler_that_miscounts_is_tried_again() {
    let server = Server::start();
    let queue = server.queue("send:bulk");
    queue.push_all(&works(0..3)).await.unwrap();
    let options = WorkerOptions { max_attempts: 1, ..quick() };
    let worker = batches(&queue, options, |_| async { Ok(vec![Ok(()); 7]) });
    until_empty(&queue).await;
    worker.stop().await;
    assert_eq!(dead_reasons(&queue).await, ["the handler gave 7 outcomes for 3 entries"; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layers_error_is_a_retry_with_its_text() {
    let server = Server::start();
    let queue = server.queue("send:normal");
    queue.push(&work(1)).await.unwrap();
    let consumer = queue.worker(WorkerOptions { max_attempts: 1, ..quick() });
    let handle = consumer.handle();
    let worker = WorkerBuilder::new("timed")
        .backend(consumer)
        .timeout(Duration::from_millis(50))
        .build(|_: Work, _: Data<Delivery>| std::future::pending::<Result<(), Failure>>());
    let running = tokio::spawn(worker.run());
    until_empty(&queue).await;
    assert!(handle.flush().await);
    running.await.unwrap().unwrap();
    let reasons = dead_reasons(&queue).await;
    assert!(reasons[0].contains("timed out") || reasons[0].contains("elapsed"), "{reasons:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dead_can_be_listed_replayed_and_dropped() {
    let server = Server::start();
    let queue = server.queue("send:normal");
    let first = Instant::now();
    queue.push_all(&(0..25).map(|number| of_kind(Kind::Hopeless, number)).collect::<Vec<_>>()).await.unwrap();
    let worker = singles(&queue, quick(), |job, _| async move { behave(&job) });
    until_empty(&queue).await;
    worker.stop().await;

    let page = queue.dead(None, 10).await.unwrap();
    let next = queue.dead(Some(&page[9].id.to_string()), 10).await.unwrap();
    let last = queue.dead(Some(&next[9].id.to_string()), 10).await.unwrap();
    assert_eq!((page.len(), next.len(), last.len()), (10, 10, 5));
    let all: Vec<_> = page.iter().chain(&next).chain(&last).collect();
    assert!(all.is_sorted_by_key(|dead| dead.id));
    assert!(all.iter().all(|dead| dead.reason == "no hope" && dead.attempts == 1));
    assert!(all.iter().all(|dead| dead.payload.contains("Hopeless") && dead.entry.is_some()));
    let now = server.redis().time().await.unwrap();
    assert!(
        all.iter().all(|dead| dead.when <= now && dead.when + first.elapsed() + Duration::from_secs(1) > now)
    );

    assert!(queue.replay_dead(&page[0].id.to_string()).await.unwrap());
    assert!(!queue.replay_dead(&page[0].id.to_string()).await.unwrap());
    assert!(queue.drop_dead(&page[1].id.to_string()).await.unwrap());
    assert!(!queue.drop_dead(&page[1].id.to_string()).await.unwrap());
    assert!(queue.drop_dead("nonsense").await.is_err());
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.jobs, depth.dead), (1, 23));

    let replayed = Arc::new(Mutex::new(Vec::new()));
    let worker = singles(&queue, quick(), {
        let replayed = replayed.clone();
        move |job, delivery| {
            replayed.lock().unwrap().push((job.number, delivery));
            async { Ok(()) }
        }
    });
    until_empty(&queue).await;
    worker.stop().await;
    let replayed = replayed.lock().unwrap();
    let [(number, delivery)] = replayed.as_slice() else { panic!("{replayed:?}") };
    assert!(page[0].payload.contains(&format!(":{number},")));
    assert_eq!(delivery.attempt, 1);
    let first_pushed = page[0].entry.unwrap().to_string();
    assert!(
        first_pushed.starts_with(&delivery.enqueued_at.as_millis().to_string()),
        "its first push is kept"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hook_decides_what_becomes_of_the_dead() {
    let server = Server::start();
    let queue = server.queue("send:normal");
    let told: Arc<Mutex<Vec<DeadJob<Work>>>> = Arc::default();
    let asked = Arc::new(AtomicUsize::new(0));
    let on_dead: OnDead<Work> = {
        let (told, asked) = (told.clone(), asked.clone());
        Arc::new(move |dead| {
            let (told, asked) = (told.clone(), asked.clone());
            async move {
                // Number 7 can be recorded at its third asking; the second one panics.
                if dead.job.as_ref().is_some_and(|job| job.number == 7) {
                    match asked.fetch_add(1, Ordering::Relaxed) {
                        0 => return DeadDecision::Later("no database".into()),
                        1 => panic!("the hook panics"),
                        _ => {}
                    }
                }
                let has_row = dead.job.is_some();
                told.lock().unwrap().push(dead);
                if has_row { DeadDecision::Drop } else { DeadDecision::Keep }
            }
            .boxed()
        })
    };
    queue.push_all(&[of_kind(Kind::Hopeless, 7), of_kind(Kind::Failing, 8)]).await.unwrap();
    push_garbage(&server, "herald:{send:normal:0}").await;
    let options = WorkerOptions { on_dead: Some(on_dead), max_attempts: 2, ..quick() };
    let worker = singles(&queue, options, |job, _| async move { behave(&job) });
    until_empty(&queue).await;
    worker.stop().await;
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    let told = told.lock().unwrap().clone();
    assert_eq!(told.len(), 7);
    let of =
        |number| told.iter().find(|dead| dead.job.as_ref().is_some_and(|job| job.number == number)).unwrap();
    assert_eq!((of(7).reason.as_str(), of(7).attempts), ("no hope", 1));
    assert_eq!((of(8).reason.as_str(), of(8).attempts), ("it fails", 2));
    let payloads: Vec<_> =
        told.iter().filter(|dead| dead.job.is_none()).map(|dead| dead.payload.as_str()).collect();
    assert!(payloads.contains(&"{not json") && payloads.contains(&"hello=world reason=none"), "{payloads:?}");
    let kept = queue.dead(None, 10).await.unwrap();
    assert_eq!(kept.len(), 5, "only what has no job is kept");
    assert!(kept.iter().any(|dead| dead.payload == "hello=world reason=none"), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unrecorded_death_outlives_its_worker() {
    let server = Server::start();
    let queue = server.queue("send:normal");
    queue.push(&of_kind(Kind::Hopeless, 1)).await.unwrap();
    let runs = Log::default();
    let later: OnDead<Work> = Arc::new(|_| async { DeadDecision::Later("no database".into()) }.boxed());
    let start = |on_dead| {
        let runs = runs.clone();
        singles(&queue, WorkerOptions { on_dead: Some(on_dead), ..quick() }, move |job, delivery| {
            runs.note(job.number, delivery.attempt);
            async move { behave(&job) }
        })
    };
    let worker = start(later);
    eventually("it has run", async || runs.total() == 1).await;
    worker.stop().await;
    assert_eq!(queue.depth().await.unwrap().parked, 1);
    let worker = start(Arc::new(|_| async { DeadDecision::Keep }.boxed()));
    until_empty(&queue).await;
    worker.stop().await;
    assert_eq!((runs.total(), queue.depth().await.unwrap().dead), (1, 1), "it did not run again");
}
