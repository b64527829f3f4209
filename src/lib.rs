//! The parts of the `herald` program: the only place where the crates are put together.

pub mod catcher;
pub mod commands;
pub mod config;
pub mod demo;
mod keys;
mod logging;
mod metrics;
pub mod private;
pub mod servers;
pub mod shipped;
pub mod wiring;
