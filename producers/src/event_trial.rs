//! What an event rule would have sent for what has happened: the same on the page and on the command line.

use chrono::{DateTime, Utc};
use herald_jobs::authoring::{Authoring, AuthoringError, Environment, Preview, Sample};
use herald_jobs::event_rule::{EventRule, Plan, Surroundings, plan};
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::send::NewMessage;
use herald_jobs::store::events::Event;
use herald_jobs::store::{events, message_templates};
use sqlx::Error;

use crate::Producer;

/// Of how many events a trial makes the texts.
const TEXTS: usize = 5;

/// An event, and what the rule makes of it.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The event's number.
    pub id: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What comes of it.
    pub made: Made,
}

/// What comes of one event.
#[derive(Clone, Debug)]
pub enum Made {
    /// Messages.
    Sends(Box<Sends>),
    /// None: the condition does not hold.
    Not,
    /// None, for this reason.
    Cannot(String),
}

/// The messages that come of one event.
#[derive(Clone, Debug)]
pub struct Sends {
    /// One for each recipient, with the contacts that get a copy.
    pub messages: Vec<NewMessage>,
    /// Contacts that get none, and why.
    pub skipped: Vec<String>,
    /// What people would read, of the first events only; or why that cannot be made, and the fallback text comes instead.
    pub texts: Option<Result<Preview, String>>,
}

/// What the rule would have made of the `last` events of its watch, newest first. Nothing is sent.
///
/// # Errors
/// The database cannot be reached.
pub async fn try_on_last(
    producer: &Producer,
    authoring: &Authoring,
    rule: &EventRule,
    last: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Tried>, Error> {
    let environment = authoring.environment().await?;
    let catalogue = &environment.catalogue;
    let around = Surroundings { pool: producer.pool(), reader: authoring.reader(), catalogue };
    let (mut tried, mut with_texts) = (Vec::new(), 0);
    for Event { happened, at, .. } in events::last(producer.pool(), Some(rule.watch), last).await? {
        let made = match plan(rule, &happened, &around).await? {
            Plan::Not => Made::Not,
            Plan::Cannot(problem) => Made::Cannot(problem),
            Plan::Send(mut messages) => {
                let mut skipped = Vec::new();
                for message in &mut messages {
                    let found = std::mem::take(&mut message.recipients);
                    let (usable, unusable) = producer.usable_contacts(found);
                    message.recipients = usable;
                    skipped.extend(unusable);
                }
                let texts = match messages.first().filter(|_| with_texts < TEXTS) {
                    Some(message) => Some(texts(producer, &environment, message, now).await?),
                    None => None,
                };
                with_texts += 1;
                Made::Sends(Box::new(Sends { messages, skipped, texts }))
            }
        };
        tried.push(Tried { id: happened.id, at, made });
    }
    Ok(tried)
}

/// What the recipient would read.
async fn texts(
    producer: &Producer,
    environment: &Environment,
    message: &NewMessage,
    now: DateTime<Utc>,
) -> Result<Result<Preview, String>, Error> {
    let template = match &message.template {
        Some(code) => message_templates::get(producer.pool(), code).await?,
        None => Some(MessageTemplate {
            code: "EVENT".to_owned(),
            syntax: message.syntax,
            subject: message.subject.clone(),
            message_text: message.message_text.clone(),
            ..MessageTemplate::default()
        }),
    };
    let Some(template) = template else {
        return Ok(Err(format!(
            "template: there is no template {}",
            message.template.as_deref().unwrap_or_default()
        )));
    };
    let sample = match &message.model_key {
        Some(key) => Sample::Key(key.clone()),
        None => Sample::Instance(message.instance.clone().unwrap_or_default()),
    };
    match environment.preview(&template, sample, now).await {
        Ok(preview) => Ok(Ok(preview)),
        Err(AuthoringError::Database(error)) => Err(error),
        Err(AuthoringError::Refused { refusal, .. }) => Ok(Err(refusal.to_string())),
        Err(other) => Ok(Err(other.to_string())),
    }
}
