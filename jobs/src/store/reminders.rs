//! Reminder rules, and how they stand.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgExecutor, PgPool};

use super::change::{ChangeError, Expect, Saved, lock};
use super::models::RegisterError;
use super::occurrences::Span;
use crate::refusal::Refusal;
use crate::reminder::{ReminderRule, Since};

/// A rule, and how it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "ReminderRuleStatus")]
pub struct Standing {
    /// The rule.
    pub rule: ReminderRule,
    /// Counts its changes.
    pub version: i32,
    /// What came due before this is not sent; absent: all that is overdue is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub armed_at: Option<DateTime<Utc>>,
    /// When it paused itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<DateTime<Utc>>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_reason: Option<String>,
    /// When it ran last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_at: Option<DateTime<Utc>>,
    /// What it did then, or its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_result: Option<String>,
    /// Whether that is an error.
    pub last_failed: bool,
}

impl Standing {
    /// How a rule would stand that were saved at `now`.
    pub fn unsaved(rule: ReminderRule, now: DateTime<Utc>) -> Self {
        Self {
            armed_at: (rule.from == Since::Now).then_some(now),
            rule,
            version: 0,
            paused_at: None,
            pause_reason: None,
            last_run_at: None,
            last_result: None,
            last_failed: false,
        }
    }

    /// What it sends at `now`.
    pub fn span(&self, now: DateTime<Utc>) -> Span {
        Span { now, floor: self.armed_at.max(self.rule.valid_from), until: self.rule.valid_to }
    }

    /// Whether it fires.
    pub fn is_active(&self) -> bool {
        self.rule.enabled && self.paused_at.is_none()
    }
}

struct Row {
    definition: Value,
    version: i32,
    armed_at: Option<DateTime<Utc>>,
    paused_at: Option<DateTime<Utc>>,
    pause_reason: Option<String>,
    last_run_at: Option<DateTime<Utc>>,
    last_result: Option<String>,
    last_failed: bool,
}

impl Row {
    fn read(self) -> Result<Standing, sqlx::Error> {
        let Self {
            version, armed_at, paused_at, pause_reason, last_run_at, last_result, last_failed, ..
        } = self;
        let rule =
            serde_json::from_value(self.definition).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Standing {
            rule,
            version,
            armed_at,
            paused_at,
            pause_reason,
            last_run_at,
            last_result,
            last_failed,
        })
    }
}

/// The rules after the code `after`, by code: at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(
    executor: impl PgExecutor<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<Standing>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select definition, version, armed_at, paused_at, pause_reason, last_run_at, last_result, last_failed
         from herald.reminder_rule where code > $1 order by code limit $2",
        after,
        limit
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Row::read).collect()
}

/// The codes of all rules.
///
/// # Errors
/// The database cannot be reached.
pub async fn codes(executor: impl PgExecutor<'_>) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!("select code from herald.reminder_rule order by code").fetch_all(executor).await
}

/// The rule with this code.
///
/// # Errors
/// The database cannot be reached.
pub async fn get(executor: impl PgExecutor<'_>, code: &str) -> Result<Option<Standing>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select definition, version, armed_at, paused_at, pause_reason, last_run_at, last_result, last_failed
         from herald.reminder_rule where code = $1",
        code
    )
    .fetch_optional(executor)
    .await?;
    row.map(Row::read).transpose()
}

/// Adds a rule, or changes the one of this code. It must have been checked. A rule that is made, enabled again, or fires for other records
/// or at other times than before, sends what comes due from `now` on, unless it says otherwise. One that paused itself stays so until it
/// is enabled.
///
/// # Errors
/// [`ChangeError`]; nothing has changed then.
pub async fn save(
    pool: &PgPool,
    rule: ReminderRule,
    expect: &Expect,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<Saved<ReminderRule>, ChangeError> {
    let rule = rule.validate()?;
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "reminder_rule", &rule.code).await?;
    let current = get(&mut *transaction, &rule.code).await?;
    expect.check(current.as_ref().map(|current| &current.rule))?;
    let is_enabled = |current: &Standing| rule.enabled && !current.rule.enabled;
    let goes_on = |current: &Standing| current.rule.fires_like(&rule) && !is_enabled(current);
    let armed_at = match (&current, rule.from) {
        (Some(current), _) if goes_on(current) => current.armed_at,
        (_, Since::Now) => Some(now),
        (_, Since::All) => None,
    };
    let is_resumed = current.as_ref().is_some_and(is_enabled);
    put(&mut transaction, &rule, (armed_at, is_resumed), now).await?;
    super::audit::record(&mut *transaction, actor, "reminder set", &rule.code).await?;
    transaction.commit().await?;
    Ok(Saved { value: rule, created: current.is_none() })
}

