//! What the tests share: real servers, and a real browser.
#![allow(dead_code, reason = "each test binary is compiled with all of this and uses a part")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

pub(crate) mod browser;
pub(crate) mod demo;
pub(crate) mod herald;
pub(crate) mod port;
#[cfg(target_os = "linux")]
pub(crate) mod postfix;
pub(crate) mod servers;
pub(crate) mod webdriver;
pub(crate) mod world;

use std::time::{Duration, Instant};

/// How long a test waits for what it expects. Only a failing test ever waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where a test's random numbers begin: another place each time, or the one in HERALD_TEST_SEED. Says which.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("HERALD_TEST_SEED").ok();
    let fresh = || uuid::Uuid::now_v7().as_u64_pair().1;
    let seed = given.map_or_else(fresh, |given| given.parse().unwrap());
    println!("HERALD_TEST_SEED={seed}");
    seed
}

/// Lets a test that fails show what Herald warned of meanwhile.
pub(crate) fn show_warnings() {
    let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).with_writer(std::io::stderr);
    // Another part of the test may have done so.
    let _ = lines.try_init();
}

/// Says that a test goes without `what`; fails it unless HERALD_TEST_WITHOUT, a list with commas, names that.
pub(crate) fn leave_out(what: &str, why: &str) {
    let without = std::env::var("HERALD_TEST_WITHOUT").unwrap_or_default();
    assert!(
        without.split(',').any(|named| named.trim() == what),
        "{what} is not to be had: {why}. HERALD_TEST_WITHOUT={what} leaves it out"
    );
    println!("left out: {what}: {why}");
}

/// Waits until `holds` answers true; fails the test when it never does. `what` completes "timed out waiting for ...".
pub(crate) async fn eventually(what: &str, holds: impl AsyncFnMut() -> bool) {
    within(PATIENCE, what, holds).await;
}

/// The same for what may take so long.
pub(crate) async fn within(patience: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds().await {
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
