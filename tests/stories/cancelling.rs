//! A batch is cancelled by a mark: what it says holds at once, and the rows follow.

use std::collections::BTreeSet;
use std::time::Duration;

use herald_jobs::address::Channel;
use herald_jobs::answer::Via;
use herald_jobs::deliver::DeliveryState;
use herald_jobs::id::{DeliveryId, MessageId};
use herald_jobs::message_type::{ExternalDelivery, Lane, OnUnknown, RequiredAction};
use herald_jobs::retention::{Kept, Retention};
use herald_jobs::send::{Origin, RawSendJob, SendJob};
use herald_jobs::store;
use herald_jobs::store::deliveries::{Claim, Lease};
use herald_jobs::store::inbox::{Change, Changes};
use herald_jobs::store::inbox_search::{self, Search};
use herald_jobs::store::outbox::{Accepted, Accepting};
use herald_producers::workflow::{Answer, Answered};
use herald_producers::{Batch, NewContact, NewMessage};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::support::eventually;
use crate::support::herald::{Story, message};

/// Sends to ann and bob, so many times each.
async fn batch_of(story: &Story, kind: &str, many: usize) -> Batch {
    let recipients: Vec<String> =
        ["ann", "bob"].map(str::to_owned).into_iter().cycle().take(2 * many).collect();
    let notice = NewMessage { lane: Some(Lane::Bulk), ..message("", kind, "The canteen is closed.") };
    let batch = story.producer.send_many(notice, &recipients).await.unwrap();
    assert!(batch.answers.iter().all(Result::is_ok));
    batch
}

fn ids(batch: &Batch) -> Vec<MessageId> {
    batch.answers.iter().map(|answer| *answer.as_ref().unwrap()).collect()
}

/// Keeps the rows of a batch from following its mark, until this is dropped: they follow together with this one.
async fn hold(story: &Story, id: MessageId) -> Transaction<'static, Postgres> {
    let mut transaction = story.pool.begin().await.unwrap();
    sqlx::query("select from herald.message where id = $1 for update")
        .bind(id.0)
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction
}

async fn statuses(story: &Story, batch: Uuid) -> BTreeSet<String> {
    sqlx::query_scalar::<_, String>("select distinct status from herald.message where batch_id = $1")
        .bind(batch)
        .fetch_all(&story.pool)
        .await
        .unwrap()
        .into_iter()
        .collect()
}

async fn has_followed(story: &Story, batch: Uuid) -> bool {
    let at: Option<chrono::DateTime<chrono::Utc>> =
        sqlx::query_scalar("select followed_at from herald.cancelled_batch where id = $1")
            .bind(batch)
            .fetch_one(&story.pool)
            .await
            .unwrap();
    at.is_some()
}

