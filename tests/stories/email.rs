//! Copies by e-mail, over real SMTP, and what the ledger says of them.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use herald::catcher::{Behaviour, Catcher, Deed, Mail, Phase, Shown, When, show};
use herald_jobs::deliver::{AttemptOutcome, DeliveryState};
use herald_jobs::message_type::{ExternalDelivery, Lane};
use herald_jobs::store::deliveries::Delivery;
use herald_producers::{MessageId, NewContact, NewMessage, SendError};
use herald_workers::Options;
use sqlx::Row as _;
use uuid::Uuid;

use crate::support::herald::{Story, message};
use crate::support::{PATIENCE, eventually};

async fn with_an_email_type() -> Story {
    let story = Story::begin().await;
    story
        .add_type("MAIL", |kind| {
            kind.description = "News for you".into();
            kind.external_delivery = ExternalDelivery::Email;
        })
        .await;
    story
}

/// The mail that went to this address; there must be one.
fn mail_to(catcher: &Catcher, address: &str) -> Shown {
    let all = catcher.mailbox().list();
    let [mail] = all.iter().filter(|mail| mail.to == [address]).collect::<Vec<_>>().try_into().unwrap();
    shown(mail)
}

fn shown(mail: &Mail) -> Shown {
    show(&mail.raw).unwrap()
}

/// The one copy of a message.
async fn copy(story: &Story, message: MessageId) -> Delivery {
    let [copy] = story.copies(message).await.try_into().unwrap();
    copy
}

async fn outcomes(story: &Story, copy: &Delivery) -> Vec<(AttemptOutcome, Option<i32>)> {
    story.attempts(copy).await.into_iter().map(|attempt| (attempt.outcome, attempt.code)).collect()
}

#[tokio::test]
async fn c25_the_inbox_shows_the_text_and_mail_carries_the_external_one() {
    let story = with_an_email_type().await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    let both = NewMessage {
        external_message: Some("Your order has come.\n.\nYours, Zoë".into()),
        subject: Some("Grüße".into()),
        ..message("ann", "MAIL", "Order 7 has come: see the desk.")
    };
    let both = story.producer.send(both).await.unwrap();
    let plain = story.producer.send(message("bob", "MAIL", "Only this")).await.unwrap();
    let inside = story.producer.send(message("bob", "VIEW-NORMAL", "inside")).await.unwrap();
    story.drain().await;

    assert_eq!(story.pending("ann", false).await[0].message_text, "Order 7 has come: see the desk.");
    let mail = mail_to(&catcher, "ann@example.com");
    assert_eq!(mail.text.as_deref().map(str::trim_end), Some("Your order has come.\r\n.\r\nYours, Zoë"));
    assert_eq!(
        (mail.subject.as_str(), mail.from.as_slice()),
        ("Grüße", &["herald@herald.test".to_owned()][..])
    );
    assert_eq!(mail.to, ["ann@example.com"]);
    let mail = mail_to(&catcher, "bob@example.com");
    assert_eq!(mail.text.as_deref().map(str::trim_end), Some("Only this"));
    assert_eq!(mail.subject, "News for you", "the type's description");

    for id in [both, plain] {
        let copy = copy(&story, id).await;
        assert_eq!((copy.state, copy.attempts), (DeliveryState::Sent, 1));
        assert_eq!(outcomes(&story, &copy).await, [(AttemptOutcome::Sent, Some(250))]);
    }
    assert!(story.copies(inside).await.is_empty());
    workers.stop().await;
}

#[tokio::test]
async fn a_user_without_an_address_gets_no_mail_and_the_ledger_says_why() {
    let story = with_an_email_type().await;
    story.execute("update herald.app_user set email = null where username = 'ann'").await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    let sms = story.producer.send(message("bob", "ALERT-SMS", "x")).await.unwrap();
    story.drain().await;
    for id in [id, sms] {
        let copy = copy(&story, id).await;
        assert_eq!(copy.state, DeliveryState::Suppressed);
        assert!(copy.reason.is_some());
    }
    assert_eq!(catcher.mailbox().taken(), 0);
    workers.stop().await;
}

#[tokio::test]
async fn a_refused_address_fails_at_once_and_takes_no_other_mail_with_it() {
    let story = with_an_email_type().await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    let refusal = Deed::answer(550, "5.1.1 No such mailbox");
    catcher.set_behaviour(Behaviour::default().and(Phase::Rcpt, refusal, When::First(1)));
    let bad = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    story.drain().await;
    let good = story.producer.send(message("bob", "MAIL", "x")).await.unwrap();
    story.drain().await;
    let failed = copy(&story, bad).await;
    assert_eq!(failed.state, DeliveryState::Failed);
    assert!(failed.reason.as_deref().unwrap().contains("No such mailbox"), "{failed:?}");
    assert_eq!(outcomes(&story, &failed).await, [(AttemptOutcome::Refused, Some(550))]);
    assert_eq!(copy(&story, good).await.state, DeliveryState::Sent);
    assert_eq!(catcher.mailbox().taken(), 1);
    assert_eq!(story.delivered().await.len(), 2, "the inbox has both");
    workers.stop().await;
}

