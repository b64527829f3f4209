//! What the database says about the tables of models, and the connections that read them.

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::models::READER;
use crate::model::{Catalogue, Column, ForeignKey, Form, Table};

/// What each connection that reads the host's tables may do: read, for five seconds, in UTC, with names taken from nowhere else.
const READ_ONLY: [(&str, &str); 6] = [
    ("role", READER),
    ("default_transaction_read_only", "on"),
    ("statement_timeout", "5s"),
    ("timezone", "UTC"),
    ("datestyle", "ISO"),
    ("search_path", "pg_catalog"),
];

/// Connections that read the host's tables as the role `herald_reader`.
///
/// # Errors
/// The URL is malformed.
pub fn reader(url: &str, name: &str, size: u32) -> Result<PgPool, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    Ok(PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(super::ACQUIRE)
        .connect_lazy_with(options.options(READ_ONLY).application_name(&format!("herald {name}"))))
}

/// All models with the columns that `reader` may read, and the foreign keys between them.
///
/// # Errors
/// The database cannot be reached; with a model registered, also that the role `herald_reader` is missing.
pub async fn read(pool: &PgPool, reader: &PgPool) -> Result<Catalogue, sqlx::Error> {
    let models = super::models::all(pool).await?;
    if models.is_empty() {
        return Ok(Catalogue::default());
    }
    let names: Vec<String> = models.iter().map(|(model, _)| model.name.clone()).collect();
    let schemas: Vec<String> = models.iter().map(|(_, (schema, _))| schema.clone()).collect();
    let tables: Vec<String> = models.iter().map(|(_, (_, table))| table.clone()).collect();
    let columns = sqlx::query!(
        r#"with recursive base as (
             select oid, oid as based from pg_catalog.pg_type
             union all
             select base.oid, t.typbasetype from base join pg_catalog.pg_type t on t.oid = base.based where t.typtype = 'd'
           )
           select m.model as "model!", a.attname::text as "name!", pg_catalog.format_type(t.oid, -1) as "sql_type!",
                  coalesce(e.typname, t.typname)::text as "element!", t.typcategory::text as "category!", t.typelem <> 0 as "has_elements!",
                  (select o.nspname::text from pg_catalog.pg_operator p join pg_catalog.pg_namespace o on o.oid = p.oprnamespace
                   where p.oprname = '=' and p.oprleft = t.oid and p.oprright = t.oid and o.nspname <> 'pg_catalog'
                   limit 1) as equality
           from unnest($1::text[], $2::text[], $3::text[]) as m(model, schema_name, table_name)
           join pg_catalog.pg_namespace n on n.nspname = m.schema_name
           join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = m.table_name
           join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           join base on base.oid = a.atttypid
           join pg_catalog.pg_type t on t.oid = base.based and t.typtype <> 'd'
           left join pg_catalog.pg_type e on t.typcategory = 'A' and e.oid = t.typelem
           where pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_column_privilege(c.oid, a.attnum, 'select')
           order by c.oid, a.attnum"#,
        &names,
        &schemas,
        &tables
    )
    .fetch_all(reader)
    .await?;
    let foreign_keys = sqlx::query!(
        r#"with m as (
             select u.model, c.oid
             from unnest($1::text[], $2::text[], $3::text[]) as u(model, schema_name, table_name)
             join pg_catalog.pg_namespace n on n.nspname = u.schema_name
             join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = u.table_name
           )
           select here.model as "from!", there.model as "to!",
                  array(select a.attname::text from unnest(k.conkey) with ordinality as p(number, at)
                        join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = p.number order by p.at) as "columns!",
                  array(select a.attname::text from unnest(k.confkey) with ordinality as p(number, at)
                        join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = p.number order by p.at) as "references!"
           from pg_catalog.pg_constraint k
           join m as here on here.oid = k.conrelid
           join m as there on there.oid = k.confrelid
           where k.contype = 'f' and k.conparentid = 0
           order by k.conname"#,
        &names,
        &schemas,
        &tables
    )
    .fetch_all(reader)
    .await?;
    let tables = models.into_iter().map(|(model, place)| {
        let own = columns.iter().filter(|column| column.model == model.name);
        let visible = own.filter(|column| !model.hidden.contains(&column.name));
        let columns = visible.map(|column| Column {
            name: column.name.clone(),
            form: form(&column.category, &column.element, column.has_elements),
            sql_type: column.sql_type.clone(),
            equality: column.equality.clone(),
        });
        Table { columns: columns.collect(), model, place, relations: Vec::new() }
    });
    let foreign_keys: Vec<ForeignKey> = foreign_keys
        .into_iter()
        .map(|key| ForeignKey {
            from: key.from,
            to: key.to,
            columns: key.columns,
            references: key.references,
        })
        .collect();
    Ok(Catalogue::new(tables.collect(), &foreign_keys))
}

/// How values of a type arrive. What JSON cannot hold to the last digit, and what is not known here, arrives as text.
fn form(category: &str, element: &str, has_elements: bool) -> Form {
    let plain = matches!(
        element,
        "int2"
            | "int4"
            | "int8"
            | "float4"
            | "float8"
            | "bool"
            | "text"
            | "varchar"
            | "bpchar"
            | "name"
            | "uuid"
            | "date"
            | "time"
            | "timetz"
            | "timestamp"
            | "timestamptz"
            | "json"
            | "jsonb"
    );
    match (category == "A" && has_elements, plain) {
        (_, true) => Form::Json,
        (true, false) => Form::TextList,
        (false, false) if element == "bytea" => Form::Size,
        (false, false) => Form::Text,
    }
}
