//! The workflow loop: people are asked for decisions, and their answers go back to whoever asked.

mod answers;
mod authorisations;

pub use answers::{Answer, Answered};
pub use authorisations::Requested;
