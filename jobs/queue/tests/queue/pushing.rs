use std::time::Duration;

use apalis::prelude::{TaskBuilder, TaskSink, TaskSinkError};
use futures::stream;
use herald_queue::{Options, Queue, QueueError, Redis};
use redis::AsyncCommands;

use crate::support::{Log, PATIENCE, Server, Work, noting, quick, until_empty, work, works};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apalis_pushes_through_the_sink() {
    let server = Server::start();
    let (queue, log) = (server.queue("send:normal"), Log::default());
    let mut sink = queue.sink();
    sink.push(work(0)).await.unwrap();
    sink.push_bulk(works(1..700)).await.unwrap();
    sink.push_stream(stream::iter(works(700..1_300))).await.unwrap();
    sink.push_task(TaskBuilder::new(work(1_300)).build()).await.unwrap();
    let tasks: Vec<_> = works(1_301..2_000).into_iter().map(|job| TaskBuilder::new(job).build()).collect();
    sink.push_all(stream::iter(tasks)).await.unwrap();
    assert_eq!(queue.depth().await.unwrap().jobs, 2_000);
    let worker = noting(&queue, quick(), &log);
    until_empty(&queue).await;
    worker.stop().await;
    assert_eq!((log.distinct(), log.total()), (2_000, 2_000));
}

#[tokio::test]
async fn a_stream_refuses_to_hold_a_job_back() {
    let server = Server::start();
    let queue = server.queue("send:normal");
    let task = TaskBuilder::new(work(0)).run_after(Duration::from_secs(60)).build();
    let refused = queue.sink().push_task(task).await.unwrap_err();
    assert!(matches!(refused, TaskSinkError::PushError(QueueError::Scheduled)), "{refused}");
    assert_eq!(queue.depth().await.unwrap().jobs, 0);
}

#[tokio::test]
async fn a_push_without_redis_is_an_error_soon_and_works_again_later() {
    let mut server = Server::start();
    let queue = server.queue("send:normal");
    let mut sink = queue.sink();
    queue.push(&work(1)).await.unwrap();
    sink.push(work(2)).await.unwrap();
    server.kill();
    for _ in 0..2 {
        let limit = Duration::from_secs(15);
        assert!(tokio::time::timeout(limit, queue.push(&work(3))).await.unwrap().is_err());
        assert!(tokio::time::timeout(limit, sink.push(work(4))).await.unwrap().is_err());
        assert!(tokio::time::timeout(limit, queue.depth()).await.unwrap().is_err());
    }
    server.start_again();
    let deadline = std::time::Instant::now() + PATIENCE;
    while queue.push(&work(5)).await.is_err() || sink.push(work(6)).await.is_err() {
        assert!(std::time::Instant::now() < deadline);
    }
    let bodies = payloads(&server, "herald:{send:normal:0}").await;
    let failed = bodies.iter().filter(|body| body.contains(":3,") || body.contains(":4,")).count();
    assert_eq!(failed, 0, "what was refused does not come later");
}

async fn payloads(server: &Server, stream: &str) -> Vec<String> {
    let range: redis::streams::StreamRangeReply = server.plain().await.xrange_all(stream).await.unwrap();
    range.ids.iter().map(|entry| entry.get("job").unwrap()).collect()
}

#[tokio::test]
async fn an_address_that_is_none_is_told_and_one_without_a_server_is_not() {
    assert!(Redis::open("http://localhost").is_err());
    let nobody = Redis::open("redis://127.0.0.1:1/").unwrap();
    assert!(nobody.ping().await.is_err());
}

#[tokio::test]
async fn an_entry_is_plain_to_read() {
    let server = Server::start();
    let trace = || Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    let options = Options { prefix: "app".into(), trace: Some(trace), ..Options::default() };
    let queue: Queue<Work> = Queue::new(&server.redis(), "email:bulk", options);
    queue.push(&work(7)).await.unwrap();
    let range: Vec<(String, Vec<String>)> =
        server.plain().await.xrange_all("app:{email:bulk:0}").await.unwrap();
    let expected = [
        "v",
        "1",
        "trace",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "job",
        r#"{"number":7,"kind":"Good","filling":""}"#,
    ];
    assert_eq!(range[0].1, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_share_the_jobs_by_their_key() {
    let server = Server::start();
    let options = Options { shards: 3, ..Options::default() };
    let (queue, log) = (Queue::new(&server.redis(), "send:bulk", options), Log::default());
    let keyed = |number: u64| Work { filling: format!("recipient-{}", number % 20), ..work(number) };
    queue.push_all(&(0..600).map(keyed).collect::<Vec<_>>()).await.unwrap();
    queue.push_all(&works(600..900)).await.unwrap();
    let mut holders = std::collections::HashMap::<String, usize>::new();
    for shard in 0..3 {
        let bodies = payloads(&server, &format!("herald:{{send:bulk:{shard}}}")).await;
        assert!(bodies.len() >= 100, "shard {shard} holds {}", bodies.len());
        for recipient in (0..20).map(|number| format!("\"recipient-{number}\"")) {
            *holders.entry(recipient.clone()).or_default() +=
                usize::from(bodies.iter().any(|body| body.contains(&recipient)));
        }
    }
    assert!(holders.values().all(|holders| *holders == 1), "{holders:?}");
    let worker = noting(&queue, quick(), &log);
    until_empty(&queue).await;
    worker.stop().await;
    assert_eq!((log.distinct(), log.total()), (900, 900));
}

#[tokio::test]
async fn depth_tells_entries_age_and_size() {
    let server = Server::start();
    let queue = server.queue("send:normal");
    assert_eq!(queue.depth().await.unwrap(), herald_queue::Depth::default());
    queue.push_all(&works(0..1_000)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.jobs, depth.in_flight, depth.dead), (1_000, 0, 0));
    let age = depth.oldest_age.unwrap();
    assert!((Duration::from_millis(50)..PATIENCE).contains(&age), "{age:?}");
    assert!((20_000..1_000_000).contains(&depth.bytes), "{}", depth.bytes);
}
