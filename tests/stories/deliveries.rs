//! `herald delivery`: what operators see of the ledger of copies, and do to it.

use std::process::Output;

use chrono::TimeDelta;
use herald::catcher::{Behaviour, Deed, Phase, When};
use herald_jobs::deliver::{AttemptOutcome, DeliveryState};
use herald_jobs::id::DeliveryId;
use herald_jobs::message_type::ExternalDelivery;
use herald_jobs::store;
use herald_jobs::store::deliveries::Delivery;
use herald_jobs::store::ledger;
use herald_producers::{MessageId, NewContact, NewMessage, SendError};

use crate::support::herald::{Story, message};
use crate::support::{PATIENCE, eventually};

async fn begin() -> Story {
    let story = Story::begin().await;
    story.add_type("MAIL", |kind| kind.external_delivery = ExternalDelivery::Email).await;
    story
}

async fn copy(story: &Story, message: MessageId) -> Delivery {
    let [copy] = story.copies(message).await.try_into().unwrap();
    copy
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "it succeeded: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

async fn audited(story: &Story, action: &str, id: &str) -> i64 {
    story
        .count(&format!("select count(*) from herald.audit where action = '{action}' and subject = '{id}'"))
        .await
}

#[tokio::test]
async fn a_failed_copy_is_listed_shown_and_goes_out_when_it_is_retried() {
    let story = begin().await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    let refusal = Deed::answer(550, "5.1.1 No such mailbox");
    catcher.set_behaviour(Behaviour::default().and(Phase::Rcpt, refusal, When::First(1)));
    let failed = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    story.drain().await;
    let sent = story.producer.send(message("bob", "MAIL", "x")).await.unwrap();
    story.drain().await;
    let (failed, sent) = (copy(&story, failed).await, copy(&story, sent).await);
    let id = failed.id.to_string();

    let listed = story.say(&["delivery", "list"]).await;
    let ids: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(ids, [sent.id.to_string(), id.clone()], "newest first");
    for (arguments, expected) in [
        (&["--state", "failed"][..], Some(&failed)),
        (&["--state", "unknown"], None),
        (&["--to", "BOB@example.com"], Some(&sent)),
        (&["--channel", "sms"], None),
        (&["--limit", "1"], Some(&sent)),
        (&["--message", &sent_message(&story, &sent).await], Some(&sent)),
    ] {
        let listed = story.say(&[&["delivery", "list"], arguments].concat()).await;
        assert_eq!(listed.lines().count(), usize::from(expected.is_some()), "{arguments:?}: {listed}");
        assert!(
            expected.is_none_or(|copy| listed.starts_with(&copy.id.to_string())),
            "{arguments:?}: {listed}"
        );
    }
    let shown = story.say(&["delivery", "show", &id]).await;
    assert!(shown.contains("state     failed, attempts 1\n"), "{shown}");
    assert!(shown.contains("attempt 1: ") && shown.contains("code 550: "), "{shown}");
    assert!(shown.contains("No such mailbox") && shown.contains("ann@example.com by email"), "{shown}");

    assert_eq!(story.say(&["delivery", "retry", &id]).await, format!("{id} is tried again\n"));
    eventually("the retried mail", async || catcher.mailbox().taken() == 2).await;
    story.drain().await;
    let outcomes: Vec<_> = story.attempts(&failed).await.into_iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Refused, AttemptOutcome::Sent]);
    assert_eq!(audited(&story, "delivery retry", &id).await, 1);
    let said = complaint(&story.run(&["delivery", "retry", &id]).await);
    assert!(said.contains("was sent"), "{said}");
    workers.stop().await;
}

async fn sent_message(story: &Story, copy: &Delivery) -> String {
    ledger::find(&story.pool, DeliveryId(copy.id)).await.unwrap().unwrap().message_id.to_string()
}

#[tokio::test]
async fn a_cancelled_copy_never_goes_and_the_message_stays_in_the_inbox() {
    let story = begin().await;
    let workers = story.work().await;
    // It waits: no mail server is set yet.
    let cancelled = story.producer.send(message("ann", "MAIL", "cancelled")).await.unwrap();
    let kept = story.producer.send(message("bob", "MAIL", "kept")).await.unwrap();
    eventually("the inboxes", async || story.delivered().await.len() == 2).await;
    let id = copy(&story, cancelled).await.id.to_string();
    assert_eq!(story.say(&["delivery", "cancel", &id]).await, format!("{id} is cancelled\n"));

    let catcher = story.mail_catcher().await;
    eventually("the other mail", async || catcher.mailbox().taken() == 1).await;
    story.drain().await;
    assert_eq!(copy(&story, cancelled).await.state, DeliveryState::Cancelled);
    assert_eq!(copy(&story, kept).await.state, DeliveryState::Sent);
    assert_eq!(catcher.mailbox().list()[0].to, ["bob@example.com"]);
    assert_eq!(story.pending("ann", false).await.len(), 1);
    assert_eq!(audited(&story, "delivery cancel", &id).await, 1);
    for (command, expected) in [("cancel", "only what is pending"), ("retry", "was cancelled")] {
        let said = complaint(&story.run(&["delivery", command, &id]).await);
        assert!(said.contains(expected), "{said}");
    }
    workers.stop().await;
}