/// Writes a rule, from when on it sends, and whether that ends its pause.
async fn put(
    connection: &mut PgConnection,
    rule: &ReminderRule,
    (armed_at, resume): (Option<DateTime<Utc>>, bool),
    now: DateTime<Utc>,
) -> Result<(), ChangeError> {
    let definition = serde_json::to_value(rule)
        .map_err(|error| Refusal::new("code", format!("cannot be kept: {error}")))?;
    sqlx::query!(
        "insert into herald.reminder_rule (code, definition, armed_at, created_at, updated_at) values ($1, $2, $3, $4, $4)
         on conflict (code) do update set definition = $2, armed_at = $3, updated_at = $4, version = reminder_rule.version + 1,
             paused_at = case when not $5 then reminder_rule.paused_at end,
             pause_reason = case when not $5 then reminder_rule.pause_reason end",
        rule.code,
        definition,
        armed_at,
        now,
        resume
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets a rule fire, and ends its pause; `floor`: what came due before is not sent, where it is `None` all that is overdue is. Answers
/// whether there is such a rule.
///
/// # Errors
/// The database cannot be reached.
pub async fn enable(
    pool: &PgPool,
    code: &str,
    floor: Floor,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<bool, ChangeError> {
    switch(pool, code, true, floor, actor, now).await
}

/// From when on an enabled rule sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// What comes due from now on.
    Now,
    /// What came due while it stood still, too.
    Kept,
}

/// Lets a rule fire no more. Answers whether there is such a rule.
///
/// # Errors
/// The database cannot be reached.
pub async fn disable(
    pool: &PgPool,
    code: &str,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<bool, ChangeError> {
    switch(pool, code, false, Floor::Kept, actor, now).await
}

async fn switch(
    pool: &PgPool,
    code: &str,
    enabled: bool,
    floor: Floor,
    actor: &str,
    now: DateTime<Utc>,
) -> Result<bool, ChangeError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "reminder_rule", code).await?;
    let Some(current) = get(&mut *transaction, code).await? else { return Ok(false) };
    let armed_at = match floor {
        Floor::Now if !current.is_active() => Some(now),
        Floor::Now | Floor::Kept => current.armed_at,
    };
    put(&mut transaction, &ReminderRule { enabled, ..current.rule }, (armed_at, enabled), now).await?;
    let action = if enabled { "reminder enable" } else { "reminder disable" };
    super::audit::record(&mut *transaction, actor, action, code).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Removes a rule with what it recorded. Answers whether there was one.
///
/// # Errors
/// [`ChangeError`]; nothing has changed then.
pub async fn remove(pool: &PgPool, code: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "reminder_rule", code).await?;
    let Some(current) = get(&mut *transaction, code).await? else { return Ok(false) };
    expect.check(Some(&current.rule))?;
    sqlx::query!("delete from herald.reminder_rule where code = $1", code).execute(&mut *transaction).await?;
    super::audit::record(&mut *transaction, actor, "reminder remove", code).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Keeps a rule from firing until somebody enables it, unless it was changed after `version`.
///
/// # Errors
/// The database cannot be reached.
pub async fn pause(
    executor: impl PgExecutor<'_>,
    (code, version): (&str, i32),
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let paused = sqlx::query!(
        "update herald.reminder_rule set paused_at = $3, pause_reason = $4, version = version + 1
         where code = $1 and version = $2 and paused_at is null",
        code,
        version,
        now,
        reason
    )
    .execute(executor)
    .await?;
    Ok(paused.rows_affected() == 1)
}

/// Whether the rule is as it was at `version`, and stays so until the transaction ends.
///
/// # Errors
/// The database cannot be reached.
pub async fn holds_at(connection: &mut PgConnection, code: &str, version: i32) -> Result<bool, sqlx::Error> {
    let current =
        sqlx::query_scalar!("select version from herald.reminder_rule where code = $1 for share", code)
            .fetch_optional(connection)
            .await?;
    Ok(current == Some(version))
}

/// Records what a run did, or its error.
///
/// # Errors
/// The database cannot be reached.
pub async fn record_run(
    executor: impl PgExecutor<'_>,
    code: &str,
    result: Result<&str, &str>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (Ok(text) | Err(text)) = result;
    sqlx::query!(
        "update herald.reminder_rule set last_run_at = $2, last_result = $3, last_failed = $4 where code = $1",
        code,
        now,
        text,
        result.is_err()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// How many rules have paused themselves, and of how many the last run failed.
///
/// # Errors
/// The database cannot be reached.
pub async fn troubled(executor: impl PgExecutor<'_>) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query!(
        r#"select count(*) filter (where paused_at is not null) as "paused!", count(*) filter (where last_failed) as "failed!"
           from herald.reminder_rule where (definition->>'enabled')::bool"#
    )
    .fetch_one(executor)
    .await?;
    Ok((row.paused, row.failed))
}

/// Lets the role `herald_reader`, as which rules are run, see what was sent.
///
/// # Errors
/// The database cannot be reached; or, as a refusal, this user may not.
pub async fn let_read(pool: &PgPool) -> Result<(), RegisterError> {
    let mut transaction = pool.begin().await?;
    super::grants::grant_reminders(&mut transaction).await?;
    Ok(transaction.commit().await?)
}

/// Whether something that is shipped was installed before; it may have been removed since.
///
/// # Errors
/// The database cannot be reached.
pub async fn is_installed(executor: impl PgExecutor<'_>, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select exists (select from herald.shipped where name = $1) as "is!""#, name)
        .fetch_one(executor)
        .await
}

/// Notes that it was.
///
/// # Errors
/// The database cannot be reached.
pub async fn note_installed(
    executor: impl PgExecutor<'_>,
    name: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into herald.shipped (name, installed_at) values ($1, $2) on conflict (name) do nothing",
        name,
        now
    )
    .execute(executor)
    .await?;
    Ok(())
}
