//! What a rule finds at a time: shared by the run and the dry run, so that they cannot differ.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use herald_jobs::address::Username;
use herald_jobs::message_type::{MessageType, RequiredAction};
use herald_jobs::reminder::Plan;
use herald_jobs::send::{MAX_SENDER, NewContact, NewMessage};
use herald_jobs::store;
use herald_jobs::store::occurrences::{self, Due};
use herald_jobs::store::reminders::Standing;
use serde_json::Value;

use super::{ReminderError, Reminders};
use crate::contacts;

/// An occurrence that is due, and what is to be sent for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reminder {
    /// Which it is.
    pub due: Due,
    /// What is sent; or why nothing can be.
    pub message: Result<NewMessage, String>,
    /// Outside contacts that get no copy, and why.
    pub skipped: Vec<String>,
}

impl Reminders {
    /// The rule in the models as they are now.
    ///
    /// # Errors
    /// A path leads nowhere; the database cannot be reached.
    pub(super) async fn plan(&self, standing: &Standing) -> Result<Plan, ReminderError> {
        let catalogue = store::catalogue::read(self.producer.pool(), &self.reader).await?;
        Ok(Plan::new(standing.rule.clone(), &catalogue)?)
    }

    /// What is due at `at` and was not sent, under one view of the tables: at most `limit`.
    ///
    /// # Errors
    /// The rule does not fit the models any more; the database cannot be reached.
    pub(super) async fn find(
        &self,
        standing: &Standing,
        plan: &Plan,
        at: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<Reminder>, ReminderError> {
        let mut snapshot = occurrences::snapshot(&self.reader).await?;
        let due = occurrences::due(&mut snapshot, plan, &standing.span(at), limit).await?;
        snapshot.rollback().await?;
        let kind = self.producer.message_type(&plan.rule.message_type).await;
        let kind = kind.map_err(super::firing::of_send)?;
        let names = due.iter().flat_map(|due| [&due.recipient, &due.otherwise]).flatten();
        let names: Vec<Username> = names.filter_map(|name| Username::parse(name).ok()).collect();
        let names: Vec<String> =
            names.iter().map(ToString::to_string).collect::<HashSet<_>>().into_iter().collect();
        let users = store::users::by_names(self.producer.pool(), &names).await?;
        let active: HashSet<String> =
            users.into_iter().filter(|user| user.active).map(|user| user.username).collect();
        Ok(due.into_iter().map(|due| self.reminder(plan, &kind, &active, due)).collect())
    }

    fn reminder(&self, plan: &Plan, kind: &MessageType, active: &HashSet<String>, due: Due) -> Reminder {
        let rule = &plan.rule;
        let known = |name: &Option<String>| {
            let name = Username::parse(name.as_deref()?).ok()?.to_string();
            active.contains(&name).then_some(name)
        };
        let recipient = known(&due.recipient).or_else(|| known(&due.otherwise)).ok_or_else(|| {
            let said = |path: &str, name: &Option<String>| match name {
                Some(name) => format!("{path} is {name:?}, who is no active user"),
                None => format!("{path} is empty"),
            };
            let mut why = said(&rule.recipient, &due.recipient);
            if let Some(path) = &rule.otherwise {
                why = format!("{why}, and {}", said(path, &due.otherwise));
            }
            why
        });
        let (recipients, skipped) = self.contacts(plan, &due);
        let message = recipient.map(|recipient| NewMessage {
            recipient,
            message_type: rule.message_type.clone(),
            sender: rule.model.clone(),
            sender_instance: Some(due.record.join(",").chars().take(MAX_SENDER).collect()),
            action_parameters: (kind.required_action == RequiredAction::Action)
                .then(|| due.record.iter().cloned().map(Value::String).collect()),
            template: Some(rule.template.clone()),
            model_key: Some(key(&due.record)),
            recipients,
            ..NewMessage::default()
        });
        Reminder { due, message, skipped }
    }

    /// Those who get a copy, each once, and those who cannot.
    fn contacts(&self, plan: &Plan, due: &Due) -> (Vec<NewContact>, Vec<String>) {
        let paths = plan.rule.contacts.iter().zip(&due.contacts);
        let found = paths.flat_map(|(path, found)| found.iter().map(move |it| (path, it))).map(
            |(path, reference)| {
                let email_mode =
                    path.email_mode().map_or_else(|_| String::new(), |mode| mode.as_str().to_owned());
                let contact = NewContact { contact_reference: reference.trim().to_owned(), email_mode };
                contacts::Found { at: &path.path, contact, channel: path.channel }
            },
        );
        contacts::usable(self.producer.region(), found)
    }
}

/// A record's key, as a send names it.
pub(super) fn key(record: &[String]) -> Value {
    match record {
        [one] => Value::String(one.clone()),
        several => Value::from(several.to_vec()),
    }
}
