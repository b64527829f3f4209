//! What happens to a job: it is sent, delivered, or run at its time.

pub mod smtp;
