//! What `herald_reader` may read.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Postgres, Transaction};

use super::models::{READER, RegisterError, quoted};
use crate::model::Model;
use crate::refusal::Refusal;

/// Lets `herald_reader` read the model's columns: all that come, where none is hidden. What is right already is left as it is.
pub(super) async fn grant(
    transaction: &mut Transaction<'_, Postgres>,
    (schema, columns): (&str, &[String]),
    model: &Model,
) -> Result<(), RegisterError> {
    make_role(transaction).await?;
    if is_granted(transaction, (schema, columns), model).await? {
        return Ok(());
    }
    let table = &model.table;
    let shown: Vec<String> =
        columns.iter().filter(|name| !model.hidden.contains(name)).map(|name| quoted(name)).collect();
    let what =
        if model.hidden.is_empty() { "select".to_owned() } else { format!("select ({})", shown.join(", ")) };
    let in_schema = quoted(schema);
    let grants = format!(
        "grant usage on schema {in_schema} to {READER}; revoke select on {table} from {READER}; grant {what} on {table} to {READER}"
    );
    let done = attempt(transaction, &grants).await?;
    // Postgres only warns where somebody grants what is not theirs to grant.
    if done.is_ok() && is_granted(transaction, (schema, columns), model).await? {
        return Ok(());
    }
    let why = done.err().map_or_else(String::new, |said| format!(" ({said})"));
    let problem =
        format!("this user may not grant what is needed{why}; let the owner of the table run: {grants}");
    Err(Refusal::new("table", problem).into())
}

/// Lets `herald_reader` see which occurrences of reminders were sent. What is right already is left as it is.
#[cfg(feature = "render")]
pub(super) async fn grant_reminders(
    transaction: &mut Transaction<'_, Postgres>,
) -> Result<(), RegisterError> {
    make_role(transaction).await?;
    let is_granted = async |connection: &mut PgConnection| {
        sqlx::query_scalar!(
            r#"select has_schema_privilege($1, 'herald', 'usage') and has_table_privilege($1, 'herald.reminder_log', 'select') as "is!""#,
            READER
        )
        .fetch_one(connection)
        .await
    };
    if is_granted(transaction).await? {
        return Ok(());
    }
    let grants =
        format!("grant usage on schema herald to {READER}; grant select on herald.reminder_log to {READER}");
    let said = attempt(transaction, &grants).await?.err();
    if is_granted(transaction).await? {
        return Ok(());
    }
    let why = said.map_or_else(String::new, |said| format!(" ({said})"));
    let problem =
        format!("this user may not grant what is needed{why}; let the owner of the schema run: {grants}");
    Err(Refusal::new("model", problem).into())
}

/// Makes the role `herald_reader` where there is none, and lets this user become it.
async fn make_role(transaction: &mut Transaction<'_, Postgres>) -> Result<(), RegisterError> {
    // Others may make it at the same time.
    let make = format!(
        "do $$ begin
             if not exists (select from pg_catalog.pg_roles where rolname = '{READER}') then create role {READER} nologin; end if;
         exception when duplicate_object or unique_violation then null; end $$"
    );
    let become_it = format!("set local role {READER}; set local role none");
    let join = format!("do $$ begin execute format('grant {READER} to %I', current_user); end $$");
    let mut said = String::new();
    for sql in [&become_it, &make, &become_it, &join, &become_it] {
        match attempt(transaction, sql).await? {
            Ok(()) if sql == &become_it => return Ok(()),
            Ok(()) => {}
            Err(why) => said = why,
        }
    }
    let problem = format!(
        "this user cannot become {READER} ({said}); let an administrator run: create role {READER} nologin; grant {READER} to <this user>"
    );
    Err(Refusal::new("table", problem).into())
}

/// Runs statements that may be refused, and answers what was said then.
async fn attempt(
    transaction: &mut Transaction<'_, Postgres>,
    sql: &str,
) -> Result<Result<(), String>, sqlx::Error> {
    let mut savepoint = transaction.begin().await?;
    match savepoint.execute(AssertSqlSafe(sql.to_owned())).await {
        Ok(_) => savepoint.commit().await.map(Ok),
        Err(error) if error.as_database_error().is_some() => {
            savepoint.rollback().await?;
            Ok(Err(super::complaint(&error)))
        }
        Err(error) => Err(error),
    }
}

/// Whether `herald_reader` may read exactly the columns that are not hidden.
async fn is_granted(
    connection: &mut PgConnection,
    (schema, columns): (&str, &[String]),
    model: &Model,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select has_schema_privilege($1, $2, 'usage')
                  and coalesce(bool_and(has_column_privilege($1, $3, column_name, 'select') <> (column_name = any($5))), true) as "granted!"
           from unnest($4::text[]) as column_name"#,
        READER,
        schema,
        model.table,
        columns,
        &model.hidden
    )
    .fetch_one(connection)
    .await
}

/// Takes back what `herald_reader` may read of a table that is no model any more.
pub(super) async fn revoke(
    transaction: &mut Transaction<'_, Postgres>,
    schema: &str,
    name: &str,
) -> Result<(), sqlx::Error> {
    let table = format!("{}.{}", quoted(schema), quoted(name));
    let exists = sqlx::query_scalar!(r#"select to_regclass($1) is not null as "exists!""#, table)
        .fetch_one(&mut **transaction)
        .await?;
    if exists
        && let Err(said) = attempt(transaction, &format!("revoke select on {table} from {READER}")).await?
    {
        tracing::warn!("{READER} may still read {table}: {said}");
    }
    Ok(())
}
