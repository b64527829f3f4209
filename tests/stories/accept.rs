//! Sending: what is accepted, what is refused, and that a send waits for nobody.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures::future::join_all;
use herald::private::Stop;
use herald_jobs::address::Username;
use herald_jobs::store;
use herald_producers::{MessageId, NewContact, NewMessage, SendError};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use sqlx::Row as _;
use uuid::Uuid;

use crate::support::herald::{Herald, Story, message};

async fn send_all(herald: &Herald, number: usize) -> BTreeSet<Uuid> {
    let sends = (0..number).map(|n| herald.producer.send(message("ann", "VIEW-NORMAL", &n.to_string())));
    join_all(sends).await.into_iter().map(|sent| sent.unwrap().0).collect()
}

/// How a message stands; it must exist.
async fn status(herald: &Herald, id: MessageId) -> String {
    herald.producer.standing(id).await.unwrap().unwrap().status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_a_send_is_accepted_while_nobody_works_and_redis_is_down() {
    let mut story = Story::begin().await;
    story.redis.stop(Stop::Abrupt).await.unwrap();
    let accepted = send_all(&story, 300).await;
    assert_eq!(story.count("select count(*) from herald.outbox").await, 300);
    story.redis.start_again().await.unwrap();

    let workers = story.work().await;
    story.drain().await;
    story.assert_delivered(&accepted).await;
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c01_a_redis_that_hangs_does_not_hold_producers_up() {
    let story = Story::begin().await;
    let pid = Pid::from_raw(story.redis.pid().unwrap().try_into().unwrap());
    let begun = Instant::now();
    let mut accepted = send_all(&story, 5_000).await;
    let usual = begun.elapsed();
    kill(pid, Signal::SIGSTOP).unwrap();
    // More than the push queue holds, so that a producer which waited for it would show.
    let begun = Instant::now();
    accepted.extend(send_all(&story, 5_000).await);
    let took = begun.elapsed();
    kill(pid, Signal::SIGCONT).unwrap();
    assert!(took < 3 * usual + Duration::from_secs(2), "5,000 sends took {took:?}, and usually {usual:?}");

    let workers = story.work().await;
    story.drain().await;
    story.assert_delivered(&accepted).await;
    workers.stop().await;
}

#[tokio::test]
async fn c31_a_send_returns_the_message_which_can_be_read_back_at_once() {
    let story = Story::begin().await;
    story
        .add_type("APPROVE", |kind| {
            kind.required_action = herald_jobs::message_type::RequiredAction::Action;
            kind.expiry_days = None;
            kind.action_url = Some("/approve?id=&level=".into());
        })
        .await;
    let sent = NewMessage {
        external_message: Some("Approve it, please.".into()),
        action_parameters: Some(vec![json!(7), json!(1.5), json!("2026-01-31"), json!(true)]),
        ..message("Ann ", "APPROVE", "Purchase order 7 waits.\nIt is urgent.")
    };
    let id = story.producer.send(sent).await.unwrap();
    let standing = story.producer.standing(id).await.unwrap().unwrap();
    assert_eq!(
        (standing.status.as_str(), standing.recipient.as_str(), standing.message_type.as_str()),
        ("accepted", "ann", "APPROVE")
    );
    assert_eq!((standing.sender.as_str(), standing.sender_instance.as_deref()), ("report", Some("7")));

    let workers = story.work().await;
    story.drain().await;
    assert_eq!(status(&story, id).await, "pending");
    let [got] = story.pending("ann", false).await.try_into().unwrap();
    assert_eq!(got.id, id.0);
    assert_eq!(got.message_text, "Purchase order 7 waits.\nIt is urgent.");
    assert_eq!(got.action_parameters, Some(json!([7, 1.5, "2026-01-31", true])));
    let external = "select count(*) from herald.message where external_message = 'Approve it, please.'";
    assert_eq!(story.count(external).await, 1);
    assert!(story.producer.standing(MessageId(Uuid::nil())).await.unwrap().is_none());
    workers.stop().await;
}

#[tokio::test]
async fn c31_sql_sends_inside_the_callers_transaction() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let send = "select herald.send_message('ann', 'from SQL', 'VIEW-NORMAL', 'order', '9')";
    let mut transaction = story.pool.begin().await.unwrap();
    sqlx::query(send).execute(&mut *transaction).await.unwrap();
    let id: Uuid = sqlx::query(send).fetch_one(&mut *transaction).await.unwrap().get(0);
    // Nobody else sees it before the commit.
    assert!(story.producer.standing(MessageId(id)).await.unwrap().is_none());
    transaction.rollback().await.unwrap();

    let mut transaction = story.pool.begin().await.unwrap();
    let in_sql: Uuid = sqlx::query(send).fetch_one(&mut *transaction).await.unwrap().get(0);
    let in_rust = story.producer.send_in(&mut transaction, message("bob", "VIEW-NORMAL", "x")).await.unwrap();
    transaction.commit().await.unwrap();
    story.drain().await;
    story.assert_delivered(&BTreeSet::from([in_sql, in_rust.0])).await;
    workers.stop().await;
}

#[tokio::test]
async fn c32_the_recipient_must_be_an_active_user() {
    let story = Story::begin().await;
    let bob = story.user("bob").await;
    store::users::set_active(&story.pool, bob, false).await.unwrap();
    for recipient in ["nobody", "bob", "", "a b"] {
        let refused = story.producer.send(message(recipient, "VIEW-NORMAL", "x")).await.unwrap_err();
        assert_eq!(field(&refused), "recipient", "{recipient}");
    }
    let batch = story
        .producer
        .send_many(message("", "VIEW-NORMAL", "x"), &["ann".into(), "bob".into(), "nobody".into()])
        .await
        .unwrap();
    let accepted: Vec<bool> = batch.answers.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, false, false]);
    assert_eq!(story.count("select count(*) from herald.outbox").await, 1);
}

