//! The API for programs, under `/api/v1`. What is refused is told as a problem document (RFC 9457).

mod body;
pub(crate) mod bounces;
pub(crate) mod messages;
pub(crate) mod models;
pub(crate) mod problem;
pub(crate) mod sms_reports;
pub(crate) mod templates;
pub(crate) mod token;
