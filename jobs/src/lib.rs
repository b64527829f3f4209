//! What a message and a job are, and where they are kept.
//!
//! A [`send::SendJob`] becomes a row in its recipient's inbox and, where the [`message_type::MessageType`] says so,
//! [`deliver::DeliverJob`]s. [`queues::Queues`] names the queues these travel through; [`store`] holds all SQL.
//! How a job is carried out is told by the crate `herald-workers`, in the file of the same name.

pub mod account;
pub mod action_url;
pub mod address;
pub mod answer;
pub mod answer_link;
pub mod attachment;
#[cfg(feature = "render")]
pub mod authoring;
pub mod authorisation;
pub mod check;
pub mod choice_set;
pub mod clock;
pub mod deliver;
mod email_address;
#[cfg(feature = "render")]
pub mod event_rule;
pub mod group_commit;
pub mod id;
pub mod message_template;
pub mod message_type;
pub mod model;
#[cfg(feature = "render")]
pub mod path;
pub mod periodic;
pub mod queues;
pub mod refusal;
pub mod registry;
#[cfg(feature = "render")]
pub mod reminder;
#[cfg(feature = "render")]
mod rendering;
pub mod retention;
pub mod return_path;
pub mod seal;
pub mod secret;
pub mod send;
pub mod sms;
pub mod store;
#[cfg(feature = "render")]
pub mod template;
#[cfg(feature = "render")]
pub mod window;
