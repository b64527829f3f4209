//! What a reminder rule finds in its model's table: one query for a page of occurrences, read as the role `herald_reader`.

mod sql;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Row as _, Transaction};

use self::sql::{Bind, Writer};
use crate::reminder::Plan;
use crate::send::MAX_CONTACTS;

/// Occurrences of a page.
const PAGE: i64 = 1_000;
/// How long one query may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Values of one path to contacts that are looked at: some are there twice.
const MOST_CONTACTS: usize = 5 * MAX_CONTACTS;
/// Most near misses shown.
const MOST_NEAR: i64 = 20;

/// When something is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// What is due by then.
    pub now: DateTime<Utc>,
    /// What came due after this; `None`: however long ago.
    pub floor: Option<DateTime<Utc>>,
    /// And before this.
    pub until: Option<DateTime<Utc>>,
}

/// An occurrence that is due and was not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The record's key.
    pub record: Vec<String>,
    /// Which initial date and time it is of: one without a zone as if it were of UTC.
    pub initial: DateTime<Utc>,
    /// From 1.
    pub occurrence: i64,
    /// When it came due.
    pub due_at: DateTime<Utc>,
    /// Who is to be reminded.
    pub recipient: Option<String>,
    /// Who else, where that is nobody.
    pub otherwise: Option<String>,
    /// What the paths to outside contacts lead to, in their order.
    pub contacts: Vec<Vec<String>>,
}

/// A record that is not due, although nearly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// The record's key.
    pub record: Vec<String>,
    /// Its initial date and time; `None`: there is none.
    pub initial: Option<DateTime<Utc>>,
    /// Its status.
    pub status: Option<String>,
    /// Whether that counts as unchanged.
    pub unchanged: bool,
    /// Whether the other conditions are true.
    pub holds: bool,
    /// When its first occurrence is due.
    pub first_due: Option<DateTime<Utc>>,
    /// How many of its occurrences were sent.
    pub sent: i64,
}

/// One view of the host's tables, for a whole run.
///
/// # Errors
/// The database cannot be reached, or the role `herald_reader` is missing.
pub async fn snapshot(reader: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut snapshot = super::snapshot(reader).await?;
    let patience = format!("set local statement_timeout = {}", PATIENCE.as_millis());
    sqlx::raw_sql(AssertSqlSafe(patience)).execute(&mut *snapshot).await?;
    Ok(snapshot)
}

