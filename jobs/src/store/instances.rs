//! Records of the host's tables, as templates read them: one query for a template and a batch of keys, of exactly the columns that
//! are named.
//!
//! The query is put together here; each identifier in it comes from the database's own catalogue, and each value is bound.

use std::fmt::Write as _;
use std::time::Instant;

use futures::TryStreamExt as _;
use serde_json::{Map, Value};
use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _};

use super::complaint;
use super::models::quoted;
use crate::group_commit::{is_outage, is_passing};
use crate::model::{Catalogue, Column, Form, Own, Selected, Selection};
use crate::template::OWN_TEXT;

/// Most related records of one relation, by key; what comes after them is left out.
const MOST_RELATED: u32 = 1_000;
/// Most bytes of one record with what is related to it, and of all records that are in memory at once.
const LARGEST: usize = 4 * 1024 * 1024;
const LARGEST_TOGETHER: usize = 32 * 1024 * 1024;
/// Into how many parts a batch is split that is too slow or too large.
const PARTS: usize = 16;

/// The query that loads what a template needs of one model's records.
#[derive(Clone, Debug)]
pub struct InstanceQuery {
    sql: String,
    keys: usize,
}

/// A record's key: one text for each key column.
pub type Key = Vec<String>;

/// What became of one key.
#[derive(Clone, Debug, PartialEq)]
pub enum Loaded {
    /// The record.
    Found(Map<String, Value>),
    /// There is none.
    Missing,
    /// It cannot be read, and why.
    Failed(String),
    /// There was no time to look.
    NotTried,
}

impl InstanceQuery {
    /// The query for `selection` of `model`; `None` where the model cannot be read by its key.
    pub fn new(catalogue: &Catalogue, model: &str, selection: &Selection) -> Option<Self> {
        let table = catalogue.tables.get(model)?;
        let key: Vec<&Column> =
            table.model.key.iter().map(|name| table.column(name)).collect::<Option<_>>()?;
        let mut writer = Writer { catalogue, aliases: 0, sql: String::new() };
        let arrays =
            (1..=key.len()).map(|number| format!("${number}::text[]")).collect::<Vec<_>>().join(", ");
        let names = (1..=key.len()).map(|number| format!("k{number}")).collect::<Vec<_>>().join(", ");
        writer.sql.push_str("select k.position, (");
        let keys = key
            .iter()
            .enumerate()
            .map(|(at, column)| (column.name.clone(), format!("k.k{}::{}", at + 1, column.sql_type)));
        writer.record(model, selection, None, &keys.collect::<Vec<_>>(), false)?;
        // Writing to a string does not fail.
        let _ = write!(
            writer.sql,
            ")::text as instance from unnest({arrays}) with ordinality as k({names}, position)"
        );
        Some(Self { sql: writer.sql, keys: key.len() })
    }

    /// The SQL, for whoever wants to explain it.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// A key as it was sent: a number or text; for several columns, a list of these in the key's order.
    ///
    /// # Errors
    /// Says what the model's key looks like.
    pub fn key(&self, sent: &Value) -> Result<Key, String> {
        let parts = match sent {
            Value::Array(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        if parts.len() != self.keys {
            return Err(match self.keys {
                1 => "must be a number or a text".to_owned(),
                keys => format!("must be a list of {keys} values, for the columns of the model's key"),
            });
        }
        let text = |part: &Value| match part {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Bool(value) => Ok(value.to_string()),
            _ => Err("must consist of numbers and texts".to_owned()),
        };
        parts.iter().map(text).collect()
    }

    /// Loads the records of these keys, in their order, by one query. Where that fails, is too slow or brings too much, the keys are
    /// tried in parts, so that a record is blamed for what it does alone. What is left at `deadline` is not tried.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn load(
        &self,
        reader: &PgPool,
        keys: &[Key],
        deadline: Instant,
    ) -> Result<Vec<Loaded>, sqlx::Error> {
        let mut connection = reader.acquire().await?;
        let mut loaded = vec![Loaded::Missing; keys.len()];
        let mut parts = Vec::from([(0, keys.len())]);
        while let Some((from, to)) = parts.pop() {
            if Instant::now() > deadline {
                loaded[from..to].fill(Loaded::NotTried);
                continue;
            }
            match self.load_at_once(&mut connection, &keys[from..to]).await {
                Ok(found) => {
                    for (at, instance) in found {
                        if let Some(slot) = loaded.get_mut(from + at) {
                            *slot = instance;
                        }
                    }
                }
                Err(error) if is_outage(&error) && !is_its_own(&error) => return Err(error),
                Err(error) if to - from == 1 => loaded[from] = Loaded::Failed(complaint(&error)),
                Err(_) => {
                    let step = (to - from).div_ceil(PARTS);
                    let starts: Vec<usize> = (from..to).step_by(step).collect();
                    parts.extend(starts.into_iter().rev().map(|start| (start, (start + step).min(to))));
                }
            }
        }
        Ok(loaded)
    }

    /// Loads one record.
    ///
    /// # Errors
    /// The database cannot be reached, or the record cannot be read for a reason that may pass: a lock, a time-out.
    pub async fn load_one(&self, reader: &PgPool, key: Key) -> Result<Loaded, sqlx::Error> {
        let mut connection = reader.acquire().await?;
        match self.load_at_once(&mut connection, &[key]).await {
            Ok(found) => Ok(found.into_iter().next().map_or(Loaded::Missing, |(_, loaded)| loaded)),
            Err(error) if is_passing(&error) => Err(error),
            Err(error) => Ok(Loaded::Failed(complaint(&error))),
        }
    }

    /// Whether Postgres can make a plan for the query: its columns compare, and there are not too many.
    ///
    /// # Errors
    /// The database cannot be reached, or says why it cannot.
    pub async fn probe(&self, reader: &PgPool) -> Result<(), sqlx::Error> {
        let mut connection = reader.acquire().await?;
        self.load_at_once(&mut connection, &[]).await.map(drop)
    }

    async fn load_at_once(
        &self,
        connection: &mut PgConnection,
        keys: &[Key],
    ) -> Result<Vec<(usize, Loaded)>, sqlx::Error> {
        let mut query = sqlx::query(AssertSqlSafe(self.sql.clone()));
        for column in 0..self.keys {
            let values = keys.iter().map(|key| key.get(column).cloned());
            query = query.bind(values.collect::<Vec<Option<String>>>());
        }
        let mut rows = query.fetch(connection);
        let (mut found, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        while let Some(row) = rows.try_next().await? {
            let position: i64 = row.try_get(0)?;
            let text: Option<&str> = row.try_get(1)?;
            bytes += text.map_or(0, str::len);
            if bytes > LARGEST_TOGETHER && keys.len() > 1 {
                return Err(sqlx::Error::Decode("the records are too large together".into()));
            }
            found.push((usize::try_from(position - 1).unwrap_or(usize::MAX), read(text)));
        }
        Ok(found)
    }
}

fn read(text: Option<&str>) -> Loaded {
    match text {
        None => Loaded::Missing,
        Some(text) if text.len() > LARGEST => Loaded::Failed(format!(
            "the record is larger than {} MB with what is related",
            LARGEST / 1024 / 1024
        )),
        Some(text) => serde_json::from_str(text)
            .map_or_else(|error| Loaded::Failed(format!("the record: {error}")), Loaded::Found),
    }
}

/// Whether the statement itself ran out of time or of what the server lets it have.
pub(super) fn is_its_own(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| code == "57014" || code.starts_with("53"))
}

/// Writes a query from the outside in.
struct Writer<'a> {
    catalogue: &'a Catalogue,
    aliases: usize,
    sql: String,
}

