//! Redis dies, comes back, and forgets everything.

use std::collections::BTreeSet;
use std::time::Duration;

use herald::private::Stop;
use nix::sys::signal::Signal;

use super::stage::{AMPLE, Worker, amid, assert_memory_returns, flood, memory_at_rest, sends_in_redis};
use crate::support::herald::{Herald, Story, message};

async fn forget_everything(herald: &Herald) {
    let mut redis = herald.plain_redis().await;
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_be_killed_and_come_back_under_load() {
    let mut story = Story::begin().await;
    let worker = Worker::start(&story);
    let before = memory_at_rest(&story).await;
    let mut accepted = BTreeSet::new();
    for _ in 0..2 {
        accepted.extend(flood(&story, 3_000).await);
        story.redis.stop(Stop::Abrupt).await.unwrap();
        // Accepting goes on without it.
        accepted.extend(flood(&story, 1_000).await);
        story.redis.start_again().await.unwrap();
        accepted.extend(flood(&story, 1_000).await);
    }
    story.settle_within(AMPLE).await;
    story.assert_delivered(&accepted).await;
    assert_eq!(story.dead().await, [""; 0]);
    assert_memory_returns(&story, before).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_forget_ten_thousand_accepted_messages() {
    let story = Story::begin().await;
    let mut accepted = flood(&story, 10_000).await;
    assert!(sends_in_redis(&story).await > 5_000);
    forget_everything(&story).await;
    let worker = Worker::start(&story);
    amid(&story, 1).await;
    // And again while it works, with entries in its hands.
    accepted.extend(flood(&story, 5_000).await);
    forget_everything(&story).await;
    story.settle_within(AMPLE).await;
    story.assert_delivered(&accepted).await;
    assert_eq!(story.dead().await, [""; 0]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_million_wait_in_postgres_while_the_worker_is_paused() {
    /// By the producer, which pushes while there is room, and by SQL, which leaves that to the relay.
    const SENT: (usize, usize) = (60_000, 440_000);
    /// What a lane may hold, what one look at its depth may miss, and what the relay may add in one round.
    const MOST: u64 = 20_000 + 10_000 + 1_000;
    const ROWS: &str = "select count(*) from herald.outbox";
    let story = Story::begin().await;
    let worker = Worker::start(&story);
    let before = memory_at_rest(&story).await;
    worker.signal(Signal::SIGSTOP);

    let by_producer = async {
        let to = vec!["ann".to_owned(); SENT.0 / 2];
        for _ in 0..2 {
            let batch = story.producer.send_many(message("", "VIEW-NORMAL", "x"), &to).await.unwrap();
            assert!(batch.answers.iter().all(Result::is_ok));
            forget_everything(&story).await;
        }
    };
    let by_sql = async {
        // Written as `herald.send_message` writes them, but many by one statement.
        let sql = "insert into herald.outbox (id, lane, payload, due_at)
             select id, 'normal', json_build_object('id', id, 'accepted_at', 1700000000000, 'origin', 'outbox', 'message',
                        json_build_object('recipient', 'bob', 'message_type', 'VIEW-NORMAL', 'message_text', 'x',
                                          'sender', 'report', 'sender_instance', '7')), now()
             from (select herald.uuid_v7() as id from generate_series(1, 44000)) as s";
        for _ in 0..SENT.1 / 44_000 {
            story.execute(sql).await;
        }
    };
    let watch = async {
        loop {
            let before = story.count(ROWS).await;
            let entries = sends_in_redis(&story).await;
            assert!(entries <= MOST, "{entries} entries");
            // Entries whose rows went a moment ago go a moment later.
            let rows = before.max(story.count(ROWS).await);
            assert!(entries <= rows.unsigned_abs() + 5_000, "{entries} entries for {rows} rows");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let all = async {
        tokio::join!(by_producer, by_sql);
        story.execute("create table public.accepted as select id from herald.outbox").await;
        assert_eq!(story.count("select count(*) from public.accepted").await, 500_000);
        forget_everything(&story).await;
        worker.signal(Signal::SIGCONT);
        let second = Worker::start(&story);
        story.settle_within(3 * AMPLE).await;
        second
    };
    let second = tokio::select! { second = all => second, () = watch => unreachable!("it watches for ever") };
    assert_eq!(story.count("select count(*) from herald.message").await, 500_000);
    let lost = "select count(*) from public.accepted a where not exists (select from herald.message m where m.id = a.id)";
    assert_eq!(story.count(lost).await, 0);
    assert_eq!(story.dead().await, [""; 0]);
    assert_memory_returns(&story, before).await;
    worker.stop().await;
    second.stop().await;
}
