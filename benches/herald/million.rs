//! One call that sends to a million, beside alerts.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use herald_jobs::message_type::Lane;
use herald_jobs::store;
use herald_producers::{NewMessage, Producer};

use crate::latency::measure;
use crate::report::{Report, percentile};
use crate::setup::{Bench, message};

const MILLION: usize = 1_000_000;
/// Recipients from here on get alerts only.
const FIRST: usize = 900;
const ALERTS: usize = 20;

/// How long the rows of the batch may take to follow its mark.
const FOLLOW: Duration = Duration::from_secs(900);

/// Alerts at one a second from the call that accepts each to its inbox, while a million recipients are sent to by one call; then
/// how long it takes, when that call has just answered, until nobody sees a message of the batch and nothing more of it is sent, and
/// how long its rows take to follow.
pub(crate) async fn beside_alerts(bench: &Bench, report: &mut Report) -> Result<()> {
    let producer = Producer::new(
        bench.pool.clone(),
        bench.queues.clone(),
        bench.clock.clone(),
        herald_producers::Options::default(),
    );
    let recipients: Vec<String> = (0..MILLION).map(|number| format!("u{}", number % FIRST)).collect();
    bench.clean().await?;
    let worker = bench.worker().await?;
    // What proved that the worker is ready.
    sqlx::raw_sql("delete from herald.message").execute(&bench.pool).await?;
    let idle = worker.rss()?;
    let begun = Instant::now();
    let sending = async {
        let notice = NewMessage { lane: Some(Lane::Bulk), ..message(0, "BULK") };
        let batch = producer.send_many(notice, &recipients).await?;
        ensure!(batch.answers.iter().all(Result::is_ok), "some were not accepted");
        anyhow::Ok((batch.id, begun.elapsed().as_secs_f64()))
    };
    let alerting = measure(bench, (FIRST, ALERTS), Duration::from_secs(1), async |user| {
        producer.send(message(user, "ALERT-VIEW")).await?;
        Ok(())
    });
    let (sent, alerts) = tokio::join!(sending, async { (alerting.await, begun.elapsed().as_secs_f64()) });
    let ((batch, took), (alerts, alerted)) = (sent?, alerts);
    ensure!(took > alerted, "the call had answered after {took:.0} s, before the last alert");
    let arrived = bench.messages().await?;
    let begun = Instant::now();
    ensure!(producer.cancel_batch(batch).await?, "it was cancelled before");
    for user in 0..FIRST {
        let counts = store::inbox::counts(&bench.pool, bench.user(user).await?).await?;
        ensure!(counts.messages == 0, "u{user} still sees {} messages", counts.messages);
    }
    let cancelling = begun.elapsed().as_secs_f64();
    let followed = "select count(*) from herald.cancelled_batch where id = $1 and followed_at is not null";
    while bench.count(followed, batch).await? == 0 {
        ensure!(begun.elapsed() < FOLLOW, "the rows have not followed after {FOLLOW:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let following = begun.elapsed().as_secs_f64();
    bench.drained(Duration::from_secs(60)).await?;
    let kept = "select count(*) from herald.message where status = 'cancelled' and batch_id = $1";
    let kept = bench.count(kept, batch).await?;
    ensure!(kept == MILLION as i64, "{kept} messages are cancelled");
    report.figure("million_accept_s", &[took]);
    report.figure("million_arrived_before_cancel", &[arrived as f64]);
    report.figure("million_cancel_s", &[cancelling]);
    report.figure("million_cancel_rows_s", &[following]);
    report.figure("alert_beside_million_ms_p99", &[percentile(&alerts?, 0.99)]);
    report.figure("million_worker_rss_growth_mb", &[worker.peak_rss()? - idle]);
    Ok(())
}
