//! A workflow asks people for decisions, and gets one answer back for each.

use chrono::TimeDelta;
use herald_jobs::answer::Via;
use herald_jobs::authorisation::{Approvers, Mode, NewAuthorisation, OnTimeout, Status};
use herald_jobs::model::Model;
use herald_jobs::retention::{Kept, Retention};
use herald_jobs::store;
use herald_jobs::store::authorisations::Authorisation;
use herald_producers::workflow::{Answer, Answered};
use herald_producers::{MessageId, SendError};
use serde_json::Value;
use uuid::Uuid;

use crate::support::eventually;
use crate::support::herald::Story;

/// A story with a boss and two managers besides ann and bob.
pub(super) async fn house() -> Story {
    let story = Story::begin().await;
    story
        .execute(
            "select herald.upsert_user('boss'), herald.upsert_user('mia'), herald.upsert_user('max');
             update herald.app_user set roles = array['manager'] where username in ('mia', 'max', 'bob')",
        )
        .await;
    story
}

/// Bob asks ann whether he may buy something.
pub(super) fn request(key: i64) -> NewAuthorisation {
    NewAuthorisation {
        model: "purchase_order".into(),
        model_key: key.into(),
        requester: "bob".into(),
        approvers: Approvers { users: vec!["ann".into()], ..Approvers::default() },
        message_text: Some("May Bob buy an espresso machine?".into()),
        ..NewAuthorisation::default()
    }
}

fn by_role() -> NewAuthorisation {
    let approvers = Approvers { role: Some("manager".into()), ..Approvers::default() };
    NewAuthorisation { approvers, ..request(7) }
}

pub(super) async fn ask(story: &Story, request: &NewAuthorisation) -> Uuid {
    story.producer.request_authorisation(request, None).await.unwrap().id
}

pub(super) async fn standing(story: &Story, id: Uuid) -> Authorisation {
    story.producer.authorisation(id).await.unwrap().unwrap()
}

/// The message that asks somebody, once it is in the inbox.
pub(super) async fn asked(story: &Story, id: Uuid, who: &str) -> MessageId {
    let find = async || {
        let it = standing(story, id).await;
        it.approvers.iter().rfind(|it| it.username == who).map(|it| MessageId(it.message_id))
    };
    eventually("the approver to be asked", async || match find().await {
        Some(message) => state(story, message).await != "accepted",
        None => false,
    })
    .await;
    find().await.unwrap()
}

async fn state(story: &Story, message: MessageId) -> String {
    story.producer.standing(message).await.unwrap().unwrap().status
}

pub(super) async fn say(
    story: &Story,
    message: MessageId,
    reply: &str,
    by: &str,
) -> Result<Answered, SendError> {
    story.producer.answer(Answer { message, reply: Some(reply), by, via: Via::Inbox }).await
}

/// What is to be told of an authorisation or a message: there must be one event.
pub(super) async fn event(story: &Story, of: Uuid) -> Value {
    let filter = store::answer_events::EventFilter { of: Some(of), ..Default::default() };
    let [event] = store::answer_events::list(&story.pool, &filter, 10).await.unwrap().try_into().unwrap();
    serde_json::from_str(&event.payload).unwrap()
}

#[tokio::test]
async fn c03c_the_first_of_several_approvers_decides_and_the_others_are_told() {
    let story = house().await;
    let workers = story.work().await;
    let id = ask(&story, &by_role()).await;
    let (mia, max) = (asked(&story, id, "mia").await, asked(&story, id, "max").await);
    assert_eq!(standing(&story, id).await.approvers.len(), 2, "bob has the role, but asks");
    assert_eq!(say(&story, mia, "Yes", "mia").await.unwrap(), Answered::Now);
    let it = standing(&story, id).await;
    assert_eq!(
        (it.status, it.reply_value.as_deref(), it.decided_by.as_deref()),
        (Status::Approved, Some("Yes"), Some("mia"))
    );
    assert!(story.pending("max", false).await.is_empty(), "nobody needs to answer any more");
    let Answered::Before(told) = say(&story, max, "No", "max").await.unwrap() else { panic!("two decided") };
    assert_eq!(
        (told.status.as_str(), told.closed_reason.as_deref()),
        ("withdrawn", Some("mia answered: Yes"))
    );
    let told = event(&story, id).await;
    assert_eq!(told["type"], "authorisation.approved");
    assert_eq!(told["data"]["model_key"], 7);
    assert_eq!(told["data"]["answers"].as_array().unwrap().len(), 2);
    workers.stop().await;
}

