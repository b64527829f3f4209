//! The administration: what is maintained, one file for each kind. `kept.rs` is what they share.

pub(crate) mod audit;
mod choice_sets;
mod conditions;
pub(crate) mod deliveries;
mod done;
mod event_rules;
mod fields;
mod form;
pub(crate) mod kept;
mod list;
mod message_types;
mod models;
pub(crate) mod people;
mod readable;
pub(crate) mod registry;
pub(crate) mod registry_form;
pub(crate) mod rule_trial;
pub(crate) mod rules;
pub(crate) mod schedule;
pub(crate) mod template_preview;
mod templates;
pub(crate) mod tokens;
mod users;
mod waiting;
pub(crate) mod watched;
pub(crate) mod watches;
