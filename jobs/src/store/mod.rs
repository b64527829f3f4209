//! All SQL. One file for each family of tables; functions take any executor, so that they join a caller's transaction.
//!
//! Queries are checked when they are compiled, against the metadata in `.sqlx` (`make prepare` renews it).

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgExecutor};

/// A query that could not be carried out, and the connections it needs: callers hold no SQL of their own.
pub use sqlx::{Error, PgPool};

pub mod access;
pub mod accounts;
pub mod answer_events;
pub mod answers;
pub mod attachments;
pub mod audit;
pub mod authorisations;
pub mod bounces;
pub mod cancelling;
pub mod catalogue;
pub mod change;
pub mod checks;
pub mod choice_sets;
pub mod deliveries;
#[cfg(feature = "render")]
pub mod event_rules;
#[cfg(feature = "render")]
pub mod events;
mod grants;
pub mod idempotency;
pub mod inbox;
pub mod inbox_search;
#[cfg(feature = "render")]
pub mod instances;
pub mod leases;
pub mod ledger;
pub mod message_templates;
pub mod message_types;
pub mod messages;
pub mod models;
#[cfg(feature = "render")]
pub mod occurrences;
pub mod operating;
pub mod outbox;
pub mod outputs;
pub mod periodic;
pub mod purging;
pub mod registry;
pub mod reminder_log;
#[cfg(feature = "render")]
pub mod reminders;
#[cfg(feature = "render")]
pub mod samples;
pub mod send_grants;
pub mod sent;
pub mod sms_reports;
pub mod suppressions;
pub mod users;
#[cfg(feature = "render")]
pub mod watched_events;
#[cfg(feature = "render")]
pub mod watches;
pub mod webhooks;

/// How long to wait for a free connection before the database counts as not available.
const ACQUIRE: Duration = Duration::from_secs(5);

/// For how long an idle connection is taken to stand.
const FRESH: Duration = Duration::from_secs(1);

/// Nearly all statements here go by an index and are used again and again: each is planned once. A plan that was made while a table
/// was small must not read all of it when it has grown, so rows of tables are found by `id = any(...)` and by scalar or lateral
/// subqueries, which no plan turns into a join over the whole table.
const PLANS: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off";

/// A view of the database as it stands now, for several reads that must agree with each other.
///
/// # Errors
/// The database cannot be reached.
pub async fn snapshot(pool: &PgPool) -> Result<sqlx::PgTransaction<'static>, sqlx::Error> {
    pool.begin_with("begin isolation level repeatable read, read only").await
}

/// A connection for one statement whose filters may be given or not: planned for those that are, and so by their index.
///
/// # Errors
/// The database cannot be reached.
async fn filtering(pool: &PgPool) -> Result<sqlx::PgTransaction<'static>, sqlx::Error> {
    let mut transaction = pool.begin_with("begin read only").await?;
    sqlx::query!("set local plan_cache_mode = force_custom_plan").execute(&mut *transaction).await?;
    Ok(transaction)
}

/// Connections to Herald's database, made when they are needed: at most `size`, named `name` in `pg_stat_activity`.
///
/// # Errors
/// The URL is malformed.
pub fn pool(url: &str, name: &str, size: u32) -> Result<PgPool, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    Ok(PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(ACQUIRE)
        // A connection that was in use a moment ago need not be asked whether it still stands.
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| {
            Box::pin(async move { Ok(metadata.idle_for < FRESH || connection.ping().await.is_ok()) })
        })
        .after_connect(|connection, _| Box::pin(async move { connection.execute(PLANS).await.map(drop) }))
        .connect_lazy_with(options.application_name(&format!("herald {name}"))))
}

/// Waits until what was committed before is on the disk, and wherever else a commit of this server waits to be: the least that
/// can be written does so.
///
/// # Errors
/// The database cannot be reached.
pub async fn flush(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_logical_emit_message(true, 'herald', '')::text as lsn")
        .fetch_one(executor)
        .await?;
    Ok(())
}

/// Whether a value holds U+0000, which Postgres keeps in no text.
pub fn holds_nul(error: &Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // The second is what jsonb says of it.
    matches!(code.as_deref(), Some("22021" | "22P05"))
}

/// What the database said, for people.
pub fn complaint(error: &Error) -> String {
    match error.as_database_error() {
        Some(database) => database.message().to_owned(),
        None => error.to_string(),
    }
}

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Brings the schema up to date; safe to run from many processes at once. Herald's migrations are recorded in its own schema.
///
/// # Errors
/// The database cannot be reached, or was migrated by another version.
pub async fn migrate(pool: &PgPool) -> Result<(), MigrateError> {
    migrator().run(pool).await
}

/// Whether every migration has been applied.
///
/// # Errors
/// The database cannot be reached.
pub async fn is_migrated(pool: &PgPool) -> Result<bool, sqlx::Error> {
    let exists: Option<String> =
        sqlx::query_scalar("select to_regclass('herald.schema_migration')::text").fetch_one(pool).await?;
    if exists.is_none() {
        return Ok(false);
    }
    let applied: i64 = sqlx::query_scalar("select count(*) from herald.schema_migration where success")
        .fetch_one(pool)
        .await?;
    Ok(usize::try_from(applied) == Ok(MIGRATIONS.iter().count()))
}

/// The database's own time.
///
/// # Errors
/// The database cannot be reached.
pub async fn now(pool: &PgPool) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(pool).await
}

fn migrator() -> Migrator {
    let mut migrator = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
    migrator.create_schema("herald");
    migrator.dangerous_set_table_name("herald.schema_migration");
    migrator
}
