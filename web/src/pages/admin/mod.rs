//! The administration: what is maintained, one file for each kind. `kept.rs` is what they share.

mod choice_sets;
mod fields;
mod form;
pub(crate) mod kept;
mod list;
mod message_types;
mod readable;
pub(crate) mod template_preview;
mod templates;
mod users;