async fn followed(story: &Story, batch: Uuid) {
    eventually("the rows to follow", async || has_followed(story, batch).await).await;
    assert_eq!(statuses(story, batch).await, BTreeSet::from(["cancelled".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_nobody_sees_a_message_of_a_cancelled_batch_as_pending_before_its_row_says_so() {
    let story = Story::begin().await;
    story
        .add_type("ORDER", |kind| {
            kind.required_action = RequiredAction::Action;
            kind.action_url = Some("/order".into());
            kind.expiry_days = None;
        })
        .await;
    story.say(&["migrate"]).await;
    let workers = story.work().await;
    let batch = batch_of(&story, "VIEW-NORMAL", 20).await;
    let orders = batch_of(&story, "ORDER", 1).await;
    let other = story.producer.send(message("ann", "VIEW-NORMAL", "x")).await.unwrap();
    story.drain().await;
    workers.stop().await;
    let ann = story.user("ann").await;
    let [first, second] = ids(&batch)[..2] else { unreachable!() };
    store::inbox::act(&story.pool, ann, &[(first.0, None)], story.clock.now()).await.unwrap();
    let mut changes = Changes::listen(&story.pool).await.unwrap();

    // No worker runs: only the marks say it.
    assert!(story.producer.cancel_batch(batch.id).await.unwrap());
    assert!(story.producer.cancel_batch(orders.id).await.unwrap());
    let told = tokio::time::timeout(Duration::from_secs(10), changes.next()).await.unwrap().unwrap();
    assert_eq!(told, Change::Any, "pages that are open look again");
    assert_eq!(story.count("select count(*) from herald.message where status = 'pending'").await, 42);

    let counts = store::inbox::counts(&story.pool, ann).await.unwrap();
    assert_eq!((counts.alerts, counts.messages), (0, 1));
    let listed: Vec<Uuid> = story.pending("ann", false).await.into_iter().map(|it| it.id).collect();
    assert_eq!(listed, [other.0]);
    assert_eq!(store::inbox::newest(&story.pool, ann, false).await.unwrap(), Some(other.0));
    assert_eq!(story.pending("bob", false).await, []);
    let found = inbox_search::find(&story.pool, ann, &Search::default(), None, 100).await.unwrap();
    assert_eq!(found.rows.iter().map(|(it, _)| it.id).collect::<Vec<_>>(), [other.0]);

    let bob = story.user("bob").await;
    let read = store::inbox::some(&story.pool, bob, &[second.0]).await.unwrap();
    assert_eq!(read[0].1.words(), "was cancelled");
    let acted = store::inbox::act(&story.pool, bob, &[(second.0, None)], story.clock.now()).await.unwrap();
    assert_eq!(acted.len(), 0);
    let answer = Answer { message: second, reply: None, by: "bob", via: Via::Api };
    let Answered::Before(standing) = story.producer.answer(answer).await.unwrap() else {
        panic!("it was answered")
    };
    assert_eq!(standing.words(), "was cancelled");
    assert_eq!(story.producer.standing(second).await.unwrap().unwrap().status, "cancelled");
    assert_eq!(
        story.producer.standing(first).await.unwrap().unwrap().status,
        "acted",
        "what was answered stays so"
    );
    assert!(!story.producer.cancel(second).await.unwrap(), "it was cancelled before");
    let contact = NewContact { contact_reference: "hana@harbour.example".into(), email_mode: "To".into() };
    let late = story.producer.add_recipient(second, &contact).await.unwrap_err();
    assert!(late.to_string().contains("was cancelled"), "{late}");
    let answer_of: Option<String> = sqlx::query_scalar("select herald.answer_of($1)->>'status'")
        .bind(second.0)
        .fetch_one(&story.pool)
        .await
        .unwrap();
    assert_eq!(answer_of.as_deref(), Some("cancelled"));

    // Nor do reminders or the purge.
    story.clock.advance(chrono::TimeDelta::days(15));
    let due = story.say(&["reminder", "dry-run", "ACTION-WAITS", "--at", &later(&story)]).await;
    assert!(!due.contains("ann") && !due.contains("bob"), "{due}");
    let expired = store::purging::count(&story.pool, Kept::Expired, story.clock.now()).await.unwrap();
    assert_eq!(expired, 1, "the other one");
    let purged = store::messages::purge_expired(&story.pool, story.clock.now(), 1_000).await.unwrap();
    assert_eq!(purged, 1);

    let workers = story.work().await;
    followed(&story, orders.id).await;
    eventually("the rows to follow", async || has_followed(&story, batch.id).await).await;
    assert_eq!(statuses(&story, batch.id).await, ["acted", "cancelled"].map(str::to_owned).into());
    assert!(!story.producer.cancel_batch(batch.id).await.unwrap());
    workers.stop().await;
}

fn later(story: &Story) -> String {
    story.clock.now().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_no_copy_of_a_cancelled_batch_goes_out() {
    let story = Story::begin().await;
    story.add_type("MAIL", |kind| kind.external_delivery = ExternalDelivery::Email).await;
    let workers = story.work().await;
    let batch = batch_of(&story, "MAIL", 10).await;
    eventually("the messages to arrive", async || {
        story.count("select count(*) from herald.delivery where state = 'pending'").await == 20
    })
    .await;
    let copy = story.copies(ids(&batch)[0]).await.remove(0);
    let held = hold(&story, ids(&batch)[19]).await;
    assert!(story.producer.cancel_batch(batch.id).await.unwrap());

    // The rows are held, and so the mark alone keeps them: there is a mail server from now on.
    let catcher = story.mail_catcher().await;
    let other = story.producer.send(message("ann", "MAIL", "not of the batch")).await.unwrap();
    eventually("the workers to find the mail server", async || {
        story.copies(other).await.first().is_some_and(|copy| copy.state == DeliveryState::Sent)
    })
    .await;
    eventually("the copies to be looked at", async || {
        story.count("select count(*) from herald.delivery where state = 'cancelled'").await == 20
    })
    .await;
    assert_eq!(statuses(&story, batch.id).await, BTreeSet::from(["pending".to_owned()]));
    drop(held);
    followed(&story, batch.id).await;
    assert_eq!(catcher.mailbox().taken(), 1, "the other one");
    let again = store::ledger::retry(&story.pool, DeliveryId(copy.id), story.clock.now()).await.unwrap();
    assert!(!again, "nor is it tried again");
    workers.stop().await;
}

#[tokio::test]
async fn a_claim_of_a_cancelled_batchs_copy_gets_nothing() {
    let story = Story::begin().await;
    story
        .add_type("BOTH", |kind| {
            kind.external_delivery = ExternalDelivery::Email;
            kind.on_unknown = OnUnknown::RetryOnce;
        })
        .await;
    let workers = story.work().await;
    let batch = batch_of(&story, "BOTH", 1).await;
    eventually("the copies to be made", async || {
        story.count("select count(*) from herald.delivery where state = 'pending'").await == 2
    })
    .await;
    workers.stop().await;
    story.producer.cancel_batch(batch.id).await.unwrap();
    let copy = story.copies(ids(&batch)[0]).await.remove(0);
    assert_eq!((copy.channel, copy.state), (Channel::Email, DeliveryState::Pending));
    assert!(!store::ledger::retry(&story.pool, DeliveryId(copy.id), story.clock.now()).await.unwrap());
    let (from, until) = (story.clock.now(), story.clock.now() + chrono::TimeDelta::minutes(1));
    let lease = Lease { token: Uuid::from_u128(1), from, until };
    let claim = Claim { id: DeliveryId(copy.id), at_hand: true };
    let claimed = store::deliveries::record_and_claim(&story.pool, &[], &[claim], lease).await.unwrap();
    assert!(claimed.is_empty());
    assert_eq!(story.copies(ids(&batch)[0]).await[0].state, DeliveryState::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_sends_of_a_cancelled_batch_are_brought_no_further() {
    let story = Story::begin().await;
    let batch = batch_of(&story, "VIEW-NORMAL", 1_500).await;
    // Some stand in Redis, the rest waits for the relay.
    story.execute("update herald.outbox set pushed_at = null where id > (select id from herald.outbox order by id offset 500 limit 1)").await;
    story.producer.flush().await;
    story.producer.cancel_batch(batch.id).await.unwrap();
    assert_eq!(story.producer.standing(ids(&batch)[0]).await.unwrap().unwrap().status, "cancelled");
    let taken = store::outbox::take_unpushed(&story.pool, Lane::Bulk, story.clock.now(), 100).await.unwrap();
    assert_eq!((taken.len(), taken.iter().filter(|row| row.payload.is_some()).count()), (100, 0));
    assert!(
        store::outbox::take_lost(&story.pool, Lane::Bulk, 0.0, 3_000)
            .await
            .unwrap()
            .iter()
            .all(|row| row.payload.is_none())
    );
    let again = store::outbox::take_lost(&story.pool, Lane::Bulk, 0.0, 3_000).await.unwrap();
    assert_eq!(again.len(), 0, "nobody comes upon them twice");
    let workers = story.work().await;
    story.drain().await;
    followed(&story, batch.id).await;
    assert_eq!(story.count("select count(*) from herald.message").await, 3_000, "all are kept, as cancelled");
    workers.stop().await;
}

/// Accepts one more message of a batch on this connection.
async fn accept(story: &Story, connection: &mut sqlx::PgConnection, batch: Uuid) -> (MessageId, Accepted) {
    let id = MessageId::new(story.clock.now());
    let job = SendJob {
        id,
        accepted_at: story.clock.now().timestamp_millis(),
        origin: Origin::Outbox,
        batch_id: Some(batch),
        sent_by: None,
        message: message("ann", "VIEW-NORMAL", "late"),
    };
    let late = Accepting {
        id,
        lane: Lane::Normal,
        job: RawSendJob::new(&job).unwrap(),
        recipient: "ann".into(),
        sending_user: None,
        due_at: None,
        pushed: false,
        batch_id: Some(batch),
    };
    let answer = store::outbox::accept(connection, &[late]).await.unwrap().remove(0);
    (id, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_what_was_being_accepted_when_its_batch_was_cancelled_does_not_stay_pending() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let batch = batch_of(&story, "VIEW-NORMAL", 5).await;
    story.drain().await;
    let mut slow = story.pool.begin().await.unwrap();
    let (late, answer) = accept(&story, &mut slow, batch.id).await;
    assert_eq!(answer, Accepted::Yes);
    assert!(story.producer.cancel_batch(batch.id).await.unwrap());
    eventually("the others to follow", async || {
        statuses(&story, batch.id).await == BTreeSet::from(["cancelled".to_owned()])
    })
    .await;
    // Each batch that follows takes a look at all of them.
    for _ in 0..3 {
        let other = batch_of(&story, "VIEW-NORMAL", 2).await;
        story.drain().await;
        assert!(story.producer.cancel_batch(other.id).await.unwrap());
        eventually("another batch to follow", async || {
            statuses(&story, other.id).await == BTreeSet::from(["cancelled".to_owned()])
        })
        .await;
    }
    assert!(!has_followed(&story, batch.id).await, "somebody was writing when the batch was cancelled");
    slow.commit().await.unwrap();
    followed(&story, batch.id).await;
    assert_eq!(story.producer.standing(late).await.unwrap().unwrap().status, "cancelled");
    // From the mark on nothing of it is accepted.
    let (_, answer) = accept(&story, &mut story.pool.acquire().await.unwrap(), batch.id).await;
    assert_eq!(answer, Accepted::Cancelled);
    story.drain().await;
    // The mark is kept for a week.
    for (days, marks) in [(6, 1), (8, 0)] {
        let now = story.clock.now() + chrono::TimeDelta::days(days);
        herald_workers::purge::purge(&story.pool, Retention::default(), now).await.unwrap();
        let mark = format!("select count(*) from herald.cancelled_batch where id = '{}'", batch.id);
        assert_eq!(story.count(&mark).await, marks);
    }
    workers.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_a_group_commit_that_began_before_its_batch_was_cancelled_leaves_nothing_pending() {
    let story = Story::begin().await;
    let batch = batch_of(&story, "VIEW-NORMAL", 50).await;
    // The worker's statement has begun, and waits for this row.
    let mut first = story.pool.begin().await.unwrap();
    sqlx::query("select from herald.outbox where id = $1 for update")
        .bind(ids(&batch)[0].0)
        .execute(&mut *first)
        .await
        .unwrap();
    let workers = story.work().await;
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    eventually("the worker to wait", async || {
        story.count(&format!("{waiting} and query like '%herald.outbox%'")).await >= 1
    })
    .await;
    assert!(story.producer.cancel_batch(batch.id).await.unwrap());
    eventually("what follows the mark to wait too", async || {
        story.count(&format!("{waiting} and query like '%follow_cancelled%'")).await >= 1
    })
    .await;
    first.rollback().await.unwrap();
    followed(&story, batch.id).await;
    story.drain().await;
    assert_eq!(statuses(&story, batch.id).await, BTreeSet::from(["cancelled".to_owned()]));
    assert_eq!(story.count("select count(*) from herald.message").await, 100);
    workers.stop().await;
}

#[tokio::test]
async fn a_batch_that_is_not_there_cannot_be_cancelled() {
    let story = Story::begin().await;
    let unknown = MessageId::new(story.clock.now());
    let refused = story.producer.cancel_batch(unknown.0).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("batch_id: there is no batch {unknown}"));
    let said = story.run(&["cancel", "--batch", &unknown.to_string()]).await;
    assert!(!said.status.success());
    assert!(String::from_utf8_lossy(&said.stderr).contains("there is no batch"));
    assert_eq!(story.count("select count(*) from herald.cancelled_batch").await, 0);
}
