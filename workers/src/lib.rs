//! What happens to a job.
//!
//! [`run`] is the list of all workers. Each queue's handler stands in the file of its name: [`send`] puts messages into
//! inboxes, [`deliver`] sends copies out by e-mail, [`sms`] by SMS, [`periodic`] runs what the schedule started.

mod cancelling;
pub mod check;
mod context;
pub mod deliver;
mod files;
mod guard;
mod ledger;
mod links;
pub mod mail;
mod outcome;
pub mod periodic;
pub mod purge;
mod register;
mod repeat;
pub mod send;
pub mod sessions;
pub mod settings;
pub mod sms;
pub mod smtp;
pub mod templates;
pub mod window;
pub mod workflow;

pub use context::{AnswerLinks, Context, Options};
pub use register::{WorkerDied, run};
