//! What the tests share: real servers, and a real browser.
#![allow(dead_code, reason = "each test binary is compiled with all of this and uses a part")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

pub(crate) mod browser;
pub(crate) mod demo;
pub(crate) mod herald;
#[cfg(target_os = "linux")]
pub(crate) mod postfix;
pub(crate) mod servers;
pub(crate) mod webdriver;
pub(crate) mod world;

use std::time::{Duration, Instant};

/// How long a test waits for what it expects. Only a failing test ever waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

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
