//! A run: what is due is sent, once.

use chrono::{DateTime, Utc};
use herald_jobs::store;
use herald_jobs::store::outbox::{Accepted, Accepting};
use herald_jobs::store::reminder_log::{self, Logging};
use herald_jobs::store::reminders::Standing;

use super::found::Reminder;
use super::{ReminderError, Reminders};
use crate::SendError;

/// Most reminders of one transaction.
const GROUP: usize = 200;
/// Most reasons that a result names.
const MOST_REASONS: usize = 3;

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Messages that were accepted.
    pub sent: usize,
    /// Occurrences that another run was sending.
    pub taken: usize,
    /// Occurrences for which nothing could be sent, and why; they stay due.
    pub unsent: Vec<String>,
    /// Outside contacts that got no copy, and why.
    pub skipped: Vec<String>,
    /// When the window opens, where it is closed: what is due waits.
    pub opens: Option<DateTime<Utc>>,
    /// Why the rule has paused itself; it sent nothing then.
    pub paused: Option<String>,
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(why) = &self.paused {
            return write!(f, "paused: {why}");
        }
        if let Some(opens) = self.opens {
            return write!(f, "waits for its window, which opens at {}", opens.format("%Y-%m-%d %H:%M UTC"));
        }
        write!(f, "sent {}", self.sent)?;
        for (what, reasons) in [("not sent", &self.unsent), ("without a copy", &self.skipped)] {
            if !reasons.is_empty() {
                let some = reasons.iter().take(MOST_REASONS).cloned().collect::<Vec<_>>().join("; ");
                let more = if reasons.len() > MOST_REASONS { "; ..." } else { "" };
                write!(f, ", {} {what} ({some}{more})", reasons.len())?;
            }
        }
        Ok(())
    }
}

/// A reminder that is ready to be sent.
struct Ready {
    claim: Logging,
    accepting: Accepting,
}

