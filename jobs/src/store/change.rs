//! What people and programs maintain, changed so that nobody undoes another's change unknowingly.

use ring::digest::{SHA256, digest};
use serde::Serialize;
use sqlx::{PgConnection, PgExecutor};

use crate::refusal::Refusal;

/// What a change expects to find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// Whatever there is, or nothing.
    #[default]
    Anything,
    /// Nothing of this name.
    Nothing,
    /// Something of this name.
    Something,
    /// One of these versions: see [`version`].
    Version(Vec<String>),
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A field cannot be as it was said.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Something else stands against it, whatever the fields say.
    #[error("{0}")]
    Kept(String),
    /// It is there although nothing was expected, or it changed after it was read.
    #[error("{0}")]
    Unexpected(&'static str),
    /// The database cannot be reached.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// What was saved.
#[derive(Clone, Debug)]
pub struct Saved<T> {
    /// As it is kept now.
    pub value: T,
    /// There was nothing of this name before.
    pub created: bool,
}

/// Names what a value is: the same value has the same version, wherever and whenever it is read.
pub fn version(value: &impl Serialize) -> String {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    digest(&SHA256, &bytes).as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

impl Expect {
    /// Whether what is there is what was expected.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, current: Option<&impl Serialize>) -> Result<(), ChangeError> {
        match (self, current) {
            (Self::Anything, _) | (Self::Nothing, None) | (Self::Something, Some(_)) => Ok(()),
            (Self::Version(versions), Some(current)) if versions.contains(&version(current)) => Ok(()),
            (Self::Nothing, Some(_)) => Err(ChangeError::Unexpected("there is one of this name")),
            (Self::Something | Self::Version(_), None) => {
                Err(ChangeError::Unexpected("there is nothing of this name"))
            }
            (Self::Version(_), Some(_)) => Err(ChangeError::Unexpected("it was changed after it was read")),
        }
    }
}

/// Lets one transaction at a time change what has this name, whether it is there yet or not.
pub(super) async fn lock(connection: &mut PgConnection, table: &str, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))", table, name)
        .execute(connection)
        .await?;
    Ok(())
}

/// A rule, of events or reminders, that names this template or message type (`what`), for people.
///
/// # Errors
/// The database cannot be reached.
pub(super) async fn rule_naming(
    executor: impl PgExecutor<'_>,
    what: &str,
    code: &str,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select 'the reminder rule ' || code as "rule!" from herald.reminder_rule where definition->>$1 = $2
           union all
           select 'the event rule ' || code from herald.event_rule where rule->>$1 = $2
           limit 1"#,
        what,
        code
    )
    .fetch_optional(executor)
    .await
}
