//! Task queues: whoever submitted a task is told when it is done, or has failed.
//!
//! ```no_run
//! # use apalis_core::backend::memory::MemoryStorage;
//! # use apalis_core::task::builder::TaskBuilder;
//! # use apalis_core::worker::builder::WorkerBuilder;
//! # use herald_producers::Producer;
//! use herald_producers::task_queue::{Notify, NotifyLayer};
//!
//! # async fn example(producer: Producer, storage: MemoryStorage<u32>) {
//! // Where the task is submitted:
//! let task = TaskBuilder::new(42_u32).metadata(&Notify::new("ann", "The report on March")).build();
//! // Where it is worked on. What comes first stands outside: a panic that is caught within is a failure.
//! let worker = WorkerBuilder::new("reports")
//!     .backend(storage)
//!     .layer(NotifyLayer::new(producer, "report_task"))
//!     .build(|number: u32| async move { println!("{number}") });
//! # }
//! ```

use std::fmt::Display;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use apalis_core::task::Task;
use apalis_core::task::metadata::{Metadata, MetadataError, MetadataStore};
use futures::future::BoxFuture;
use herald_jobs::send::{MAX_KEY, MAX_SENDER, NewMessage};
use tower::{Layer, Service};

use crate::Producer;

/// Longest reason that is passed on, in characters.
const MAX_REASON: usize = 2_000;

/// Who is told about a task, and how. Goes with the task as its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Who submitted the task: a username.
    pub submitter: String,
    /// What the task is called in messages, as in "The report on March".
    pub title: String,
    /// The type of the message when it is done; `None`: nothing is said then.
    pub on_success: Option<String>,
    /// The type of the message when it has failed; `None`: nothing is said then.
    pub on_failure: Option<String>,
}

impl Notify {
    /// Tells `submitter` of success by a message and of failure by an alert.
    pub fn new(submitter: &str, title: &str) -> Self {
        Self {
            submitter: submitter.to_owned(),
            title: title.to_owned(),
            on_success: Some("VIEW-NORMAL".to_owned()),
            on_failure: Some("ALERT-VIEW".to_owned()),
        }
    }
}

const SUBMITTER: &str = "herald.submitter";
const TITLE: &str = "herald.title";
const ON_SUCCESS: &str = "herald.on_success";
const ON_FAILURE: &str = "herald.on_failure";

/// A task that says of nobody whom to tell.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// It has no submitter.
    #[error("the task's metadata has no {SUBMITTER}")]
    NoSubmitter,
    /// It says so already.
    #[error(transparent)]
    Said(#[from] MetadataError),
}

impl Metadata for Notify {
    type Error = NotifyError;

    fn extract(store: &MetadataStore) -> Result<Self, NotifyError> {
        let of = |key: &str| store.get(key).map(str::to_owned);
        Ok(Self {
            submitter: of(SUBMITTER).ok_or(NotifyError::NoSubmitter)?,
            title: of(TITLE).unwrap_or_else(|| "Your task".to_owned()),
            on_success: of(ON_SUCCESS),
            on_failure: of(ON_FAILURE),
        })
    }

    fn inject(&self, store: &mut MetadataStore) -> Result<(), NotifyError> {
        store.insert(SUBMITTER, &self.submitter)?;
        store.insert(TITLE, &self.title)?;
        for (key, kind) in [(ON_SUCCESS, &self.on_success), (ON_FAILURE, &self.on_failure)] {
            if let Some(kind) = kind {
                store.insert(key, kind)?;
            }
        }
        Ok(())
    }
}

/// Tells submitters how their tasks ended, for any apalis worker. Each end of a task is told once, however often the task is
/// handed out again: the key is the task's id with its attempt. A task without [`Notify`] is left alone, and what a task answers is
/// passed on whether its submitter could be told or not.
///
/// Of a failure the submitter is told after the last attempt. A task without a maximum of attempts is told of at each failure:
/// nobody can know which one is the last.
#[derive(Clone)]
pub struct NotifyLayer {
    producer: Producer,
    sender: String,
}

impl NotifyLayer {
    /// Messages come from the model `sender`, each from the instance that is the task's id.
    pub fn new(producer: Producer, sender: &str) -> Self {
        Self { producer, sender: sender.to_owned() }
    }
}

impl<S> Layer<S> for NotifyLayer {
    type Service = NotifyService<S>;

    fn layer(&self, inner: S) -> NotifyService<S> {
        NotifyService { inner, layer: self.clone() }
    }
}

/// What [`NotifyLayer`] makes of a service.
#[derive(Clone)]
pub struct NotifyService<S> {
    inner: S,
    layer: NotifyLayer,
}

impl<S, Args> Service<Task<Args>> for NotifyService<S>
where
    S: Service<Task<Args>>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Display + Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, task: Task<Args>) -> Self::Future {
        let told = Notify::extract(task.metadata()).ok();
        let (id, attempt) = (task.task_id().map(ToString::to_string), task.attempt());
        // Nobody is told of a failure after which the task is tried again.
        let is_last = task.max_attempts().is_none_or(|most| attempt + 1 >= most);
        let (handling, layer, begun) = (self.inner.call(task), self.layer.clone(), Instant::now());
        Box::pin(async move {
            let ended = handling.await;
            if let Some(notify) = told
                && (ended.is_ok() || is_last)
            {
                let failed = ended.as_ref().err().map(ToString::to_string);
                layer.tell(&notify, (id, attempt), failed, begun.elapsed()).await;
            }
            ended
        })
    }
}

impl NotifyLayer {
    async fn tell(
        &self,
        notify: &Notify,
        (id, attempt): (Option<String>, usize),
        failed: Option<String>,
        took: Duration,
    ) {
        let kind = if failed.is_some() { &notify.on_failure } else { &notify.on_success };
        let Some(kind) = kind else { return };
        let title = &notify.title;
        let text = match &failed {
            None => format!("{title}: done after {}.", in_words(took)),
            Some(reason) => format!("{title}: failed after {}: {}", in_words(took), cut(reason, MAX_REASON)),
        };
        let instance = id.as_deref().map_or_else(|| "task".to_owned(), |id| cut(id, MAX_SENDER));
        let message = NewMessage {
            recipient: notify.submitter.clone(),
            message_type: kind.clone(),
            message_text: text,
            sender: self.sender.clone(),
            sender_instance: Some(instance),
            ..NewMessage::default()
        };
        let sent = match &id {
            Some(id) => {
                let key = cut(&format!("task/{attempt}/{id}"), MAX_KEY);
                self.producer.send_once(message, &key).await.map(drop)
            }
            None => self.producer.send(message).await.map(drop),
        };
        if let Err(error) = sent {
            tracing::error!("Could not tell {} of the end of a task: {error}", notify.submitter);
        }
    }
}

/// The beginning of a text, without what no message can hold.
fn cut(text: &str, longest: usize) -> String {
    text.chars().filter(|it| *it != '\0').take(longest).collect()
}

/// A duration as people say it: "0.4 s", "12 s", "2 min 5 s", "3 h 20 min".
pub fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_say_them() {
        for (seconds, words) in
            [(0.42, "0.4 s"), (12.9, "12 s"), (125.0, "2 min 5 s"), (12_000.0, "3 h 20 min")]
        {
            assert_eq!(in_words(Duration::from_secs_f64(seconds)), words);
        }
    }
}
