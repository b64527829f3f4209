//! Alerts by e-mail, beside bulk mail that runs flat out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use herald::catcher::{Catcher, Settings};
use herald_jobs::message_type::Lane;
use herald_producers::Producer;
use tokio::sync::broadcast::error::RecvError;

use crate::report::{Report, percentile};
use crate::setup::{Bench, USERS, message};

/// Bulk mails that wait when the first alert comes.
const BULK: usize = 200_000;
/// Alerts in one round, and recipients who get nothing else.
const ALERTS: usize = 60;
const FIRST: usize = 900;

/// From the call that accepts an alert to its final dot at the mail server, at 20 a second.
pub(crate) async fn behind_bulk(bench: &Bench, report: &mut Report) -> Result<()> {
    let settings = Settings { keep_mails: 10, keep_attempts: 10, ..Settings::new(bench.clock.clone()) };
    let catcher = Catcher::start(SocketAddr::from(([127, 0, 0, 1], 0)), settings).await?;
    bench.mail_to(catcher.address().port()).await?;
    let producer = Producer::new(
        bench.pool.clone(),
        bench.queues.clone(),
        bench.clock.clone(),
        herald_producers::Options::default(),
    );
    let worker = bench.worker().await?;
    bench.clean().await?;
    worker.pause()?;
    let bulk = bench.queues.send.lane(Lane::Bulk);
    for chunk in 0..BULK / 10_000 {
        let jobs: Vec<_> = (0..10_000)
            .map(|number| bench.job((chunk * 10_000 + number) % FIRST, "BULK-MAIL", None))
            .collect();
        bulk.push_all(&jobs).await?;
    }
    worker.go_on()?;
    let mails = bench.queues.email.lane(Lane::Bulk);
    let begun = Instant::now();
    while mails.jobs().await? < 1_000 {
        ensure!(begun.elapsed() < Duration::from_secs(30), "bulk mails do not come up");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut p99 = vec![];
    for _ in 0..5 {
        p99.push(percentile(&round(&catcher, &producer).await?, 0.99));
    }
    ensure!(mails.jobs().await? > 0, "the bulk ran out while the alerts were measured");
    report.figure("alert_mail_behind_bulk_ms_p99", &p99);
    // The rest need not be sent.
    worker.pause()?;
    bench.clean().await?;
    worker.go_on()?;
    bench.drained(Duration::from_secs(120)).await
}

async fn round(catcher: &Catcher, producer: &Producer) -> Result<Vec<f64>> {
    let mut mails = catcher.mailbox().subscribe();
    let mut sent: HashMap<String, Instant> = HashMap::new();
    let mut latencies = Vec::with_capacity(ALERTS);
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let mut number = 0;
    let deadline = tokio::time::sleep(Duration::from_secs(30));
    tokio::pin!(deadline);
    while latencies.len() < ALERTS {
        tokio::select! {
            _ = tick.tick(), if number < ALERTS => {
                let user = FIRST + number % (USERS - FIRST);
                sent.insert(format!("u{user}@bench.example"), Instant::now());
                producer.send(message(user, "ALERT-EMAIL")).await?;
                number += 1;
            }
            mail = mails.recv() => match mail {
                Ok(mail) => {
                    let begun = mail.to.first().and_then(|to| sent.remove(to));
                    latencies.extend(begun.map(|begun| begun.elapsed().as_secs_f64() * 1_000.0));
                }
                Err(RecvError::Lagged(missed)) => anyhow::bail!("{missed} mails were not looked at"),
                Err(RecvError::Closed) => anyhow::bail!("the catcher ended"),
            },
            () = &mut deadline => anyhow::bail!("{} alerts did not arrive", sent.len()),
        }
    }
    Ok(latencies)
}
