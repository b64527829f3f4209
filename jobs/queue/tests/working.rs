use std::sync::{Arc, Mutex};

use herald_queue::WorkerOptions;
use redis::AsyncCommands;

use crate::support::{Log, Server, batches, noting, quick, until_empty, work, works};

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