#[tokio::test]
async fn a_deferred_mail_is_tried_again_in_about_a_minute_under_the_same_message_id() {
    let story = with_an_email_type().await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    catcher.set_behaviour(Behaviour::default().and(Phase::Dot, Deed::answer(451, "Later"), When::First(1)));
    let before = story.clock.now();
    let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    eventually("the first attempt", async || copy_was_tried(&story, id).await).await;
    story.drain().await;
    let deferred = copy(&story, id).await;
    assert_eq!((deferred.state, deferred.attempts), (DeliveryState::Pending, 1));
    let wait = deferred.next_attempt_at - before;
    let about_a_minute = TimeDelta::seconds(60)..TimeDelta::seconds(72) + (story.clock.now() - before);
    assert!(about_a_minute.contains(&wait), "{wait}");
    assert_eq!(catcher.mailbox().taken(), 0);

    story.clock.advance(TimeDelta::seconds(75));
    story.drain().await;
    let sent = copy(&story, id).await;
    assert_eq!((sent.state, sent.attempts), (DeliveryState::Sent, 2));
    let expected = [(AttemptOutcome::Deferred, Some(451)), (AttemptOutcome::Sent, Some(250))];
    assert_eq!(outcomes(&story, &sent).await, expected);
    let tries: BTreeSet<_> =
        catcher.mailbox().attempts().into_iter().map(|attempt| attempt.message_id).collect();
    assert_eq!((catcher.mailbox().taken(), tries.len()), (1, 1), "{tries:?}");
    workers.stop().await;
}

async fn copy_was_tried(story: &Story, id: MessageId) -> bool {
    match story.copies(id).await.as_slice() {
        [copy] => !story.attempts(copy).await.is_empty(),
        _ => false,
    }
}

