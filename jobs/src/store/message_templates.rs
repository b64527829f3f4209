//! Message templates: every version that was ever saved.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};

use super::change::{ChangeError, Expect};
use crate::message_template::MessageTemplate;

/// The template in force.
///
/// # Errors
/// The database cannot be reached.
pub async fn get(executor: impl PgExecutor<'_>, code: &str) -> Result<Option<MessageTemplate>, sqlx::Error> {
    sqlx::query_as!(
        MessageTemplate,
        "select code, version, model, syntax, subject, message_text, external_message, external_html
         from herald.message_template t where code = $1 and not retired
           and version = (select max(version) from herald.message_template where code = t.code)",
        code
    )
    .fetch_optional(executor)
    .await
}

/// One version of a template.
///
/// # Errors
/// The database cannot be reached.
pub async fn version(
    executor: impl PgExecutor<'_>,
    code: &str,
    version: i32,
) -> Result<Option<MessageTemplate>, sqlx::Error> {
    sqlx::query_as!(
        MessageTemplate,
        "select code, version, model, syntax, subject, message_text, external_message, external_html
         from herald.message_template where code = $1 and version = $2",
        code,
        version
    )
    .fetch_optional(executor)
    .await
}

/// All templates in force, by code.
///
/// # Errors
/// The database cannot be reached.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<MessageTemplate>, sqlx::Error> {
    sqlx::query_as!(
        MessageTemplate,
        "select code, version, model, syntax, subject, message_text, external_message, external_html
         from herald.message_template t
         where not retired and version = (select max(version) from herald.message_template where code = t.code)
         order by code"
    )
    .fetch_all(executor)
    .await
}

/// Templates in force with `part` in their code or subject, where there is none in their text, after the code `after`, by code: at most
/// `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(
    executor: impl PgExecutor<'_>,
    part: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<MessageTemplate>, sqlx::Error> {
    sqlx::query_as!(
        MessageTemplate,
        "select code, version, model, syntax, subject, message_text, external_message, external_html
         from herald.message_template t
         where not retired and version = (select max(version) from herald.message_template where code = t.code)
           and code > $2
           and (position(upper($1) in code) > 0 or position(lower($1) in lower(coalesce(subject, message_text))) > 0)
         order by code limit $3",
        part,
        after,
        limit
    )
    .fetch_all(executor)
    .await
}

/// When a version was saved, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// From 1.
    pub version: i32,
    /// When.
    pub saved_at: DateTime<Utc>,
    /// A username, a token's name, or "command line".
    pub saved_by: String,
}

/// The versions of a template, newest first.
///
/// # Errors
/// The database cannot be reached.
pub async fn versions(executor: impl PgExecutor<'_>, code: &str) -> Result<Vec<Saved>, sqlx::Error> {
    sqlx::query_as!(
        Saved,
        "select version, saved_at, saved_by from herald.message_template where code = $1 order by version desc",
        code
    )
    .fetch_all(executor)
    .await
}

/// What became of templates that were to be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// All were saved, or were there already; their versions.
    Saved(Vec<i32>),
    /// Nothing was saved: this template was changed meanwhile.
    Conflict {
        /// Its code.
        code: String,
        /// The version in force; `None`: there is no such template.
        current: Option<Saved>,
    },
}

/// Saves templates, all or none. Each says by its `version` which one it was made from, 0 for a new one; what equals that is not
/// saved again. They must have been checked.
///
/// # Errors
/// The database cannot be reached.
pub async fn put(pool: &PgPool, templates: &[MessageTemplate], actor: &str) -> Result<Put, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let mut saved = Vec::with_capacity(templates.len());
    for template in templates {
        let earlier = self::version(&mut *transaction, &template.code, template.version).await?;
        let done = sqlx::query_scalar!(
            r#"insert into herald.message_template
                   (code, version, model, syntax, subject, message_text, external_message, external_html, saved_by)
               select $1, latest.version + 1, $3, $4, $5, $6, $7, $8, $9
               from (select coalesce(max(version), 0) as version from herald.message_template where code = $1) as highest,
                    lateral (select highest.version,
                                    coalesce((select t.retired from herald.message_template t
                                              where t.code = $1 and t.version = highest.version), true) as is_free) as latest
               -- A new template may take the code of one that was retired.
               where ($2 = latest.version or $2 = 0 and latest.is_free) and not $10
               on conflict do nothing
               returning version"#,
            template.code,
            template.version,
            template.model,
            template.syntax.as_str(),
            template.subject,
            template.message_text,
            template.external_message,
            template.external_html,
            actor,
            earlier.as_ref() == Some(template)
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let current = versions(&mut *transaction, &template.code).await?.into_iter().next();
        match (done, current) {
            (Some(version), _) => {
                let subject = format!("{} {version}", template.code);
                super::audit::record(&mut *transaction, actor, "template save", &subject).await?;
                saved.push(version);
            }
            (None, Some(current)) if current.version == template.version && earlier.is_some() => {
                saved.push(current.version);
            }
            (None, current) => return Ok(Put::Conflict { code: template.code.clone(), current }),
        }
    }
    transaction.commit().await?;
    Ok(Put::Saved(saved))
}

/// Takes a template out of use: what names it is refused from now on. Its versions stay. Answers whether there was one.
///
/// # Errors
/// [`ChangeError::Kept`] where a rule needs it; nothing has changed then.
pub async fn retire(pool: &PgPool, code: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
    let mut transaction = pool.begin().await?;
    let Some(current) = get(&mut *transaction, code).await? else { return Ok(false) };
    expect.check(Some(&current))?;
    if let Some(rule) = super::change::rule_naming(&mut *transaction, "template", code).await? {
        return Err(ChangeError::Kept(format!("{rule} needs {code}")));
    }
    let retired = sqlx::query!(
        "insert into herald.message_template (code, version, syntax, message_text, retired, saved_by)
         values ($1, $2 + 1, $3, $4, true, $5) on conflict do nothing",
        code,
        current.version,
        current.syntax.as_str(),
        current.message_text,
        actor
    )
    .execute(&mut *transaction)
    .await?;
    if retired.rows_affected() == 0 {
        return Err(ChangeError::Unexpected("it was changed after it was read"));
    }
    super::audit::record(&mut *transaction, actor, "template remove", code).await?;
    transaction.commit().await?;
    Ok(true)
}

/// A message whose texts could not be made: it holds its type's fallback text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The message's id.
    pub message_id: uuid::Uuid,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// The template and its version; `None`: the message brought its own texts.
    pub template: Option<String>,
    /// See `template`.
    pub version: Option<i32>,
    /// Why.
    pub reason: String,
}

/// Messages whose texts could not be made, newest first, at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn failures(executor: impl PgExecutor<'_>, limit: i64) -> Result<Vec<Failure>, sqlx::Error> {
    sqlx::query_as!(
        Failure,
        r#"select id as message_id, created_at, template, template_version as version, template_error as "reason!"
           from herald.message where template_error is not null order by id desc limit $1"#,
        limit
    )
    .fetch_all(executor)
    .await
}
