//! When copies go out, and for how long they are tried.

use chrono::{DateTime, TimeDelta, Utc};
use herald::catcher::{Behaviour, Catcher, Deed, Phase, When};
use herald_jobs::deliver::{AttemptOutcome, DeliveryState};
use herald_jobs::message_type::ExternalDelivery;
use herald_jobs::store::deliveries::Delivery;
use herald_producers::{MessageId, NewContact};
use herald_workers::Options;
use herald_workers::window::{Window, Windows};

use crate::support::eventually;
use crate::support::herald::{Story, Workers, message};

async fn begin() -> (Story, Catcher) {
    let story = Story::begin().await;
    story.add_type("MAIL", |kind| kind.external_delivery = ExternalDelivery::Email).await;
    let catcher = story.mail_catcher().await;
    (story, catcher)
}

/// Workers whose window opened or opens so long from now, for an hour.
async fn work(story: &Story, opens_in: TimeDelta) -> (Workers, DateTime<Utc>) {
    let now = story.clock.now();
    let minute = |at: DateTime<Utc>| at.format("%H:%M").to_string();
    let window = format!("{}-{}", minute(now + opens_in), minute(now + opens_in + TimeDelta::hours(1)));
    let window = Window::parse(&window, chrono_tz::UTC).unwrap();
    let opens = window.opens(now).unwrap_or(now);
    let windows = Windows { email: Some(window.clone()), sms: Some(window) };
    let options = Options { windows, allow_private_sms: true, ..Options::default() };
    (story.work_with(options).await, opens)
}

async fn copy(story: &Story, message: MessageId) -> Delivery {
    let [copy] = story.copies(message).await.try_into().unwrap();
    copy
}

/// Waits until a copy is put off until then.
async fn assert_waits(story: &Story, message: MessageId, opens: DateTime<Utc>) {
    eventually("the copy to wait", async || match story.copies(message).await.as_slice() {
        [copy] => copy.next_attempt_at == opens,
        _ => false,
    })
    .await;
    let copy = copy(story, message).await;
    assert_eq!((copy.state, copy.attempts), (DeliveryState::Pending, 0));
    assert!(copy.reason.unwrap().starts_with("Waits until the delivery window opens: "));
}

#[tokio::test]
async fn c24_a_copy_waits_for_the_window_and_an_alert_does_not() {
    let (story, catcher) = begin().await;
    let (workers, opens) = work(&story, TimeDelta::hours(3)).await;
    let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    assert_waits(&story, id, opens).await;
    // Asked for by SQL, it is pushed by the relay.
    let late = story.producer.send(message("ann", "VIEW-NORMAL", "x")).await.unwrap();
    let contact = NewContact { contact_reference: "x@example.com".into(), email_mode: "To".into() };
    story.producer.add_recipient(late, &contact).await.unwrap();
    assert_waits(&story, late, opens).await;
    story.producer.send(message("bob", "ALERT-EMAIL", "fire")).await.unwrap();
    story.drain().await;
    assert_eq!(story.delivered().await.len(), 3, "inboxes do not wait");
    let [alert] = catcher.mailbox().list().try_into().unwrap();
    assert_eq!(alert.to, ["bob@example.com"]);

    story.clock.advance(opens - story.clock.now() + TimeDelta::seconds(1));
    eventually("the window to open", async || catcher.mailbox().taken() == 3).await;
    story.drain().await;
    assert_eq!(copy(&story, id).await.state, DeliveryState::Sent);
    workers.stop().await;
}

#[tokio::test]
async fn c24_sms_waits_for_its_window_too() {
    let (story, _) = begin().await;
    story.add_type("TEXT", |kind| kind.external_delivery = ExternalDelivery::Sms).await;
    story.execute("update herald.app_user set mobile = '+491701234567' where username = 'ann'").await;
    let gateway = story.sms_gateway().await;
    let (workers, opens) = work(&story, TimeDelta::hours(3)).await;
    let id = story.producer.send(message("ann", "TEXT", "in the morning")).await.unwrap();
    assert_waits(&story, id, opens).await;
    story.producer.send(message("ann", "ALERT-SMS", "now")).await.unwrap();
    story.drain().await;
    let texts = || gateway.list().into_iter().map(|sms| sms.fields["text"].clone()).collect::<Vec<_>>();
    assert_eq!(texts(), ["now"]);
    story.clock.advance(opens - story.clock.now() + TimeDelta::seconds(1));
    eventually("the window to open", async || texts() == ["now", "in the morning"]).await;
    workers.stop().await;
}

#[tokio::test]
async fn what_a_server_puts_off_beyond_the_window_waits_for_the_next_day() {
    let (story, catcher) = begin().await;
    let (workers, _) = work(&story, TimeDelta::minutes(-1)).await;
    catcher.set_behaviour(Behaviour::default().and(Phase::Dot, Deed::answer(451, "Later"), When::First(1)));
    let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    let tried = async || matches!(story.copies(id).await.as_slice(), [copy] if copy.attempts == 1 && copy.state == DeliveryState::Pending);
    eventually("the first attempt", tried).await;
    let before = story.clock.now();
    story.clock.advance(TimeDelta::hours(2));
    eventually("the copy to wait", async || {
        copy(&story, id).await.next_attempt_at > before + TimeDelta::hours(20)
    })
    .await;
    let waits = copy(&story, id).await;
    assert_eq!((waits.state, waits.attempts), (DeliveryState::Pending, 1));
    story.clock.advance(TimeDelta::hours(22));
    eventually("the next day", async || catcher.mailbox().taken() == 1).await;
    story.drain().await;
    workers.stop().await;
}

#[tokio::test]
async fn a_type_says_for_how_long_its_copies_are_tried() {
    let (story, catcher) = begin().await;
    story
        .add_type("SHORT", |kind| {
            kind.external_delivery = ExternalDelivery::Email;
            kind.retry_hours = 1;
        })
        .await;
    catcher.set_behaviour(Behaviour::default().and(Phase::Rcpt, Deed::answer(450, "Later"), When::Always));
    let workers = story.work().await;
    let short = story.producer.send(message("ann", "SHORT", "x")).await.unwrap();
    let long = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    for attempts in 1..=5 {
        eventually("an attempt", async || {
            let there = matches!(story.copies(long).await.as_slice(), [copy] if copy.attempts == attempts && copy.state == DeliveryState::Pending);
            there && story.copies(short).await.iter().all(|copy| copy.state != DeliveryState::Sending)
        })
        .await;
        story.clock.advance(TimeDelta::minutes(75));
    }
    let short = copy(&story, short).await;
    assert_eq!(short.state, DeliveryState::Failed);
    let attempts = story.attempts(&short).await;
    assert!(
        attempts.len() < 5 && attempts.iter().all(|it| it.outcome == AttemptOutcome::Deferred),
        "{attempts:?}"
    );
    assert!(short.reason.unwrap().contains("Later"));
    workers.stop().await;
}

#[tokio::test]
async fn a_window_that_is_none_is_refused_when_the_program_starts() {
    let story = Story::begin().await;
    let mut command = story.command(&["worker"]);
    command.env("HERALD__DELIVERY__EMAIL__WINDOW", "6 to 22");
    let output = tokio::time::timeout(crate::support::PATIENCE, command.output()).await.unwrap().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("delivery.email.window"), "{said}");
}
