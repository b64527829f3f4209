//! A send: what a producer asks for, and the job that carries it to a worker.

use chrono::{DateTime, Datelike as _, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::address::{Contact, EmailMode, Username};
use crate::answer::AnswerTo;
use crate::attachment::{Attachment, MAX_ATTACHMENTS, NewAttachment};
use crate::id::MessageId;
use crate::message_type::{Lane, MessageType, RequiredAction, names};
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

impl NewMessage {
    /// Checks everything that can be checked without looking up people, and brings names into their one form.
    ///
    /// # Errors
    /// Names the first field that cannot be accepted, and says why.
    pub fn validate(mut self, message_type: &MessageType) -> Result<Self, Refusal> {
        let refuse = |field: &str, problem: String| Err(Refusal::new(field, problem));
        self.recipient = Username::parse(&self.recipient)
            .map_err(|problem| Refusal::new("recipient", problem))?
            .to_string();
        self.sender = self.sender.trim().to_owned();
        self.check_template()?;
        text("message_text", &self.message_text)?;
        if self.message_text.trim().is_empty() && self.template.is_none() {
            return refuse("message_text", "must not be empty".into());
        }
        if let Some(external) = &self.external_message {
            text("external_message", external)?;
        }
        if let Some(subject) = &self.subject
            && (subject.chars().count() > MAX_SUBJECT || subject.contains(char::is_control))
        {
            return refuse("subject", format!("must be one line of at most {MAX_SUBJECT} characters"));
        }
        for (field, value) in
            [("sender", Some(&self.sender)), ("sender_instance", self.sender_instance.as_ref())]
        {
            if let Some(value) = value
                && (value.is_empty()
                    || value.chars().count() > MAX_SENDER
                    || value.contains(char::is_control))
            {
                return refuse(
                    field,
                    format!("must be 1 to {MAX_SENDER} characters, none of them a control character"),
                );
            }
        }
        self.check_parameters(message_type)?;
        if let Some(instance) = &self.instance {
            check_instance(instance)?;
        }
        if let Some(at) = self.deliver_at
            && !(1..=9999).contains(&at.year())
        {
            return refuse("deliver_at", "must be a time between the years 1 and 9999".into());
        }
        if self.recipients.len() > MAX_CONTACTS {
            return refuse("recipients", format!("has more than {MAX_CONTACTS} entries"));
        }
        self.check_contacts()?;
        self.check_answer_to(message_type)?;
        self.files()?;
        Ok(self)
    }

    /// Names the contact that is not valid by its position.
    fn check_contacts(&self) -> Result<(), Refusal> {
        let named = |(position, contact): (usize, &NewContact)| {
            let within = |refusal: Refusal| {
                Refusal::new(format!("recipients/{position}/{}", refusal.field), refusal.problem)
            };
            contact.parse().map(drop).map_err(within)
        };
        self.recipients.iter().enumerate().try_for_each(named)
    }

    fn check_answer_to(&self, message_type: &MessageType) -> Result<(), Refusal> {
        let Some(answer_to) = &self.answer_to else { return Ok(()) };
        if message_type.required_action == RequiredAction::View {
            let problem = format!("is of no use with {}, which nobody answers", message_type.code);
            return Err(Refusal::new("answer_to", problem));
        }
        answer_to.parse::<AnswerTo>().map(drop).map_err(|problem| Refusal::new("answer_to", problem))
    }

    /// The attached files in valid form.
    ///
    /// # Errors
    /// Names the file that is not valid by its position.
    pub fn files(&self) -> Result<Vec<Attachment>, Refusal> {
        if self.attachments.len() > MAX_ATTACHMENTS {
            let problem = format!("has more than {MAX_ATTACHMENTS} entries");
            return Err(Refusal::new("attachments", problem));
        }
        let named = |(position, attachment): (usize, &NewAttachment)| {
            attachment.parse().map_err(|refusal| {
                Refusal::new(format!("attachments/{position}/{}", refusal.field), refusal.problem)
            })
        };
        self.attachments.iter().enumerate().map(named).collect()
    }

    /// A template brings all texts, and needs one thing to read.
    fn check_template(&self) -> Result<(), Refusal> {
        let refuse = |field: &str, problem: &str| Err(Refusal::new(field, problem));
        if self.template.is_none() {
            return match self.model_key {
                Some(_) => refuse("model_key", "is only of use with a template"),
                None => Ok(()),
            };
        }
        for (field, is_there) in [
            ("message_text", !self.message_text.is_empty()),
            ("external_message", self.external_message.is_some()),
            ("subject", self.subject.is_some()),
            ("syntax", !self.syntax.is_token()),
        ] {
            if is_there {
                return refuse(field, "comes from the template: leave it out");
            }
        }
        match (&self.instance, &self.model_key) {
            (None, None) => refuse("model_key", "this or an instance is needed with a template"),
            (Some(_), Some(_)) => refuse("model_key", "cannot be together with an instance"),
            (Some(_), None) => Ok(()),
            (None, Some(key)) if is_model_key(key) => Ok(()),
            (None, Some(_)) => refuse(
                "model_key",
                "must be a number or a text, or a list of these for a key of several columns",
            ),
        }
    }

    fn check_parameters(&self, message_type: &MessageType) -> Result<(), Refusal> {
        let Some(parameters) = &self.action_parameters else { return Ok(()) };
        let refuse = |field: String, problem: String| Err(Refusal::new(field, problem));
        if message_type.required_action != RequiredAction::Action {
            return refuse(
                "action_parameters".into(),
                format!("{} is not an action type", message_type.code),
            );
        }
        let (most, longest) = MAX_PARAMETERS;
        if parameters.len() > most {
            return refuse("action_parameters".into(), format!("has more than {most} values"));
        }
        for (position, parameter) in parameters.iter().enumerate() {
            let field = format!("action_parameters/{position}");
            match parameter {
                Value::Number(_) | Value::Bool(_) => {}
                Value::String(value) if value.chars().count() > longest => {
                    return refuse(field, format!("is longer than {longest} characters"));
                }
                Value::String(value) if value.contains('\0') => {
                    return refuse(field, "must not hold the character U+0000".into());
                }
                Value::String(_) => {}
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return refuse(field, "must be a number, a string or a boolean".into());
                }
            }
        }
        Ok(())
    }
}