#[tokio::test]
async fn mail_waits_while_no_server_is_set_or_it_is_down_and_goes_when_it_can() {
    let story = with_an_email_type().await;
    let workers = story.work().await;
    let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    eventually("the inbox", async || story.delivered().await.contains(&id.0)).await;
    eventually("the copy to be looked at", async || {
        let parked = story.queues.email.lane(Lane::Normal).depth().await.unwrap();
        parked.parked == 1
    })
    .await;
    let waiting = copy(&story, id).await;
    assert_eq!((waiting.state, waiting.attempts), (DeliveryState::Pending, 0));

    let catcher = story.mail_catcher().await;
    story.drain().await;
    assert_eq!(copy(&story, id).await.state, DeliveryState::Sent);

    catcher.go_down().await;
    let id = story.producer.send(message("bob", "MAIL", "x")).await.unwrap();
    eventually("the inbox", async || story.delivered().await.contains(&id.0)).await;
    eventually("the copy to be looked at", async || {
        let parked = story.queues.email.lane(Lane::Normal).depth().await.unwrap();
        parked.parked == 1 || copy_was_tried(&story, id).await
    })
    .await;
    assert_eq!(copy(&story, id).await.state, DeliveryState::Pending);
    catcher.come_up().await.unwrap();
    // A copy that met the outage in the middle waits for its next attempt.
    eventually("the mail to go", async || {
        story.clock.advance(TimeDelta::seconds(10));
        catcher.mailbox().taken() == 2
    })
    .await;
    story.drain().await;
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_of_alerts_does_not_wait_behind_bulk() {
    let story = with_an_email_type().await;
    let catcher = story.mail_catcher().await;
    let slow = Deed::Delay(PATIENCE);
    catcher.set_behaviour(Behaviour::default().and(Phase::Dot, slow, When::Always));
    let workers = story.work_with(Options { sessions: 1, ..Options::default() }).await;
    let bulk = NewMessage { lane: Some(Lane::Bulk), ..message("bob", "MAIL", "blast") };
    for _ in 0..20 {
        story.producer.send(bulk.clone()).await.unwrap();
    }
    eventually("bulk to be under way", async || catcher.mailbox().taken() > 0).await;
    story.producer.send(message("ann", "ALERT-EMAIL", "fire")).await.unwrap();
    eventually("the alert", async || catcher.mailbox().list().iter().any(|it| it.to == ["ann@example.com"]))
        .await;
    assert_eq!(catcher.mailbox().taken(), 2, "one of the bulk is under way still");
    catcher.set_behaviour(Behaviour::default());
    story.drain().await;
    assert_eq!(catcher.mailbox().taken(), 21);
    workers.stop().await;
}

/// Those whom a mail names, in no order.
fn named(mail: &Shown) -> (BTreeSet<String>, BTreeSet<String>) {
    (mail.to.iter().cloned().collect(), mail.cc.iter().cloned().collect())
}

fn people(addresses: &[&str]) -> BTreeSet<String> {
    addresses.iter().map(|&address| address.to_owned()).collect()
}

/// Each copy of one mail shows the same people, and nobody in Bcc.
fn assert_one_mail(catcher: &Catcher) {
    let expected = (people(&["ann@example.com", "to@example.com"]), people(&["cc@example.com"]));
    for address in ["ann@example.com", "to@example.com", "cc@example.com", "bcc@example.com"] {
        let mail = mail_to(catcher, address);
        assert_eq!(named(&mail), expected, "{address}");
        assert!(!format!("{:?}", mail.headers).contains("bcc@"), "{address}");
    }
}

#[tokio::test]
async fn recipients_named_in_the_send_share_one_mail() {
    let story = with_an_email_type().await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    let contact = |reference: &str, mode: &str| NewContact {
        contact_reference: reference.into(),
        email_mode: mode.into(),
    };
    let recipients = vec![
        contact("to@example.com", "To"),
        contact("cc@example.com", "Cc"),
        contact("bcc@example.com", "Bcc"),
        contact("+49 170 1234567", "To"),
    ];
    let id = story.producer.send(NewMessage { recipients, ..message("ann", "MAIL", "x") }).await.unwrap();
    story.drain().await;
    assert_one_mail(&catcher);
    assert_eq!(catcher.mailbox().taken(), 4);
    let sms: Vec<_> =
        story.copies(id).await.into_iter().filter(|copy| copy.address == "+491701234567").collect();
    assert!(matches!(sms.as_slice(), [copy] if copy.state == DeliveryState::Suppressed), "{sms:?}");
    workers.stop().await;
}

#[tokio::test]
async fn recipients_added_in_the_sending_transaction_share_one_mail() {
    let story = with_an_email_type().await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    for (round, savepoint) in (1..).zip([false, true]) {
        catcher.mailbox().clear();
        let mut transaction = story.pool.begin().await.unwrap();
        if savepoint {
            // As a block with an exception handler makes one around a call.
            sqlx::query("savepoint inner_block").execute(&mut *transaction).await.unwrap();
        }
        let id: Uuid = sqlx::query("select herald.send_message('ann', 'x', 'MAIL', 'report', '7')")
            .fetch_one(&mut *transaction)
            .await
            .unwrap()
            .get(0);
        if savepoint {
            sqlx::query("release savepoint inner_block").execute(&mut *transaction).await.unwrap();
        }
        for (address, mode) in
            [("to@example.com", "To"), ("cc@example.com", "Cc"), ("bcc@example.com", "BCC")]
        {
            sqlx::query("select herald.add_recipient($1, $2, $3)")
                .bind(id)
                .bind(address)
                .bind(mode)
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        transaction.commit().await.unwrap();
        // A copy that is older than its message is looked at now and then until that has come.
        eventually("four mails", async || catcher.mailbox().taken() == 4 * round).await;
        story.drain().await;
        assert_one_mail(&catcher);
    }
    workers.stop().await;
}

#[tokio::test]
async fn a_recipient_added_later_gets_a_copy_of_its_own() {
    let story = with_an_email_type().await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    // The type itself says that nothing goes out.
    let id = story.producer.send(message("ann", "VIEW-NORMAL", "x")).await.unwrap();
    story.drain().await;
    let add = async |reference: &str, mode: &str| {
        let contact = NewContact { contact_reference: reference.into(), email_mode: mode.into() };
        story.producer.add_recipient(id, &contact).await
    };
    add("late@example.com", "To").await.unwrap();
    add("late@example.com", "Cc").await.unwrap();
    add("hidden@example.com", "Bcc").await.unwrap();
    story.drain().await;
    assert_eq!(catcher.mailbox().taken(), 2, "the same address twice is one copy");
    assert_eq!(named(&mail_to(&catcher, "late@example.com")), (people(&["late@example.com"]), people(&[])));
    let hidden = mail_to(&catcher, "hidden@example.com");
    assert!(!format!("{:?}", hidden.headers).contains("hidden@"), "{:?}", hidden.headers);

    for (reference, mode, field) in
        [("nobody", "To", "contact_reference"), ("a@example.com", "x", "email_mode")]
    {
        match add(reference, mode).await.unwrap_err() {
            SendError::Refused(refusal) => assert_eq!(refusal.field, field),
            other => panic!("{other}"),
        }
    }
    workers.stop().await;
}

#[tokio::test]
async fn a_recipient_added_before_the_message_is_in_its_inbox_is_not_lost() {
    let story = with_an_email_type().await;
    let catcher = story.mail_catcher().await;
    let id = story.producer.send(message("ann", "VIEW-NORMAL", "x")).await.unwrap();
    let contact = NewContact { contact_reference: "early@example.com".into(), email_mode: "To".into() };
    story.producer.add_recipient(id, &contact).await.unwrap();
    let workers = story.work().await;
    eventually("the mail", async || catcher.mailbox().taken() == 1).await;
    story.drain().await;
    assert_eq!(copy(&story, id).await.state, DeliveryState::Sent);
    workers.stop().await;
}

#[tokio::test]
async fn a_pushed_copy_that_redis_lost_goes_nevertheless() {
    let story = with_an_email_type().await;
    let workers = story.work().await;
    let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    eventually("the inbox", async || story.delivered().await.contains(&id.0)).await;
    let mut redis = story.plain_redis().await;
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
    let catcher = story.mail_catcher().await;
    eventually("the mail", async || catcher.mailbox().taken() == 1).await;
    story.drain().await;
    workers.stop().await;
}
