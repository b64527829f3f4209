//! Rules by which what happens in the host's tables becomes messages.

mod condition;
mod plan;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::condition::Condition;
pub use self::plan::{Plan, Surroundings, plan};
use crate::refusal::{Refusal, check_code, check_line};
use crate::send::{MAX_TEXT, Syntax};

/// Longest condition, in characters.
const MAX_CONDITION: usize = 2_000;
/// Longest path or contact, in characters, and most contacts.
const MAX_PATH: usize = 200;
const MAX_CONTACTS: usize = 20;

/// What is watched of a table, as in `insert`, `update`, `update:status`, `update:status=approved` or `delete`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct On {
    /// `insert`, `update` or `delete`.
    pub operation: &'static str,
    /// Only updates that change this column,
    pub column: Option<String>,
    /// and only to this value.
    pub value: Option<String>,
}

impl std::str::FromStr for On {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |operation| Ok(Self { operation, column: None, value: None });
        match text.split_once(':') {
            None if text == "insert" => plain("insert"),
            None if text == "update" => plain("update"),
            None if text == "delete" => plain("delete"),
            Some(("update", column)) if !column.is_empty() && !column.starts_with('=') => {
                let (column, value) = match column.split_once('=') {
                    Some((column, value)) => (column, Some(value.to_owned())),
                    None => (column, None),
                };
                Ok(Self { operation: "update", column: Some(column.to_owned()), value })
            }
            _ => Err("must be insert, delete, update, update:COLUMN or update:COLUMN=VALUE".to_owned()),
        }
    }
}

impl std::fmt::Display for On {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.operation)?;
        if let Some(column) = &self.column {
            write!(f, ":{column}")?;
        }
        if let Some(value) = &self.value {
            write!(f, "={value}")?;
        }
        Ok(())
    }
}

/// Which event becomes which message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventRule {
    /// Unique, as in `PO-APPROVED`.
    pub code: String,
    /// The watch whose events it reads, as `herald watch list` shows it.
    pub watch: i64,
    /// When it holds, as in `new.amount > 1000 && old.status != new.status`; absent: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The code of a message type.
    pub message_type: String,
    /// The template that makes the texts, over the row as a record of its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The text, over `old` and `new`: `Order #new.id# is #new.status#.`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_text: Option<String>,
    /// The subject, over `old` and `new`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How the texts are written.
    #[serde(default)]
    pub syntax: Syntax,
    /// Who gets the message: a username,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// or where usernames stand: a column of the row, or a path from it over models, as in `customer.account_manager`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient_path: Option<String>,
    /// Outside contacts: addresses, numbers, or paths to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    /// What the messages come from; absent: the model of the table, or its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Rules that are off do nothing.
    #[serde(default = "on")]
    pub enabled: bool,
}

fn on() -> bool {
    true
}

/// Something that happened to a row.
#[derive(Clone, Debug, Default)]
pub struct Happened {
    /// The event's number.
    pub id: i64,
    /// The table, by schema and name.
    pub table: (String, String),
    /// The row before, where there was one.
    pub old: Option<Map<String, Value>>,
    /// The row after, where there is one.
    pub new: Option<Map<String, Value>>,
}

impl EventRule {
    /// Checks what can be checked without the database.
    ///
    /// # Errors
    /// Names the field that cannot be.
    pub fn validate(&self) -> Result<(), Refusal> {
        let refuse = |field: &str, problem: &str| Err(Refusal::new(field, problem));
        check_code("code", &self.code)?;
        if let Some(condition) = &self.condition {
            if condition.chars().count() > MAX_CONDITION {
                return refuse("condition", &format!("is longer than {MAX_CONDITION} characters"));
            }
            Condition::compile(condition).map_err(|problem| Refusal::new("condition", problem))?;
        }
        match (&self.template, &self.message_text) {
            (None, None) => return refuse("message_text", "this or a template is needed"),
            (Some(_), Some(_)) => return refuse("message_text", "comes from the template: leave it out"),
            (Some(_), None) if self.subject.is_some() => {
                return refuse("subject", "comes from the template: leave it out");
            }
            _ => {}
        }
        if self
            .message_text
            .as_ref()
            .is_some_and(|text| text.chars().count() > MAX_TEXT || text.contains('\0'))
        {
            return refuse(
                "message_text",
                &format!("must be at most {MAX_TEXT} characters, none of them U+0000"),
            );
        }
        match (&self.recipient, &self.recipient_path) {
            (None, None) => return refuse("recipient", "this or a recipient_path is needed"),
            (Some(_), Some(_)) => return refuse("recipient", "cannot be together with a recipient_path"),
            (Some(name), None) => check_line("recipient", name, MAX_PATH)?,
            (None, Some(path)) if !is_path(path) => {
                return refuse("recipient_path", "must be names with dots between");
            }
            (None, Some(_)) => {}
        }
        if let Some(sender) = &self.sender {
            check_line("sender", sender, MAX_PATH)?;
        }
        if self.contacts.len() > MAX_CONTACTS {
            return refuse("contacts", &format!("has more than {MAX_CONTACTS} entries"));
        }
        for (position, contact) in self.contacts.iter().enumerate() {
            if !is_literal(contact) && !is_path(contact) {
                let problem =
                    "must be an address, a number such as +491701234567, or names with dots between";
                return refuse(&format!("contacts/{position}"), problem);
            }
        }
        Ok(())
    }
}

/// Whether a contact is one by itself, and no path to one.
fn is_literal(contact: &str) -> bool {
    contact.contains('@') || contact.trim_start().starts_with('+')
}

fn is_path(path: &str) -> bool {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    path.len() <= MAX_PATH && path.split('.').all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_watched_is_read_as_it_is_shown() {
        for text in
            ["insert", "delete", "update", "update:status", "update:status=approved", "update:note=a=b:c"]
        {
            assert_eq!(text.parse::<On>().unwrap().to_string(), text);
        }
        for bad in ["", "truncate", "insert:x", "update:", "update:=x"] {
            assert!(bad.parse::<On>().is_err(), "{bad}");
        }
    }

    #[test]
    fn each_refusal_names_its_field() {
        let good = EventRule {
            code: "PO-APPROVED".into(),
            watch: 1,
            condition: Some("new.amount > 1000".into()),
            message_type: "VIEW-NORMAL".into(),
            message_text: Some("Order #new.id#".into()),
            recipient_path: Some("requester".into()),
            contacts: vec!["a@example.com".into(), "customer.contact_person.email".into()],
            ..EventRule::default()
        };
        assert_eq!(good.validate(), Ok(()));
        let with = |change: fn(&mut EventRule)| {
            let mut rule = good.clone();
            change(&mut rule);
            rule.validate().unwrap_err().field
        };
        assert_eq!(with(|it| it.code = "po".into()), "code");
        assert_eq!(with(|it| it.condition = Some("new.amount >".into())), "condition");
        assert_eq!(with(|it| it.condition = Some("let x = 1; x".into())), "condition");
        assert_eq!(with(|it| it.message_text = None), "message_text");
        assert_eq!(with(|it| it.template = Some("T".into())), "message_text");
        assert_eq!(with(|it| it.recipient = Some("ann".into())), "recipient");
        assert_eq!(with(|it| it.recipient_path = None), "recipient");
        assert_eq!(with(|it| it.recipient_path = Some("a..b".into())), "recipient_path");
        assert_eq!(with(|it| it.contacts.push("a b".into())), "contacts/2");
    }
}
