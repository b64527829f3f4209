//! What can be checked of a send without looking up anybody.

use chrono::Datelike as _;
use serde_json::Value;

use super::{
    MAX_CONTACTS, MAX_INSTANCE, MAX_MODEL_KEY, MAX_PARAMETERS, MAX_SENDER, MAX_SUBJECT, MAX_TEXT, NewContact,
    NewMessage,
};
use crate::address::Username;
use crate::answer::AnswerTo;
use crate::attachment::{Attachment, MAX_ATTACHMENTS, NewAttachment};
use crate::message_type::{MessageType, RequiredAction};
use crate::refusal::Refusal;

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
