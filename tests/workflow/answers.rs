//! Other ways to ask and to answer: SQL, callbacks, the command line, and where answers go.

use herald_jobs::answer::Via;
use herald_jobs::message_type::{CompleteOn, RequiredAction};
use herald_producers::workflow::{Answer, Answered};
use herald_producers::{NewMessage, SendError};
use serde_json::{Value, json};
use uuid::Uuid;

use super::authorisations::{asked, event, house, say};
use crate::support::eventually;
use crate::support::herald::message;

#[tokio::test]
async fn c03c_sql_asks_in_its_own_transaction_and_completes_an_action() {
    let story = house().await;
    let workers = story.work().await;
    story
        .add_type("PO-APPROVE", |kind| {
            kind.expiry_days = None;
            kind.required_action = RequiredAction::Action;
            kind.complete_on = CompleteOn::Callback;
            kind.action_url = Some("/po/approve?id=".into());
        })
        .await;
    let ask = r#"select herald.request_authorisation(model => 'purchase_order', model_key => '7', requester => 'bob',
                     approvers => '{"users": ["ann"]}', message_text => 'Approve?', message_type => 'PO-APPROVE',
                     action_parameters => '[7]', approving => array['approved'], idempotency_key => 'po 7')"#;
    let mut transaction = story.pool.begin().await.unwrap();
    sqlx::query(ask).execute(&mut *transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(
        story.count("select count(*) from herald.authorisation").await,
        0,
        "a rollback leaves nothing"
    );
    let id: Uuid = sqlx::query_scalar(ask).fetch_one(&story.pool).await.unwrap();
    assert_eq!(
        sqlx::query_scalar::<_, Uuid>(ask).fetch_one(&story.pool).await.unwrap(),
        id,
        "the same key asks once"
    );
    let ann = asked(&story, id, "ann").await;
    let complete = "select herald.complete_message($1, $2, $3)";
    for (reply, by, said) in [(None, "ann", "reply_value"), (Some("approved"), "Bob", "done_by")] {
        let refused = sqlx::query(complete).bind(ann.0).bind(reply).bind(by).execute(&story.pool).await;
        assert!(refused.unwrap_err().to_string().contains(said));
    }
    for done in [true, false] {
        let now: bool = sqlx::query_scalar(complete)
            .bind(ann.0)
            .bind("approved")
            .bind("ann")
            .fetch_one(&story.pool)
            .await
            .unwrap();
        assert_eq!(now, done);
    }
    let answer: Value =
        sqlx::query_scalar("select herald.answer_of($1)").bind(id).fetch_one(&story.pool).await.unwrap();
    assert_eq!((&answer["status"], &answer["answered_by"]), (&json!("approved"), &json!("ann")));
    workers.stop().await;
}

#[tokio::test]
async fn c16_a_callback_completes_what_opening_does_not() {
    let story = house().await;
    let workers = story.work().await;
    story
        .add_type("PAY", |kind| {
            kind.expiry_days = None;
            kind.required_action = RequiredAction::Action;
            kind.complete_on = CompleteOn::Callback;
            kind.action_url = Some("/pay?id=".into());
        })
        .await;
    let id = story.producer.send(message("ann", "PAY", "Pay")).await.unwrap();
    let view = story.producer.send(message("ann", "VIEW-NORMAL", "Read")).await.unwrap();
    story.drain().await;
    let by = |message, via| story.producer.answer(Answer { message, reply: None, by: "pay", via });
    for (message, via) in [(id, Via::Api), (view, Via::Callback)] {
        assert!(
            matches!(by(message, via).await, Err(SendError::Refused(refusal)) if refusal.field == "message_id")
        );
    }
    assert_eq!(by(id, Via::Callback).await.unwrap(), Answered::Now);
    let Answered::Before(told) = by(id, Via::Callback).await.unwrap() else {
        panic!("it was completed twice")
    };
    assert!(told.words().starts_with("was acted on by pay by the program behind it at "), "{}", told.words());
    workers.stop().await;
}

