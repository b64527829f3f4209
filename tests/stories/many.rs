//! One message for many recipients.

use herald_jobs::message_type::Lane;
use herald_producers::NewMessage;

use crate::support::herald::{Story, message};

/// As many recipients as one call takes in its stride.
const MANY: usize = 10_000;

async fn recipients(story: &Story) -> Vec<String> {
    story
        .execute(&format!(
            "insert into herald.app_user (username) select 'user' || n from generate_series(1, {MANY}) n"
        ))
        .await;
    (1..=MANY).map(|n| format!("user{n}")).collect()
}

fn notice() -> NewMessage {
    NewMessage { lane: Some(Lane::Bulk), ..message("", "VIEW-NORMAL", "The canteen is closed.") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c03f_ten_thousand_recipients_are_sent_to_by_one_call() {
    let story = Story::begin().await;
    let mut recipients = recipients(&story).await;
    recipients.push("nobody".to_owned());
    let batch = story.producer.send_many(notice(), &recipients).await.unwrap();
    assert_eq!(batch.answers.len(), MANY + 1);
    assert!(batch.answers[..MANY].iter().all(Result::is_ok));
    assert!(batch.answers[MANY].as_ref().unwrap_err().to_string().starts_with("recipient: "));
    let workers = story.work().await;
    story.drain().await;
    let each = "select count(distinct recipient_id) from herald.message where status = 'pending' and batch_id is not null";
    assert_eq!(story.count(each).await, 10_000);
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_a_send_to_many_is_cancelled_as_a_whole() {
    let story = Story::begin().await;
    let recipients = recipients(&story).await;
    let later = NewMessage { deliver_at: Some(story.clock.now() + chrono::TimeDelta::hours(1)), ..notice() };
    let batch = story.producer.send_many(later, &recipients).await.unwrap();
    let other = story.producer.send(message("ann", "VIEW-NORMAL", "x")).await.unwrap();
    let said = story.say(&["cancel", "--batch", &batch.id.to_string()]).await;
    assert_eq!(said, "cancelled\n");
    assert!(!story.producer.cancel_batch(batch.id).await.unwrap(), "it was cancelled before");
    let id = *batch.answers[7].as_ref().unwrap();
    assert_eq!(story.producer.standing(id).await.unwrap().unwrap().status, "cancelled");
    story.clock.advance(chrono::TimeDelta::hours(2));
    let workers = story.work().await;
    story.drain().await;
    assert_eq!(story.count("select count(*) from herald.message where status = 'pending'").await, 1);
    assert_eq!(story.producer.standing(other).await.unwrap().unwrap().status, "pending");
    workers.stop().await;
}
