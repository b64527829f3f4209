//! Jobs that can never succeed, beside good ones.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::stage::{AMPLE, Worker, assert_memory_returns, flood, memory_at_rest};
use crate::support::eventually;
use crate::support::herald::{Herald, Story};

/// Longer than a lost job stays lost: what were taken for one would come again in this time.
const SWEPT: Duration = Duration::from_secs(8);
const STREAM: &str = "herald:{send:normal:0}";

/// Writes a row as SQL callers cannot.
async fn row(herald: &Herald, payload: &str) -> Uuid {
    sqlx::query_scalar(
        "insert into herald.outbox (id, lane, payload)
         select id, 'normal', replace($1, 'ID', id::text)::json from (select herald.uuid_v7() as id) as s returning id",
    )
    .bind(payload)
    .fetch_one(&herald.pool)
    .await
    .unwrap()
}

async fn entry(herald: &Herald, fields: &[(&str, &str)]) {
    let mut redis = herald.plain_redis().await;
    redis::cmd("XADD").arg(STREAM).arg("*").arg(fields).exec_async(&mut redis).await.unwrap();
}

/// The first column of what `herald dead list` shows, sorted.
async fn listed(herald: &Herald) -> Vec<String> {
    let said = herald.say(&["dead", "list"]).await;
    let mut ids: Vec<_> =
        said.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dead_are_exactly_the_poison_and_stay_dead_until_replayed() {
    let story = Story::begin().await;
    let worker = Worker::start(&story);
    let before = memory_at_rest(&story).await;
    let mut accepted = flood(&story, 2_000).await;

    let job = |kind: &str| {
        format!(
            r#"{{"id":"ID","accepted_at":1700000000000,"origin":"outbox",
                 "message":{{"recipient":"ann","message_type":"{kind}","message_text":"x","sender":"report","sender_instance":"7"}}}}"#
        )
    };
    let curable = row(&story, &job("NOT-YET")).await;
    let rows = [
        curable,
        row(&story, &job("VIEW-NORMAL").replace("ann", "nobody")).await,
        // Of a version that this one does not know.
        row(&story, &job("VIEW-NORMAL").replace("\"sender\"", "\"urgency\"")).await,
        row(&story, "\"garbage\"").await,
        row(&story, "[1, 2, 3]").await,
        row(&story, &job("VIEW-NORMAL").replace("ID", "00000000-0000-7000-8000-000000000000")).await,
    ];
    let good = job("VIEW-NORMAL")
        .replace("ID", "01900000-0000-7000-8000-000000000001")
        .replace("outbox", "fast_lane");
    entry(&story, &[("v", "1"), ("job", "not JSON")]).await;
    entry(&story, &[("v", "99"), ("job", &good)]).await;
    entry(&story, &[("v", "one"), ("job", &good)]).await;
    entry(&story, &[("something", "else")]).await;
    accepted.extend(flood(&story, 2_000).await);

    story.settle_within(AMPLE).await;
    eventually("all poison to be dead", async || listed(&story).await.len() == 10).await;
    story.assert_delivered(&accepted).await;
    let dead = listed(&story).await;
    let mut expected: Vec<String> = rows.iter().map(Uuid::to_string).collect();
    expected.extend(dead.iter().filter(|id| id.starts_with("send:normal/")).cloned());
    expected.sort();
    assert_eq!(dead, expected);

    let since = Instant::now();
    while since.elapsed() < SWEPT {
        assert_eq!(listed(&story).await, dead, "the dead rest");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    // What has been cured arrives; what has not dies again.
    story.add_type("NOT-YET", |_| {}).await;
    story.say(&["dead", "replay", "all"]).await;
    eventually("nine to be dead again", async || story.depth().await == 0 && listed(&story).await.len() == 9)
        .await;
    accepted.insert(curable);
    eventually("the cured one", async || story.delivered().await.contains(&curable)).await;
    story.assert_delivered(&accepted).await;

    for id in listed(&story).await {
        story.say(&["dead", "drop", &id]).await;
    }
    story.drain().await;
    assert_eq!(story.count("select count(*) from herald.outbox").await, 0);
    story.assert_delivered(&accepted).await;
    assert_memory_returns(&story, before).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_while_the_dead_are_buried_forgets_none() {
    let story = Story::begin().await;
    let worker = Worker::start(&story);
    let mut poison = BTreeSet::new();
    for n in 0..60 {
        let payload = format!(
            r#"{{"id":"ID","accepted_at":1700000000000,"origin":"outbox","message":{{"recipient":"nobody{n}",
                 "message_type":"VIEW-NORMAL","message_text":"x","sender":"report","sender_instance":"7"}}}}"#
        );
        poison.insert(row(&story, &payload).await.to_string());
    }
    let accepted = flood(&story, 1_000).await;
    worker.kill().await;
    let worker = Worker::start(&story);
    story.settle_within(AMPLE).await;
    assert_eq!(listed(&story).await, poison.into_iter().collect::<Vec<_>>());
    story.assert_delivered(&accepted).await;
    worker.stop().await;
}
