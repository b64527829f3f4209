//! Copies by SMS, through a gateway that answers as it is told.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use herald::catcher::{Answer, Gateway};
use herald_jobs::deliver::{AttemptOutcome, DeliveryState};
use herald_jobs::message_type::{ExternalDelivery, Lane};
use herald_jobs::seal::{KeyRing, new_key};
use herald_jobs::secret::Secret;
use herald_jobs::store::deliveries::Delivery;
use herald_producers::{MessageId, NewContact, NewMessage};
use herald_workers::Options;
use herald_workers::settings::Access;
use ring::rand::SystemRandom;

use crate::support::herald::{Story, Workers, message};

const AGES: Duration = Duration::from_secs(600);

/// Types that go out by SMS, and by both; ann has a mobile number.
async fn with_sms_types() -> Story {
    let story = Story::begin().await;
    story.add_type("TEXT", |kind| kind.external_delivery = ExternalDelivery::Sms).await;
    story.add_type("BOTH", |kind| kind.external_delivery = ExternalDelivery::Both).await;
    story.execute("update herald.app_user set mobile = '+491701234567' where username = 'ann'").await;
    story
}

async fn work(story: &Story) -> Workers {
    work_with_keys(story, KeyRing::default()).await
}

async fn work_with_keys(story: &Story, keys: KeyRing) -> Workers {
    story.work_with(options(keys)).await
}

/// What the registry says holds at once.
fn options(keys: KeyRing) -> Options {
    let registry = Access { keys: Arc::new(keys), trusted: Duration::ZERO, ..Access::default() };
    Options { allow_private_sms: true, registry, ..Options::default() }
}

async fn copy(story: &Story, message: MessageId) -> Delivery {
    let [copy] = story.copies(message).await.try_into().unwrap();
    copy
}

async fn send(story: &Story, text: &str) -> MessageId {
    story.producer.send(message("ann", "TEXT", text)).await.unwrap()
}

fn texts(gateway: &Gateway) -> Vec<String> {
    gateway.list().iter().map(|caught| caught.fields["text"].clone()).collect()
}

#[tokio::test]
async fn c23_sms_is_off_until_one_setting_turns_it_on() {
    let story = with_sms_types().await;
    let workers = work(&story).await;
    let off = send(&story, "nobody sends this").await;
    story.drain().await;
    let added = NewContact { contact_reference: "+491709999999".into(), email_mode: "To".into() };
    story.producer.add_recipient(off, &added).await.unwrap();
    let copies = story.copies(off).await;
    assert_eq!(copies.len(), 2);
    for copy in copies {
        assert_eq!((copy.state, copy.reason.as_deref()), (DeliveryState::Suppressed, Some("SMS is off")));
    }

    let gateway = story.sms_gateway().await;
    let on = send(&story, "Order \"7\" is late: {#id#} \\ ü").await;
    story.drain().await;
    let [caught] = gateway.list().try_into().unwrap();
    assert_eq!(caught.fields["to"], "+491701234567");
    assert_eq!(
        (caught.fields["from"].as_str(), caught.fields["text"].as_str()),
        ("Herald", "Order \"7\" is late: {#id#} \\ ü")
    );
    let copy = copy(&story, on).await;
    assert_eq!((copy.state, copy.reason.as_deref()), (DeliveryState::Sent, Some("SM00000001")));
    assert_eq!(caught.fields["ref"], copy.id.simple().to_string());

    // One that was accepted before it was turned off again is suppressed, too.
    gateway.answer_next([Answer::Later(1)]);
    let late = send(&story, "late").await;
    story.drain().await;
    story.register(&[("SMS-PROVIDER", Some("off"))]).await;
    story.clock.advance(TimeDelta::minutes(5));
    story.drain().await;
    assert_eq!(self::copy(&story, late).await.state, DeliveryState::Suppressed);
    workers.stop().await;
}

