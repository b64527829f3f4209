//! Puts messages into inboxes. What `herald_jobs::send` says, this does.

use std::collections::HashMap;
use std::sync::Arc;

use apalis::prelude::Data;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use herald_jobs::address::{self, Channel, EmailMode};
use herald_jobs::clock::Clock;
use herald_jobs::deliver::DeliverJob;
use herald_jobs::group_commit::{self, Commit};
use herald_jobs::id::DeliveryId;
use herald_jobs::message_template::Texts;
use herald_jobs::message_type::{ExternalDelivery, Lane, MessageType};
use herald_jobs::send::{NewContact, NewMessage, Origin, SendJob};
use herald_jobs::store;
use herald_jobs::store::messages::{MadeBy, NewCopy, NewRow};
use herald_jobs::store::users::User;
use herald_producers::directory::Directory;
use herald_producers::numbers;
use herald_producers::push::Pusher;
use herald_queue::{Batch, DeadDecision, DeadJob, Failure, Outcome};
use sqlx::PgPool;

use crate::outcome::{failure, outage};
use crate::settings::Registry;
use crate::templates::{Made, Templates, Unmade};

/// How much of a reason is kept, in characters.
const MOST_OF_A_REASON: usize = 500;

/// What the handler of one lane needs.
#[derive(Clone)]
pub struct SendContext {
    /// Where messages go.
    pub pool: PgPool,
    /// Types and users.
    pub directory: Directory,
    /// What makes texts.
    pub templates: Templates,
    /// Tells when copies were made.
    pub clock: Clock,
    /// What the channels are set to.
    pub registry: Arc<Registry>,
    /// Where the ids of copies go (a send may leave its type's lane).
    pub copies: Arc<HashMap<(Channel, Lane), Pusher<DeliverJob>>>,
}

/// Puts a batch of messages into their inboxes by one commit. Greedy: what came in while the last commit ran is the next
/// batch.
///
/// # Errors
/// The database is not available: no job of the batch has failed by that.
pub async fn send(batch: Batch<SendJob>, context: Data<SendContext>) -> Result<Vec<Outcome>, Failure> {
    let jobs: Vec<SendJob> = batch.entries.into_iter().map(|entry| entry.job).collect();
    let users = context.directory.users(jobs.iter().flat_map(people)).await.map_err(outage)?;
    let now = context.clock.now();
    let jobs = Arc::new(jobs);
    let mut made = context.templates.make(&jobs, now).await.map_err(outage)?;
    let jobs = Arc::try_unwrap(jobs).unwrap_or_else(|shared| shared.to_vec());
    let mut rows = Vec::with_capacity(jobs.len());
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(jobs.len());
    let mut positions = Vec::with_capacity(jobs.len());
    for (at, job) in jobs.into_iter().enumerate() {
        let kind = context.directory.message_type(&job.message.message_type).await.map_err(outage)?;
        let row = resolve(job, made.remove(&at), kind, &users, now);
        outcomes.push(row.map(|row| {
            positions.push(outcomes.len());
            rows.push(row);
        }));
    }
    suppress_sms_while_off(&context, &mut rows).await.map_err(outage)?;
    for row in &mut rows {
        let pushers = Channel::ALL.iter().filter_map(|&channel| context.copies.get(&(channel, row.lane)));
        row.pushed = !pushers.into_iter().any(Pusher::is_deep);
    }
    let group = Insert { pool: context.pool.clone() };
    for (outcome, position) in group_commit::settle(&group, &rows).await.into_iter().zip(positions) {
        outcomes[position] = outcome.map_err(failure);
    }
    push_copies(&context, &rows).await;
    metrics::counter!("herald_messages_total").increment(rows.len() as u64);
    Ok(outcomes)
}

fn people(job: &SendJob) -> impl Iterator<Item = &str> {
    let sender = (job.origin == Origin::FastLane && job.message.sender_instance.is_none())
        .then_some(&job.message.sender);
    std::iter::once(job.message.recipient.as_str()).chain(sender.map(String::as_str))
}

