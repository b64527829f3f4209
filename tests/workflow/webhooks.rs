//! Answers are told to other programs: at least once each, under one id, signed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use herald_jobs::answer::Via;
use herald_jobs::retention::{Kept, Retention};
use herald_jobs::seal::{self, KeyRing};
use herald_jobs::store;
use herald_jobs::store::answer_events::{EventFilter, EventState};
use herald_producers::NewMessage;
use herald_producers::workflow::Answer;
use herald_workers::Options;
use herald_workers::settings::Access;
use ring::rand::SystemRandom;
use serde_json::Value;

use super::receiver::{Answers, Does, Receiver};
use crate::support::herald::{Story, Workers, message};
use crate::support::{eventually, within};

/// Answers as a program does that is often down: yes, no, nothing, busy; and two times it hangs until its time is over.
fn moody(number: usize) -> Does {
    match ((number * 2_654_435_761) >> 7) % 7 {
        _ if [3, 4].contains(&number) => Does::Hangs,
        0..=3 => Does::Says("200 OK"),
        4 => Does::Says("500 Internal Server Error"),
        5 => Does::Says("503 Service Unavailable\r\nretry-after: 90"),
        _ => Does::HangsUp,
    }
}

struct House {
    story: Story,
    workers: Workers,
    receiver: Receiver,
    secret: String,
    key: String,
}

impl House {
    async fn begin(answers: Answers, allow_private_webhooks: bool) -> Self {
        let story = Story::begin().await;
        let key = seal::new_key(&SystemRandom::new()).unwrap().expose().to_owned();
        let keys: Arc<KeyRing> = Arc::new(key.parse().unwrap());
        let registry = Access { keys, ..Access::default() };
        let workers =
            story.work_with(Options { registry, allow_private_webhooks, ..Options::default() }).await;
        let receiver = Receiver::start(answers).await;
        let added =
            story.command(&["webhook", "add", "erp", &receiver.url]).env("HERALD_KEYS", &key).output().await;
        let added = added.unwrap();
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let secret = String::from_utf8(added.stdout).unwrap().trim().to_owned();
        Self { story, workers, receiver, secret, key }
    }

    /// Asks ann, and answers for her.
    async fn answer(&self, many: usize) {
        let question =
            NewMessage { answer_to: Some("webhook:erp".into()), ..message("ann", "REPLY-YESNO", "Go on?") };
        let mut ids = Vec::new();
        for _ in 0..many {
            ids.push(self.story.producer.send(question.clone()).await.unwrap());
        }
        self.story.drain().await;
        for id in ids {
            let answer = Answer { message: id, reply: Some("Yes"), by: "ann", via: Via::Inbox };
            self.story.producer.answer(answer).await.unwrap();
        }
    }

    async fn events(&self, state: Option<EventState>) -> Vec<store::answer_events::AnswerEvent> {
        let filter = EventFilter { state, of: None };
        store::answer_events::list(&self.story.pool, &filter, 1_000).await.unwrap()
    }
}

