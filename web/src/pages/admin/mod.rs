//! The administration: what is maintained, one file for each kind. `kept.rs` is what they share.

mod choice_sets;
mod fields;
pub(crate) mod kept;
mod message_types;
mod users;
