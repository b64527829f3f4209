use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use herald_jobs::attachment::{Attachment, Limits, Source};
use herald_jobs::clock::Clock;
use herald_jobs::group_commit::GroupCommit;
use herald_jobs::id::{self, MessageId};
use herald_jobs::message_type::MessageType;
use herald_jobs::queues::Queues;
use herald_jobs::refusal::Refusal;
use herald_jobs::send::{MAX_KEY, NewMessage, Origin, RawSendJob, SendJob};
use herald_jobs::store;
use herald_jobs::store::idempotency::Key;
use herald_jobs::store::outbox::Accepting;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::SendError;
use crate::accept::{Accept, COMMITS, GROUP, accept_with, refuse_stranger};
use crate::directory::Directory;
use crate::numbers::{self, Region};
use crate::push::SendPushers;

/// How long an idempotency key is remembered.
const KEY_LIFE: TimeDelta = TimeDelta::days(7);

/// Sends with files that are accepted at once: each takes a connection for itself.
const WITH_FILES: usize = 4;
/// How long files are looked at: on a share in the network it may be for ever.
const LOOK: Duration = Duration::from_secs(10);

/// How a [`Producer`] behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Entries a lane may hold in Redis; beyond them accepted sends wait in the outbox.
    pub max_depth: u64,
    /// Where numbers without a country code belong; `None`: they are refused.
    pub region: Option<Region>,
    /// What may be attached.
    pub attachments: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_depth: 20_000, region: None, attachments: Limits::default() }
    }
}

/// Sends messages. Clones share their connections and commit in groups.
///
/// [`send`](Self::send) and its kin answer when the send is committed to Postgres: it is not lost then, whatever dies next.
#[derive(Clone)]
pub struct Producer {
    inner: Arc<Inner>,
    sent_by: Option<Arc<str>>,
}

struct Inner {
    pool: PgPool,
    queues: Queues,
    clock: Clock,
    region: Option<Region>,
    directory: Directory,
    accepting: GroupCommit<Accept>,
    attachments: Limits,
    with_files: Semaphore,
    pushers: Arc<SendPushers>,
}

/// A send that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The message's id.
    pub id: MessageId,
    /// The same request was accepted before under this idempotency key; nothing was sent now.
    pub replayed: bool,
}

/// What became of a send to many.
#[derive(Debug)]
pub struct Batch {
    /// Names the batch.
    pub id: Uuid,
    /// One answer for each recipient, in their order.
    pub answers: Vec<Result<MessageId, SendError>>,
}

impl Producer {
    /// A producer over `pool` and `queues`. Must be made inside a tokio runtime.
    pub fn new(pool: PgPool, queues: Queues, clock: Clock, options: Options) -> Self {
        let pushers = Arc::new(SendPushers::spawn(&queues.send, options.max_depth));
        let directory = Directory::new(pool.clone());
        let accepting =
            GroupCommit::spawn(Accept { pool: pool.clone(), pushers: pushers.clone() }, GROUP, COMMITS);
        let follow = directory.clone();
        let Options { attachments, region, .. } = options;
        let with_files = Semaphore::new(WITH_FILES);
        let inner = Arc::new(Inner {
            pool,
            queues,
            clock,
            region,
            directory,
            accepting,
            attachments,
            with_files,
            pushers,
        });
        let alive = Arc::downgrade(&inner);
        tokio::spawn(async move {
            let gone = async {
                while alive.strong_count() > 0 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            };
            tokio::select! { () = follow.follow() => {}, () = gone => {} }
        });
        Self { inner, sent_by: None }
    }

    /// The same producer, whose messages tell through what they came in, as in `token hrld_abcdefgh`.
    pub fn on_behalf_of(&self, sent_by: &str) -> Self {
        Self { inner: self.inner.clone(), sent_by: Some(sent_by.into()) }
    }