#[tokio::test]
async fn what_is_pending_under_way_or_cannot_be_sent_is_not_retried() {
    let story = begin().await;
    let workers = story.work().await;
    let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    let sms = story.producer.send(message("bob", "ALERT-SMS", "x")).await.unwrap();
    story.execute("update herald.app_user set email = null where username = 'bob'").await;
    let nowhere = NewMessage { message_type: "MAIL".into(), ..message("bob", "MAIL", "x") };
    let nowhere = story.producer.send(nowhere).await.unwrap();
    eventually("the inboxes", async || story.delivered().await.len() == 3).await;
    workers.stop().await;

    let refused = async |copy: &Delivery, expected: &str| {
        let said = complaint(&story.run(&["delivery", "retry", &copy.id.to_string()]).await);
        assert!(said.contains(expected), "{said}");
    };
    let copy_of_it = copy(&story, id).await;
    refused(&copy_of_it, "is pending: it is tried by itself").await;
    refused(&copy(&story, nowhere).await, "has no address").await;
    refused(&copy(&story, sms).await, "has no address").await;
    let state = async |state: &str| {
        story
            .execute(&format!("update herald.delivery set state = '{state}' where id = '{}'", copy_of_it.id))
            .await;
    };
    state("sending").await;
    refused(&copy_of_it, "is under way").await;
    let said = complaint(&story.run(&["delivery", "cancel", &copy_of_it.id.to_string()]).await);
    assert!(said.contains("is under way"), "{said}");

    state("failed").await;
    story.execute("delete from herald.message").await;
    refused(&copy_of_it, "its message is no longer there").await;
    let nobody = DeliveryId::new(story.clock.now()).to_string();
    for command in ["show", "retry", "cancel"] {
        let said = complaint(&story.run(&["delivery", command, &nobody]).await);
        assert!(said.contains("there is no delivery"), "{said}");
    }
    assert_eq!(audited(&story, "delivery retry", &copy_of_it.id.to_string()).await, 0);
}

#[tokio::test]
async fn unknown_and_suppressed_copies_may_be_retried_once_at_a_time() {
    let story = begin().await;
    let workers = story.work().await;
    let message = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    eventually("the inbox", async || story.delivered().await.contains(&message.0)).await;
    workers.stop().await;
    let id = DeliveryId(copy(&story, message).await.id);
    let later = story.clock.now() + TimeDelta::hours(1);
    for state in ["unknown", "suppressed", "failed"] {
        story.execute(&format!("update herald.delivery set state = '{state}', finished_at = now()")).await;
        assert!(store::ledger::retry(&story.pool, id, later).await.unwrap(), "{state}");
        let retried = ledger::find(&story.pool, id).await.unwrap().unwrap();
        assert_eq!((retried.state, retried.finished_at), (DeliveryState::Pending, None));
        assert!((retried.next_attempt_at - later).abs() < TimeDelta::milliseconds(1));
        assert!(!ledger::retry(&story.pool, id, later).await.unwrap(), "a second time");
    }
    assert!(ledger::cancel(&story.pool, id, later).await.unwrap());
    assert!(!ledger::cancel(&story.pool, id, later).await.unwrap());
}

#[tokio::test]
async fn c13_a_message_that_was_cancelled_while_a_copy_was_sent_is_not_tried_again() {
    let story = begin().await;
    let catcher = story.mail_catcher().await;
    let later = Behaviour::at(Phase::Dot, Deed::answer(451, "Later"));
    catcher.set_behaviour(later.clone().and(Phase::Dot, Deed::Delay(PATIENCE), When::Always));
    let workers = story.work().await;
    let id = story.producer.send(message("ann", "MAIL", &"x".repeat(5_000))).await.unwrap();
    let state = async || story.copies(id).await.pop().map(|copy| copy.state);
    eventually("the mail to be read", async || catcher.traffic().received > 5_000).await;
    assert_eq!(state().await, Some(DeliveryState::Sending));
    assert!(story.producer.cancel(id).await.unwrap());
    // Who waits for the reply to the dot gets it.
    catcher.set_behaviour(later);
    eventually("the attempt to end", async || state().await == Some(DeliveryState::Pending)).await;
    story.clock.advance(TimeDelta::hours(1));
    eventually("the copy to be cancelled", async || state().await == Some(DeliveryState::Cancelled)).await;
    assert_eq!(catcher.mailbox().taken(), 0);
    let contact = NewContact { contact_reference: "late@example.com".into(), email_mode: "To".into() };
    let refused = story.producer.add_recipient(id, &contact).await.unwrap_err();
    assert!(matches!(refused, SendError::TooLate(_)), "{refused}");
    workers.stop().await;
}