#[tokio::test]
async fn c03c_all_must_approve_and_one_refusal_is_enough() {
    let story = house().await;
    let workers = story.work().await;
    let all = NewAuthorisation { mode: Mode::All, ..by_role() };
    let (approved, refused) = (ask(&story, &all).await, ask(&story, &all).await);
    say(&story, asked(&story, approved, "mia").await, "Yes", "mia").await.unwrap();
    assert_eq!(standing(&story, approved).await.status, Status::Pending);
    say(&story, asked(&story, approved, "max").await, "Yes", "max").await.unwrap();
    assert_eq!(standing(&story, approved).await.status, Status::Approved);
    say(&story, asked(&story, refused, "max").await, "No", "max").await.unwrap();
    assert_eq!(standing(&story, refused).await.status, Status::Refused);
    assert_eq!(state(&story, asked(&story, refused, "mia").await).await, "withdrawn");
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c03c_approvers_who_answer_at_once_do_not_wait_for_each_other_in_a_circle() {
    let story = house().await;
    let workers = story.work().await;
    let approvers =
        Approvers { users: vec!["ann".into(), "boss".into()], role: Some("manager".into()), path: None };
    let all = NewAuthorisation { approvers, mode: Mode::All, ..request(7) };
    let any = NewAuthorisation { mode: Mode::Any, ..all.clone() };
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.extend([
            (ask(&story, &all).await, "Yes"),
            (ask(&story, &any).await, "Yes"),
            (ask(&story, &all).await, "No"),
        ]);
    }
    story.drain().await;
    let mut answers = Vec::new();
    for (id, reply) in &ids {
        for approver in standing(&story, *id).await.approvers {
            let story = &story;
            answers.push(async move {
                say(story, MessageId(approver.message_id), reply, &approver.username).await.unwrap()
            });
        }
    }
    let answered = futures::future::join_all(answers).await;
    assert_eq!(answered.len(), 60);
    // All of four approve, or one of four decides.
    assert_eq!(answered.iter().filter(|it| **it == Answered::Now).count(), 5 * (4 + 1 + 1));
    for (id, reply) in ids {
        let status = if reply == "Yes" { Status::Approved } else { Status::Refused };
        assert_eq!(standing(&story, id).await.status, status);
    }
    assert_eq!(story.count("select count(*) from herald.message where status = 'pending'").await, 0);
    workers.stop().await;
}

#[tokio::test]
async fn c03c_who_asks_does_not_decide() {
    let story = house().await;
    let to = |users: &[&str]| Approvers {
        users: users.iter().map(|it| (*it).to_owned()).collect(),
        ..Approvers::default()
    };
    story.execute("update herald.app_user set roles = '{}' where username <> 'bob'").await;
    for (request, field) in [
        (NewAuthorisation { approvers: to(&["ann", "Bob"]), ..request(1) }, "approvers/users/1"),
        (by_role(), "approvers/role"),
        (
            NewAuthorisation {
                approvers: Approvers { path: Some("manager".into()), ..Approvers::default() },
                ..request(1)
            },
            "approvers/path",
        ),
        (NewAuthorisation { approvers: to(&["nobody"]), ..request(1) }, "approvers/users/0"),
        (NewAuthorisation { approvers: Approvers::default(), ..request(1) }, "approvers"),
        (
            NewAuthorisation { approvers: Approvers { path: Some("a b".into()), ..to(&[]) }, ..request(1) },
            "approvers/path",
        ),
        (NewAuthorisation { requester: "nobody".into(), ..request(1) }, "requester"),
        (NewAuthorisation { model: " ".into(), ..request(1) }, "model"),
        (NewAuthorisation { model_key: Value::Null, ..request(1) }, "model_key"),
        (NewAuthorisation { message_type: Some("VIEW-NORMAL".into()), ..request(1) }, "message_type"),
        (NewAuthorisation { message_type: Some("NONE".into()), ..request(1) }, "message_type"),
        (NewAuthorisation { message_text: None, ..request(1) }, "message_text"),
        (NewAuthorisation { approving: vec!["Perhaps".into()], ..request(1) }, "approving"),
        (NewAuthorisation { on_timeout: OnTimeout::Approve, ..request(1) }, "due_at"),
        (NewAuthorisation { due_at: Some(story.clock.now()), ..request(1) }, "due_at"),
        (NewAuthorisation { then_ask: Some(to(&["boss"])), ..request(1) }, "then_ask"),
        (NewAuthorisation { answer_to: Some("mail:x".into()), ..request(1) }, "answer_to"),
        (NewAuthorisation { answer_to: Some("webhook:none".into()), ..request(1) }, "answer_to"),
    ] {
        match story.producer.request_authorisation(&request, None).await {
            Err(SendError::Refused(refusal)) => assert_eq!(refusal.field, field, "{refusal}"),
            other => panic!("{field}: {other:?}"),
        }
    }
    assert_eq!(story.count("select count(*) from herald.outbox").await, 0, "nobody was asked");
    assert_eq!(story.count("select count(*) from herald.authorisation").await, 0);
}