#[tokio::test]
async fn c32_on_the_fast_lane_a_stranger_is_found_by_the_worker() {
    let story = Story::begin().await;
    let workers = story.work().await;
    story.producer.enqueue(message("nobody", "VIEW-NORMAL", "x")).await.unwrap();
    let good = story.producer.enqueue(message("ann", "VIEW-NORMAL", "x")).await.unwrap();
    story.settle().await;
    let dead = story.dead().await;
    assert!(matches!(dead.as_slice(), [one] if one.contains("recipient")), "{dead:?}");
    story.assert_delivered(&BTreeSet::from([good.0])).await;
    workers.stop().await;
}

#[tokio::test]
async fn c32_a_user_who_is_deactivated_after_the_accept_still_gets_the_message() {
    let story = Story::begin().await;
    let id = story.producer.send(message("bob", "VIEW-NORMAL", "x")).await.unwrap();
    store::users::set_active(&story.pool, story.user("bob").await, false).await.unwrap();
    let workers = story.work().await;
    story.drain().await;
    story.assert_delivered(&BTreeSet::from([id.0])).await;
    workers.stop().await;
}

#[tokio::test]
async fn c33_the_sender_is_a_model_with_an_instance_or_a_user_without() {
    let story = Story::begin().await;
    let from = |sender: &str, instance: Option<&str>| NewMessage {
        sender: sender.into(),
        sender_instance: instance.map(str::to_owned),
        ..message("ann", "VIEW-NORMAL", "x")
    };
    for (sender, instance, refused) in [
        ("purchase_order", Some("7"), None),
        ("bob", None, None),
        ("Bob", None, None),
        ("purchase_order", None, Some("sender")),
        ("", Some("7"), Some("sender")),
        ("purchase_order", Some(""), Some("sender_instance")),
    ] {
        let by_rust = story.producer.send(from(sender, instance)).await;
        assert_eq!(by_rust.err().as_ref().map(field), refused.map(str::to_owned), "{sender} {instance:?}");
        let by_sql = sqlx::query("select herald.send_message('ann', 'x', 'VIEW-NORMAL', $1, $2)")
            .bind(sender)
            .bind(instance)
            .execute(&story.pool)
            .await;
        assert_eq!(
            by_sql.err().as_ref().map(field_in_sql),
            refused.map(str::to_owned),
            "{sender} {instance:?}"
        );
    }
    assert_eq!(story.count("select count(*) from herald.outbox").await, 6);
}

/// The field that a refusal names.
fn field(error: &SendError) -> String {
    match error {
        SendError::Refused(refusal) => refusal.field.clone(),
        other => format!("(not refused: {other})"),
    }
}

/// The same of an error of a SQL function.
fn field_in_sql(error: &sqlx::Error) -> String {
    let error = error.as_database_error().unwrap();
    match error.code().as_deref() {
        Some("22023") => error.message().split(':').next().unwrap().to_owned(),
        code => format!("(not refused: {code:?} {})", error.message()),
    }
}

