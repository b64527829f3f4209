//! What a watch costs the host's transaction.

use std::time::Instant;

use anyhow::{Result, ensure};
use herald_jobs::event_rule::On;
use herald_jobs::store::watches;

use crate::report::Report;
use crate::setup::Bench;

const UPDATES: i32 = 10_000;
const ROUNDS: usize = 5;

/// 10,000 updates in one transaction, each of which the watch records; beside the same without it, and with a watch that wants none.
pub(crate) async fn trigger(bench: &Bench, report: &mut Report) -> Result<()> {
    sqlx::raw_sql(
        "create schema watched;
         create table watched.purchase_order (id int primary key, status text, amount numeric(12, 2), subject text, placed_at timestamptz default now());
         insert into watched.purchase_order select n, 'draft', n, 'Order ' || n from generate_series(1, 10000) n; analyze watched.purchase_order",
    )
    .execute(&bench.pool)
    .await?;
    let (mut plain, mut watched, mut passed) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        plain.push(updates(bench, &format!("plain {round}")).await?);
        for (on, figures, seen) in
            [("update", &mut watched, i64::from(UPDATES)), ("update:subject", &mut passed, 0)]
        {
            let on: On = on.parse().map_err(anyhow::Error::msg)?;
            let mut connection = bench.pool.acquire().await?;
            let id = watches::watch(&mut connection, "watched.purchase_order", &on).await?;
            // Other values than before: what stays as it was is no event.
            figures.push(updates(bench, &format!("{on} {round}")).await?);
            let events: i64 = sqlx::query_scalar(
                "with gone as (delete from herald.event returning 1) select count(*) from gone",
            )
            .fetch_one(&bench.pool)
            .await?;
            ensure!(events == seen, "the watch saw {events} of {seen}");
            watches::unwatch(&mut connection, id).await?;
        }
    }
    let cost = |figures: &[f64]| -> Vec<f64> {
        let pairs = figures.iter().zip(&plain);
        pairs.map(|(with, without)| (with - without) * 1e6 / f64::from(UPDATES)).collect()
    };
    report.figure("update_us", &plain.iter().map(|it| it * 1e6 / f64::from(UPDATES)).collect::<Vec<_>>());
    report.figure("watch_us_per_event", &cost(&watched));
    report.figure("watch_us_per_other_update", &cost(&passed));
    report.ratio(
        "watched_vs_plain_update",
        &plain.iter().zip(&watched).map(|(a, b)| a / b).collect::<Vec<_>>(),
    );
    Ok(())
}

/// Seconds that the updates take, one statement each, with their commit.
async fn updates(bench: &Bench, status: &str) -> Result<f64> {
    sqlx::query("vacuum watched.purchase_order").execute(&bench.pool).await?;
    let mut transaction = bench.pool.begin().await?;
    let begun = Instant::now();
    for id in 1..=UPDATES {
        sqlx::query("update watched.purchase_order set status = $2 where id = $1")
            .bind(id)
            .bind(status)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(begun.elapsed().as_secs_f64())
}
