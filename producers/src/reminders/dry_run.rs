//! What a rule would send at a time, and why it would not send the rest.

use chrono::{DateTime, Utc};
use herald_jobs::authoring::{Authoring, AuthoringError, Environment, Preview, Sample};
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::refusal::Refusal;
use herald_jobs::send::NewContact;
use herald_jobs::store;
use herald_jobs::store::occurrences::{self, Near};
use herald_jobs::store::reminders::Standing;
use schemars::JsonSchema;
use serde::Serialize;

use super::found::{Reminder, key};
use super::{ReminderError, Reminders};

/// What would happen.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DryRun {
    /// When.
    pub at: DateTime<Utc>,
    /// Why nothing at all would be sent, where that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// What is due then, by initial dates and times.
    pub reminders: Vec<WouldSend>,
    /// More is due than the rule may send, and is not in the list.
    pub more: bool,
    /// Records that would get nothing, although nearly.
    pub misses: Vec<Miss>,
}

/// What would be sent for one occurrence.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WouldSend {
    /// The record's key.
    pub record: Vec<String>,
    /// Its initial date and time: one without a zone as if it were of UTC.
    pub initial: DateTime<Utc>,
    /// From 1.
    pub occurrence: i64,
    /// When it came due.
    pub due_at: DateTime<Utc>,
    /// Who is reminded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Who outside gets a copy.
    pub contacts: Vec<NewContact>,
    /// Outside contacts that get none, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
    /// What they receive; the first of the list only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texts: Option<Preview>,
    /// Why nothing is sent, or with what trouble.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A record that would get nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Miss {
    /// The record's key.
    pub record: Vec<String>,
    /// Why.
    pub reason: String,
}

impl Reminders {
    /// What the rule would send at `at`, as its run at that time finds it; the first `texts` of the list with their texts. Of one record
    /// where it is named.
    ///
    /// # Errors
    /// The rule does not fit the models any more; the database cannot be reached.
    pub async fn dry_run(
        &self,
        standing: &Standing,
        authoring: &Authoring,
        at: DateTime<Utc>,
        record: Option<&[String]>,
        texts: usize,
    ) -> Result<DryRun, ReminderError> {
        let plan = self.plan(standing).await?;
        let cap = usize::try_from(standing.rule.cap).unwrap_or_default();
        let mut found = self.find(standing, &plan, at, cap + 1).await?;
        let more = found.len() > cap;
        found.truncate(cap);
        let mut snapshot = occurrences::snapshot(&self.reader).await?;
        let near = match occurrences::near(&mut snapshot, &plan, &standing.span(at), record).await {
            // What is due is known; these are only to explain the rest.
            Err(error) => match ReminderError::from(error) {
                ReminderError::Refused(Refusal { problem, .. }) => Err(problem),
                other => return Err(other),
            },
            Ok(near) => Ok(near),
        };
        let is_due = |near: &Near| found.iter().any(|it| it.due.record == near.record);
        let mut misses: Vec<Miss> = match near {
            Ok(near) => {
                near.iter().filter(|near| !is_due(near)).map(|near| miss(standing, near, at)).collect()
            }
            Err(problem) => {
                vec![Miss { record: Vec::new(), reason: format!("near misses cannot be told: {problem}") }]
            }
        };
        if let Some(record) = record {
            found.retain(|reminder| reminder.due.record == record);
            if found.is_empty() && misses.is_empty() {
                misses.push(Miss { record: record.to_vec(), reason: "there is no such record".to_owned() });
            }
        }
        let (environment, template) = (authoring.environment().await?, &standing.rule.template);
        let template = store::message_templates::get(self.producer.pool(), template)
            .await?
            .ok_or_else(|| format!("there is no template {template}"));
        let mut reminders = Vec::with_capacity(found.len());
        for (position, reminder) in found.into_iter().enumerate() {
            let template = (position < texts).then_some(template.as_ref().map_err(String::as_str));
            reminders.push(would_send(&environment, template, reminder, at).await?);
        }
        Ok(DryRun { at, stopped: stopped(standing, at, more)?, reminders, more, misses })
    }
}

/// What it comes to, with the texts where there is a template to make them with.
async fn would_send(
    environment: &Environment,
    template: Option<Result<&MessageTemplate, &str>>,
    reminder: Reminder,
    at: DateTime<Utc>,
) -> Result<WouldSend, ReminderError> {
    let Reminder { due, message, skipped } = reminder;
    let (mut texts, mut problem) = (None, message.as_ref().err().cloned());
    match template.filter(|_| message.is_ok()) {
        None => {}
        Some(Err(why)) => problem = Some(why.to_owned()),
        Some(Ok(template)) => match environment.preview(template, Sample::Key(key(&due.record)), at).await {
            Ok(preview) => texts = Some(preview),
            Err(AuthoringError::Database(error)) => return Err(error.into()),
            Err(error) => problem = Some(error.to_string()),
        },
    }
    let message = message.ok();
    Ok(WouldSend {
        record: due.record,
        initial: due.initial,
        occurrence: due.occurrence,
        due_at: due.due_at,
        recipient: message.as_ref().map(|message| message.recipient.clone()),
        contacts: message.map(|message| message.recipients).unwrap_or_default(),
        skipped,
        texts,
        problem,
    })
}

/// Why nothing would be sent at all.
fn stopped(standing: &Standing, at: DateTime<Utc>, more: bool) -> Result<Option<String>, Refusal> {
    let rule = &standing.rule;
    if !rule.enabled {
        return Ok(Some("the rule is disabled".to_owned()));
    }
    if let Some(why) = &standing.pause_reason {
        return Ok(Some(format!("the rule has paused itself: {why}")));
    }
    if let Some(opens) = rule.open_hours()?.and_then(|window| window.opens(at)) {
        return Ok(Some(format!("the window is closed until {}", opens.format("%Y-%m-%d %H:%M UTC"))));
    }
    Ok(more.then(|| format!("more than {} are due: the rule would pause", rule.cap)))
}

/// Why a record gets nothing.
fn miss(standing: &Standing, near: &Near, at: DateTime<Utc>) -> Miss {
    let rule = &standing.rule;
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let span = standing.span(at);
    let reason = if !near.unchanged {
        match &near.status {
            Some(status) => format!("{} is {status:?}", rule.status),
            None => format!("{} is empty", rule.status),
        }
    } else if !near.holds {
        "the further conditions are not true of it".to_owned()
    } else {
        match near.first_due {
            None => format!("{} is empty", rule.initial),
            Some(due) if due > at => format!("is due at {}", time(due)),
            Some(due) if span.until.is_some_and(|until| due >= until) => {
                format!("came due at {}, after the rule's end", time(due))
            }
            _ if near.sent > 0 => format!("was reminded of {} times", near.sent),
            Some(due) => format!("came due at {}, before the rule was to send", time(due)),
        }
    };
    Miss { record: near.record.clone(), reason }
}
