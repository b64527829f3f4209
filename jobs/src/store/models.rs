//! Registered models.

use serde_json::Value;
use sqlx::{PgConnection, PgExecutor, PgPool, Postgres, Transaction};

use super::change::{ChangeError, Expect, Saved, lock};
use super::grants::{grant, revoke};
use crate::model::{Model, NamedRelation};
use crate::refusal::Refusal;

/// As whom Herald reads the host's tables: it has been granted the columns of registered models and nothing else.
pub(super) const READER: &str = "herald_reader";
/// Tables of Herald's own that may be models.
const OWN_TABLES: [&str; 4] = ["app_user", "current_message", "delivery", "message_type"];
/// Columns of those that are never shown.
const OWN_SECRETS: [&str; 2] = ["password_hash", "lease_token"];

struct ModelRow {
    name: String,
    table_schema: String,
    table_name: String,
    shown: String,
    key: Vec<String>,
    label: Option<String>,
    hidden: Vec<String>,
    relations: Value,
}

impl ModelRow {
    fn read(self) -> Result<(Model, (String, String)), sqlx::Error> {
        let relations: Vec<NamedRelation> =
            serde_json::from_value(self.relations).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let model = Model {
            name: self.name,
            table: self.shown,
            key: self.key,
            label: self.label,
            hidden: self.hidden,
            relations,
        };
        Ok((model, (self.table_schema, self.table_name)))
    }
}

/// All models, by name, each with the schema and name of its table.
///
/// # Errors
/// The database cannot be reached.
pub async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<(Model, (String, String))>, sqlx::Error> {
    let rows = sqlx::query_as!(
        ModelRow,
        r#"select name, table_schema, table_name, format('%I.%I', table_schema, table_name) as "shown!", key, label, hidden,
                  relations
           from herald.model order by name collate "C""#
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(ModelRow::read).collect()
}

/// The models after the name `after`, by name: at most `limit`.
///
/// # Errors
/// The database cannot be reached.
pub async fn list(executor: impl PgExecutor<'_>, after: &str, limit: i64) -> Result<Vec<Model>, sqlx::Error> {
    let models = all(executor).await?.into_iter().map(|(model, _)| model);
    Ok(models
        .filter(|model| model.name.as_str() > after)
        .take(usize::try_from(limit).unwrap_or_default())
        .collect())
}

/// The model of this name.
///
/// # Errors
/// The database cannot be reached.
pub async fn get(executor: impl PgExecutor<'_>, name: &str) -> Result<Option<Model>, sqlx::Error> {
    Ok(all(executor).await?.into_iter().map(|(model, _)| model).find(|model| model.name == name))
}

/// Whether this user may become `herald_reader`; `None`: there is no such role.
///
/// # Errors
/// The database cannot be reached.
pub async fn reader_is_usable(executor: impl PgExecutor<'_>) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select pg_catalog.pg_has_role(oid, 'member') as "usable!" from pg_catalog.pg_roles where rolname = $1"#,
        READER
    )
    .fetch_optional(executor)
    .await
}

/// Why a model was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Something about it cannot be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database cannot be reached.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<RegisterError> for ChangeError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Refused(refusal) => Self::Refused(refusal),
            RegisterError::Database(error) => Self::Database(error),
        }
    }
}

/// Registers a model, or changes the one of this name: lets `herald_reader` read its columns, the hidden ones excepted. Answers the
/// model with its table's full name.
///
/// # Errors
/// [`RegisterError`]; nothing has changed then.
pub async fn register(pool: &PgPool, model: &Model, actor: &str) -> Result<Model, RegisterError> {
    let mut transaction = pool.begin().await?;
    let model = register_in(&mut transaction, model, actor).await?;
    transaction.commit().await?;
    Ok(model)
}

/// The same, where what is there is as expected.
///
/// # Errors
/// [`ChangeError`]; nothing has changed then.
pub async fn save(
    pool: &PgPool,
    model: &Model,
    expect: &Expect,
    actor: &str,
) -> Result<Saved<Model>, ChangeError> {
    model.validate()?;
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "model", &model.name).await?;
    let current = get(&mut *transaction, &model.name).await?;
    expect.check(current.as_ref())?;
    let value = register_in(&mut transaction, model, actor).await?;
    transaction.commit().await?;
    Ok(Saved { value, created: current.is_none() })
}

