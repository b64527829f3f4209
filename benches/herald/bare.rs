//! The raw limits.

use std::time::Instant;

use anyhow::Result;
use apalis::prelude::TaskSink;
use chrono::{TimeDelta, Utc};
use sqlx::Connection as _;
use uuid::Uuid;

use crate::report::Report;
use crate::setup::{Bench, message};

const ROWS: usize = 500;
const PUSHED: usize = 100_000;

/// Rows a second that one connection inserts into the real message table, 500 at a time, without a queue.
pub(crate) async fn insert(bench: &Bench, rows: usize) -> Result<f64> {
    let users: Vec<(i64, String)> =
        sqlx::query_as("select id, username from herald.app_user").fetch_all(&bench.pool).await?;
    let ids: std::collections::HashMap<String, i64> =
        users.into_iter().map(|(id, name)| (name, id)).collect();
    let mut connection = bench.pool.acquire().await?.detach();
    let mut took = 0.0;
    for group in 0..rows / ROWS {
        let messages: Vec<_> = (0..ROWS).map(|row| message(group * ROWS + row, "VIEW-NORMAL")).collect();
        let now = bench.clock.now();
        let begun = Instant::now();
        sqlx::query(
            "insert into herald.message (id, recipient_id, message_type, alert, required_action, complete_on, on_unknown, lane,
                 subject, message_text, sender, sender_instance, created_at, expires_at)
             select * from unnest($1::uuid[], $2::int8[], $3::text[], $4::bool[], $5::text[], $6::text[], $7::text[], $8::text[],
                                  $9::text[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::timestamptz[])",
        )
        .bind(messages.iter().map(|_| herald_jobs::id::new(now)).collect::<Vec<Uuid>>())
        .bind(messages.iter().map(|message| ids[&message.recipient]).collect::<Vec<_>>())
        .bind(messages.iter().map(|message| message.message_type.as_str()).collect::<Vec<_>>())
        .bind(vec![false; ROWS])
        .bind(vec!["view"; ROWS])
        .bind(vec!["click"; ROWS])
        .bind(vec!["retry_once"; ROWS])
        .bind(vec!["normal"; ROWS])
        .bind(vec!["Message"; ROWS])
        .bind(messages.iter().map(|message| message.message_text.as_str()).collect::<Vec<_>>())
        .bind(messages.iter().map(|message| message.sender.as_str()).collect::<Vec<_>>())
        .bind(messages.iter().map(|message| message.sender_instance.as_deref()).collect::<Vec<_>>())
        .bind(vec![now; ROWS])
        .bind(vec![now + TimeDelta::days(10); ROWS] as Vec<chrono::DateTime<Utc>>)
        .execute(&mut connection)
        .await?;
        took += begun.elapsed().as_secs_f64();
    }
    connection.close().await?;
    Ok(rows as f64 / took)
}

/// The fast lane in bulk, through apalis' `TaskSink`, beside the same XADDs pipelined by hand.
pub(crate) async fn push_vs_redis(bench: &Bench, report: &mut Report) -> Result<()> {
    let client = redis::Client::open(bench.redis_url.as_str())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let jobs: Vec<_> = (0..PUSHED).map(|number| bench.job(number, "VIEW-NORMAL", None)).collect();
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        redis::cmd("FLUSHALL").exec_async(&mut connection).await?;
        let begun = Instant::now();
        for chunk in jobs.chunks(ROWS) {
            let mut pipe = redis::pipe();
            for job in chunk {
                let job = serde_json::to_string(job)?;
                pipe.cmd("XADD")
                    .arg("by-hand")
                    .arg("*")
                    .arg("v")
                    .arg(1)
                    .arg("at")
                    .arg(0)
                    .arg("job")
                    .arg(job)
                    .ignore();
            }
            pipe.exec_async(&mut connection).await?;
        }
        let by_hand = begun.elapsed().as_secs_f64();
        redis::cmd("FLUSHALL").exec_async(&mut connection).await?;
        let tasks: Vec<_> = jobs.iter().map(|job| apalis::prelude::Task::new(job.clone())).collect();
        let mut sink = bench.queues.send.lane(herald_jobs::message_type::Lane::Normal).sink();
        let begun = Instant::now();
        sink.push_all(futures::stream::iter(tasks)).await?;
        let by_sink = begun.elapsed().as_secs_f64();
        ratios.push(by_hand / by_sink);
        rates.push(PUSHED as f64 / by_sink);
    }
    redis::cmd("FLUSHALL").exec_async(&mut connection).await?;
    report.figure("push_per_s", &rates);
    report.ratio("push_vs_redis", &ratios);
    Ok(())
}
