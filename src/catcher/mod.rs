//! A mail catcher: an SMTP server that keeps what it is sent and delivers nothing.
//!
//! Development and the demo send their mail to it, and look at it there. Told to by a [`Behaviour`], it refuses mail,
//! answers late, cuts connections or is down, so that tests can see what a real server does only on a bad day.

mod behaviour;
mod conversation;
mod gateway;
mod lines;
mod mailbox;
mod server;
mod show;

pub use behaviour::{Behaviour, Deed, Phase, Rule, When};
pub use gateway::{Answer, Caught, Gateway};
pub use mailbox::{Attempt, Mail, Mailbox};
pub use server::{Catcher, Settings, Traffic};
pub use show::{Attachment, Shown, show};
