use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use herald_queue::{Failure, Options, Queue, WorkerOptions};
use metrics_exporter_prometheus::PrometheusBuilder;
use redis::AsyncCommands;

use crate::support::{
    Log, Server, Work, batches, eventually, noting, noting_batches, quick, singles, until_empty, work, works,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_run_once_and_leave_nothing_behind() {
    let server = Server::start();
    let (queue, log) = (server.queue("send:alert"), Log::default());
    queue.push(&work(0)).await.unwrap();
    let worker = noting(&queue, quick(), &log);
    queue.push_all(&works(1..2_000)).await.unwrap();
    until_empty(&queue).await;
    worker.stop().await;
    assert_eq!((log.distinct(), log.total()), (2_000, 2_000));
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.in_flight, depth.parked, depth.dead, depth.oldest_age), (0, 0, 0, None));
    let mut plain = server.plain().await;
    let keys: Vec<String> = plain.keys("*").await.unwrap();
    assert_eq!(keys, ["herald:{send:alert:0}"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_hold_what_is_there_in_order() {
    let server = Server::start();
    let (queue, log, sizes) = (server.queue("send:bulk"), Log::default(), Arc::new(Mutex::new(vec![])));
    queue.push_all(&works(0..1_250)).await.unwrap();
    let worker = batches(&queue, WorkerOptions { concurrency: 1, ..quick() }, {
        let (log, sizes) = (log.clone(), sizes.clone());
        move |batch| {
            sizes.lock().unwrap().push(batch.entries.len());
            for entry in &batch.entries {
                log.note(entry.job.number, entry.attempt);
            }
            async move { Ok(vec![Ok(()); batch.entries.len()]) }
        }
    });
    until_empty(&queue).await;
    worker.stop().await;
    assert_eq!(log.total(), 1_250);
    assert_eq!(*sizes.lock().unwrap(), [500, 500, 250]);
    let first_runs: Vec<_> = (0..1_250).map(|number| log.moments(number)[0]).collect();
    assert!(first_runs.is_sorted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_share_the_work() {
    let server = Server::start();
    let (queue, logs) = (server.queue("send:normal"), [Log::default(), Log::default()]);
    let workers = logs.clone().map(|log| {
        singles(&queue, WorkerOptions { concurrency: 4, ..WorkerOptions::default() }, move |job, delivery| {
            log.note(job.number, delivery.attempt);
            async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(())
            }
        })
    });
    queue.push_all(&works(0..2_400)).await.unwrap();
    until_empty(&queue).await;
    for worker in workers {
        worker.stop().await;
    }
    let [one, other] = logs.map(|log| log.total());
    assert_eq!(one + other, 2_400);
    assert!(one > 300 && other > 300, "{one} and {other}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_holds_no_more_than_it_runs() {
    let server = Server::start();
    let (queue, log) = (server.queue("send:normal"), Log::default());
    queue.push_all(&works(0..1_000)).await.unwrap();
    let noting = log.clone();
    let stuck = singles(&queue, WorkerOptions { concurrency: 3, ..quick() }, move |job, delivery| {
        noting.note(job.number, delivery.attempt);
        std::future::pending()
    });
    eventually("three run", async || log.total() == 3).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((queue.depth().await.unwrap().in_flight, log.total()), (3, 3));
    stuck.drop_now().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_memory_is_back_where_it_was() {
    let server = Server::start();
    let (queue, log) = (server.queue("send:bulk"), Log::default());
    let used = async || {
        let info: String =
            redis::cmd("INFO").arg("memory").query_async(&mut server.plain().await).await.unwrap();
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
        used.trim().parse::<i64>().unwrap()
    };
    let worker = noting_batches(&queue, quick(), &log);
    queue.push_all(&works(0..1_000)).await.unwrap();
    until_empty(&queue).await;
    let before = used().await;
    for round in 1..=5 {
        queue.push_all(&works(round * 10_000..(round + 1) * 10_000)).await.unwrap();
        until_empty(&queue).await;
    }
    // What a big pipeline was read into is given back a little later.
    eventually("the memory to return", async || used().await - before < 500_000).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_pass_a_full_stream_of_another_queue() {
    let server = Server::start();
    let (bulk, alert) = (server.queue("send:bulk"), server.queue("send:alert"));
    let (bulk_log, alert_log) = (Log::default(), Log::default());
    bulk.push_all(&works(0..150_000)).await.unwrap();
    // 25,000 a second at most: the stream lasts for longer than the alerts take.
    let slowly = batches(&bulk, WorkerOptions { concurrency: 1, ..quick() }, {
        let log = bulk_log.clone();
        move |batch| {
            for entry in &batch.entries {
                log.note(entry.job.number, entry.attempt);
            }
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Ok(vec![Ok(()); batch.entries.len()])
            }
        }
    });
    let workers = [slowly, noting(&alert, quick(), &alert_log)];
    // Jobs of the full stream that ran while an alert waited, and of those that were before it.
    let mut shares = Vec::new();
    for number in 0..100 {
        let (before, ahead) = (bulk_log.total(), bulk.depth().await.unwrap().jobs);
        if ahead < 50_000 {
            break;
        }
        alert.push(&work(number)).await.unwrap();
        eventually("the alert runs", async || alert_log.times(number) == 1).await;
        shares.push((bulk_log.total() - before) * 1_000 / usize::try_from(ahead).unwrap());
    }
    for worker in workers {
        worker.stop().await;
    }
    assert!(bulk_log.total() > 0 && shares.len() >= 10, "{} ran, {} alerts", bulk_log.total(), shares.len());
    shares.sort_unstable();
    assert!(shares[shares.len() / 2] < 100, "thousandths of the stream: {shares:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trace_of_a_push_reaches_the_handler() {
    let server = Server::start();
    let trace = || Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    let options = Options { trace: Some(trace), ..Options::default() };
    let queue: Queue<Work> = Queue::new(&server.redis(), "send:normal", options);
    let before = server.redis().time().await.unwrap() - Duration::from_millis(1);
    queue.push(&work(1)).await.unwrap();
    let seen = Arc::new(Mutex::new(None));
    let worker = singles(&queue, quick(), {
        let seen = seen.clone();
        move |_, delivery| {
            *seen.lock().unwrap() = Some(delivery);
            async { Ok(()) }
        }
    });
    until_empty(&queue).await;
    worker.stop().await;
    let delivery = seen.lock().unwrap().take().unwrap();
    assert_eq!(delivery.trace, trace());
    assert_eq!(delivery.attempt, 1);
    assert!(delivery.enqueued_at >= before);
}

/// The only test that installs a recorder, which the whole process shares.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_what_happened() {
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    let server = Server::start();
    let (queue, log) = (server.queue("metrics"), Log::default());
    queue.push_all(&works(0..40)).await.unwrap();
    let worker = batches(&queue, quick(), move |batch| {
        for entry in &batch.entries {
            log.note(entry.job.number, entry.attempt);
        }
        let outcome = |number| match number {
            1 => Err(Failure::dead("no hope")),
            _ => Ok(()),
        };
        async move { Ok(batch.entries.iter().map(|entry| outcome(entry.job.number)).collect()) }
    });
    until_empty(&queue).await;
    worker.stop().await;
    let text = metrics.render();
    for line in [
        r#"queue_jobs_total{queue="metrics",outcome="done"} 39"#,
        r#"queue_jobs_total{queue="metrics",outcome="dead"} 1"#,
        r#"queue_job_wait_seconds_count{queue="metrics"} 40"#,
        r#"queue_in_flight{queue="metrics"} 0"#,
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
    assert!(text.contains(r#"queue_job_run_seconds_count{queue="metrics"}"#));
}