#[tokio::test]
async fn c03c_what_was_decided_is_kept_as_long_as_messages_are() {
    let story = house().await;
    let workers = story.work().await;
    let (decided, open) = (ask(&story, &request(1)).await, ask(&story, &request(2)).await);
    say(&story, asked(&story, decided, "ann").await, "Yes", "ann").await.unwrap();
    let purge = async |days: i64| {
        let (retention, now) = (Retention::default(), story.clock.now() + TimeDelta::days(days));
        let due = herald_workers::purge::dry_run(&story.pool, retention, now).await.unwrap();
        let gone = herald_workers::purge::purge(&story.pool, retention, now).await.unwrap();
        let many =
            |all: &[(Kept, u64)]| all.iter().find(|(kept, _)| *kept == Kept::Authorisations).unwrap().1;
        assert_eq!(many(&due), many(&gone));
        many(&gone)
    };
    assert_eq!((purge(364).await, purge(366).await, purge(5_000).await), (0, 1, 0));
    assert_eq!(standing(&story, open).await.status, Status::Pending);
    assert!(store::authorisations::get(&story.pool, decided).await.unwrap().is_none());
    assert_eq!(story.count("select count(*) from herald.approver").await, 1);
    workers.stop().await;
}

#[tokio::test]
async fn c03c_time_decides_where_nobody_does() {
    let story = house().await;
    let workers = story.work().await;
    let due_at = Some(story.clock.now() + TimeDelta::hours(4));
    let with = |on_timeout| NewAuthorisation { due_at, on_timeout, ..request(7) };
    let expires = ask(&story, &with(OnTimeout::Expire)).await;
    let approves = ask(&story, &with(OnTimeout::Approve)).await;
    let refuses = ask(&story, &with(OnTimeout::Refuse)).await;
    let boss = Approvers { users: vec!["boss".into()], ..Approvers::default() };
    let passes_on = ask(&story, &NewAuthorisation { then_ask: Some(boss), ..with(OnTimeout::Ask) }).await;
    let ann = asked(&story, passes_on, "ann").await;
    story.clock.advance(TimeDelta::hours(5));
    for (id, status) in [(expires, Status::Expired), (approves, Status::Approved), (refuses, Status::Refused)]
    {
        eventually("time to decide", async || standing(&story, id).await.status == status).await;
        assert_eq!(standing(&story, id).await.reason.as_deref(), Some("Nobody answered in time."));
    }
    let boss = asked(&story, passes_on, "boss").await;
    assert_eq!(state(&story, ann).await, "withdrawn", "others are asked now");
    assert!(story.pending("ann", false).await.is_empty());
    say(&story, boss, "No", "boss").await.unwrap();
    assert_eq!(standing(&story, passes_on).await.status, Status::Refused);
    workers.stop().await;
}

