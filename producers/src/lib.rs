//! Ways in: how a send is accepted, and how it gets from the outbox to the workers.
//!
//! [`Producer`] is what a program uses. [`relay`] runs beside the workers: it pushes what SQL callers accepted, what has
//! become due, and what Redis lost.
//!
//! ```no_run
//! use herald_jobs::clock::Clock;
//! use herald_jobs::queues::Queues;
//! use herald_jobs::store;
//! use herald_producers::{NewMessage, Options, Producer};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = store::pool("postgres://herald@db/herald", "reports", 4)?;
//! let redis = herald_queue::Redis::open("redis://redis:6379/0")?;
//! let queues = Queues::new(redis, &herald_queue::Options::default());
//! let producer = Producer::new(pool.clone(), queues, Clock::system(), Options::default());
//!
//! let message = NewMessage {
//!     recipient: "ann".into(),
//!     message_type: "VIEW-NORMAL".into(),
//!     message_text: "Your report is ready.".into(),
//!     sender: "report".into(),
//!     sender_instance: Some("42".into()),
//!     ..NewMessage::default()
//! };
//! let id = producer.send(message.clone()).await?;
//! println!("{}", producer.standing(id).await?.map_or("gone".into(), |standing| standing.status));
//!
//! // Inside a transaction of one's own: a rollback leaves nothing.
//! let mut transaction = pool.begin().await?;
//! producer.send_in(&mut transaction, message.clone()).await?;
//! transaction.commit().await?;
//!
//! // To many, each answered by itself; what still waits can be cancelled.
//! let batch = producer.send_many(message, &["ann".into(), "bob".into()]).await?;
//! producer.cancel_batch(batch.id).await?;
//! producer.flush().await;
//! # Ok(())
//! # }
//! ```

mod afterwards;
pub mod bounce;
pub mod directory;
mod error;
pub mod numbers;
pub mod output_queue;
mod producer;
pub mod push;
pub mod relay;
#[cfg(feature = "reminders")]
pub mod reminders;
pub mod sms_report;
pub mod task_queue;
pub mod workflow;

pub use error::SendError;
pub use herald_jobs::attachment::NewAttachment;
pub use herald_jobs::id::MessageId;
pub use herald_jobs::send::{NewContact, NewMessage};
pub use producer::{Batch, Options, Producer, Sent};