    /// Accepts one message. It is in Postgres when this answers, and on its way.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub async fn send(&self, message: NewMessage) -> Result<MessageId, SendError> {
        let (message, kind) = self.validated(message).await?;
        self.accept(message, &kind, None).await
    }

    /// Accepts one message once: the same sender, key and message again is answered with the first one's id.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub async fn send_once(&self, message: NewMessage, key: &str) -> Result<Sent, SendError> {
        self.send_once_if(message, key, || Ok(())).await?
    }

    /// Like [`send_once`](Self::send_once), where `may_send` is asked before something is sent, and not where it was sent before:
    /// for whoever counts what is sent. Its refusal is the inner answer.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub async fn send_once_if<E>(
        &self,
        message: NewMessage,
        key: &str,
        may_send: impl FnOnce() -> Result<(), E>,
    ) -> Result<Result<Sent, E>, SendError> {
        check_key(key)?;
        let (message, kind) = self.validated(message).await?;
        let request =
            serde_json::to_value(&message).map_err(|error| Refusal::new("message", error.to_string()))?;
        let sender = message.sender.clone();
        // What they come to counts where the key is new: a repeated request is answered as before, whatever became of its files.
        let files = self.files(&message).await;
        let answer_to = message.answer_to.clone();
        let accepting = self.prepare(message, &kind, None)?;
        let _turn = self.turn(files.as_deref().unwrap_or_default()).await;
        let mut transaction = self.inner.pool.begin().await?;
        let expires = self.inner.clock.now() + KEY_LIFE;
        let id = accepting.id;
        match store::idempotency::claim(&mut transaction, (&sender, key), &request, id, expires).await? {
            Key::Replayed(id) => return Ok(Ok(Sent { id, replayed: true })),
            Key::Taken(id) => return Err(SendError::KeyTaken(id)),
            Key::Fresh => {}
        }
        if let Err(refused) = may_send() {
            return Ok(Err(refused));
        }
        accept_with(&mut transaction, &accepting, &files?, answer_to.as_deref()).await?;
        transaction.commit().await?;
        self.inner.pushers.push(std::iter::once(&accepting)).await;
        Ok(Ok(Sent { id, replayed: false }))
    }

    /// Accepts one message inside the caller's own transaction: a rollback leaves nothing. The relay pushes it within
    /// 100 ms of the commit.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent then.
    pub async fn send_in(
        &self,
        transaction: &mut PgConnection,
        message: NewMessage,
    ) -> Result<MessageId, SendError> {
        let checked = self.validated(message).await?;
        let files = self.files(&checked.0).await?;
        self.accept_in(transaction, checked, &files).await
    }

    /// Accepts what was checked, as its files were, on this connection alone.
    pub(crate) async fn accept_in(
        &self,
        transaction: &mut PgConnection,
        (message, kind): (NewMessage, Arc<MessageType>),
        files: &[Attachment],
    ) -> Result<MessageId, SendError> {
        let answer_to = message.answer_to.clone();
        let accepting = Accepting { pushed: false, ..self.prepare(message, &kind, None)? };
        accept_with(transaction, &accepting, files, answer_to.as_deref()).await?;
        Ok(accepting.id)
    }

    /// Accepts the same message for many recipients; each is accepted or refused by itself. Files are attached by their path: their
    /// bytes would be kept once for each.
    ///
    /// # Errors
    /// The message itself is at fault, or the database cannot be reached before the first was accepted.
    pub async fn send_many(&self, message: NewMessage, recipients: &[String]) -> Result<Batch, SendError> {
        let batch = id::new(self.inner.clock.now());
        let kind = self.message_type(&message.message_type).await?;
        let message = self.with_numbers(message)?;
        self.check_template(&message).await?;
        if let Some(position) = message.files()?.iter().position(|it| matches!(it.source, Source::Bytes(_))) {
            let field = format!("attachments/{position}/content");
            return Err(Refusal::new(field, "cannot be sent to many: name a path").into());
        }
        let mut answers = Vec::with_capacity(recipients.len());
        for chunk in recipients.chunks(4 * GROUP) {
            let sends = chunk.iter().map(|recipient| {
                let message = NewMessage { recipient: recipient.clone(), ..message.clone() };
                let kind = kind.clone();
                async move { self.accept(message.validate(&kind)?, &kind, Some(batch)).await }
            });
            answers.extend(futures::future::join_all(sends).await);
        }
        Ok(Batch { id: batch, answers })
    }

    /// The fast lane: pushes straight to Redis. The promise is then Redis's own: what Redis loses is lost, and an
    /// unknown recipient is found by the worker only.
    ///
    /// # Errors
    /// [`SendError`]; after [`SendError::Queue`] the message may have been sent nevertheless.
    pub async fn enqueue(&self, message: NewMessage) -> Result<MessageId, SendError> {
        let (message, kind) = self.validated(message).await?;
        if !message.attachments.is_empty() {
            return Err(Refusal::new("attachments", "cannot take the fast lane").into());
        }
        if message.answer_to.is_some() {
            return Err(Refusal::new("answer_to", "cannot take the fast lane").into());
        }
        let now = self.inner.clock.now();
        let (id, lane) = (MessageId::new(now), message.lane.unwrap_or(kind.lane));
        let job = SendJob {
            id,
            accepted_at: now.timestamp_millis(),
            origin: Origin::FastLane,
            batch_id: None,
            sent_by: self.sent_by.as_deref().map(str::to_owned),
            message,
        };
        self.inner.queues.send.lane(lane).push(&job).await?;
        Ok(id)
    }

    /// Waits until everything accepted so far has been pushed to Redis, or has failed to be. A program that ends right after a
    /// send spares its message the sweep's delay.
    pub async fn flush(&self) {
        self.inner.pushers.flush().await;
    }

    /// Whether so many bytes may be attached to a mail.
    pub(crate) fn may_attach(&self, bytes: usize) -> bool {
        self.inner.attachments.allows(bytes)
    }

    /// Where numbers without a country code belong.
    pub fn region(&self) -> Option<Region> {
        self.inner.region
    }

    pub(crate) fn sent_by(&self) -> Option<&str> {
        self.sent_by.as_deref()
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    async fn accept(
        &self,
        message: NewMessage,
        kind: &MessageType,
        batch: Option<Uuid>,
    ) -> Result<MessageId, SendError> {
        let files = self.files(&message).await?;
        let answer_to = message.answer_to.clone();
        let accepting = self.prepare(message, kind, batch)?;
        let id = accepting.id;
        if files.is_empty() && answer_to.is_none() {
            refuse_stranger(self.inner.accepting.submit(accepting).await?)?;
        } else {
            let _turn = self.turn(&files).await;
            let mut transaction = self.inner.pool.begin().await?;
            accept_with(&mut transaction, &accepting, &files, answer_to.as_deref()).await?;
            transaction.commit().await?;
            self.inner.pushers.push(std::iter::once(&accepting)).await;
        }
        Ok(id)
    }

    /// The files of a message, which may be attached. Asked before a transaction begins, which would wait for the file system.
    pub(crate) async fn files(&self, message: &NewMessage) -> Result<Vec<Attachment>, SendError> {
        let files = message.files()?;
        let looking = tokio::time::timeout(LOOK, self.inner.attachments.check(&files));
        looking.await.unwrap_or_else(|_| {
            let problem = format!("cannot be looked at within {} seconds: try again", LOOK.as_secs());
            Err(Refusal::new("attachments", problem))
        })?;
        Ok(files)
    }

    /// Waits for a turn to accept these files. Not for who has a connection already: those who have a turn wait for one.
    async fn turn(&self, files: &[Attachment]) -> Option<SemaphorePermit<'_>> {
        if files.is_empty() { None } else { self.inner.with_files.acquire().await.ok() }
    }

    pub(crate) async fn validated(
        &self,
        message: NewMessage,
    ) -> Result<(NewMessage, Arc<MessageType>), SendError> {
        let kind = self.message_type(&message.message_type).await?;
        let message = self.with_numbers(message)?.validate(&kind)?;
        self.check_template(&message).await?;
        Ok((message, kind))
    }

    fn with_numbers(&self, mut message: NewMessage) -> Result<NewMessage, Refusal> {
        for (position, contact) in message.recipients.iter_mut().enumerate() {
            numbers::normalise(contact, self.inner.region).map_err(|refusal| {
                Refusal::new(format!("recipients/{position}/{}", refusal.field), refusal.problem)
            })?;
        }
        Ok(message)
    }

    async fn check_template(&self, message: &NewMessage) -> Result<(), SendError> {
        let Some(code) = &message.template else { return Ok(()) };
        let template = self.inner.directory.template(code).await?;
        let template =
            template.ok_or_else(|| Refusal::new("template", format!("there is no template \"{code}\"")))?;
        if message.model_key.is_some() && template.model.is_none() {
            let problem = format!("the template {code} has no model: send an instance");
            return Err(Refusal::new("model_key", problem).into());
        }
        Ok(())
    }

    pub(crate) async fn message_type(&self, code: &str) -> Result<Arc<MessageType>, SendError> {
        let unknown = || Refusal::new("message_type", format!("there is no message type \"{code}\"")).into();
        self.inner.directory.message_type(code).await?.ok_or_else(unknown)
    }

    /// What is accepted, and the job that carries it. Files are kept apart, since Redis has no room for them, and so is where the
    /// answer goes.
    pub(crate) fn prepare(
        &self,
        message: NewMessage,
        kind: &MessageType,
        batch_id: Option<Uuid>,
    ) -> Result<Accepting, SendError> {
        let now = self.inner.clock.now();
        let (id, lane) = (MessageId::new(now), message.lane.unwrap_or(kind.lane));
        let due_at = message.deliver_at.filter(|&at| at > now);
        let message = NewMessage { attachments: Vec::new(), answer_to: None, ..message };
        let job = SendJob {
            id,
            accepted_at: now.timestamp_millis(),
            origin: Origin::Outbox,
            batch_id,
            sent_by: self.sent_by.as_deref().map(str::to_owned),
            message,
        };
        let unreadable = |error: serde_json::Error| Refusal::new("message", error.to_string());
        Ok(Accepting {
            job: RawSendJob::new(&job).map_err(unreadable)?,
            id,
            lane,
            recipient: job.message.recipient,
            sending_user: job.message.sender_instance.is_none().then(|| job.message.sender.to_lowercase()),
            due_at,
            pushed: due_at.is_none() && !self.inner.pushers.lane(lane).is_deep(),
            batch_id,
        })
    }
}

fn check_key(key: &str) -> Result<(), Refusal> {
    if key.is_empty() || key.chars().count() > MAX_KEY || key.contains(char::is_control) {
        return Err(Refusal::new(
            "idempotency_key",
            format!("must be 1 to {MAX_KEY} characters, none of them a control character"),
        ));
    }
    Ok(())
}