impl Reminders {
    /// Sends what a rule finds due now; `cap` stands for the rule's own. What it did, or its error, is kept with the rule.
    ///
    /// # Errors
    /// The rule does not fit the models any more; the database cannot be reached. What was sent until then stays sent.
    pub async fn run(&self, standing: &Standing, cap: Option<usize>) -> Result<Ran, ReminderError> {
        let now = self.now().await.map_err(ReminderError::Database)?;
        let code = &standing.rule.code;
        let ran = self.run_at(standing, now, cap).await;
        let said = match &ran {
            Ok(ran) => Ok(ran.to_string()),
            Err(ReminderError::Database(_)) => return ran,
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = &said {
            metrics::counter!("herald_reminder_failures_total", "rule" => code.clone()).increment(1);
            tracing::error!(rule = %code, "The reminder rule {code} failed: {why}");
        }
        let record = said.as_deref().map_err(String::as_str);
        store::reminders::record_run(self.producer.pool(), code, record, now).await?;
        ran
    }

    async fn run_at(
        &self,
        standing: &Standing,
        now: DateTime<Utc>,
        cap: Option<usize>,
    ) -> Result<Ran, ReminderError> {
        let rule = &standing.rule;
        if let Some(opens) = rule.open_hours()?.and_then(|window| window.opens(now)) {
            return Ok(Ran { opens: Some(opens), ..Ran::default() });
        }
        let cap = cap.unwrap_or_else(|| usize::try_from(rule.cap).unwrap_or_default());
        let plan = self.plan(standing).await?;
        let found = self.find(standing, &plan, now, cap + 1).await?;
        if found.len() > cap {
            let nobody = found.iter().filter(|reminder| reminder.message.is_err()).count();
            return self.pause(standing, cap, nobody, now).await;
        }
        let mut ran = Ran::default();
        let mut ready = Vec::with_capacity(found.len());
        for reminder in found {
            ran.skipped.extend(
                reminder.skipped.iter().map(|why| format!("{}: {why}", reminder.due.record.join(","))),
            );
            match self.ready(reminder).await? {
                Ok(one) => ready.push(one),
                Err(why) => ran.unsent.push(why),
            }
        }
        let mut ready = ready.into_iter().peekable();
        while ready.peek().is_some() {
            let group: Vec<Ready> = ready.by_ref().take(GROUP).collect();
            if !self.send(standing, group, now, &mut ran).await? {
                tracing::info!(rule = %rule.code, "The reminder rule {} was changed: its run ends", rule.code);
                break;
            }
        }
        metrics::counter!("herald_reminders_sent_total", "rule" => rule.code.clone())
            .increment(ran.sent as u64);
        if ran.sent > 0 {
            tracing::info!(rule = %rule.code, "The reminder rule {} {ran}", rule.code);
        }
        Ok(ran)
    }

    async fn pause(
        &self,
        standing: &Standing,
        cap: usize,
        nobody: usize,
        now: DateTime<Utc>,
    ) -> Result<Ran, ReminderError> {
        let code = &standing.rule.code;
        let without =
            if nobody == 0 { String::new() } else { format!(", {nobody} of them for nobody who is active") };
        let why = format!("more than {cap} reminders are due{without}; see `herald reminder dry-run {code}`");
        if store::reminders::pause(self.producer.pool(), (code, standing.version), &why, now).await? {
            metrics::counter!("herald_reminder_pauses_total", "rule" => code.clone()).increment(1);
            tracing::error!(rule = %code, "The reminder rule {code} has paused itself: {why}");
        }
        Ok(Ran { paused: Some(why), ..Ran::default() })
    }

    async fn ready(&self, reminder: Reminder) -> Result<Result<Ready, String>, ReminderError> {
        let due = reminder.due;
        let named = |why: String| format!("{}: {why}", due.record.join(","));
        let message = match reminder.message {
            Ok(message) => message,
            Err(why) => return Ok(Err(named(why))),
        };
        let validated = self.producer.validated(message).await;
        let prepared = validated.and_then(|(message, kind)| {
            let (recipient, contacts) = (message.recipient.clone(), message.recipients.len());
            Ok((self.producer.prepare(message, &kind, None)?, recipient, contacts))
        });
        let (accepting, recipient, contacts) = match prepared {
            Ok(prepared) => prepared,
            // What is missing for one record is missing for all.
            Err(SendError::Refused(refusal))
                if matches!(refusal.field.as_str(), "template" | "message_type") =>
            {
                return Err(ReminderError::Refused(refusal));
            }
            Err(SendError::Refused(refusal)) => return Ok(Err(named(refusal.to_string()))),
            Err(error) => return Err(of_send(error)),
        };
        let whole = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        let claim = Logging {
            initial: due.initial,
            occurrence: i32::try_from(due.occurrence).unwrap_or(i32::MAX),
            due_at: due.due_at,
            message_id: accepting.id.0,
            recipient,
            contacts: whole(contacts),
            record: due.record,
        };
        Ok(Ok(Ready { claim, accepting: Accepting { pushed: false, ..accepting } }))
    }

    /// Sends a group, all of it or nothing. `false`: the rule is not what it was, and nothing was sent.
    async fn send(
        &self,
        standing: &Standing,
        group: Vec<Ready>,
        now: DateTime<Utc>,
        ran: &mut Ran,
    ) -> Result<bool, ReminderError> {
        let code = &standing.rule.code;
        let mut transaction = self.producer.pool().begin().await?;
        if !store::reminders::holds_at(&mut transaction, code, standing.version).await? {
            return Ok(false);
        }
        let (claims, sends): (Vec<Logging>, Vec<Accepting>) =
            group.into_iter().map(|ready| (ready.claim, ready.accepting)).unzip();
        let many = sends.len();
        let claimed = reminder_log::claim(&mut transaction, code, &claims, now).await?;
        let sends: Vec<Accepting> = sends.into_iter().filter(|send| claimed.contains(&send.id.0)).collect();
        let answers = store::outbox::accept(&mut transaction, &sends).await?;
        let refused = sends.iter().zip(&answers).filter(|(_, answer)| **answer != Accepted::Yes);
        let refused: Vec<_> = refused.map(|(send, _)| (send.id.0, send.recipient.as_str())).collect();
        if !refused.is_empty() {
            let ids: Vec<_> = refused.iter().map(|(id, _)| *id).collect();
            reminder_log::unclaim(&mut *transaction, code, &ids).await?;
        }
        transaction.commit().await?;
        ran.taken += many - sends.len();
        ran.sent += sends.len() - refused.len();
        ran.unsent.extend(refused.iter().map(|(_, name)| format!("{name} is no active user any more")));
        Ok(true)
    }
}

/// A send that cannot be prepared is the rule's failure, unless the database is away.
pub(super) fn of_send(error: SendError) -> ReminderError {
    match error {
        SendError::Refused(refusal) => refusal.into(),
        SendError::Unavailable(why) => ReminderError::Database(sqlx::Error::Protocol(why)),
        other => herald_jobs::refusal::Refusal::new("message_type", other.to_string()).into(),
    }
}