/// A message with one thing wrong, and the field that is to be named.
fn bad() -> Vec<(NewMessage, &'static str)> {
    let good = || message("ann", "VIEW-NORMAL", "x");
    let long = "x".repeat(100_001);
    vec![
        (message("ann", "NO-SUCH", "x"), "message_type"),
        (message("ann", "VIEW-NORMAL", " \n"), "message_text"),
        (message("ann", "VIEW-NORMAL", &long), "message_text"),
        (NewMessage { external_message: Some(long.clone()), ..good() }, "external_message"),
        (NewMessage { subject: Some("two\r\nlines".into()), ..good() }, "subject"),
        (NewMessage { subject: Some("x".repeat(501)), ..good() }, "subject"),
        (NewMessage { sender: "x".repeat(201), ..good() }, "sender"),
        (NewMessage { sender: "a\u{1b}b".into(), ..good() }, "sender"),
        (NewMessage { sender_instance: Some("a\nb".into()), ..good() }, "sender_instance"),
        (NewMessage { action_parameters: Some(vec![json!(1)]), ..good() }, "action_parameters"),
        (action(vec![json!(1), json!([2])]), "action_parameters/1"),
        (action(vec![json!(1), json!(2), json!(null)]), "action_parameters/2"),
        (action(vec![json!("x".repeat(2_001))]), "action_parameters/0"),
        (action(vec![json!(1); 51]), "action_parameters"),
    ]
}

fn action(parameters: Vec<serde_json::Value>) -> NewMessage {
    NewMessage { action_parameters: Some(parameters), ..message("ann", "APPROVE", "x") }
}

async fn with_an_action_type() -> Story {
    let story = Story::begin().await;
    story
        .add_type("APPROVE", |kind| {
            kind.required_action = herald_jobs::message_type::RequiredAction::Action;
            kind.expiry_days = None;
            kind.action_url = Some("/approve".into());
        })
        .await;
    story
}

#[tokio::test]
async fn bad_input_is_refused_by_name_in_rust_and_nothing_is_written() {
    let story = with_an_action_type().await;
    let contact = |reference: &str, mode: &str| NewMessage {
        recipients: vec![NewContact { contact_reference: reference.into(), email_mode: mode.into() }],
        ..message("ann", "VIEW-NORMAL", "x")
    };
    let instance = |text: &str| NewMessage {
        instance: json!({"list": [{"name": text}]}).as_object().cloned(),
        ..message("ann", "VIEW-NORMAL", "#list.name#")
    };
    let mut cases = bad();
    cases.extend([
        (message("ann", "VIEW-NORMAL", "a\0b"), "message_text"),
        (action(vec![json!("a\0b")]), "action_parameters/0"),
        (contact("nobody", "To"), "recipients/0/contact_reference"),
        (contact("a@example.com", "Zz"), "recipients/0/email_mode"),
        (instance("a\0b"), "instance"),
    ]);
    for (bad, named) in cases {
        let what = format!("{bad:?}").chars().take(300).collect::<String>();
        assert_eq!(field(&story.producer.send(bad.clone()).await.unwrap_err()), named, "send {what}");
        assert_eq!(field(&story.producer.enqueue(bad.clone()).await.unwrap_err()), named, "enqueue {what}");
        let keyed = story.producer.send_once(bad.clone(), "key").await.unwrap_err();
        assert_eq!(field(&keyed), named, "send_once {what}");
        let mut transaction = story.pool.begin().await.unwrap();
        let in_transaction = story.producer.send_in(&mut transaction, bad).await.unwrap_err();
        assert_eq!(field(&in_transaction), named, "send_in {what}");
        transaction.commit().await.unwrap();
    }
    for key in ["", "a\nb", &"k".repeat(256)] {
        let refused = story.producer.send_once(message("ann", "VIEW-NORMAL", "x"), key).await.unwrap_err();
        assert_eq!(field(&refused), "idempotency_key");
    }
    assert_nothing_written(&story).await;
}