#[tokio::test]
async fn c03c_a_receiver_that_fails_at_random_sees_each_answer_under_one_id() {
    let house = House::begin(moody, true).await;
    house.answer(20).await;
    // Longer than a receiver may be silent, twice.
    within(Duration::from_secs(100), "all to be told", async || {
        // Time passes for those that wait, not while one is told: claims would run out.
        let busy = "select count(*) from herald.answer_event where state = 'sending' or state = 'pending' and next_attempt_at <= $1";
        let busy: i64 =
            sqlx::query_scalar(busy).bind(house.story.clock.now()).fetch_one(&house.story.pool).await.unwrap();
        if busy == 0 {
            house.story.clock.advance(TimeDelta::minutes(3));
        }
        house.events(Some(EventState::Sent)).await.len() == 20
    })
    .await;
    let seen = house.receiver.seen();
    assert!(seen.len() > 20, "it failed at times");
    let mut bodies: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in &seen {
        assert!(one.is_signed(&house.secret), "{one:?}");
        bodies.entry(&one.id).or_default().insert(&one.body);
    }
    let told: BTreeSet<String> = house.events(None).await.into_iter().map(|it| it.id.to_string()).collect();
    assert_eq!(
        bodies.keys().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>(),
        told,
        "no id but those, and all"
    );
    assert!(bodies.values().all(|bodies| bodies.len() == 1), "a repeat says the same to the letter");
    let answered: BTreeSet<String> = bodies
        .values()
        .flatten()
        .map(|body| {
            serde_json::from_str::<Value>(body).unwrap()["data"]["message_id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(answered.len(), 20, "one event for each answer");
    let timed_out =
        "select count(*) from herald.answer_attempt where reply like 'The receiver did not answer in time%'";
    assert!(house.story.count(timed_out).await >= 2, "it hung twice");
    house.workers.stop().await;
}

#[tokio::test]
async fn c03c_a_receiver_that_wants_no_more_is_left_alone_until_somebody_replays() {
    let house =
        House::begin(|number| Does::Says(if number == 1 { "410 Gone" } else { "204 No Content" }), true)
            .await;
    house.answer(1).await;
    eventually("it to be given up", async || house.events(Some(EventState::Failed)).await.len() == 1).await;
    let id = house.events(None).await[0].id.to_string();
    house.story.say(&["webhook", "replay", &id]).await;
    eventually("it to be told", async || house.events(Some(EventState::Sent)).await.len() == 1).await;
    let shown = house.story.say(&["webhook", "show", &id]).await;
    assert!(
        shown.contains("attempt 1:") && shown.contains("code 410") && shown.contains("code 204"),
        "{shown}"
    );
    assert!(house.story.say(&["webhook", "events", "--state", "sent"]).await.contains(&id));
    let seen = house.receiver.seen();
    assert_eq!((seen.len(), seen[0].id == seen[1].id), (2, true));
    // A new secret signs from now on.
    let rotated =
        house.story.command(&["webhook", "rotate", "erp"]).env("HERALD_KEYS", &house.key).output().await;
    let rotated = String::from_utf8(rotated.unwrap().stdout).unwrap();
    house.answer(1).await;
    eventually("the next to be told", async || house.receiver.seen().len() == 3).await;
    assert!(
        house.receiver.seen()[2].is_signed(rotated.trim())
            && !house.receiver.seen()[2].is_signed(&house.secret)
    );
    let secrets = house.story.count("select count(*) from herald.webhook where secret like '%whsec%'").await;
    assert_eq!(secrets, 0, "it is kept sealed");
    house.workers.stop().await;
}

#[tokio::test]
async fn c03c_a_private_address_is_not_asked_unless_that_is_allowed() {
    let house = House::begin(|_| Does::Says("200 OK"), false).await;
    house.answer(1).await;
    eventually("it to be refused", async || {
        house.events(None).await[0].reason.as_deref() == Some("127.0.0.1 is a private address.")
    })
    .await;
    assert!(house.receiver.seen().is_empty());
    assert_eq!(
        house.events(Some(EventState::Pending)).await.len(),
        1,
        "it waits for the setting to be mended"
    );
    house.story.say(&["webhook", "remove", "erp"]).await;
    house.story.clock.advance(TimeDelta::minutes(1));
    eventually("it to be given up", async || house.events(Some(EventState::Failed)).await.len() == 1).await;
    for (arguments, said) in [
        (["webhook", "add", "ERP", "https://erp.example/"].as_slice(), "name"),
        (&["webhook", "add", "erp", "ftp://erp.example/"], "url"),
        (&["webhook", "remove", "erp"], "there is no webhook erp"),
        (&["webhook", "replay", "00000000-0000-0000-0000-000000000000"], "cannot be told again"),
    ] {
        let output = house.story.run(arguments).await;
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && complaint.contains(said), "{arguments:?}: {complaint}");
    }
    house.workers.stop().await;
}

#[tokio::test]
async fn answers_that_were_told_are_purged_and_the_doctor_tells_of_those_that_were_not() {
    let house =
        House::begin(|number| Does::Says(["200 OK", "410 Gone", "503 Busy"][number.min(3) - 1]), true).await;
    let story = &house.story;
    let state = async |state: EventState| house.events(Some(state)).await.len();
    house.answer(1).await;
    eventually("the first to be told", async || state(EventState::Sent).await == 1).await;
    assert!(story.say(&["doctor"]).await.contains("ok       answers: all were told"));
    house.answer(1).await;
    eventually("the second to be given up", async || state(EventState::Failed).await == 1).await;
    house.answer(1).await;
    eventually("the third to be put off", async || house.events(None).await[0].attempts == 1).await;
    story.execute("update herald.answer_event set created_at = created_at - interval '61 minutes'").await;
    let said = story.say(&["doctor"]).await;
    let expected =
        "warning  answers: 1 could not be told and were given up, 1 have waited for more than an hour";
    assert!(said.contains(expected), "{said}");

    let purge = async |days: i64| {
        let now = house.story.clock.now() + TimeDelta::days(days);
        let retention = Retention::default();
        let due = herald_workers::purge::dry_run(&house.story.pool, retention, now).await.unwrap();
        let gone = herald_workers::purge::purge(&house.story.pool, retention, now).await.unwrap();
        let many = |all: &[(Kept, u64)]| all.iter().find(|(kept, _)| *kept == Kept::Answers).unwrap().1;
        assert_eq!(many(&due), many(&gone));
        many(&gone)
    };
    assert_eq!(purge(89).await, 0);
    assert_eq!(purge(91).await, 2, "the one that was told, and the one that was given up");
    let [left] = house.events(None).await.try_into().unwrap();
    let is_open = matches!(left.state, EventState::Pending | EventState::Sending);
    assert!(is_open && purge(5_000).await == 0, "what is still to be told stays, however old it is");
    house.workers.stop().await;
}

#[tokio::test]
async fn c03c_a_receiver_that_hangs_holds_up_no_other() {
    let house = House::begin(|_| Does::Hangs, true).await;
    house.answer(20).await;
    let question =
        NewMessage { answer_to: Some("stream:other".into()), ..message("ann", "REPLY-YESNO", "Go on?") };
    let id = house.story.producer.send(question).await.unwrap();
    house.story.drain().await;
    let answer = Answer { message: id, reply: Some("Yes"), by: "ann", via: Via::Inbox };
    house.story.producer.answer(answer).await.unwrap();
    within(Duration::from_secs(15), "the other to be told", async || {
        house.events(Some(EventState::Sent)).await.len() == 1
    })
    .await;
    assert!(house.receiver.seen().len() < 10, "a few at once");
}