#[tokio::test]
async fn c19_both_means_both_and_contacts_get_theirs_by_their_number() {
    let story = with_sms_types().await;
    let (catcher, gateway) = (story.mail_catcher().await, story.sms_gateway().await);
    let workers = work(&story).await;
    let contact = NewContact { contact_reference: "+4915112345678".into(), email_mode: "To".into() };
    let both = NewMessage {
        external_message: Some("outside".into()),
        recipients: vec![contact.clone()],
        ..message("ann", "BOTH", "inside")
    };
    let id = story.producer.send(both).await.unwrap();
    story.drain().await;
    let late = NewContact { contact_reference: "+4915198765432".into(), ..contact.clone() };
    for contact in [&late, &late, &contact] {
        story.producer.add_recipient(id, contact).await.unwrap();
    }
    story.drain().await;
    assert_eq!(catcher.mailbox().list().len(), 1);
    let mut numbers: Vec<_> = gateway.list().into_iter().map(|caught| caught.fields["to"].clone()).collect();
    numbers.sort();
    assert_eq!(numbers, ["+4915112345678", "+4915198765432", "+491701234567"]);
    assert!(texts(&gateway).iter().all(|text| text == "outside"));
    workers.stop().await;
}

#[tokio::test]
async fn only_what_was_certainly_not_sent_is_sent_again() {
    let story = with_sms_types().await;
    let gateway = story.sms_gateway().await;
    let workers = work(&story).await;
    for (answer, outcome, state, taken) in [
        (Answer::Take, AttemptOutcome::Sent, DeliveryState::Sent, 1),
        (Answer::Refuse(400), AttemptOutcome::Refused, DeliveryState::Failed, 0),
        (Answer::Refuse(503), AttemptOutcome::Deferred, DeliveryState::Pending, 0),
        (Answer::Later(7_200), AttemptOutcome::Deferred, DeliveryState::Pending, 0),
        (Answer::Refuse(500), AttemptOutcome::Unknown, DeliveryState::Unknown, 0),
        (Answer::TakeAndSay(500), AttemptOutcome::Unknown, DeliveryState::Unknown, 1),
        (Answer::TakeAndMumble, AttemptOutcome::Unknown, DeliveryState::Unknown, 1),
    ] {
        let before = gateway.list().len();
        gateway.answer_next([answer]);
        let id = send(&story, &format!("{answer:?}")).await;
        story.drain().await;
        let copy = copy(&story, id).await;
        let [attempt] = story.attempts(&copy).await.try_into().unwrap();
        assert_eq!((attempt.outcome, copy.state), (outcome, state), "{answer:?}: {copy:?}");
        assert_eq!(gateway.list().len() - before, taken, "{answer:?}");
        if answer == Answer::Later(7_200) {
            assert!(
                copy.next_attempt_at >= story.clock.now() + TimeDelta::minutes(119),
                "Retry-After is honoured"
            );
        }
    }
    // Only the two that were put off come again.
    let before = gateway.list().len();
    story.clock.advance(TimeDelta::hours(3));
    story.drain().await;
    let mut again = texts(&gateway).split_off(before);
    again.sort();
    assert_eq!(again, ["Later(7200)", "Refuse(503)"]);
    workers.stop().await;
}

#[tokio::test]
async fn a_gateway_that_does_not_answer_leaves_a_doubt_whether_it_took_the_message_or_not() {
    let story = with_sms_types().await;
    let gateway = story.sms_gateway().await;
    let options = Options { sms_patience: Duration::from_secs(2), ..options(KeyRing::default()) };
    let workers = story.work_with(options).await;
    // Longer than anybody waits for an answer.
    gateway.answer_next([Answer::Hang(AGES), Answer::TakeAndHang(AGES)]);
    let ids = [send(&story, "lost").await, send(&story, "taken").await];
    for id in ids {
        crate::support::eventually("the doubt", async || {
            matches!(story.copies(id).await.as_slice(), [copy] if copy.state == DeliveryState::Unknown)
        })
        .await;
        let copy = copy(&story, id).await;
        assert_eq!(copy.reason.as_deref(), Some("The provider did not answer in time: operation timed out."));
    }
    story.clock.advance(TimeDelta::days(1));
    story.drain().await;
    assert_eq!(gateway.list().len(), 1, "neither is sent again");
    workers.stop().await;
}