/// The occurrences that are due and were not sent, by their initial dates and times: at most `limit`.
///
/// # Errors
/// The database cannot be reached, or refuses the query.
pub async fn due(
    snapshot: &mut PgConnection,
    plan: &Plan,
    span: &Span,
    limit: usize,
) -> Result<Vec<Due>, sqlx::Error> {
    let mut found: Vec<Due> = Vec::new();
    while found.len() < limit {
        let left = i64::try_from(limit - found.len()).unwrap_or(PAGE).min(PAGE);
        let (sql, binds) = page(plan, span, found.last(), left);
        let rows = bound(sql, binds).persistent(false).fetch_all(&mut *snapshot).await?;
        let is_last = i64::try_from(rows.len()).unwrap_or_default() < left;
        for row in rows {
            found.push(read(&row, plan)?);
        }
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// How Postgres would find them, as `explain` says it, for whoever wants to see that it goes by an index.
///
/// # Errors
/// The database cannot be reached, or refuses the query: a value may not be of its column's type.
pub async fn explain(
    snapshot: &mut PgConnection,
    plan: &Plan,
    span: &Span,
) -> Result<Vec<String>, sqlx::Error> {
    let (sql, binds) = page(plan, span, None, PAGE);
    let rows = bound(format!("explain {sql}"), binds).persistent(false).fetch_all(snapshot).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Records that fail by one thing alone, and records that were reminded of already; or the one record of this key.
///
/// # Errors
/// The database cannot be reached, or refuses the query.
pub async fn near(
    snapshot: &mut PgConnection,
    plan: &Plan,
    span: &Span,
    record: Option<&[String]>,
) -> Result<Vec<Near>, sqlx::Error> {
    let mut writer = Writer { plan, binds: Vec::new() };
    let (rule, zone) = (plan.rule.code.clone(), plan.rule.zone.to_string());
    let (rule, zone) = (writer.bind(Bind::Text(rule)), format!("{}::text", writer.bind(Bind::Text(zone))));
    let (now, floor) = (writer.time(Some(span.now)), writer.time(span.floor));
    let (unchanged, holds) = (writer.unchanged(), writer.holds());
    let (at, identity, key) = (writer.at(), writer.identity(), writer.record());
    let which = match record {
        Some(record) => format!("record = {}::text[]", writer.bind(Bind::Texts(record.to_vec()))),
        None => {
            let is_due =
                format!("coalesce(first_due <= {now} and ({floor} is null or first_due > {floor}), false)");
            let fails = format!("(not unchanged)::int + (not holds)::int + (not {is_due})::int");
            format!("{fails} = 1 or {fails} = 0 and sent > 0")
        }
    };
    let sql = format!(
        "select record, initial, status, unchanged, holds, first_due, sent
         from (select {key} as record, case when isfinite({at}) then {identity} end as initial, {}::text as status,
                      coalesce({unchanged}, false) as unchanged, coalesce({holds}, false) as holds,
                      case when isfinite({at}) then {} end as first_due,
                      (select count(*) from herald.reminder_log as l
                       where l.rule = {rule}::text and l.record = {key} and l.initial = {identity}) as sent
               from {}) as r
         where {which} order by first_due nulls last, record limit {MOST_NEAR}",
        sql::value(&plan.status),
        writer.due("1::bigint", &zone),
        writer.from(),
    );
    let rows = bound(sql, writer.binds).persistent(false).fetch_all(snapshot).await?;
    let read = |row: PgRow| {
        Ok(Near {
            record: row.try_get(0)?,
            initial: row.try_get(1)?,
            status: row.try_get(2)?,
            unchanged: row.try_get(3)?,
            holds: row.try_get(4)?,
            first_due: row.try_get(5)?,
            sent: row.try_get(6)?,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Whether `value` can be a value of the column at the end of a path: what Postgres says where it cannot.
///
/// # Errors
/// The database cannot be reached.
pub async fn cast(
    snapshot: &mut PgConnection,
    sql_type: &str,
    value: &str,
) -> Result<Result<(), String>, sqlx::Error> {
    let mut savepoint = sqlx::Connection::begin(snapshot).await?;
    let sql = format!("select (($1::text)::{sql_type}) is null");
    let done = sqlx::query(AssertSqlSafe(sql)).bind(value).persistent(false).execute(&mut *savepoint).await;
    savepoint.rollback().await?;
    match done {
        Ok(_) => Ok(Ok(())),
        Err(error) if error.as_database_error().is_some() => Ok(Err(super::complaint(&error))),
        Err(error) => Err(error),
    }
}

/// Whether the database knows a zone.
///
/// # Errors
/// The database cannot be reached.
pub async fn knows_zone(snapshot: &mut PgConnection, zone: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from pg_catalog.pg_timezone_names where name = $1) as "is!""#,
        zone
    )
    .fetch_one(snapshot)
    .await
}

/// The index that the rule's query needs, as SQL; `None` where there is one, or where none can help.
///
/// # Errors
/// The database cannot be reached.
pub async fn missing_index(pool: &PgPool, plan: &Plan) -> Result<Option<String>, sqlx::Error> {
    if !plan.initial.steps.is_empty() {
        return Ok(None);
    }
    let (schema, name) = &plan.table.place;
    let initial = plan.initial.column.name.as_str();
    let status = plan.status.steps.is_empty().then_some(plan.status.column.name.as_str());
    let is_there = sqlx::query_scalar!(
        r#"select c.relkind not in ('r', 'p', 'm') or exists (
               select from pg_catalog.pg_index i
               cross join lateral (select array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality as k(number, at)
                       join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.number order by k.at) as columns) as of
               where i.indrelid = c.oid and i.indisvalid
                 and (of.columns[1] = $3 or of.columns[2] = $3 and of.columns[1] = $4)) as "is_there!"
           from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
           where n.nspname = $1 and c.relname = $2"#,
        schema,
        name,
        initial,
        status
    )
    .fetch_optional(pool)
    .await?;
    if is_there.unwrap_or(true) {
        return Ok(None);
    }
    let columns =
        [status, Some(initial)].into_iter().flatten().map(super::models::quoted).collect::<Vec<_>>();
    Ok(Some(format!("create index concurrently on {} ({});", plan.table.model.table, columns.join(", "))))
}

/// The query for the page after `last`.
fn page(plan: &Plan, span: &Span, last: Option<&Due>, limit: i64) -> (String, Vec<Bind>) {
    let mut writer = Writer { plan, binds: Vec::new() };
    let (rule, zone) = (plan.rule.code.clone(), plan.rule.zone.to_string());
    let (rule, zone) = (writer.bind(Bind::Text(rule)), format!("{}::text", writer.bind(Bind::Text(zone))));
    let now = writer.time(Some(span.now));
    let (floor, until) = (writer.time(span.floor), writer.time(span.until));
    let (at, identity, key) = (writer.at(), writer.identity(), writer.record());
    let (least, most) = plan.spread();
    let latest = writer.time(Some(span.now - least));
    let mut when = vec![format!("isfinite({at})"), format!("{at} <= {}", writer.comparable(&latest))];
    // A day is whole in its column.
    let day = chrono::TimeDelta::days(1);
    let earliest =
        match (last, span.floor.filter(|_| plan.rule.repeat.is_none()).map(|floor| floor - most - day)) {
            (Some(last), floor) => Some(floor.map_or(last.initial, |floor| floor.max(last.initial))),
            (None, floor) => floor,
        };
    if let Some(earliest) = earliest {
        let earliest = writer.time(Some(earliest));
        when.push(format!("{at} >= {}", writer.comparable(&earliest)));
    }
    when.push(writer.unchanged());
    when.push(writer.holds());
    when.push(format!(
        "not exists (select from herald.reminder_log as l
             where l.rule = {rule}::text and l.record = {key} and l.initial = {identity} and l.occurrence = o.n)"
    ));
    if let Some(last) = last {
        let initial = writer.time(Some(last.initial));
        let (record, n) =
            (writer.bind(Bind::Texts(last.record.clone())), writer.bind(Bind::Number(last.occurrence)));
        when.push(format!("({identity}, {key}, o.n) > ({initial}, {record}::text[], {n}::bigint)"));
    }
    let mut columns = vec![key, identity, "o.n".to_owned(), "o.due".to_owned()];
    columns.push(format!("{}::text", sql::value(&plan.recipient)));
    columns.push(
        plan.otherwise
            .as_ref()
            .map_or_else(|| "null::text".to_owned(), |path| format!("{}::text", sql::value(path))),
    );
    columns.extend(plan.contacts.iter().map(|path| sql::values(path, MOST_CONTACTS)));
    let limit = writer.bind(Bind::Number(limit));
    let sql = format!(
        "select {} from {} cross join lateral {} as o where {} order by 2, 1, 3 limit {limit}",
        columns.join(", "),
        writer.from(),
        writer.occurrences(&zone, &now, &floor, &until),
        when.join(" and "),
    );
    (sql, writer.binds)
}

fn bound(sql: String, binds: Vec<Bind>) -> Query<'static, Postgres, PgArguments> {
    binds.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, bind| match bind {
        Bind::Text(text) => query.bind(text),
        Bind::Texts(texts) => query.bind(texts),
        Bind::Time(at) => query.bind(at),
        Bind::Number(number) => query.bind(number),
    })
}

fn read(row: &PgRow, plan: &Plan) -> Result<Due, sqlx::Error> {
    let contacts = (0..plan.contacts.len()).map(|at| row.try_get::<Vec<String>, _>(6 + at));
    Ok(Due {
        record: row.try_get(0)?,
        initial: row.try_get(1)?,
        occurrence: row.try_get(2)?,
        due_at: row.try_get(3)?,
        recipient: row.try_get(4)?,
        otherwise: row.try_get(5)?,
        contacts: contacts.collect::<Result<_, _>>()?,
    })
}