#[tokio::test]
async fn bad_input_is_refused_by_name_in_sql_and_nothing_is_written() {
    let story = with_an_action_type().await;
    for (bad, named) in bad() {
        let refused = sqlx::query(
            "select herald.send_message($1, $2, $3, $4, $5, external_message => $6, action_parameters => $7,
                                        subject => $8, idempotency_key => 'key')",
        )
        .bind(&bad.recipient)
        .bind(&bad.message_text)
        .bind(&bad.message_type)
        .bind(&bad.sender)
        .bind(&bad.sender_instance)
        .bind(&bad.external_message)
        .bind(bad.action_parameters.clone().map(serde_json::Value::Array))
        .bind(&bad.subject)
        .execute(&story.pool)
        .await;
        let refused = refused.expect_err(named);
        assert_eq!(field_in_sql(&refused), named, "{refused}");
    }
    for (call, named) in [
        ("herald.send_message(null, 'x', 'VIEW-NORMAL', 'report', '7')", "recipient"),
        ("herald.send_message('ann', null, 'VIEW-NORMAL', 'report', '7')", "message_text"),
        ("herald.send_message('ann', 'x', null, 'report', '7')", "message_type"),
        ("herald.send_message('ann', 'x', 'VIEW-NORMAL', null, '7')", "sender"),
        (
            "herald.send_message('ann', 'x', 'VIEW-NORMAL', 'report', '7', action_parameters => '{}')",
            "action_parameters",
        ),
        (
            "herald.send_message('ann', 'x', 'VIEW-NORMAL', 'report', '7', idempotency_key => '')",
            "idempotency_key",
        ),
        (
            "herald.send_message('ann', 'x', 'VIEW-NORMAL', 'report', '7', idempotency_key => E'a\\nb')",
            "idempotency_key",
        ),
        ("herald.add_recipient(gen_random_uuid(), 'a@example.com')", "message_id"),
        ("herald.add_recipient(gen_random_uuid(), 'nobody')", "contact_reference"),
        ("herald.add_recipient(gen_random_uuid(), 'a@example.com', 'zz')", "email_mode"),
        ("herald.upsert_user('zoe', time_zone => 'Nowhere/Town')", "time_zone"),
    ] {
        let refused = sqlx::query(sqlx::AssertSqlSafe(format!("select {call}"))).execute(&story.pool).await;
        assert_eq!(field_in_sql(&refused.expect_err(call)), named, "{call}");
    }
    assert_nothing_written(&story).await;
}

async fn assert_nothing_written(story: &Story) {
    let written = "select (select count(*) from herald.outbox) + (select count(*) from herald.idempotency)
                        + (select count(*) from herald.delivery)";
    assert_eq!(story.count(written).await, 0);
    assert_eq!(story.depth().await, 0);
    assert_eq!(story.count("select count(*) from herald.app_user").await, 2);
}

#[tokio::test]
async fn a_send_for_later_waits_for_its_time() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let later = story.clock.now() + TimeDelta::hours(1);
    let id = story
        .producer
        .send(NewMessage { deliver_at: Some(later), ..message("ann", "VIEW-NORMAL", "x") })
        .await
        .unwrap();
    let now = story.producer.send(message("ann", "VIEW-NORMAL", "now")).await.unwrap();
    story.drain().await;
    assert_eq!(story.delivered().await, BTreeSet::from([now.0]));
    assert_eq!(status(&story, id).await, "accepted");
    story.clock.advance(TimeDelta::minutes(61));
    story.drain().await;
    story.assert_delivered(&BTreeSet::from([now.0, id.0])).await;
    workers.stop().await;
}

#[tokio::test]
async fn a_text_that_does_not_render_fails_alone() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let template = |text: &str| NewMessage {
        instance: json!({"name": "Ann"}).as_object().cloned(),
        ..message("ann", "VIEW-NORMAL", text)
    };
    let good = story.producer.send(template("Dear #name#, {{name}}")).await.unwrap();
    let bad = story.producer.send(template("Dear #nmae#")).await.unwrap();
    story.drain().await;
    let standing = story.producer.standing(bad).await.unwrap().unwrap();
    assert_eq!(
        standing.template_error.unwrap(),
        "message_text: line 1, column 6: there is no field `nmae`; did you mean `name`?"
    );
    assert_eq!(
        standing.message_text,
        "Message: there is a message from report 7, whose text could not be made."
    );
    let standing = story.producer.standing(good).await.unwrap().unwrap();
    assert_eq!((standing.message_text.as_str(), standing.template_error), ("Dear Ann, {{name}}", None));
    story.assert_delivered(&BTreeSet::from([good.0, bad.0])).await;
    workers.stop().await;
}

#[tokio::test]
async fn names_are_one_in_any_case_and_a_new_user_is_known_at_once() {
    let story = Story::begin().await;
    let refused = story.producer.send(message("carol", "VIEW-NORMAL", "x")).await;
    assert!(refused.is_err());
    store::users::upsert(&story.pool, &Username::parse("Carol").unwrap(), &store::users::NewUser::default())
        .await
        .unwrap();
    story.producer.send(message("CAROL", "VIEW-NORMAL", "x")).await.unwrap();
    let workers = story.work().await;
    story.drain().await;
    assert_eq!(story.pending("carol", false).await.len(), 1);
    workers.stop().await;
}
