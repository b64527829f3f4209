//! Worker processes that are killed, stopped, frozen or flooded.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use uuid::Uuid;

use super::stage::{AMPLE, Worker, amid, assert_memory_returns, flood, memory_at_rest, sends_in_redis};
use crate::support::eventually;
use crate::support::herald::{Herald, Story, message};

async fn in_flight(herald: &Herald) -> u64 {
    let mut entries = 0;
    for (_, queue) in herald.queues.send.iter() {
        entries += queue.depth().await.unwrap().in_flight;
    }
    entries
}

/// Sends over the fast lane as well: nothing of that may be lost either, as long as Redis lives.
async fn flood_both_lanes(herald: &Herald, number: usize) -> BTreeSet<Uuid> {
    let mut accepted = flood(herald, number).await;
    for n in 0..number / 20 {
        let fast = herald.producer.enqueue(message("ann", "VIEW-NORMAL", &format!("fast {n}"))).await;
        accepted.insert(fast.unwrap().0);
    }
    accepted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_killed_with_jobs_in_flight_lose_nothing() {
    let story = Story::begin().await;
    let mut worker = Worker::start(&story);
    let before = memory_at_rest(&story).await;
    let mut accepted = BTreeSet::new();
    for _ in 0..3 {
        let killed = AtomicBool::new(false);
        let flooding = async {
            while !killed.load(Ordering::Relaxed) {
                accepted.extend(flood_both_lanes(&story, 1_000).await);
            }
        };
        let killing = async {
            eventually("jobs to be in flight", async || in_flight(&story).await > 0).await;
            worker.kill().await;
            killed.store(true, Ordering::Relaxed);
        };
        tokio::join!(flooding, killing);
        worker = Worker::start(&story);
    }
    story.settle_within(AMPLE).await;
    assert_eq!(story.dead().await, [""; 0]);
    story.assert_delivered(&accepted).await;
    assert_memory_returns(&story, before).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_told_to_stop_under_load_ends_in_order_and_hands_the_rest_back() {
    let story = Story::begin().await;
    let mut accepted = flood_both_lanes(&story, 1_000).await;
    let worker = Worker::start(&story);
    let stopped = AtomicBool::new(false);
    let flooding = async {
        while !stopped.load(Ordering::Relaxed) {
            accepted.extend(flood_both_lanes(&story, 1_000).await);
        }
    };
    let stopping = async {
        amid(&story, 500).await;
        worker.stop().await;
        stopped.store(true, Ordering::Relaxed);
    };
    tokio::join!(flooding, stopping);
    assert_eq!(in_flight(&story).await, 0, "what it had is free at once, not after it would be taken over");

    let worker = Worker::start(&story);
    story.settle_within(AMPLE).await;
    story.assert_delivered(&accepted).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_workers_jobs_are_taken_over_and_its_return_does_no_harm() {
    let story = Story::begin().await;
    let (frozen, other) = (Worker::start(&story), Worker::start(&story));
    let before = memory_at_rest(&story).await;
    let mut accepted = BTreeSet::new();
    for _ in 0..2 {
        accepted.extend(flood_both_lanes(&story, 6_000).await);
        frozen.signal(Signal::SIGSTOP);
        accepted.extend(flood_both_lanes(&story, 1_000).await);
        story.settle_within(AMPLE).await;
        story.assert_delivered(&accepted).await;
        // Past the lease of the relay as well, which the frozen one may hold.
        frozen.signal(Signal::SIGCONT);
    }
    accepted.extend(flood_both_lanes(&story, 2_000).await);
    story.settle_within(AMPLE).await;
    story.assert_delivered(&accepted).await;
    assert_eq!(story.dead().await, [""; 0]);
    assert_memory_returns(&story, before).await;
    frozen.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_that_are_due_at_once_arrive() {
    let story = Story::begin().await;
    let worker = Worker::start(&story);
    let before = memory_at_rest(&story).await;
    story
        .execute(
            "do $$ declare at timestamptz := now() + interval '1 day';
             begin
                 perform herald.send_message('ann', 'x' || n, 'VIEW-NORMAL', 'report', '7', deliver_at => at)
                 from generate_series(1, 50000) n;
             end $$",
        )
        .await;
    let accepted: Vec<Uuid> =
        sqlx::query_scalar("select id from herald.outbox").fetch_all(&story.pool).await.unwrap();
    let accepted: BTreeSet<Uuid> = accepted.into_iter().collect();
    assert_eq!(accepted.len(), 50_000);
    // Their time comes.
    story.execute("update herald.outbox set due_at = now()").await;
    let watch = async {
        loop {
            let entries = sends_in_redis(&story).await;
            assert!(entries <= 21_000, "{entries} entries");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! { () = story.settle_within(AMPLE) => {}, () = watch => {} }
    story.assert_delivered(&accepted).await;
    assert_memory_returns(&story, before).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_the_rows_of_a_cancelled_batch_follow_though_workers_die_meanwhile() {
    let story = Story::begin().await;
    let worker = Worker::start(&story);
    let recipients: Vec<String> =
        ["ann", "bob"].map(str::to_owned).into_iter().cycle().take(20_000).collect();
    let notice = message("", "VIEW-NORMAL", "The canteen is closed.");
    let batch = story.producer.send_many(notice, &recipients).await.unwrap();
    amid(&story, 10_000).await;
    assert!(story.producer.cancel_batch(batch.id).await.unwrap());
    let with = |status: &str| {
        let sql = format!("select count(*) from herald.message where status = '{status}'");
        let story = &story;
        async move { story.count(&sql).await }
    };
    eventually("some rows to follow", async || with("cancelled").await > 0).await;
    worker.kill().await;
    assert!(with("pending").await > 0, "it died amid its work");
    for name in ["ann", "bob"] {
        assert!(story.pending(name, false).await.is_empty(), "nobody sees them meanwhile");
    }
    let worker = Worker::start(&story);
    let followed = "select count(*) from herald.cancelled_batch where followed_at is not null";
    eventually("the others to follow", async || story.count(followed).await == 1).await;
    story.settle_within(AMPLE).await;
    assert_eq!((with("pending").await, with("cancelled").await), (0, 20_000));
    assert_eq!(story.dead().await, [""; 0]);
    worker.stop().await;
}
