//! `make bench`: throughput and latency of Herald, each beside the raw limit of the same machine in the same minute.
//!
//! Writes `target/bench/latest.json`. Ratios are medians of five interleaved pairs; what a figure means stands in
//! `docs/benchmarks.md`.

mod alert_mail;
mod bare;
mod inbox;
mod latency;
mod mail;
mod million;
mod models;
mod reminders;
mod report;
mod setup;
mod template;
mod watch;

use anyhow::Result;
use report::Report;
use setup::Bench;

#[tokio::main]
async fn main() -> Result<()> {
    // `cargo test --benches` asks for a list of tests: there are none.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return Ok(());
    }
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    let bench = Bench::start().await?;
    let mut report = Report::default();
    if wanted("template") {
        template::render(&mut report)?;
    }
    if wanted("models") {
        models::load(&bench, &mut report).await?;
    }
    if wanted("watch") {
        watch::trigger(&bench, &mut report).await?;
    }
    if wanted("push") {
        bare::push_vs_redis(&bench, &mut report).await?;
    }
    if wanted("inbox") {
        inbox::inbox_vs_insert(&bench, &mut report).await?;
    }
    if wanted("flatness") {
        inbox::backlog_flatness(&bench, &mut report).await?;
    }
    if wanted("outbox") {
        inbox::outbox_vs_insert(&bench, &mut report).await?;
    }
    if wanted("latency") {
        latency::at_200_per_second(&bench, &mut report).await?;
    }
    if wanted("alert") {
        latency::alert_behind_bulk(&bench, &mut report).await?;
    }
    if wanted("mail") {
        mail::mail_vs_smtp(&bench, &mut report).await?;
    }
    if wanted("alert-mail") {
        alert_mail::behind_bulk(&bench, &mut report).await?;
    }
    if wanted("million") {
        million::beside_alerts(&bench, &mut report).await?;
    }
    if wanted("reminders") {
        reminders::rule(&bench, &mut report).await?;
    }
    if wanted("purge") {
        reminders::purge(&bench, &mut report).await?;
    }
    bench.stop().await?;
    report.finish()
}
