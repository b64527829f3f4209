//! The queue against a real Redis, which these tests start, kill, stop and empty. Each test has a server of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod chaos;
mod failures;
mod packs;
mod pushing;
mod support;
mod victim;
mod working;
