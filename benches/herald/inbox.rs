//! From a backlog, or from an accept, to rows in inboxes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use herald_jobs::message_type::Lane;
use herald_producers::Producer;

use crate::bare;
use crate::report::Report;
use crate::setup::{Bench, Worker, message};

const BACKLOG: usize = 50_000;
const DEEP: usize = 200_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// Messages a second out of a backlog of `jobs`, and the worker's CPU seconds.
async fn drain(bench: &Bench, worker: &Worker, jobs: usize) -> Result<(f64, f64)> {
    bench.clean().await?;
    worker.pause()?;
    let backlog: Vec<_> = (0..jobs).map(|number| bench.job(number, "VIEW-NORMAL", None)).collect();
    bench.queues.send.lane(Lane::Normal).push_all(&backlog).await?;
    drop(backlog);
    let (begun, cpu) = (Instant::now(), worker.cpu()?);
    worker.go_on()?;
    bench.drained(PATIENCE).await?;
    let (took, cpu) = (begun.elapsed().as_secs_f64(), worker.cpu()? - cpu);
    ensure!(bench.messages().await? == jobs, "messages are missing");
    Ok((jobs as f64 / took, cpu))
}

pub(crate) async fn inbox_vs_insert(bench: &Bench, report: &mut Report) -> Result<()> {
    let (mut ratios, mut rates, mut bares, mut cpus) = (vec![], vec![], vec![], vec![]);
    let worker = bench.worker().await?;
    drain(bench, &worker, BACKLOG).await?;
    for _ in 0..5 {
        bench.clean().await?;
        let bare = bare::insert(bench, BACKLOG).await?;
        let (rate, cpu) = drain(bench, &worker, BACKLOG).await?;
        ratios.push(rate / bare);
        rates.push(rate);
        bares.push(bare);
        cpus.push(cpu * 10_000.0 / BACKLOG as f64);
    }
    report.figure("bare_insert_per_s", &bares);
    report.figure("inbox_per_s", &rates);
    report.ratio("inbox_vs_insert", &ratios);
    report.figure("worker_cpu_s_per_10k_inbox", &cpus);
    report.figure("worker_peak_rss_mb", &[worker.peak_rss()?]);
    Ok(())
}

pub(crate) async fn backlog_flatness(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut ratios = vec![];
    let worker = bench.worker().await?;
    drain(bench, &worker, BACKLOG).await?;
    for _ in 0..5 {
        let (shallow, _) = drain(bench, &worker, BACKLOG).await?;
        let (deep, _) = drain(bench, &worker, DEEP).await?;
        ratios.push(deep / shallow);
    }
    report.ratio("backlog_flatness", &ratios);
    report.figure("worker_peak_rss_mb_deep", &[worker.peak_rss()?]);
    Ok(())
}

/// Single messages, accepted through the outbox by 500 callers at once.
pub(crate) async fn outbox_vs_insert(bench: &Bench, report: &mut Report) -> Result<()> {
    const CALLERS: usize = 500;
    let producer = Producer::new(
        bench.pool.clone(),
        bench.queues.clone(),
        bench.clock.clone(),
        herald_producers::Options::default(),
    );
    let worker = bench.worker().await?;
    let (mut ratios, mut rates) = (vec![], vec![]);
    for round in 0..6 {
        bench.clean().await?;
        let bare = bare::insert(bench, BACKLOG).await?;
        bench.clean().await?;
        let begun = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let producer = producer.clone();
                tokio::spawn(async move {
                    for number in 0..BACKLOG / CALLERS {
                        producer.send(message(caller * 1_000 + number, "VIEW-NORMAL")).await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for caller in callers {
            caller.await??;
        }
        loop {
            let left: bool = sqlx::query_scalar("select exists (select from herald.outbox)")
                .fetch_one(&bench.pool)
                .await?;
            if !left {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "the outbox does not empty");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let rate = BACKLOG as f64 / begun.elapsed().as_secs_f64();
        ensure!(bench.messages().await? == BACKLOG, "messages are missing");
        // The first round warms up.
        if round > 0 {
            ratios.push(rate / bare);
            rates.push(rate);
        }
    }
    drop(worker);
    report.figure("outbox_per_s", &rates);
    report.ratio("outbox_vs_insert", &ratios);
    Ok(())
}
