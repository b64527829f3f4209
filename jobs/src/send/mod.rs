//! A send: what a producer asks for, and the job that carries it to a worker.

mod validate;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::address::{Contact, EmailMode};
use crate::attachment::NewAttachment;
use crate::id::MessageId;
use crate::message_type::{Lane, names};
use crate::refusal::Refusal;

/// Longest text of a message, in characters.
pub const MAX_TEXT: usize = 100_000;
/// Longest subject, in characters.
pub const MAX_SUBJECT: usize = 500;
/// Longest sender and sender instance, in characters.
pub const MAX_SENDER: usize = 200;
/// Most action parameters, and the longest string among them in characters.
pub const MAX_PARAMETERS: (usize, usize) = (50, 2_000);
/// Most outside contacts named in one send.
pub const MAX_CONTACTS: usize = 100;
/// Most parts of a record's key, and the longest of them in characters.
pub const MAX_MODEL_KEY: (usize, usize) = (8, 500);
/// Largest instance, in bytes as JSON, and how deep it may be.
pub const MAX_INSTANCE: (usize, usize) = (1024 * 1024, 100);
/// Longest idempotency key, in characters.
pub const MAX_KEY: usize = 255;

/// What a producer asks for. The same fields by the same names in Rust, JSON and SQL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// The username of an active user.
    pub recipient: String,
    /// The code of a message type.
    pub message_type: String,
    /// What the inbox shows; with a `template` it comes from there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message_text: String,
    /// What e-mail and SMS carry; absent: `message_text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_message: Option<String>,
    /// The subject; absent: the type's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// A model's name (then `sender_instance` is its id) or a username.
    #[serde(default)]
    pub sender: String,
    /// The instance of the model that sends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_instance: Option<String>,
    /// Scalars for the action's URL, in order; dates as ISO strings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_parameters: Option<Vec<Value>>,
    /// The code of a message template, which then makes the texts: over `instance`, or over the record `model_key` of its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The key of a record: a number or text, or a list of these where the model's key has several columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_key: Option<Value>,
    /// Without a template, the texts of this message are templates over it; with neither they are taken as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<serde_json::Map<String, Value>>,
    /// How the texts of this message are written.
    #[serde(default, skip_serializing_if = "Syntax::is_token")]
    pub syntax: Syntax,
    /// Outside contacts who get a copy too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<NewContact>,
    /// Files that its e-mails carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<NewAttachment>,
    /// Not before this time; absent: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<DateTime<Utc>>,
    /// Overrides the type's lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
    /// Where the answer goes: `webhook:NAME`, `stream:NAME` or `notify`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_to: Option<String>,
}

names! {
    /// How a template is written.
    #[derive(Default)]
    Syntax {
        /// `#field#` and `@package.module.function(...)@`: see `template`.
        #[default]
        Token = "token",
        /// `{{field}}`, `{{#each}}`, `{{#if}}`: Handlebars in strict mode, without partials and decorators.
        Handlebars = "handlebars",
    }
}

impl Syntax {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
    fn is_token(&self) -> bool {
        *self == Self::Token
    }
}

/// Somebody outside who gets a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewContact {
    /// An e-mail address or a mobile number; the form decides the channel.
    pub contact_reference: String,
    /// `To` (default), `Cc` or `Bcc`.
    #[serde(default = "to", skip_serializing_if = "String::is_empty")]
    pub email_mode: String,
}

fn to() -> String {
    "To".into()
}

impl NewContact {
    /// The contact in valid form.
    ///
    /// # Errors
    /// Names `email_mode` or `contact_reference`.
    pub fn parse(&self) -> Result<Contact, Refusal> {
        let mode =
            EmailMode::parse(&self.email_mode).map_err(|problem| Refusal::new("email_mode", problem))?;
        Contact::parse(&self.contact_reference, mode)
            .map_err(|problem| Refusal::new("contact_reference", problem))
    }
}

/// How a send came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Through the outbox: its row there is the permit to insert the message.
    Outbox,
    /// Straight to Redis.
    FastLane,
}

/// One message on its way to its recipient's inbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SendJob {
    /// The id that the message will have.
    pub id: MessageId,
    /// When it was accepted, in milliseconds since the epoch.
    pub accepted_at: i64,
    /// Whether an outbox row stands behind it.
    pub origin: Origin,
    /// Of a send to many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_id: Option<Uuid>,
    /// Through what it came in, as in `role reports` or `token hrld_abcdefgh`; absent: a program of Herald's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_by: Option<String>,
    /// What was asked for.
    pub message: NewMessage,
}

impl herald_queue::Job for SendJob {}

/// A send job as the outbox keeps it: passed on to Redis to the letter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawSendJob(pub Box<RawValue>);

impl herald_queue::Job for RawSendJob {}

impl RawSendJob {
    /// Writes a job down.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn new(job: &SendJob) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(job).map(Self)
    }

    /// As JSON.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}
