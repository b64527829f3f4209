//! Purging, and the path of a periodic job.

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use herald_jobs::periodic::{PeriodicJob, PeriodicName};
use herald_jobs::store;
use herald_jobs::store::periodic::Run;

use crate::support::eventually;
use crate::support::herald::{Story, message};

/// Pushes a slot of the purge as often as told, and waits for its run.
async fn purge(story: &Story, slot: DateTime<Utc>, times: usize) -> Run {
    for _ in 0..times {
        story.queues.periodic.push(&PeriodicJob { name: PeriodicName::Purge, slot }).await.unwrap();
    }
    eventually("the purge", async || run_of(story, slot).await.is_some_and(|run| run.finished_at.is_some()))
        .await;
    story.drain().await;
    run_of(story, slot).await.unwrap()
}

async fn run_of(story: &Story, slot: DateTime<Utc>) -> Option<Run> {
    let runs = store::periodic::latest(&story.pool, 100).await.unwrap();
    runs.into_iter().find(|run| run.slot == slot)
}

#[tokio::test]
async fn c07_view_messages_are_purged_when_their_days_have_passed_and_others_stay() {
    let story = Story::begin().await;
    story.add_type("VIEW-ALWAYS", |kind| kind.expiry_days = None).await;
    let workers = story.work().await;
    let catcher = story.mail_catcher().await;
    let mut sent = Vec::new();
    for code in ["VIEW-NORMAL", "ALERT-EMAIL", "REPLY-YESNO", "VIEW-ALWAYS", "VIEW-NORMAL"] {
        sent.push(story.producer.send(message("ann", code, "x")).await.unwrap());
    }
    story.drain().await;
    // Seen is not acted on: it is purged as well.
    let (ann, now) = (story.user("ann").await, story.clock.now());
    store::inbox::mark_seen(&story.pool, ann, &[sent[0].0], now).await.unwrap();
    let acted = store::inbox::act(&story.pool, ann, &[(sent[4].0, None)], now).await.unwrap();
    assert_eq!(acted.len(), 1);

    story.clock.advance(TimeDelta::days(9));
    let slot = story.clock.now().trunc_subsecs(0);
    let early = purge(&story, slot, 1).await;
    assert!(early.result.unwrap().starts_with("purged 0 expired messages"));
    assert_eq!(story.delivered().await.len(), 5);

    story.clock.advance(TimeDelta::days(2));
    let run = purge(&story, slot + TimeDelta::days(2), 1).await;
    assert_eq!(run.succeeded, Some(true));
    assert!(run.result.as_deref().unwrap().starts_with("purged 2 expired messages"), "{run:?}");
    let left: Vec<_> = story.delivered().await.into_iter().collect();
    assert_eq!(
        left,
        [sent[2].0, sent[3].0, sent[4].0],
        "the question, what never expires, and what was acted on"
    );
    let ledger = story.copies(sent[1]).await;
    assert_eq!(ledger.len(), 1, "the ledger outlives its message");
    assert_eq!(catcher.mailbox().taken(), 1);
    workers.stop().await;
}

#[tokio::test]
async fn c07_more_messages_than_one_statement_takes_are_purged_by_one_run() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let many =
        story.producer.send_many(message("", "VIEW-NORMAL", "x"), &vec!["ann".into(); 2_500]).await.unwrap();
    assert!(many.answers.iter().all(Result::is_ok));
    story.drain().await;
    story.clock.advance(TimeDelta::days(11));
    let run = purge(&story, story.clock.now().trunc_subsecs(0), 1).await;
    assert!(run.result.as_deref().unwrap().starts_with("purged 2500 expired messages"), "{run:?}");
    assert!(story.delivered().await.is_empty());
    workers.stop().await;
}

#[tokio::test]
async fn a_slot_that_is_pushed_twice_runs_once() {
    let story = Story::begin().await;
    let (one, two) = (story.work().await, story.work().await);
    let slot = story.clock.now().trunc_subsecs(0);
    purge(&story, slot, 10).await;
    // Whatever expires after the slot's run is the next slot's: a second run of this one would find it.
    story.producer.send(message("ann", "VIEW-NORMAL", "x")).await.unwrap();
    story.drain().await;
    story.clock.advance(TimeDelta::days(11));
    purge(&story, slot, 10).await;
    assert_eq!(story.delivered().await.len(), 1);
    assert_eq!(store::periodic::latest(&story.pool, 100).await.unwrap().len(), 1);
    one.stop().await;
    two.stop().await;
}