fn text(field: &str, text: &str) -> Result<(), Refusal> {
    if text.contains('\0') {
        Err(Refusal::new(field, "must not hold the character U+0000"))
    } else if text.len() > MAX_TEXT && text.chars().count() > MAX_TEXT {
        Err(Refusal::new(field, format!("is longer than {MAX_TEXT} characters")))
    } else {
        Ok(())
    }
}

fn is_model_key(key: &Value) -> bool {
    let (most, longest) = MAX_MODEL_KEY;
    let is_part = |part: &Value| match part {
        Value::Number(_) => true,
        Value::String(text) => text.chars().count() <= longest && !text.contains('\0'),
        _ => false,
    };
    match key {
        Value::Array(parts) => (1..=most).contains(&parts.len()) && parts.iter().all(is_part),
        one => is_part(one),
    }
}

fn check_instance(instance: &serde_json::Map<String, Value>) -> Result<(), Refusal> {
    let refuse = |problem: String| Err(Refusal::new("instance", problem));
    if instance.values().any(|value| is_deeper(value, MAX_INSTANCE.1 - 1)) {
        refuse(format!("is nested more than {} deep", MAX_INSTANCE.1))
    } else if instance.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)) {
        refuse("must not hold the character U+0000".into())
    } else if serde_json::to_string(instance).map_or(0, |text| text.len()) > MAX_INSTANCE.0 {
        refuse(format!("is larger than {} bytes", MAX_INSTANCE.0))
    } else {
        Ok(())
    }
}

/// Whether lists and objects stand in each other more than `depth` times. Looks no deeper than that.
fn is_deeper(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth == 0 || items.iter().any(|item| is_deeper(item, depth - 1)),
        Value::Object(fields) => depth == 0 || fields.values().any(|item| is_deeper(item, depth - 1)),
        _ => false,
    }
}

/// Postgres keeps it in no text, and so in no rendered one.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> MessageType {
        MessageType { code: "VIEW-NORMAL".into(), expiry_days: Some(10), ..MessageType::default() }
    }

    fn message() -> NewMessage {
        NewMessage {
            recipient: "ann".into(),
            message_type: "VIEW-NORMAL".into(),
            message_text: "Hello".into(),
            sender: "report".into(),
            sender_instance: Some("7".into()),
            ..NewMessage::default()
        }
    }

    #[test]
    fn each_refusal_names_its_field() {
        let action = MessageType { required_action: RequiredAction::Action, ..view() };
        let cases: [(NewMessage, &MessageType, &str); 9] = [
            (NewMessage { recipient: String::new(), ..message() }, &view(), "recipient"),
            (NewMessage { message_text: " ".into(), ..message() }, &view(), "message_text"),
            (NewMessage { message_text: "a\0b".into(), ..message() }, &view(), "message_text"),
            (
                NewMessage { external_message: Some("x".repeat(MAX_TEXT + 1)), ..message() },
                &view(),
                "external_message",
            ),
            (NewMessage { subject: Some("a\r\nBcc: x@y.zz".into()), ..message() }, &view(), "subject"),
            (NewMessage { sender: String::new(), ..message() }, &view(), "sender"),
            (
                NewMessage { action_parameters: Some(vec![1.into()]), ..message() },
                &view(),
                "action_parameters",
            ),
            (
                NewMessage { action_parameters: Some(vec![1.into(), Value::Null]), ..message() },
                &action,
                "action_parameters/1",
            ),
            (
                NewMessage {
                    recipients: vec![NewContact {
                        contact_reference: "nobody".into(),
                        email_mode: "Cc".into(),
                    }],
                    ..message()
                },
                &view(),
                "recipients/0/contact_reference",
            ),
        ];
        let of_template = |change: fn(&mut NewMessage)| {
            let mut message =
                NewMessage { message_text: String::new(), template: Some("T".into()), ..message() };
            change(&mut message);
            message.validate(&view())
        };
        for (change, field) in [
            ((|it| it.message_text = "x".into()) as fn(&mut NewMessage), "message_text"),
            (|it| it.subject = Some("x".into()), "subject"),
            (|_| (), "model_key"),
            (|it| it.model_key = Some(Value::Null), "model_key"),
            (|it| it.model_key = Some(serde_json::json!([[1]])), "model_key"),
            (|it| (it.model_key, it.instance) = (Some(1.into()), Some(serde_json::Map::new())), "model_key"),
        ] {
            assert_eq!(of_template(change).unwrap_err().field, field);
        }
        assert!(of_template(|it| it.model_key = Some(serde_json::json!([1, "a"]))).is_ok());
        let lone = NewMessage { model_key: Some(1.into()), ..message() };
        assert_eq!(lone.validate(&view()).unwrap_err().field, "model_key");
        for (bad, message_type, field) in cases {
            assert_eq!(bad.validate(message_type).unwrap_err().field, field);
        }
        assert!(message().validate(&view()).is_ok());
    }
}
