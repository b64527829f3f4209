//! Purging, and the path of a periodic job.

use std::collections::BTreeSet;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use herald_jobs::periodic::{PeriodicJob, PeriodicName};
use herald_jobs::retention::Retention;
use herald_jobs::store;
use herald_jobs::store::periodic::Run;
use herald_producers::NewMessage;

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
async fn c07_the_days_of_what_was_sent_for_later_count_from_then() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let deliver_at = Some(story.clock.now() + TimeDelta::days(30));
    let later = NewMessage { deliver_at, ..message("ann", "VIEW-NORMAL", "x") };
    story.producer.send(later).await.unwrap();
    story.clock.advance(TimeDelta::days(31));
    story.drain().await;
    for (days, left) in [(8, 1), (2, 0)] {
        story.clock.advance(TimeDelta::days(days));
        purge(&story, story.clock.now().trunc_subsecs(0), 1).await;
        assert_eq!(story.delivered().await.len(), left);
    }
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

/// What a purge would delete, as the command says it.
async fn due(story: &Story) -> String {
    let now = story.clock.now();
    let gone = herald_workers::purge::dry_run(&story.pool, Retention::default(), now).await.unwrap();
    herald_workers::purge::told(&gone)
}

#[tokio::test]
async fn c07_what_is_done_with_goes_by_its_own_retention_and_what_was_unread_is_told() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let catcher = story.mail_catcher().await;
    let sent = story.producer.send(message("ann", "ALERT-EMAIL", "x")).await.unwrap();
    let answered = story.producer.send(message("ann", "REPLY-YESNO", "x")).await.unwrap();
    let asked = story.producer.send(message("bob", "REPLY-YESNO", "x")).await.unwrap();
    let seen = story.producer.send(message("bob", "VIEW-NORMAL", "x")).await.unwrap();
    story.drain().await;
    let (ann, bob, now) = (story.user("ann").await, story.user("bob").await, story.clock.now());
    store::inbox::act(&story.pool, ann, &[(answered.0, Some("Yes"))], now).await.unwrap();
    store::inbox::mark_seen(&story.pool, bob, &[seen.0], now).await.unwrap();
    store::audit::record(&story.pool, "test", "type set", "X").await.unwrap();
    story.say(&["token", "create", "old", "--sender", "erp", "--expires", "1"]).await;
    purge(&story, now.trunc_subsecs(0), 1).await;
    story.clock.advance(TimeDelta::days(11));
    assert!(due(&story).await.starts_with("purged 2 expired messages, 0 messages of the history, 0 copies"));
    let now = story.clock.now();
    let run = purge(&story, now.trunc_subsecs(0), 1).await;
    assert!(run.result.unwrap().starts_with("purged 2 expired messages, 0 messages of the history"));
    let day = now.date_naive();
    let unread = store::purging::unread(&story.pool, day).await.unwrap();
    let unread: Vec<_> =
        unread.iter().map(|it| (it.recipient.as_str(), it.message_type.as_str(), it.messages)).collect();
    assert_eq!(unread, [("ann", "ALERT-EMAIL", 1)], "bob had seen his");

    story.clock.advance(TimeDelta::days(360));
    let said = due(&story).await;
    for part in [
        "0 expired messages",
        "1 messages of the history",
        "0 copies of the ledger",
        "1 tokens",
        "2 periodic runs",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let run = purge(&story, story.clock.now().trunc_subsecs(0), 1).await;
    assert!(run.result.unwrap().contains("1 messages of the history"));
    assert_eq!(story.copies(sent).await.len(), 1);
    story.clock.advance(TimeDelta::days(30));
    let run = purge(&story, story.clock.now().trunc_subsecs(0), 1).await;
    let said = run.result.unwrap();
    assert!(
        said.contains("1 copies of the ledger") && said.contains("1 counts of unread messages"),
        "{said}"
    );
    assert!(story.copies(sent).await.is_empty());
    assert_eq!(story.count("select count(*) from herald.delivery_attempt").await, 0);
    let left: Vec<_> = story.delivered().await.into_iter().collect();
    assert_eq!(left, [asked.0], "bob was asked, and has not answered");
    assert_eq!(catcher.mailbox().taken(), 1);
    workers.stop().await;
}

#[tokio::test]
async fn c07_who_acts_while_messages_are_purged_loses_nothing() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let many = vec!["ann".into(); 3_000];
    let batch = story.producer.send_many(message("", "VIEW-NORMAL", "x"), &many).await.unwrap();
    let ids: Vec<_> = batch.answers.into_iter().map(|answer| answer.unwrap().0).collect();
    story.drain().await;
    story.clock.advance(TimeDelta::days(11));
    let (ann, now) = (story.user("ann").await, story.clock.now());
    let acting = async {
        let mut acted = BTreeSet::new();
        for some in ids.chunks(50) {
            let acts: Vec<(uuid::Uuid, Option<&str>)> = some.iter().map(|id| (*id, None)).collect();
            acted.extend(store::inbox::act(&story.pool, ann, &acts, now).await.unwrap());
        }
        acted
    };
    let purging = herald_workers::purge::purge(&story.pool, Retention::default(), now);
    let (acted, gone) = tokio::join!(acting, purging);
    let purged = gone.unwrap()[0].1;
    let kept = story.delivered().await;
    assert_eq!(acted, kept, "each was acted on, or purged");
    assert_eq!(u64::try_from(kept.len()).unwrap() + purged, 3_000);
    workers.stop().await;
}

#[tokio::test]
async fn purging_is_done_and_foretold_by_a_command() {
    let story = Story::begin().await;
    story.execute("insert into herald.audit (at, actor, action, subject) select now() - interval '9 days', 'x', 'y', 'z' from generate_series(1, 1500)").await;
    let with = async |arguments: &[&str]| {
        let mut command = story.command(arguments);
        let output = command.env("HERALD__PURGE__AUDIT_DAYS", "7").output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(with(&["purge", "--dry-run"]).await.contains("1500 audit entries\n"));
    assert!(with(&["purge"]).await.contains("1500 audit entries"));
    assert!(with(&["purge", "--dry-run"]).await.contains("0 audit entries\n"));
    assert_eq!(with(&["purge", "unread"]).await, "");
}

#[tokio::test]
async fn a_slot_that_is_yet_to_come_is_left_to_its_time() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let slot = story.clock.now() + TimeDelta::hours(1);
    let job = PeriodicJob { name: PeriodicName::Purge, slot };
    story.queues.periodic.push(&job).await.unwrap();
    story.drain().await;
    assert_eq!(run_of(&story, slot).await, None);
    story.clock.advance(TimeDelta::hours(1));
    let run = purge(&story, slot.trunc_subsecs(0), 1).await;
    assert_eq!(run.succeeded, Some(true));
    workers.stop().await;
}
