//! The queue against a real Redis, which these tests start, kill, stop and empty. Each test has a server of its own.

mod chaos;
mod failures;
mod pushing;
mod support;
mod victim;
mod working;
