//! The API for programs, under `/api/v1`. What is refused is told as a problem document (RFC 9457).

mod body;
pub(crate) mod choices;
pub(crate) mod message_types;
pub(crate) mod messages;
pub(crate) mod models;
mod page;
pub(crate) mod problem;
pub(crate) mod templates;
pub(crate) mod token;
pub(crate) mod users;
mod version;
