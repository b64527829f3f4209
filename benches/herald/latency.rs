//! From the call to the committed inbox row. The end is when the commit's notification arrives, so it holds a little more.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use herald_jobs::message_type::Lane;
use herald_producers::Producer;
use sqlx::postgres::PgListener;
use tokio::sync::mpsc;

use crate::report::{Report, percentile};
use crate::setup::{Bench, USERS, message};

/// Tells when each recipient (by key) was notified.
async fn notified(bench: &Bench) -> Result<mpsc::UnboundedReceiver<(i64, Instant)>> {
    let mut listener = PgListener::connect_with(&bench.pool).await?;
    listener.listen("herald_inbox").await?;
    let (told, tell) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(notification) = listener.recv().await {
            let at = Instant::now();
            for id in notification.payload().split(',').filter_map(|id| id.parse().ok()) {
                if told.send((id, at)).is_err() {
                    return;
                }
            }
        }
    });
    Ok(tell)
}

/// Sends `count` messages, one each `pause`, to the users from `first` on; answers their latencies in milliseconds.
pub(crate) async fn measure<F: Future<Output = Result<()>>>(
    bench: &Bench,
    (first, count): (usize, usize),
    pause: Duration,
    send: impl Fn(usize) -> F,
) -> Result<Vec<f64>> {
    let users: Vec<(i64, String)> =
        sqlx::query_as("select id, username from herald.app_user").fetch_all(&bench.pool).await?;
    let ids: HashMap<String, i64> = users.into_iter().map(|(id, name)| (name, id)).collect();
    let mut told = notified(bench).await?;
    let mut sent: HashMap<i64, Instant> = HashMap::new();
    let mut latencies = Vec::with_capacity(count);
    let mut tick = tokio::time::interval(pause);
    for number in 0..count {
        tick.tick().await;
        let user = first + number % (USERS - first);
        sent.insert(ids[&format!("u{user}")], Instant::now());
        send(user).await?;
        while let Ok((id, at)) = told.try_recv() {
            if let Some(begun) = sent.remove(&id) {
                latencies.push((at - begun).as_secs_f64() * 1_000.0);
            }
        }
    }
    let deadline = tokio::time::sleep(Duration::from_secs(20));
    tokio::pin!(deadline);
    while !sent.is_empty() {
        tokio::select! {
            Some((id, at)) = told.recv() => {
                if let Some(begun) = sent.remove(&id) {
                    latencies.push((at - begun).as_secs_f64() * 1_000.0);
                }
            }
            () = &mut deadline => anyhow::bail!("{} messages did not arrive", sent.len()),
        }
    }
    ensure!(latencies.len() == count, "two messages to one user overlapped");
    Ok(latencies)
}

pub(crate) async fn at_200_per_second(bench: &Bench, report: &mut Report) -> Result<()> {
    let producer = Producer::new(
        bench.pool.clone(),
        bench.queues.clone(),
        bench.clock.clone(),
        herald_producers::Options::default(),
    );
    let worker = bench.worker().await?;
    bench.clean().await?;
    let pause = Duration::from_millis(5);
    let (mut p50, mut p99, mut outbox, mut bare) = (vec![], vec![], vec![], vec![]);
    for round in 0..6 {
        let fast = measure(bench, (0, 800), pause, async |user| {
            producer.enqueue(message(user, "VIEW-NORMAL")).await?;
            Ok(())
        })
        .await?;
        let slow = measure(bench, (0, 800), pause, async |user| {
            producer.send(message(user, "VIEW-NORMAL")).await?;
            Ok(())
        })
        .await?;
        let floor =
            measure(bench, (0, 800), pause, async |user| insert_and_notify(bench, user).await).await?;
        // The first round warms up.
        if round > 0 {
            bare.push(percentile(&floor, 0.5));
            p50.push(percentile(&fast, 0.5));
            p99.push(percentile(&fast, 0.99));
            outbox.push(percentile(&slow, 0.5));
        }
    }
    drop(worker);
    report.figure("latency_ms_p50", &p50);
    report.figure("latency_ms_p99", &p99);
    report.figure("outbox_latency_ms_p50", &outbox);
    report.figure("bare_latency_ms_p50", &bare);
    Ok(())
}

/// What one commit costs that puts a message into an inbox and tells of it, without any queue.
async fn insert_and_notify(bench: &Bench, user: usize) -> Result<()> {
    sqlx::query(
        "with inserted as (
             insert into herald.message (id, recipient_id, message_type, alert, required_action, complete_on, on_unknown, lane,
                 subject, message_text, sender, sender_instance, created_at)
             select $1, u.id, 'VIEW-NORMAL', false, 'view', 'click', 'retry_once', 'normal', 'Message', 'x', 'report', '7', now()
             from herald.app_user as u where u.username = $2 returning recipient_id)
         select pg_notify('herald_inbox', recipient_id::text) from inserted",
    )
    .bind(herald_jobs::id::new(bench.clock.now()))
    .bind(format!("u{user}"))
    .execute(&bench.pool)
    .await?;
    Ok(())
}

/// Alerts at 20 a second while the bulk lane runs flat out.
pub(crate) async fn alert_behind_bulk(bench: &Bench, report: &mut Report) -> Result<()> {
    const BULK: usize = 400_000;
    const ALERTS: usize = 60;
    let producer = Producer::new(
        bench.pool.clone(),
        bench.queues.clone(),
        bench.clock.clone(),
        herald_producers::Options::default(),
    );
    let worker = bench.worker().await?;
    let mut p99 = vec![];
    for _ in 0..5 {
        bench.clean().await?;
        worker.pause()?;
        let bulk = bench.queues.send.lane(Lane::Bulk);
        for chunk in 0..BULK / 10_000 {
            // The alerts' recipients get nothing else.
            let jobs: Vec<_> =
                (0..10_000).map(|number| bench.job((chunk * 10_000 + number) % 900, "BULK", None)).collect();
            bulk.push_all(&jobs).await?;
        }
        worker.go_on()?;
        let alerts = measure(bench, (900, ALERTS), Duration::from_millis(50), async |user| {
            producer.enqueue(message(user, "ALERT-VIEW")).await?;
            Ok(())
        })
        .await?;
        ensure!(bulk.jobs().await? > 0, "the bulk ran out while the alerts were measured");
        p99.push(percentile(&alerts, 0.99));
        bench.drained(Duration::from_secs(120)).await?;
    }
    drop(worker);
    report.figure("alert_behind_bulk_ms_p99", &p99);
    Ok(())
}