/// Makes the message: everything that can be wrong with one job is found here.
fn resolve(
    job: SendJob,
    made: Option<Made>,
    kind: Option<Arc<MessageType>>,
    users: &HashMap<String, Arc<User>>,
    now: DateTime<Utc>,
) -> Result<NewRow, Failure> {
    let code = &job.message.message_type;
    let kind =
        kind.ok_or_else(|| Failure::dead(format!("message_type: there is no message type \"{code}\"")))?;
    let fast = job.origin == Origin::FastLane;
    // What came through the outbox was checked when it was accepted.
    let message = if fast {
        job.message.validate(&kind).map_err(|refusal| Failure::dead(refusal.to_string()))?
    } else {
        job.message
    };
    let user = users.get(&message.recipient).filter(|user| user.active || !fast).ok_or_else(|| {
        Failure::dead(format!("recipient: there is no active user \"{}\"", message.recipient))
    })?;
    if fast && message.sender_instance.is_none() && !users.contains_key(&message.sender) {
        return Err(Failure::dead(format!("sender: there is no user \"{}\"", message.sender)));
    }
    let created_at = DateTime::from_timestamp_millis(job.accepted_at)
        .ok_or_else(|| Failure::dead("accepted_at: is no time".to_owned()))?;
    // What was sent for later begins to expire when it is due.
    let due_at = message.deliver_at.map_or(created_at, |at| at.max(created_at));
    let copies = copies(&message, &kind, user, now);
    let (texts, made_by) = texts(&message, made, &kind, job.id)?;
    Ok(NewRow {
        id: job.id,
        needs_permit: !fast,
        recipient_id: user.id,
        lane: message.lane.unwrap_or(kind.lane),
        subject: texts.subject.unwrap_or_else(|| kind.description.clone()),
        message_text: texts.message_text,
        external_message: texts.external_message,
        made_by,
        sender: message.sender,
        sender_instance: message.sender_instance,
        action_parameters: message.action_parameters.map(serde_json::Value::Array),
        created_at,
        expires_at: kind.expiry_days.map(|days| due_at + TimeDelta::days(days.into())),
        batch_id: job.batch_id,
        sent_by: job.sent_by,
        copies,
        pushed: true,
        message_type: kind,
    })
}

/// What the recipient gets: what a template made, what the message brought, or, where a template failed, the fallback text of the type.
fn texts(
    message: &NewMessage,
    made: Option<Made>,
    kind: &MessageType,
    id: herald_jobs::id::MessageId,
) -> Result<(Texts, MadeBy), Failure> {
    let Some(Made { template, texts }) = made else {
        let texts = Texts {
            subject: message.subject.clone(),
            message_text: message.message_text.clone(),
            external_message: message.external_message.clone(),
            external_html: None,
        };
        return Ok((texts, MadeBy::default()));
    };
    match texts {
        Ok(mut texts) => {
            let external_html = texts.external_html.take();
            Ok((texts, MadeBy { template, external_html, error: None }))
        }
        Err(Unmade::NotTried) => Err(Failure::retry("there was no time to make its text")),
        Err(Unmade::Failed(reason)) => {
            let reason = for_the_ledger(&reason);
            let name = template.as_ref().map_or("none", |(code, _)| code.as_str());
            tracing::warn!(message.id = %id, "The fallback text is delivered, since template {name} failed: {reason}");
            metrics::counter!("herald_template_failures_total", "template" => name.to_owned()).increment(1);
            let texts = Texts { message_text: fallback(message, kind), ..Texts::default() };
            Ok((texts, MadeBy { template, external_html: None, error: Some(reason) }))
        }
    }
}

/// What went wrong may hold what a record held: anything, at any length.
fn for_the_ledger(reason: &str) -> String {
    reason.replace(char::is_control, " ").chars().take(MOST_OF_A_REASON).collect()
}

fn fallback(message: &NewMessage, kind: &MessageType) -> String {
    kind.fallback_text.clone().unwrap_or_else(|| {
        let instance = message.sender_instance.as_deref().unwrap_or_default();
        let from = format!("{} {instance}", message.sender);
        format!(
            "{}: there is a message from {}, whose text could not be made.",
            kind.description,
            from.trim_end()
        )
    })
}

fn copies(message: &NewMessage, kind: &MessageType, user: &User, now: DateTime<Utc>) -> Vec<NewCopy> {
    let mut copies = Vec::new();
    let mut own = |channel: Channel, address: Option<&String>, missing: &'static str| {
        copies.push(NewCopy {
            id: DeliveryId::new(now),
            channel,
            address: address.cloned(),
            display_name: user.display_name.clone(),
            mode: EmailMode::To,
            suppressed: address.is_none().then_some(missing),
        });
    };
    if matches!(kind.external_delivery, ExternalDelivery::Email | ExternalDelivery::Both) {
        // In the form that contacts have, so that one address gets one copy.
        let known = user.email.as_ref().filter(|address| !address.trim().is_empty());
        let email = known.map(|text| address::email(text).unwrap_or_else(|_| text.clone()));
        own(Channel::Email, email.as_ref(), "the user has no e-mail address");
    }
    if matches!(kind.external_delivery, ExternalDelivery::Sms | ExternalDelivery::Both) {
        let mobile = user.mobile.as_ref().map(|text| one_number(text));
        own(Channel::Sms, mobile.as_ref(), "the user has no mobile number");
    }
    copies.extend(message.recipients.iter().map(|contact| of_contact(contact, now)));
    copies
}