#[tokio::test]
async fn c03c_the_command_line_asks_answers_and_waits() {
    let story = house().await;
    let workers = story.work().await;
    let id = story
        .say(&[
            "authorise",
            "request",
            "purchase_order",
            "7",
            "--for",
            "bob",
            "--ask",
            "ann",
            "--text",
            "May he?",
        ])
        .await;
    let id: Uuid = id.trim().parse().unwrap();
    let ann = asked(&story, id, "ann").await.to_string();
    let waited = story.run(&["wait", &id.to_string(), "--timeout", "1"]).await;
    assert_eq!(waited.status.code(), Some(75), "nobody has answered yet");
    let text = id.to_string();
    let wait = ["wait", &text, "--timeout", "30"];
    let waiting = story.run(&wait);
    let answering = async { story.say(&["answer", &ann, "Yes", "--by", "ann"]).await };
    let (waited, answered) = tokio::join!(waiting, answering);
    assert_eq!(answered, "answered\n");
    assert_eq!(waited.status.code(), Some(0));
    let shown: Value = serde_json::from_slice(&waited.stdout).unwrap();
    assert_eq!((&shown["status"], &shown["decided_by"]), (&json!("approved"), &json!("ann")));
    let late = story.run(&["answer", &ann, "No", "--by", "mia"]).await;
    let said = String::from_utf8(late.stderr).unwrap();
    assert!(
        !late.status.success() && said.contains("was answered Yes by ann on the command line at 20"),
        "{said}"
    );
    let shown = story.say(&["authorise", "show", &id.to_string()]).await;
    assert!(
        shown.contains("decided        Yes by ann at ") && shown.contains("ann approved: Yes"),
        "{shown}"
    );
    assert!(story.say(&["authorise", "list", "--status", "approved"]).await.contains("purchase_order 7"));
    workers.stop().await;
}

#[tokio::test]
async fn c03c_a_reply_is_told_by_stream_or_kept_for_who_listens() {
    let story = house().await;
    let workers = story.work().await;
    let mut listener = sqlx::postgres::PgListener::connect_with(&story.pool).await.unwrap();
    listener.listen("herald_answer").await.unwrap();
    let question = |answer_to: &str| NewMessage {
        answer_to: Some(answer_to.into()),
        ..message("ann", "REPLY-YESNO", "Go on?")
    };
    let by_stream = story.producer.send(question("stream:decisions")).await.unwrap();
    let kept = story.producer.send(question("notify")).await.unwrap();
    let quiet = story.producer.send(message("ann", "REPLY-YESNO", "And?")).await.unwrap();
    story.drain().await;
    for id in [by_stream, kept, quiet] {
        say(&story, id, "No", "ann").await.unwrap();
    }
    assert_eq!(listener.recv().await.unwrap().payload(), by_stream.to_string());
    let told = event(&story, kept.0).await;
    assert_eq!((&told["type"], &told["data"]["reply_value"]), (&json!("message.answered"), &json!("No")));
    assert_eq!(
        story.count("select count(*) from herald.answer_event").await,
        2,
        "nobody wants to know of the third"
    );
    assert_eq!(story.count("select count(*) from herald.answer_route").await, 0);
    let mut redis = story.plain_redis().await;
    let mut entries: Vec<(String, Vec<String>)> = Vec::new();
    eventually("the stream to have it", async || {
        let mut read = redis::cmd("XRANGE");
        read.arg("herald:answers:decisions").arg("-").arg("+");
        entries = read.query_async(&mut redis).await.unwrap();
        !entries.is_empty()
    })
    .await;
    let payload: Value = serde_json::from_str(&entries[0].1[3]).unwrap();
    assert_eq!(payload["data"]["message_id"], json!(by_stream));
    for (request, field) in [
        (NewMessage { answer_to: Some("notify".into()), ..message("ann", "VIEW-NORMAL", "x") }, "answer_to"),
        (question("webhook:none"), "answer_to"),
        (question("pigeon"), "answer_to"),
    ] {
        assert!(
            matches!(story.producer.send(request).await, Err(SendError::Refused(it)) if it.field == field)
        );
    }
    workers.stop().await;
}
