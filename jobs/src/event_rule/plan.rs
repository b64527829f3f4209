//! What a rule makes of an event.

use serde_json::{Map, Value, json};
use sqlx::PgPool;

use super::{Condition, EventRule, Happened, is_literal};
use crate::address::Username;
use crate::model::{Catalogue, Table};
use crate::path::{self, PathError};
use crate::send::{NewContact, NewMessage};
use crate::store;

/// A row, where there is one.
type Row = Option<Map<String, Value>>;

/// What events are read against.
pub struct Surroundings<'a> {
    /// Herald's own tables.
    pub pool: &'a PgPool,
    /// The host's tables.
    pub reader: &'a PgPool,
    /// The models there are.
    pub catalogue: &'a Catalogue,
}

/// What comes of one event by one rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// These messages are sent.
    Send(Vec<NewMessage>),
    /// The condition does not hold.
    Not,
    /// Nothing can be sent, for this reason.
    Cannot(String),
}

/// What the rule makes of the event. Nothing is sent by this.
///
/// # Errors
/// The database cannot be reached.
pub async fn plan(
    rule: &EventRule,
    event: &Happened,
    around: &Surroundings<'_>,
) -> Result<Plan, sqlx::Error> {
    let table = around.catalogue.tables.values().find(|table| table.place == event.table);
    // What a model hides is not for rules either.
    let shown = |row: &Row| {
        let mut row = row.clone();
        if let (Some(row), Some(table)) = (&mut row, table) {
            row.retain(|name, _| !table.model.hidden.contains(name));
        }
        row
    };
    let (old, new) = (shown(&event.old), shown(&event.new));
    if let Some(condition) = &rule.condition {
        match Condition::compile(condition).and_then(|it| it.holds(old.as_ref(), new.as_ref())) {
            Ok(true) => {}
            Ok(false) => return Ok(Plan::Not),
            Err(problem) => return Ok(Plan::Cannot(format!("condition: {problem}"))),
        }
    }
    let row = new.as_ref().or(old.as_ref()).cloned().unwrap_or_default();
    let at = Place { table, key: table.and_then(|table| key(table, &row)), row: &row };
    match messages(rule, event, (&old, &new), &at, around).await {
        Ok(messages) => Ok(Plan::Send(messages)),
        Err(PathError::Problem(problem)) => Ok(Plan::Cannot(problem)),
        Err(PathError::Database(error)) => Err(error),
    }
}

/// The row that something happened to.
struct Place<'a> {
    table: Option<&'a Table>,
    /// Its key, where it is a model's record.
    key: Option<Value>,
    row: &'a Map<String, Value>,
}

async fn messages(
    rule: &EventRule,
    event: &Happened,
    (old, new): (&Row, &Row),
    at: &Place<'_>,
    around: &Surroundings<'_>,
) -> Result<Vec<NewMessage>, PathError> {
    let (schema, name) = &event.table;
    let cannot = |problem: String| Err(PathError::Problem(problem));
    let recipients = match (&rule.recipient, &rule.recipient_path) {
        (Some(name), _) => vec![name.clone()],
        (None, Some(path)) => at.follow(path, around).await?,
        (None, None) => Vec::new(),
    };
    let mut names: Vec<String> = recipients
        .iter()
        .filter_map(|name| Username::parse(name).ok())
        .map(|name| name.to_string())
        .collect();
    names.sort();
    names.dedup();
    let users = store::users::by_names(around.pool, &names).await?;
    names.retain(|name| users.iter().any(|user| user.active && user.username == *name));
    if names.is_empty() {
        return cannot(match (&rule.recipient, &rule.recipient_path) {
            (Some(name), _) => format!("recipient: {name} is no active user"),
            (None, path) => {
                let path = path.as_deref().unwrap_or_default();
                format!("recipient_path: {path} leads to no active user")
            }
        });
    }
    let mut contacts = Vec::new();
    for contact in &rule.contacts {
        if is_literal(contact) {
            contacts.push(contact.clone());
        } else {
            contacts.extend(at.follow(contact, around).await?);
        }
    }
    let model_key = match (&rule.template, &at.key) {
        (None, _) => None,
        (Some(_), Some(key)) => Some(key.clone()),
        (Some(_), None) => {
            return cannot(format!("template: {schema}.{name} is no model: see herald model add"));
        }
    };
    let instance = rule.template.is_none().then(|| {
        let mut instance = Map::new();
        instance.insert("old".to_owned(), json!(old));
        instance.insert("new".to_owned(), json!(new));
        instance
    });
    let sender = at.table.map_or(name, |table| &table.model.name);
    let of = at.key.as_ref().map_or_else(|| event.id.to_string(), key_text);
    let message = |(position, recipient): (usize, String)| NewMessage {
        recipient,
        message_type: rule.message_type.clone(),
        message_text: rule.message_text.clone().unwrap_or_default(),
        subject: rule.subject.clone(),
        syntax: rule.syntax,
        template: rule.template.clone(),
        model_key: model_key.clone(),
        instance: instance.clone(),
        sender: rule.sender.clone().unwrap_or_else(|| sender.clone()),
        sender_instance: Some(of.clone()),
        // One copy for each of them, however many users are told.
        recipients: if position == 0 { contacts.iter().map(contact).collect() } else { Vec::new() },
        ..NewMessage::default()
    };
    Ok(names.into_iter().enumerate().map(message).collect())
}

#[expect(clippy::ptr_arg, reason = "the form that map takes")]
fn contact(reference: &String) -> NewContact {
    NewContact { contact_reference: reference.clone(), email_mode: "To".to_owned() }
}

impl Place<'_> {
    /// The texts at a path: in the row as it was then, or from it on, in the records as they are now.
    async fn follow(&self, path: &str, around: &Surroundings<'_>) -> Result<Vec<String>, PathError> {
        let names: Vec<String> = path.split('.').map(str::to_owned).collect();
        if names.len() == 1 && self.row.contains_key(path) {
            return Ok(path::texts(self.row, &names));
        }
        let (Some(table), Some(key)) = (self.table, &self.key) else {
            let problem =
                format!("{path}: is no column, and the table is no model whose relations are known");
            return Err(PathError::Problem(problem));
        };
        let found = path::follow(around.pool, around.reader, (&table.model.name, key), &[path]).await?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// The record's key as a send names it.
fn key(table: &Table, row: &Map<String, Value>) -> Option<Value> {
    let parts: Option<Vec<Value>> = table.model.key.iter().map(|name| row.get(name).cloned()).collect();
    let mut parts = parts?;
    if parts.len() == 1 { parts.pop() } else { Some(Value::Array(parts)) }
}

fn key_text(key: &Value) -> String {
    match key {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(key_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
