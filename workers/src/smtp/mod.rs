//! One SMTP conversation (RFC 5321), step by step, so that the outcome of each mail is known.
//!
//! A mail library's `send()` tells that sending failed, but not whether the server kept the mail all the same. Here
//! the line is drawn at the final dot: as long as its last byte was not handed to the connection, the server cannot
//! have the mail ([`Verdict::Deferred`], safe to try again); from then on only the server's reply says what became of
//! it, and without a reply the outcome is [`Verdict::Unknown`].
//!
//! lettre builds the messages but does not carry them: see `docs/decisions/smtp-client.md`.

mod auth;
mod connect;
mod reply;
mod server;
mod session;
mod trace;
mod verdict;
mod wire;

pub use server::{Security, Server, Timeouts};
pub use session::Session;
pub use trace::Trace;
pub use verdict::{Fault, FaultKind, Verdict};
