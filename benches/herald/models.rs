//! What it costs to load the records that templates read.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use herald_jobs::message_template::{Compiled, MessageTemplate};
use herald_jobs::model::Model;
use herald_jobs::store;
use herald_jobs::store::instances::{Key, Loaded};
use herald_jobs::template::Functions;
use sqlx::PgPool;

use crate::report::Report;
use crate::setup::Bench;

const ORDERS: i64 = 100_000;
const KEYS: i64 = 500;

const COMPANY: &str = "
    create schema shop;
    create table shop.region (id int primary key, name text);
    create table shop.customer (id int primary key, name text, region_id int references shop.region, parent_id int references shop.customer);
    create table shop.contact_person (id int primary key, customer_id int references shop.customer, email text);
    create table shop.purchase_order (id bigint primary key, customer_id int references shop.customer, total numeric(12, 2), due date,
                                      status text, placed_at timestamptz default now());
    insert into shop.region select n, 'Region ' || n from generate_series(1, 50) n;
    insert into shop.customer select n, 'Customer ' || n, n % 50 + 1, nullif(n / 10, 0) from generate_series(1, 1000) n;
    insert into shop.contact_person select n, n % 1000 + 1, 'c' || n || '@shop.example' from generate_series(1, 3000) n;
    create index on shop.contact_person (customer_id);
    insert into shop.purchase_order select n, n % 1000 + 1, n, '2026-03-01', 'submitted' from generate_series(1, 100000) n;
    analyze";

/// The same ten values by a query that somebody might write for them.
const BY_HAND: &str = "
    select o.id, o.total::text, o.due, o.status, o.placed_at, c.name, p.name, pr.name, r.name,
           (select string_agg(email, ', ' order by k.id) from shop.contact_person k where k.customer_id = c.id)
    from shop.purchase_order o
    left join shop.customer c on c.id = o.customer_id left join shop.region r on r.id = c.region_id
    left join shop.customer p on p.id = c.parent_id left join shop.region pr on pr.id = p.region_id
    where o.id = any($1)";

/// Ten paths of 500 records by one query, beside a query of the same values that was written by hand.
pub(crate) async fn load(bench: &Bench, report: &mut Report) -> Result<()> {
    sqlx::raw_sql(COMPANY).execute(&bench.pool).await?;
    for name in ["region", "customer", "contact_person", "purchase_order"] {
        let (name, table) = (name.to_owned(), format!("shop.{name}"));
        let model = Model { name, table, key: vec!["id".to_owned()], ..Model::default() };
        store::models::register(&bench.pool, &model, "bench").await?;
    }
    // One connection, whose statements Postgres counts.
    let reader = bench.reader()?;
    let catalogue = store::catalogue::read(&bench.pool, &reader).await?;
    let template = MessageTemplate {
        model: Some("purchase_order".to_owned()),
        message_text: "#id# #total# #due# #status# #placed_at# #customer.name# #customer.parent.name# #customer.parent.region.name# \
                       #customer.region.name# #customer.contact_person.email#"
            .to_owned(),
        ..MessageTemplate::default()
    };
    let compiled = Compiled::new(Cow::Owned(template), &catalogue, &Functions::std())?;
    let query = compiled.query.context("the template has a model")?;
    let (mut took, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..6 {
        let ids: Vec<i64> = (0..KEYS).map(|n| (n * 197 + round * 31) % ORDERS + 1).collect();
        let keys: Vec<Key> = ids.iter().map(|id| vec![id.to_string()]).collect();
        let before = executed(&reader).await?;
        let begun = Instant::now();
        let loaded = query.load(&reader, &keys, begun + Duration::from_secs(30)).await?;
        let ours = begun.elapsed().as_secs_f64();
        ensure!(loaded.iter().all(|record| matches!(record, Loaded::Found(_))), "a record is missing");
        ensure!(executed(&reader).await? - before == 1, "it took more than one query");
        let begun = Instant::now();
        let rows = sqlx::query(BY_HAND).bind(&ids).fetch_all(&reader).await?;
        ensure!(rows.len() == ids.len(), "a row is missing");
        let by_hand = begun.elapsed().as_secs_f64();
        // The first round plans.
        if round > 0 {
            took.push(ours * 1e6 / ids.len() as f64);
            ratios.push(by_hand / ours);
        }
    }
    report.figure("model_load_us", &took);
    report.ratio("model_load_vs_join", &ratios);
    Ok(())
}

/// How often the loading query was executed on this connection.
async fn executed(reader: &PgPool) -> Result<i64> {
    let executed: Option<i64> = sqlx::query_scalar(
        "select sum(generic_plans + custom_plans)::int8 from pg_prepared_statements where statement not like '%pg_prepared_statements%' and statement not like '%string_agg%'",
    )
    .fetch_one(reader)
    .await?;
    Ok(executed.unwrap_or(0))
}