/// What SQL let through although nobody can write to it costs that contact the copy, and nobody else.
fn of_contact(contact: &NewContact, now: DateTime<Utc>) -> NewCopy {
    let reference = contact.contact_reference.trim();
    let by_form = if reference.contains('@') { Channel::Email } else { Channel::Sms };
    let (channel, address, mode, suppressed) = match contact.parse() {
        Ok(valid) => (valid.channel, valid.address, valid.mode, None),
        Err(_) => (by_form, reference.to_owned(), EmailMode::To, Some("the address cannot be written to")),
    };
    let address = if channel == Channel::Sms { one_number(&address) } else { address };
    NewCopy {
        id: DeliveryId::new(now),
        channel,
        address: Some(address),
        display_name: String::new(),
        mode,
        suppressed,
    }
}

/// The number in its one form, or as it is where it has none.
fn one_number(text: &str) -> String {
    numbers::e164(text, None).unwrap_or_else(|_| text.to_owned())
}

/// Nobody has turned it on.
pub(crate) const SMS_IS_OFF: &str = "SMS is off";

async fn suppress_sms_while_off(context: &SendContext, rows: &mut [NewRow]) -> Result<(), sqlx::Error> {
    let by_sms = |copy: &NewCopy| copy.channel == Channel::Sms && copy.suppressed.is_none();
    if !rows.iter().flat_map(|row| &row.copies).any(by_sms) {
        return Ok(());
    }
    if matches!(*context.registry.sms().await?, Ok(None)) {
        let copies = rows.iter_mut().flat_map(|row| &mut row.copies);
        copies.filter(|copy| by_sms(copy)).for_each(|copy| copy.suppressed = Some(SMS_IS_OFF));
    }
    Ok(())
}

/// Hands the copies that were just committed to their workers.
async fn push_copies(context: &SendContext, rows: &[NewRow]) {
    for ((channel, lane), pusher) in context.copies.iter() {
        let jobs: Vec<DeliverJob> = rows
            .iter()
            .filter(|row| row.lane == *lane && row.pushed)
            .flat_map(|row| &row.copies)
            .filter(|copy| copy.channel == *channel && copy.suppressed.is_none())
            .map(|copy| DeliverJob { id: copy.id })
            .collect();
        if !jobs.is_empty() {
            pusher.push(jobs).await;
        }
    }
}

struct Insert {
    pool: PgPool,
}

impl Commit for Insert {
    type Item = NewRow;
    type Outcome = ();

    async fn commit(&self, rows: &[NewRow]) -> Result<Vec<()>, sqlx::Error> {
        if !rows.is_empty() {
            store::messages::insert(&self.pool, rows).await?;
        }
        Ok(vec![(); rows.len()])
    }
}

/// A job's final failure goes onto its outbox row, where an operator finds and replays it; an entry without a row stays
/// among the queue's dead.
pub fn record_dead(
    pool: PgPool,
) -> impl Fn(DeadJob<SendJob>) -> BoxFuture<'static, DeadDecision> + Send + Sync {
    move |dead| {
        let pool = pool.clone();
        Box::pin(async move {
            let job = dead.job.map(|job| (job.id, job.origin)).or_else(|| outbox_id(&dead.payload));
            let Some((id, Origin::Outbox)) = job else { return DeadDecision::Keep };
            tracing::warn!(message.id = %id, "Gave up sending a message: {}", dead.reason);
            match store::outbox::fail(&pool, id, &dead.reason).await {
                // Without its row it is in the inbox already, or was dropped by an operator.
                Ok(_) => DeadDecision::Drop,
                Err(error) => DeadDecision::Later(error.to_string()),
            }
        })
    }
}

/// Finds the row of a job that cannot be read as a whole, such as one of a later version.
fn outbox_id(payload: &str) -> Option<(herald_jobs::id::MessageId, Origin)> {
    #[derive(serde::Deserialize)]
    struct Head {
        id: herald_jobs::id::MessageId,
        origin: Origin,
    }
    serde_json::from_str(payload).ok().map(|head: Head| (head.id, head.origin))
}
