//! The administration: what is maintained, one file for each kind. `kept.rs` is what they share.

pub(crate) mod audit;
mod choice_sets;
mod fields;
pub(crate) mod kept;
mod message_types;
pub(crate) mod people;
pub(crate) mod registry;
pub(crate) mod schedule;
pub(crate) mod tokens;
mod users;