async fn register_in(
    transaction: &mut Transaction<'_, Postgres>,
    model: &Model,
    actor: &str,
) -> Result<Model, RegisterError> {
    model.validate()?;
    let found = find_table(transaction, &model.table).await?;
    let mut model =
        Model { table: format!("{}.{}", quoted(&found.schema), quoted(&found.name)), ..model.clone() };
    if found.schema == "herald" {
        let secrets =
            OWN_SECRETS.iter().filter(|secret| found.columns.iter().any(|column| column == *secret));
        model.hidden.extend(secrets.map(|&secret| secret.to_owned()));
        model.hidden.sort();
        model.hidden.dedup();
        model.validate()?;
    }
    for (field, columns) in
        [("key", &model.key), ("label", &Vec::from_iter(model.label.clone())), ("hidden", &model.hidden)]
    {
        check_columns(&found, field, columns)?;
    }
    for (position, relation) in model.relations.iter().enumerate() {
        check_columns(&found, &format!("relations/{position}/columns"), &relation.columns)?;
        let target = if relation.model == model.name {
            Some((found.columns.clone(), model.hidden.clone()))
        } else {
            target_columns(transaction, &relation.model).await?
        };
        let field = |part: &str| format!("relations/{position}/{part}");
        let Some((columns, hidden)) = target else {
            return Err(Refusal::new(
                field("model"),
                format!("there is no model `{}`; add it first", relation.model),
            )
            .into());
        };
        if let Some(missing) =
            relation.references.iter().find(|name| !columns.contains(name) || hidden.contains(name))
        {
            let problem = format!("`{missing}` is no column of {} that may be read", relation.model);
            return Err(Refusal::new(field("references"), problem).into());
        }
    }
    check_key(transaction, &model).await?;
    grant(transaction, (&found.schema, &found.columns), &model).await?;
    let earlier =
        sqlx::query!("select table_schema, table_name from herald.model where name = $1", model.name)
            .fetch_optional(&mut **transaction)
            .await?;
    if let Some(earlier) =
        earlier.filter(|it| (&it.table_schema, &it.table_name) != (&found.schema, &found.name))
    {
        revoke(transaction, &earlier.table_schema, &earlier.table_name).await?;
    }
    let relations = serde_json::to_value(&model.relations).unwrap_or_default();
    let put = sqlx::query!(
        "insert into herald.model (name, table_schema, table_name, key, label, hidden, relations)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (name) do update set table_schema = $2, table_name = $3, key = $4, label = $5, hidden = $6, relations = $7,
             updated_at = now()",
        model.name,
        found.schema,
        found.name,
        &model.key,
        model.label,
        &model.hidden,
        relations
    )
    .execute(&mut **transaction)
    .await;
    put.map_err(|error| match error.as_database_error().and_then(|error| error.constraint()) {
        Some("model_table_schema_table_name_key") => {
            Refusal::new("table", format!("{} is a model already, under another name", model.table)).into()
        }
        _ => RegisterError::from(error),
    })?;
    super::audit::record(&mut **transaction, actor, "model add", &model.name).await?;
    Ok(model)
}

