//! What answers and events set in motion: answers are told to whoever asked, requests for a decision end when their time is over, the
//! people that a path leads to are asked, and what happens in watched tables becomes messages.
//!
//! All of it works on rows of Postgres alone: any number of processes may run it, each row is one's at a time.

mod decide;
mod events;
mod tell;
mod webhook;

use std::time::Duration;

use herald_producers::Producer;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::tell::Teller;
use crate::Context;
use crate::guard;
use crate::repeat::repeat;

/// The tasks that were started.
pub(crate) struct Workflow {
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

/// Starts what runs until `stop`.
///
/// # Errors
/// TLS cannot be set up.
pub(crate) fn start(context: &Context, stop: &CancellationToken) -> Result<Workflow, String> {
    let client = guard::client(context.options.allow_private_webhooks).map_err(|error| error.to_string())?;
    let teller = Teller::new(context.clone(), client);
    let (deciding, seeing) = (context.clone(), context.clone());
    let options = herald_producers::Options {
        max_depth: context.options.max_depth,
        attachments: context.options.attachments.clone(),
        ..herald_producers::Options::default()
    };
    let producer =
        Producer::new(context.pool.clone(), context.queues.clone(), context.clock.clone(), options);
    Ok(Workflow {
        tasks: vec![
            ("tells answers", tokio::spawn(teller.run(stop.clone()))),
            (
                "handles events",
                tokio::spawn(repeat("events", stop.clone(), async move || {
                    events::step(&seeing, &producer).await
                })),
            ),
            (
                "ends authorisations",
                tokio::spawn(repeat("authorisations", stop.clone(), async move || {
                    decide::step(&deciding).await
                })),
            ),
        ],
    })
}

impl Workflow {
    /// Waits until all have ended, no longer than `grace`.
    ///
    /// # Errors
    /// Which of them panicked.
    pub(crate) async fn ended(self, grace: Duration) -> Result<(), String> {
        for (what, task) in self.tasks {
            if let Ok(Err(_)) = tokio::time::timeout(grace, task).await {
                return Err(format!("the task that {what} panicked"));
            }
        }
        Ok(())
    }
}
