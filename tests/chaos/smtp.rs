//! The mail server is cut off before and after the final dot, and the worker dies in between.

use std::time::Duration;

use herald::catcher::{Behaviour, Catcher, Deed, Phase, When};
use herald_jobs::deliver::{AttemptOutcome, DeliveryState};
use herald_jobs::message_type::{ExternalDelivery, OnUnknown};
use herald_jobs::store::deliveries::Delivery;
use herald_producers::MessageId;

use super::stage::Worker;
use crate::support::eventually;
use crate::support::herald::{Story, message};

async fn with_email_types() -> Story {
    let story = Story::begin().await;
    for (code, on_unknown) in [("MAIL", OnUnknown::RetryOnce), ("MAIL-ONCE", OnUnknown::Hold)] {
        story
            .add_type(code, |kind| {
                kind.external_delivery = ExternalDelivery::Email;
                kind.on_unknown = on_unknown;
            })
            .await;
    }
    story
}

async fn copy(story: &Story, id: MessageId) -> Option<Delivery> {
    story.copies(id).await.pop()
}

async fn until_state(story: &Story, id: MessageId, state: DeliveryState) {
    eventually(&format!("the copy to be {state}"), async || {
        copy(story, id).await.is_some_and(|copy| copy.state == state)
    })
    .await;
}

async fn outcomes(story: &Story, id: MessageId) -> Vec<AttemptOutcome> {
    let copy = copy(story, id).await.unwrap();
    story.attempts(&copy).await.into_iter().map(|attempt| attempt.outcome).collect()
}

