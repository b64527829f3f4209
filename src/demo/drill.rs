//! Messages that are sent while something is broken, and what became of them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use herald_jobs::clock::Clock;
use herald_jobs::id;
use herald_producers::{NewMessage, Producer, SendError};
use sqlx::PgPool;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::catcher::Mailbox;

/// Over how long the messages of a drill are spread.
const LENGTH: Duration = Duration::from_secs(20);
/// The pause after a refused send.
const AGAIN: Duration = Duration::from_millis(300);
/// Every so manieth message goes out by e-mail too.
const BY_MAIL: usize = 10;
/// Who gets them.
pub(super) const RECIPIENT: &str = "drill";
/// Who sends them.
const SENDER: &str = "break_it";

/// Sends, and counts.
pub(super) struct Drill {
    producer: Producer,
    pool: PgPool,
    clock: Clock,
    run: Mutex<Option<Arc<Run>>>,
}

/// One drill.
struct Run {
    name: String,
    wanted: usize,
    accepted: Mutex<Vec<Uuid>>,
    mails: AtomicUsize,
    again: AtomicUsize,
    ended: AtomicBool,
}

/// What became of the messages of a drill.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) wanted: usize,
    /// Sends that were answered `accepted`.
    pub(super) accepted: usize,
    /// Sends that were refused for the time being, and asked again under the same idempotency key.
    pub(super) again: usize,
    pub(super) in_inbox: usize,
    pub(super) on_the_way: usize,
    /// Accepted, and neither in the inbox nor on the way.
    pub(super) lost: usize,
    /// More rows in the inbox than messages.
    pub(super) duplicates: usize,
    /// Of those that go out by e-mail too: accepted, caught, and caught more than once.
    pub(super) mails: usize,
    pub(super) mails_caught: usize,
    pub(super) mails_twice: usize,
    /// Nothing is sent any more.
    pub(super) ended: bool,
}

impl Drill {
    /// One that sends by `producer` and counts in `pool`.
    pub(super) fn new(producer: Producer, pool: PgPool, clock: Clock) -> Arc<Self> {
        Arc::new(Self { producer, pool, clock, run: Mutex::new(None) })
    }

    /// Begins to send so many messages, unless a drill is under way.
    pub(super) fn begin(self: &Arc<Self>, many: usize) {
        let mut current = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|run| !run.ended.load(Ordering::Relaxed)) {
            return;
        }
        let run = Arc::new(Run {
            name: id::new(self.clock.now()).simple().to_string(),
            wanted: many,
            accepted: Mutex::default(),
            mails: AtomicUsize::new(0),
            again: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        *current = Some(run.clone());
        tokio::spawn(self.clone().send_all(run));
    }

    /// What became of the last drill; `None`: there was none.
    ///
    /// # Errors
    /// The database does not answer.
    pub(super) async fn figures(&self, mailbox: &Mailbox) -> Result<Option<Figures>, sqlx::Error> {
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(run) = run else { return Ok(None) };
        let accepted = run.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // In one statement: a message is in either table at any moment.
        let (in_inbox, on_the_way, rows, different): (i64, i64, i64, i64) = sqlx::query_as(
            "select (select count(*) from herald.message where id = any($1)),
                    (select count(*) from herald.outbox where id = any($1)),
                    count(*), count(distinct m.message_text)
             from herald.message m join herald.app_user u on u.id = m.recipient_id
             where u.username = $2 and m.sender = $3 and m.sender_instance = $4",
        )
        .bind(&accepted)
        .bind(RECIPIENT)
        .bind(SENDER)
        .bind(&run.name)
        .fetch_one(&self.pool)
        .await?;
        let count = |many: i64| usize::try_from(many).unwrap_or_default();
        let mark = run.name.as_bytes();
        let ours = |raw: &[u8]| raw.windows(mark.len()).any(|part| part == mark);
        let mut caught: Vec<_> = mailbox
            .list()
            .iter()
            .filter(|mail| ours(&mail.raw))
            .map(|mail| mail.message_id.clone())
            .collect();
        let all = caught.len();
        caught.sort();
        caught.dedup();
        Ok(Some(Figures {
            wanted: run.wanted,
            accepted: accepted.len(),
            again: run.again.load(Ordering::Relaxed),
            in_inbox: count(in_inbox),
            on_the_way: count(on_the_way),
            lost: accepted.len().saturating_sub(count(in_inbox) + count(on_the_way)),
            duplicates: count(rows - different),
            mails: run.mails.load(Ordering::Relaxed),
            mails_caught: caught.len(),
            mails_twice: all - caught.len(),
            ended: run.ended.load(Ordering::Relaxed),
        }))
    }

    async fn send_all(self: Arc<Self>, run: Arc<Run>) {
        let pause = LENGTH / u32::try_from(run.wanted.max(1)).unwrap_or(u32::MAX);
        let mut sends = JoinSet::new();
        for number in 1..=run.wanted {
            sends.spawn(self.clone().send(run.clone(), number));
            tokio::time::sleep(pause).await;
        }
        while sends.join_next().await.is_some() {}
        run.ended.store(true, Ordering::Relaxed);
    }

    /// Sends one message, and asks again until there is an answer: the key makes one message of it.
    async fn send(self: Arc<Self>, run: Arc<Run>, number: usize) {
        let by_mail = number.is_multiple_of(BY_MAIL);
        let message = NewMessage {
            recipient: RECIPIENT.to_owned(),
            message_type: if by_mail { "DRILL-EMAIL" } else { "DRILL" }.to_owned(),
            subject: Some(format!("Drill, message {number}")),
            message_text: format!("Message {number} of the drill {}.", run.name),
            sender: SENDER.to_owned(),
            sender_instance: Some(run.name.clone()),
            ..NewMessage::default()
        };
        let key = format!("{}-{number}", run.name);
        loop {
            match self.producer.send_once(message.clone(), &key).await {
                Ok(sent) => {
                    run.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(sent.id.0);
                    run.mails.fetch_add(usize::from(by_mail), Ordering::Relaxed);
                    return;
                }
                Err(SendError::Refused(refusal)) => {
                    tracing::warn!("A message of the drill was refused: {refusal}");
                    return;
                }
                Err(_) => {
                    run.again.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}
