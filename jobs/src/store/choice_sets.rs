//! Choice sets.

use sqlx::{PgConnection, PgExecutor, PgPool};

use super::change::{ChangeError, Expect, Saved, lock};
use crate::choice_set::{Choice, ChoiceSet};

/// The choice sets after the code `after`, by code: at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(
    executor: impl PgExecutor<'_>,
    after: &str,
    limit: i64,
) -> Result<Vec<ChoiceSet>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.code, s.description, s.standard, c.value as "value?", c.label as "label?"
           from (select * from herald.choice_set where code > $1 order by code limit $2) s
           left join lateral (select * from herald.choice where choice_set = s.code) c on true
           order by s.code, c.position"#,
        after,
        limit
    )
    .fetch_all(executor)
    .await?;
    let mut sets: Vec<ChoiceSet> = Vec::new();
    for row in rows {
        if sets.last().is_none_or(|last| last.code != row.code) {
            let (code, description, standard) = (row.code, row.description, row.standard);
            sets.push(ChoiceSet { code, description, choices: Vec::new(), standard });
        }
        if let (Some(set), Some(value), Some(label)) = (sets.last_mut(), row.value, row.label) {
            set.choices.push(Choice { value, label });
        }
    }
    Ok(sets)
}

/// The choice set with this code.
///
/// # Errors
/// The database cannot be reached.
pub async fn get(executor: impl PgExecutor<'_>, code: &str) -> Result<Option<ChoiceSet>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select s.description, s.standard, c.value as "value?", c.label as "label?"
           from herald.choice_set s
           left join lateral (select * from herald.choice where choice_set = s.code) c on true
           where s.code = $1 order by c.position"#,
        code
    )
    .fetch_all(executor)
    .await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let (description, standard) = (first.description.clone(), first.standard);
    let choices = rows.into_iter().filter_map(|row| Some(Choice { value: row.value?, label: row.label? }));
    Ok(Some(ChoiceSet { code: code.to_owned(), description, choices: choices.collect(), standard }))
}

/// Adds a choice set, or replaces the one of this code.
///
/// # Errors
/// [`ChangeError`]; nothing has changed then.
pub async fn save(
    pool: &PgPool,
    set: ChoiceSet,
    expect: &Expect,
    actor: &str,
) -> Result<Saved<ChoiceSet>, ChangeError> {
    let set = set.validate()?;
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "choice_set", &set.code).await?;
    let current = get(&mut *transaction, &set.code).await?;
    expect.check(current.as_ref())?;
    put(&mut transaction, &set).await?;
    super::audit::record(&mut *transaction, actor, "choice set", &set.code).await?;
    transaction.commit().await?;
    let standard = current.as_ref().is_some_and(|current| current.standard);
    Ok(Saved { value: ChoiceSet { standard, ..set }, created: current.is_none() })
}

async fn put(connection: &mut PgConnection, set: &ChoiceSet) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into herald.choice_set (code, description) values ($1, $2)
         on conflict (code) do update set description = $2",
        set.code,
        set.description
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from herald.choice where choice_set = $1", set.code)
        .execute(&mut *connection)
        .await?;
    let values: Vec<&str> = set.choices.iter().map(|choice| choice.value.as_str()).collect();
    let labels: Vec<&str> = set.choices.iter().map(|choice| choice.label.as_str()).collect();
    sqlx::query!(
        "insert into herald.choice (choice_set, position, value, label)
         select $1, position, value, label
         from unnest($2::text[], $3::text[]) with ordinality as c(value, label, position)",
        set.code,
        &values as &[&str],
        &labels as &[&str]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a choice set. Answers whether there was one.
///
/// # Errors
/// [`ChangeError::Kept`] where it is shipped, or a message type or a pending message needs it.
pub async fn remove(pool: &PgPool, code: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "choice_set", code).await?;
    let Some(current) = get(&mut *transaction, code).await? else { return Ok(false) };
    expect.check(Some(&current))?;
    if current.standard {
        return Err(ChangeError::Kept(format!(
            "{code} is shipped with Herald: it can be adjusted, not deleted"
        )));
    }
    let user = sqlx::query_scalar!(
        r#"select 'the message type ' || code as "user!" from herald.message_type where choice_set = $1
           union all
           (select 'a pending message' from herald.current_message where status = 'pending' and choice_set = $1 limit 1)
           limit 1"#,
        code
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(user) = user {
        return Err(ChangeError::Kept(format!("{user} needs {code}")));
    }
    sqlx::query!("delete from herald.choice_set where code = $1", code).execute(&mut *transaction).await?;
    super::audit::record(&mut *transaction, actor, "choice remove", code).await?;
    transaction.commit().await?;
    Ok(true)
}
