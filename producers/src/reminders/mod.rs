//! Reminder rules: what is due is found, and sent once.
//!
//! An occurrence is due when its time has passed and nothing says that it was sent, so an outage of any length is caught up. Its line in
//! the log is committed together with its message in the outbox, so any number of processes may run a rule.

mod checking;
mod dry_run;
mod firing;
mod found;

use chrono::{DateTime, Utc};
use herald_jobs::group_commit::is_outage;
use herald_jobs::refusal::Refusal;
use herald_jobs::store;
use herald_jobs::store::change::ChangeError;
use herald_jobs::store::models::RegisterError;
use herald_jobs::store::reminders::Standing;
use sqlx::PgPool;

pub use self::checking::Checked;
pub use self::dry_run::{DryRun, Miss, WouldSend};
pub use self::firing::Ran;
pub use self::found::Reminder;
use crate::Producer;

/// Runs rules. Clones share their connections.
#[derive(Clone)]
pub struct Reminders {
    producer: Producer,
    reader: PgPool,
}

/// Why a rule was not saved, or did not run.
#[derive(Debug, thiserror::Error)]
pub enum ReminderError {
    /// Something in it cannot be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is not as was expected.
    #[error(transparent)]
    Change(ChangeError),
    /// The database cannot be reached.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<ChangeError> for ReminderError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(refusal) => Self::Refused(refusal),
            ChangeError::Database(error) => Self::Database(error),
            other => Self::Change(other),
        }
    }
}

impl From<RegisterError> for ReminderError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Refused(refusal) => Self::Refused(refusal),
            RegisterError::Database(error) => Self::Database(error),
        }
    }
}

impl From<sqlx::Error> for ReminderError {
    /// What the database says of the host's table is the rule's affair.
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        let problem = match code.as_deref() {
            Some("57014") => format!(
                "takes longer than {} s to search; `herald reminder check` says which index helps",
                store::occurrences::PATIENCE.as_secs()
            ),
            Some(_) if !is_outage(&error) => store::complaint(&error),
            _ => return Self::Database(error),
        };
        Self::Refused(Refusal::new("model", problem))
    }
}

impl Reminders {
    /// Sends through `producer` what the rules find over `reader`, which is of the same database.
    pub fn new(producer: Producer, reader: PgPool) -> Self {
        Self { producer, reader }
    }

    /// The time that rules go by: the database's, which all processes share, moved by as much as this process' clock was. A machine whose
    /// clock is wrong sends nothing early.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn now(&self) -> Result<DateTime<Utc>, sqlx::Error> {
        Ok(store::now(self.producer.pool()).await? + self.producer.clock().offset())
    }

    /// Runs a rule because `actor` asked for it: to its end, though who asked may be gone by then.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_now(&self, standing: &Standing, actor: &str) -> Result<Ran, ReminderError> {
        let recorded = store::audit::record(self.producer.pool(), actor, "reminder run", &standing.rule.code);
        recorded.await.map_err(ReminderError::Database)?;
        let (this, standing) = (self.clone(), standing.clone());
        let run = tokio::spawn(async move { this.run(&standing, None).await });
        run.await.unwrap_or(Err(ReminderError::Database(sqlx::Error::WorkerCrashed)))
    }

    /// Runs all rules that are enabled. Answers what was done; the error says of which rules it failed, and what the others did.
    ///
    /// # Errors
    /// The outer: the database cannot be reached.
    pub async fn run_all(&self) -> Result<Result<String, String>, sqlx::Error> {
        let pool = self.producer.pool();
        let (mut sent, mut active, mut troubles) = (0, 0, Vec::new());
        for code in store::reminders::codes(pool).await? {
            // One by one: a rule of a later version stops no other.
            let ran = match store::reminders::get(pool, &code).await {
                Ok(Some(standing)) if standing.is_active() => {
                    active += 1;
                    self.run(&standing, None).await
                }
                Ok(_) => continue,
                Err(error) => Err(ReminderError::Database(error)),
            };
            match ran {
                Ok(ran) => {
                    sent += ran.sent;
                    troubles.extend(ran.paused.map(|why| format!("{code} paused: {why}")));
                }
                Err(ReminderError::Database(error)) if is_outage(&error) => return Err(error),
                Err(error) => troubles.push(format!("{code}: {error}")),
            }
        }
        let done = format!("sent {sent} reminders by {active} rules");
        Ok(if troubles.is_empty() { Ok(done) } else { Err(format!("{done}; {}", troubles.join("; "))) })
    }
}