/// The Message-IDs of all tries, each once.
fn message_ids(catcher: &Catcher) -> Vec<String> {
    let mut ids: Vec<_> =
        catcher.mailbox().attempts().into_iter().filter_map(|attempt| attempt.message_id).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn cut_once(at: Phase) -> Behaviour {
    Behaviour::default().and(at, Deed::Cut, When::First(1))
}

#[tokio::test]
async fn a_mail_cut_before_the_dot_is_sent_again_and_never_in_doubt() {
    let story = with_email_types().await;
    let (worker, catcher) = (Worker::start(&story), story.mail_catcher().await);
    for (round, at) in (1..).zip([Phase::Mail, Phase::Rcpt, Phase::Data]) {
        catcher.mailbox().clear();
        catcher.set_behaviour(cut_once(at));
        let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
        eventually("the first attempt to end", async || {
            copy(&story, id).await.is_some_and(|copy| {
                copy.state == DeliveryState::Sent || copy.attempts == 1 && copy.reason.is_some()
            })
        })
        .await;
        // The wait for the next attempt passes.
        story.execute("update herald.delivery set next_attempt_at = now(), pushed_at = null where state = 'pending'").await;
        until_state(&story, id, DeliveryState::Sent).await;
        let outcomes = outcomes(&story, id).await;
        assert!(!outcomes.contains(&AttemptOutcome::Unknown), "{at:?}: {outcomes:?}");
        assert_eq!(catcher.mailbox().taken(), round, "{at:?}");
        assert_eq!(message_ids(&catcher).len(), 1, "{at:?}");
    }
    worker.stop().await;
}

#[tokio::test]
async fn a_mail_cut_after_the_dot_is_in_doubt_and_sent_once_more_or_held() {
    let story = with_email_types().await;
    let (worker, catcher) = (Worker::start(&story), story.mail_catcher().await);
    catcher.set_behaviour(cut_once(Phase::Dot));
    let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    until_state(&story, id, DeliveryState::Sent).await;
    assert_eq!(outcomes(&story, id).await, [AttemptOutcome::Unknown, AttemptOutcome::Sent]);
    // The server had kept the first: the same Message-ID lets the recipient's server see that.
    assert_eq!((catcher.mailbox().taken(), message_ids(&catcher).len()), (2, 1));

    catcher.mailbox().clear();
    catcher.set_behaviour(Behaviour::at(Phase::Dot, Deed::Cut));
    let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    until_state(&story, id, DeliveryState::Unknown).await;
    assert_eq!(outcomes(&story, id).await, [AttemptOutcome::Unknown, AttemptOutcome::Unknown]);
    assert_eq!((catcher.mailbox().taken(), message_ids(&catcher).len()), (4, 1));

    let once = story.producer.send(message("bob", "MAIL-ONCE", "x")).await.unwrap();
    until_state(&story, once, DeliveryState::Unknown).await;
    assert_eq!(outcomes(&story, once).await, [AttemptOutcome::Unknown]);
    assert_eq!(catcher.mailbox().taken(), 5);

    // Others go on, and what is held stays so.
    catcher.set_behaviour(Behaviour::default());
    let other = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    until_state(&story, other, DeliveryState::Sent).await;
    story.drain().await;
    assert_eq!(catcher.mailbox().taken(), 6);
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_killed_before_the_answer_leaves_a_doubt_and_one_retry() {
    let story = with_email_types().await;
    let (worker, catcher) = (Worker::start(&story), story.mail_catcher().await);
    let long = Deed::Delay(Duration::from_secs(600));
    catcher.set_behaviour(Behaviour::default().and(Phase::Dot, long, When::First(2)));
    let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    let once = story.producer.send(message("bob", "MAIL-ONCE", "x")).await.unwrap();
    eventually("both to be handed over", async || handed_over(&catcher) == 2).await;
    worker.kill().await;
    assert_eq!(story.count("select count(*) from herald.delivery where state = 'sending'").await, 2);

    let worker = Worker::start(&story);
    // Nobody may send it while the dead one's claim lasts; then it passes.
    story.execute("update herald.delivery set lease_until = now() - interval '1 s'").await;
    until_state(&story, id, DeliveryState::Sent).await;
    until_state(&story, once, DeliveryState::Unknown).await;
    assert_eq!(outcomes(&story, id).await, [AttemptOutcome::Unknown, AttemptOutcome::Sent]);
    assert_eq!(outcomes(&story, once).await, [AttemptOutcome::Unknown]);
    story.drain().await;
    let tries = catcher.mailbox().attempts();
    assert_eq!(tries.len(), 3, "two were handed over, and one of them again: {tries:?}");
    assert_eq!(message_ids(&catcher).len(), 2);
    worker.stop().await;
}

/// How many copies of this type of message are in this state.
async fn copies_in(story: &Story, message_type: &str, state: DeliveryState) -> i64 {
    let count = "select count(*) from herald.delivery d join herald.message m on m.id = d.message_id
                 where m.message_type = $1 and d.state = $2";
    let count = sqlx::query_scalar(count).bind(message_type).bind(state.as_str());
    count.fetch_one(&story.pool).await.unwrap()
}

/// The sessions of a lane, and more copies than that.
const SESSIONS: i64 = 8;
const COPIES: i64 = 20;

/// How often a mail was handed over as a whole.
fn handed_over(catcher: &Catcher) -> usize {
    catcher.mailbox().attempts().iter().filter(|attempt| attempt.message_id.is_some()).count()
}

#[tokio::test]
async fn a_worker_killed_leaves_only_those_held_copies_in_doubt_that_were_on_the_wire() {
    let story = with_email_types().await;
    let (worker, catcher) = (Worker::start(&story), story.mail_catcher().await);
    let long = Deed::Delay(Duration::from_secs(600));
    catcher.set_behaviour(Behaviour::default().and(Phase::Dot, long, When::Always));
    for (message_type, claimed) in [("MAIL-ONCE", SESSIONS), ("MAIL", COPIES)] {
        for _ in 0..COPIES {
            story.producer.send(message("ann", message_type, "x")).await.unwrap();
        }
        eventually("what may be claimed to be claimed", async || {
            copies_in(&story, message_type, DeliveryState::Sending).await == claimed
        })
        .await;
    }
    eventually("all sessions to be taken", async || handed_over(&catcher) == 8).await;
    worker.kill().await;
    assert_eq!(copies_in(&story, "MAIL-ONCE", DeliveryState::Sending).await, SESSIONS);

    catcher.set_behaviour(Behaviour::default());
    story.execute("update herald.delivery set lease_until = now() - interval '1 s'").await;
    let worker = Worker::start(&story);
    eventually("the others to be sent", async || {
        copies_in(&story, "MAIL", DeliveryState::Sent).await == COPIES
            && copies_in(&story, "MAIL-ONCE", DeliveryState::Sent).await == COPIES - SESSIONS
    })
    .await;
    assert_eq!(copies_in(&story, "MAIL-ONCE", DeliveryState::Unknown).await, SESSIONS);
    worker.stop().await;
}

#[tokio::test]
async fn a_copy_that_two_workers_died_with_before_its_turn_is_not_in_doubt() {
    let story = with_email_types().await;
    let (mut worker, catcher) = (Worker::start(&story), story.mail_catcher().await);
    let long = Deed::Delay(Duration::from_secs(600));
    catcher.set_behaviour(Behaviour::default().and(Phase::Dot, long, When::Always));
    for _ in 0..COPIES {
        story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    }
    for (tries, claimed) in [(8, COPIES), (16, SESSIONS)] {
        eventually("all sessions to be taken", async || handed_over(&catcher) == tries).await;
        eventually("what may be claimed to be claimed", async || {
            copies_in(&story, "MAIL", DeliveryState::Sending).await == claimed
        })
        .await;
        worker.kill().await;
        story
            .execute(
                "update herald.delivery set lease_until = now() - interval '1 s' where state = 'sending'",
            )
            .await;
        if tries == 16 {
            catcher.set_behaviour(Behaviour::default());
        }
        worker = Worker::start(&story);
    }
    eventually("the others to be sent", async || {
        copies_in(&story, "MAIL", DeliveryState::Sent).await == COPIES - SESSIONS
            && copies_in(&story, "MAIL", DeliveryState::Unknown).await == SESSIONS
    })
    .await;
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_that_stops_gives_back_what_waits_for_its_turn() {
    let story = with_email_types().await;
    let (worker, catcher) = (Worker::start(&story), story.mail_catcher().await);
    let slow = Deed::Delay(Duration::from_secs(3));
    catcher.set_behaviour(Behaviour::default().and(Phase::Dot, slow, When::Always));
    for _ in 0..COPIES {
        story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    }
    eventually("all to be claimed, and some on the wire", async || {
        handed_over(&catcher) == 8 && copies_in(&story, "MAIL", DeliveryState::Sending).await == COPIES
    })
    .await;
    worker.stop().await;
    assert_eq!(copies_in(&story, "MAIL", DeliveryState::Sent).await, SESSIONS);
    let given_back =
        "select count(*) from herald.delivery where state = 'pending' and attempts = 0 and unknowns = 0";
    assert_eq!(story.count(given_back).await, COPIES - SESSIONS);

    catcher.set_behaviour(Behaviour::default());
    let worker = Worker::start(&story);
    eventually("the others to be sent", async || {
        copies_in(&story, "MAIL", DeliveryState::Sent).await == COPIES
    })
    .await;
    assert_eq!(catcher.mailbox().attempts().len(), 20, "each is tried once");
    worker.stop().await;
}