impl Writer<'_> {
    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    /// `select row_to_json(...)` of the record, or of all records, whose columns equal `on`.
    fn record(
        &mut self,
        model: &str,
        selection: &Selection,
        own: Option<(&Own, &str)>,
        on: &[(String, String)],
        many: bool,
    ) -> Option<()> {
        let table = self.catalogue.tables.get(model)?;
        let (alias, row) = (self.alias(), self.alias());
        self.sql.push_str(if many { "select coalesce(json_agg(row_to_json(" } else { "select row_to_json(" });
        self.sql.push_str(&row);
        self.sql.push_str(if many { ")), '[]') from (select " } else { ") from (select " });
        let mut first = true;
        let mut comma = |sql: &mut String| {
            if !std::mem::take(&mut first) {
                sql.push_str(", ");
            }
        };
        comma(&mut self.sql);
        match own {
            Some((Own::Label(column), _)) => self.value(&alias, column),
            Some((Own::Reference(column), outer)) => self.value(outer, column),
            None => self.sql.push_str("null"),
        }
        let _ = write!(self.sql, " as {}", quoted(OWN_TEXT));
        for (name, selected) in &selection.fields {
            comma(&mut self.sql);
            match selected {
                Selected::Column(column) => self.value(&alias, column),
                Selected::Record { relation, selection, own } => {
                    let on: Vec<(String, String)> = relation
                        .columns
                        .iter()
                        .map(|(here, there)| (there.clone(), format!("{alias}.{}", quoted(here))))
                        .collect();
                    self.sql.push('(');
                    let own = own.as_ref().map(|own| (own, alias.as_str()));
                    self.record(&relation.target, selection, own, &on, relation.many)?;
                    self.sql.push(')');
                }
            }
            let _ = write!(self.sql, " as {}", quoted(name));
        }
        let (schema, name) = &table.place;
        let _ = write!(self.sql, " from {}.{} as {alias} where ", quoted(schema), quoted(name));
        for (at, (column, value)) in on.iter().enumerate() {
            let and = if at == 0 { "" } else { " and " };
            let (schema, sql_type) = table
                .column(column)
                .map_or((None, ""), |column| (column.equality.as_deref(), column.sql_type.as_str()));
            let column = quoted(column);
            let _ = match schema {
                None => write!(self.sql, "{and}{alias}.{column} = {value}"),
                Some(schema) => {
                    let schema = quoted(schema);
                    write!(self.sql, "{and}{alias}.{column} operator({schema}.=) ({value})::{sql_type}")
                }
            };
        }
        if many {
            let key = table.model.key.iter().filter(|name| table.column(name).is_some());
            let order = key.map(|name| format!("{alias}.{}", quoted(name))).collect::<Vec<_>>().join(", ");
            if !order.is_empty() {
                let _ = write!(self.sql, " order by {order}");
            }
            let _ = write!(self.sql, " limit {MOST_RELATED}");
        }
        let _ = write!(self.sql, ") as {row}");
        Some(())
    }

    fn value(&mut self, alias: &str, column: &Column) {
        let name = format!("{alias}.{}", quoted(&column.name));
        let _ = match column.form {
            Form::Json => write!(self.sql, "{name}"),
            Form::Text => write!(self.sql, "{name}::text"),
            Form::TextList => write!(self.sql, "{name}::text[]"),
            Form::Size => write!(self.sql, "octet_length({name}) || ' bytes'"),
        };
    }
}
