//! The API for programs, under `/api/v1`. What is refused is told as a problem document (RFC 9457).

pub(crate) mod answers;
pub(crate) mod authorisations;
pub(crate) mod batch;
pub(crate) mod batches;
mod body;
pub(crate) mod bounces;
pub(crate) mod choices;
pub(crate) mod launch;
mod lines;
pub(crate) mod message_types;
pub(crate) mod messages;
pub(crate) mod models;
pub(crate) mod openapi;
pub(crate) mod outputs;
mod page;
pub(crate) mod periodic;
pub(crate) mod problem;
pub(crate) mod reminders;
mod sending;
mod sentence;
pub(crate) mod sms_reports;
pub(crate) mod templates;
pub(crate) mod token;
pub(crate) mod users;
mod version;
