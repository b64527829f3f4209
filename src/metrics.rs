//! Counters and histograms of this process, in Prometheus' text format.

use std::time::Duration;

use anyhow::{Context as _, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of the histograms' buckets, in seconds.
const BUCKETS: [f64; 14] =
    [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0, 300.0];

/// How often what histograms recorded is counted: until then each value takes memory, and nobody may ever ask for them.
const UPKEEP: Duration = Duration::from_millis(200);

/// Records this process's metrics from now on. Must be called inside a tokio runtime.
///
/// # Errors
/// They are recorded already.
pub(crate) fn install() -> Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)
        .context("metrics")?
        .install_recorder()
        .context("metrics")?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_recorded_takes_no_memory_for_good_although_nobody_asks_for_it() {
        const VALUES: usize = 500_000;
        const ROUNDS: usize = 20;
        // Of this process, in bytes.
        let memory = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
        };
        install().unwrap();
        let histogram = metrics::histogram!("herald_test_seconds");
        let before = memory();
        for _ in 0..ROUNDS {
            (0..VALUES).for_each(|_| histogram.record(0.1));
            tokio::time::sleep(UPKEEP + UPKEEP / 4).await;
        }
        let grown = memory().saturating_sub(before);
        assert!(grown < ROUNDS * VALUES * 8 / 2, "{ROUNDS} times {VALUES} values left {grown} bytes");
    }
}