#[tokio::test]
async fn c03c_approvers_are_found_on_the_record() {
    let story = house().await;
    story
        .execute(
            "create schema shop;
             create table shop.customer (id int primary key, name text, account_manager text);
             create table shop.purchase_order (id int primary key, customer int references shop.customer, subject text);
             insert into shop.customer values (1, 'Harbour', 'Mia'), (2, 'Nobody''s', null)",
        )
        .await;
    for name in ["customer", "purchase_order"] {
        let model = Model {
            name: name.into(),
            table: format!("shop.{name}"),
            key: vec!["id".into()],
            ..Model::default()
        };
        store::models::register(&story.pool, &model, "test").await.unwrap();
    }
    let workers = story.work().await;
    let path = Some("customer.account_manager".to_owned());
    let on = |key: i64| NewAuthorisation {
        approvers: Approvers { path: path.clone(), ..Approvers::default() },
        ..request(key)
    };
    // The record and the request are one transaction: nobody follows the path before both are there.
    let mut transaction = story.pool.begin().await.unwrap();
    sqlx::query("insert into shop.purchase_order values (7, 1, 'Cups'), (8, 2, 'Cups')")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let found = story.producer.request_authorisation_in(&mut transaction, &on(7)).await.unwrap().id;
    let lost = story.producer.request_authorisation_in(&mut transaction, &on(8)).await.unwrap().id;
    transaction.commit().await.unwrap();
    say(&story, asked(&story, found, "mia").await, "Yes", "mia").await.unwrap();
    assert_eq!(standing(&story, found).await.status, Status::Approved);
    eventually("the other to fail", async || standing(&story, lost).await.status == Status::Failed).await;
    assert_eq!(event(&story, lost).await["type"], "authorisation.failed");
    let gone = ask(&story, &on(99)).await;
    eventually("a missing record to be told", async || {
        standing(&story, gone).await.reason.is_some_and(|why| why.contains("there is no such record"))
    })
    .await;
    // A record that cannot be read is not asked for again for ever.
    let mut lock = story.pool.begin().await.unwrap();
    sqlx::query("lock table shop.customer in access exclusive mode").execute(&mut *lock).await.unwrap();
    let slow = ask(&story, &on(7)).await;
    let tries = "select count(*) from herald.authorisation where tries > 0 and status = 'pending'";
    eventually("a first try", async || story.count(tries).await == 1).await;
    story.execute("update herald.authorisation set tries = 30 where status = 'pending'").await;
    story.clock.advance(TimeDelta::minutes(6));
    eventually("it to be given up", async || {
        let it = standing(&story, slow).await;
        it.status == Status::Failed && it.reason.is_some_and(|why| why.starts_with("Nobody can be asked: "))
    })
    .await;
    lock.rollback().await.unwrap();
    workers.stop().await;
}

#[tokio::test]
async fn c03c_c13_a_request_is_withdrawn_wherever_its_messages_are() {
    let story = house().await;
    // Still on its way: no worker runs yet.
    let early = ask(&story, &by_role()).await;
    assert!(story.producer.withdraw_authorisation(early, Some("Not needed")).await.unwrap());
    assert!(!story.producer.withdraw_authorisation(early, None).await.unwrap());
    let workers = story.work().await;
    let late = ask(&story, &by_role()).await;
    let mia = asked(&story, late, "mia").await;
    match story.producer.cancel(mia).await {
        Err(SendError::TooLate(why)) => assert!(why.contains("withdraw that"), "{why}"),
        other => panic!("{other:?}"),
    }
    story.say(&["authorise", "withdraw", &late.to_string(), "--reason", "Bob has left"]).await;
    for id in [early, late] {
        let it = standing(&story, id).await;
        assert_eq!(it.status, Status::Withdrawn);
        for approver in &it.approvers {
            assert_eq!(state(&story, MessageId(approver.message_id)).await, "withdrawn");
        }
    }
    let told = story.producer.standing(mia).await.unwrap().unwrap().closed_reason;
    assert_eq!(told.as_deref(), Some("The request was withdrawn: Bob has left"));
    assert!(matches!(
        story.producer.withdraw_authorisation(Uuid::nil(), None).await,
        Err(SendError::Refused(_))
    ));
    story.drain().await;
    assert!(story.pending("mia", false).await.is_empty() && story.pending("max", false).await.is_empty());
    workers.stop().await;
}