/// Forgets a model, and takes back what `herald_reader` may read of its table. Answers whether there was one.
///
/// # Errors
/// [`ChangeError`]; as a refusal of its name where a template, a rule or a relation of another model needs it. Nothing has changed then.
pub async fn remove(pool: &PgPool, name: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
    let mut transaction = pool.begin().await?;
    lock(&mut transaction, "model", name).await?;
    let Some(current) = get(&mut *transaction, name).await? else { return Ok(false) };
    expect.check(Some(&current))?;
    let user = sqlx::query_scalar!(
        r#"select 'template ' || t.code as "user!" from herald.message_template t
           where t.model = $1 and t.version = (select max(version) from herald.message_template where code = t.code)
           union all
           select 'reminder ' || r.code from herald.reminder_rule r where r.definition->>'model' = $1
           union all
           select 'relation ' || m.name || '.' || (r->>'name') from herald.model m, jsonb_array_elements(m.relations) r
           where r->>'model' = $1 and m.name <> $1
           limit 1"#,
        name
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(user) = user {
        return Err(Refusal::new("name", format!("{user} needs the model {name}")).into());
    }
    let removed =
        sqlx::query!("delete from herald.model where name = $1 returning table_schema, table_name", name)
            .fetch_optional(&mut *transaction)
            .await?;
    let Some(removed) = removed else { return Ok(false) };
    revoke(&mut transaction, &removed.table_schema, &removed.table_name).await?;
    super::audit::record(&mut *transaction, actor, "model remove", name).await?;
    transaction.commit().await?;
    Ok(true)
}

struct Found {
    schema: String,
    name: String,
    columns: Vec<String>,
}

async fn find_table(connection: &mut PgConnection, table: &str) -> Result<Found, RegisterError> {
    let refuse = |problem: String| RegisterError::from(Refusal::new("table", problem));
    let found = sqlx::query!(
        r#"select n.nspname::text as "schema!", c.relname::text as "name!", c.relkind::text as "kind!",
                  array(select attname::text from pg_catalog.pg_attribute a
                        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum) as "columns!"
           from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
           where c.oid = to_regclass($1)"#,
        table
    )
    .fetch_optional(&mut *connection)
    .await;
    let found = found.map_err(|error| match error.as_database_error() {
        Some(database) => refuse(format!("is not written like a table's name: {}", database.message())),
        None => RegisterError::from(error),
    })?;
    let found = found.ok_or_else(|| refuse(format!("there is no table or view {table}")))?;
    if !matches!(found.kind.as_str(), "r" | "p" | "v" | "m" | "f") {
        return Err(refuse(format!("{table} is neither a table nor a view")));
    }
    let is_own = found.schema == "herald";
    if found.schema == "information_schema"
        || found.schema.starts_with("pg_")
        || is_own && !OWN_TABLES.contains(&found.name.as_str())
    {
        let whose = if is_own { "Herald" } else { "Postgres" };
        return Err(refuse(format!("{table} is one of {whose}'s own and cannot be a model")));
    }
    Ok(Found { schema: found.schema, name: found.name, columns: found.columns })
}

fn check_columns(found: &Found, field: &str, columns: &[String]) -> Result<(), Refusal> {
    match columns.iter().find(|name| !found.columns.contains(name)) {
        Some(missing) => {
            let problem =
                format!("`{missing}` is no column of {}; there are {}", found.name, found.columns.join(", "));
            Err(Refusal::new(field, problem))
        }
        None => Ok(()),
    }
}

/// A key of a table must be unique, so that it names one record. Of a view nobody can say.
async fn check_key(connection: &mut PgConnection, model: &Model) -> Result<(), RegisterError> {
    let is_unique = sqlx::query_scalar!(
        r#"select c.relkind not in ('r', 'p') or exists (
               select from pg_catalog.pg_index i
               where i.indrelid = c.oid and i.indisunique and i.indpred is null and i.indexprs is null
                 and array(select a.attname::text from unnest(i.indkey[0:i.indnkeyatts - 1]) as k(number)
                           join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.number) <@ $2) as "unique!"
           from pg_catalog.pg_class c where c.oid = to_regclass($1)"#,
        model.table,
        &model.key
    )
    .fetch_one(connection)
    .await?;
    if is_unique {
        return Ok(());
    }
    let problem = format!(
        "several records could have the same {}: no unique index says otherwise",
        model.key.join(", ")
    );
    Err(Refusal::new("key", problem).into())
}

/// The columns of a registered model, and which are hidden.
async fn target_columns(
    connection: &mut PgConnection,
    model: &str,
) -> Result<Option<(Vec<String>, Vec<String>)>, sqlx::Error> {
    let found = sqlx::query!(
        r#"select hidden, array(select attname::text from pg_catalog.pg_attribute a
                  where a.attrelid = to_regclass(format('%I.%I', table_schema, table_name))
                    and a.attnum > 0 and not a.attisdropped) as "columns!"
           from herald.model where name = $1"#,
        model
    )
    .fetch_optional(connection)
    .await?;
    Ok(found.map(|found| (found.columns, found.hidden)))
}

/// An identifier for SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