#[tokio::test]
async fn a_gateway_that_cannot_be_used_costs_no_copy_an_attempt() {
    let story = with_sms_types().await;
    let gateway = story.sms_gateway().await;
    let workers = work(&story).await;
    gateway.answer_next([Answer::Refuse(401)]);
    let id = send(&story, "once").await;
    crate::support::eventually("the fault to be in the ledger", async || {
        let copies = story.copies(id).await;
        copies.iter().any(|it| it.state == DeliveryState::Pending && it.reason.is_some() && it.attempts == 0)
    })
    .await;
    story.clock.advance(TimeDelta::minutes(1));
    story.drain().await;
    assert_eq!((texts(&gateway).len(), copy(&story, id).await.state), (1, DeliveryState::Sent));
    workers.stop().await;
}

#[tokio::test]
async fn a_private_address_is_asked_only_where_that_is_allowed() {
    for host in ["127.0.0.1", "localhost"] {
        let story = with_sms_types().await;
        let gateway = story.sms_gateway().await;
        story.register(&[("SMS-URL", Some(&gateway.url().replace("127.0.0.1", host)))]).await;
        let workers = story.work().await;
        let id = send(&story, "kept inside").await;
        // What is wrong with an address is seen before the copy is claimed, with what a name leads to after that.
        crate::support::eventually("the copy to be looked at", async || {
            let parked = story.queues.sms.lane(Lane::Normal).depth().await.unwrap().parked;
            parked == 1 || story.copies(id).await.iter().any(|copy| copy.reason.is_some())
        })
        .await;
        assert!(gateway.list().is_empty());
        let waiting = copy(&story, id).await;
        assert_eq!((waiting.state, waiting.attempts), (DeliveryState::Pending, 0), "it waits");
        workers.stop().await;
        let workers = work(&story).await;
        story.clock.advance(TimeDelta::minutes(1));
        story.drain().await;
        assert_eq!(texts(&gateway), ["kept inside"]);
        workers.stop().await;
    }
}

#[tokio::test]
async fn c23_twilio_and_forms_are_spoken_and_long_texts_are_cut() {
    let story = with_sms_types().await;
    let gateway = story.sms_gateway().await;
    let random = SystemRandom::new();
    let keys: KeyRing = new_key(&random).unwrap().expose().parse().unwrap();
    let sealed = keys.seal("SMS-PASSWORD", &Secret::new("canary-token"), &random).unwrap();
    let workers = work_with_keys(&story, keys).await;
    story
        .register(&[
            ("SMS-PROVIDER", Some("twilio")),
            ("SMS-ACCOUNT", Some("AC123")),
            ("SMS-PASSWORD", Some(&sealed)),
            ("SMS-FROM", Some("+15005550006")),
            ("SMS-MAX-SEGMENTS", Some("1")),
        ])
        .await;
    send(&story, &"long ".repeat(60)).await;
    story.drain().await;
    let [caught] = gateway.list().try_into().unwrap();
    assert_eq!(caught.path, "/2010-04-01/Accounts/AC123/Messages.json");
    assert_eq!(caught.authorization.as_deref(), Some("Basic QUMxMjM6Y2FuYXJ5LXRva2Vu"));
    assert_eq!(
        (caught.fields["to"].as_str(), caught.fields["from"].as_str()),
        ("+491701234567", "+15005550006")
    );
    assert!(caught.fields["body"].ends_with("...") && caught.fields["body"].len() <= 160);

    story
        .register(&[
            ("SMS-PROVIDER", Some("http")),
            ("SMS-BODY", Some("recipient=#to#&text=#text#&kind=plain")),
            ("SMS-HEADERS", Some("Authorization: Bearer #password#\nX-Client: herald")),
        ])
        .await;
    send(&story, "a&b=c #x# ü").await;
    story.drain().await;
    let caught = gateway.list().pop().unwrap();
    assert_eq!(caught.authorization.as_deref(), Some("Bearer canary-token"));
    assert_eq!(
        (caught.fields["recipient"].as_str(), caught.fields["text"].as_str()),
        ("+491701234567", "a&b=c #x# ü")
    );
    workers.stop().await;
}
