//! Idempotency keys: one key, one message.

use std::collections::BTreeSet;
use std::time::Instant;

use futures::future::join_all;
use herald_jobs::send::NewMessage;
use herald_producers::SendError;
use uuid::Uuid;

use crate::support::PATIENCE;
use crate::support::herald::{Story, message};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_makes_one_message_however_many_send_it_at_once() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let sends = (0..50).map(|_| story.producer.send_once(message("ann", "VIEW-NORMAL", "x"), "order-7"));
    let answers: Vec<_> = join_all(sends).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|sent| !sent.replayed).count(), 1);
    let ids: BTreeSet<Uuid> = answers.iter().map(|sent| sent.id.0).collect();
    assert_eq!(ids.len(), 1);
    story.drain().await;
    story.assert_delivered(&ids).await;

    // The key outlives the way through the outbox.
    let again = story.producer.send_once(message("ann", "VIEW-NORMAL", "x"), "order-7").await.unwrap();
    assert!(again.replayed && ids.contains(&again.id.0));
    workers.stop().await;
}

#[tokio::test]
async fn a_key_stands_for_one_body_of_one_sender() {
    let story = Story::begin().await;
    let first = story.producer.send_once(message("ann", "VIEW-NORMAL", "x"), "k").await.unwrap();
    let other = story.producer.send_once(message("ann", "VIEW-NORMAL", "y"), "k").await.unwrap_err();
    assert!(matches!(other, SendError::KeyTaken(id) if id == first.id), "{other}");
    let mut from_bob = message("ann", "VIEW-NORMAL", "y");
    from_bob.sender = "invoice".into();
    let from_bob = story.producer.send_once(from_bob, "k").await.unwrap();
    assert!(!from_bob.replayed);
    assert_eq!(story.count("select count(*) from herald.outbox").await, 2);
}

#[tokio::test]
async fn a_refused_send_leaves_its_key_free() {
    let story = Story::begin().await;
    assert!(story.producer.send_once(message("nobody", "VIEW-NORMAL", "x"), "k").await.is_err());
    assert!(!story.producer.send_once(message("ann", "VIEW-NORMAL", "x"), "k").await.unwrap().replayed);
}

#[tokio::test]
async fn sql_and_rust_share_their_keys() {
    let story = Story::begin().await;
    let call = "select herald.send_message('Ann', 'x', 'VIEW-NORMAL', 'report', '7', idempotency_key => 'k')";
    let by_sql: Uuid = sqlx::query_scalar(call).fetch_one(&story.pool).await.unwrap();
    let by_rust = story.producer.send_once(message("ann", "VIEW-NORMAL", "x"), "k").await.unwrap();
    assert_eq!((by_rust.id.0, by_rust.replayed), (by_sql, true));
    let again: Uuid = sqlx::query_scalar(call).fetch_one(&story.pool).await.unwrap();
    assert_eq!(again, by_sql);
    let taken = sqlx::query(
        "select herald.send_message('ann', 'y', 'VIEW-NORMAL', 'report', '7', idempotency_key => 'k')",
    )
    .execute(&story.pool)
    .await
    .unwrap_err();
    assert!(taken.to_string().contains("idempotency_key"), "{taken}");
    assert_eq!(story.count("select count(*) from herald.outbox").await, 1);
}

#[tokio::test]
async fn a_time_is_the_same_however_it_is_written() {
    let story = Story::begin().await;
    let at: chrono::DateTime<chrono::Utc> = "2031-03-01T09:30:00.5Z".parse().unwrap();
    let timed = || NewMessage { deliver_at: Some(at), ..message("ann", "VIEW-NORMAL", "x") };
    let by_rust = story.producer.send_once(timed(), "k").await.unwrap();
    for zone in ["UTC", "Asia/Yangon"] {
        let mut session = story.pool.begin().await.unwrap();
        sqlx::query("select set_config('timezone', $1, true)")
            .bind(zone)
            .execute(&mut *session)
            .await
            .unwrap();
        let by_sql: Uuid = sqlx::query_scalar(
            "select herald.send_message('ann', 'x', 'VIEW-NORMAL', 'report', '7', idempotency_key => 'k', deliver_at => $1)",
        )
        .bind(at)
        .fetch_one(&mut *session)
        .await
        .unwrap();
        assert_eq!(by_sql, by_rust.id.0, "{zone}");
    }
    assert!(story.producer.send_once(timed(), "k").await.unwrap().replayed);
}

#[tokio::test]
async fn a_key_in_an_open_transaction_is_busy_and_holds_nobody_up() {
    let story = Story::begin().await;
    let mut transaction = story.pool.begin().await.unwrap();
    let call = "select herald.send_message('ann', 'x', 'VIEW-NORMAL', 'report', '7', idempotency_key => 'k')";
    let by_sql: Uuid = sqlx::query_scalar(call).fetch_one(&mut *transaction).await.unwrap();

    let begun = Instant::now();
    let busy = story.producer.send_once(message("ann", "VIEW-NORMAL", "x"), "k").await.unwrap_err();
    assert!(matches!(busy, SendError::KeyBusy), "{busy}");
    let busy = sqlx::query(call).execute(&story.pool).await.unwrap_err();
    assert_eq!(busy.as_database_error().unwrap().code().as_deref(), Some("55P03"));
    assert!(begun.elapsed() < PATIENCE);
    // Sends without that key, or without any, do not notice.
    story.producer.send_once(message("ann", "VIEW-NORMAL", "x"), "other").await.unwrap();
    story.producer.send(message("ann", "VIEW-NORMAL", "x")).await.unwrap();

    transaction.commit().await.unwrap();
    let sent = story.producer.send_once(message("ann", "VIEW-NORMAL", "x"), "k").await.unwrap();
    assert_eq!((sent.id.0, sent.replayed), (by_sql, true));
}
