use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::{WorkerBuilder, WorkerBuilderExt};
use futures::FutureExt as _;
use herald_jobs::address::Channel;
use herald_jobs::message_type::Lane;
use herald_producers::Producer;
use herald_producers::directory::Directory;
use herald_producers::push::Pusher;
use herald_producers::relay::Relay;
use herald_producers::reminders::Reminders;
use herald_queue::{ConsumerHandle, WorkerOptions};
use sqlx::PgPool;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Context;
use crate::cancelling::Follower;
use crate::check::check;
use crate::deliver::{DeliverContext, email};
use crate::periodic::{PeriodicContext, Running, periodic};
use crate::repeat::repeat;
use crate::send::{SendContext, record_dead, send};
use crate::settings::Registry;
use crate::sms::{SmsContext, sms};
use crate::templates::Templates;
use crate::workflow;

/// Copies under way for each SMTP session.
const PER_SESSION: usize = 20;

/// A worker ended although nobody had told it to.
#[derive(Debug, thiserror::Error)]
#[error("the worker {name} died: {reason}")]
pub struct WorkerDied {
    /// Its queue.
    pub name: String,
    /// What it said.
    pub reason: String,
}

/// Employs a handler for a queue: a task of its own for each, so that none waits for another's.
macro_rules! employ {
    ($crew:ident, $queue:expr, $shape:ident, $options:expr, $data:expr, $handler:expr) => {{
        let name = $queue.name().to_owned();
        let backend = $queue.$shape($options);
        let handle = backend.handle();
        let worker =
            WorkerBuilder::new(name.clone()).backend(backend).data($data).catch_panic().build($handler);
        let stop = $crew.stop.clone();
        $crew.spawn(
            name,
            handle,
            worker.run_until(async move {
                stop.cancelled().await;
                Ok::<(), std::io::Error>(())
            }),
        );
    }};
}

/// Runs all workers and the relay until `stop`, then lets running jobs end within the grace.
///
/// # Errors
/// A worker died. The others were stopped; the process should end, so that its supervisor starts it anew.
pub async fn run(context: Context, stop: CancellationToken) -> Result<(), WorkerDied> {
    let Context { pool, alert_pool, reader, alert_reader, queues, clock, directory, options, .. } =
        context.clone();
    let (tasks, handles) = (JoinSet::new(), Vec::new());
    let mut crew = Crew { tasks, handles, stop: stop.child_token(), place: Handle::current() };

    let channels = Channel::ALL.iter().flat_map(|&channel| {
        let lanes = queues.copies(channel).iter();
        lanes.map(move |(lane, queue)| ((channel, lane), Pusher::spawn(queue.clone(), options.max_depth)))
    });
    let copies: Arc<HashMap<(Channel, Lane), Pusher<_>>> = Arc::new(channels.collect());
    let registry = Arc::new(Registry::new(pool.clone(), options.registry.clone()));
    let mut senders = Vec::new();

    // A thread of its own: no alert waits until a batch of others is decoded or rendered.
    let alerts = Thread::start("herald-alerts")
        .map_err(|error| WorkerDied { name: "of alerts".into(), reason: error.to_string() })?;
    // Connections belong to the thread that opened them, so alerts share none with others.
    let alert_directory = Directory::new(alert_pool.clone());
    let alert_registry = Arc::new(Registry::new(alert_pool.clone(), options.registry.clone()));
    let templates = |pool: &PgPool, reader: &PgPool, directory: &Directory| {
        Templates::new(pool.clone(), reader.clone(), directory.clone(), options.functions_dir.clone())
            .map_err(|error| WorkerDied { name: "of templates".into(), reason: error.to_string() })
    };
    let alert_templates = templates(&alert_pool, &alert_reader, &alert_directory)?;
    let templates = templates(&pool, &reader, &directory)?;

    for &lane in Lane::ALL {
        let (place, pool, directory, templates, registry) = if lane == Lane::Alert {
            (alerts.handle(), &alert_pool, &alert_directory, &alert_templates, &alert_registry)
        } else {
            (Handle::current(), &pool, &directory, &templates, &registry)
        };
        let _spawn_there = place.enter();
        crew.place = place.clone();
        let data = SendContext {
            pool: pool.clone(),
            directory: directory.clone(),
            templates: templates.clone(),
            clock: clock.clone(),
            registry: registry.clone(),
            copies: copies.clone(),
        };
        let batches = WorkerOptions {
            // Bulk leaves the other processors to what somebody waits for.
            concurrency: if lane == Lane::Bulk { 1 } else { options.commits },
            batch: options.batch,
            takeover_after: options.takeover_after,
            on_dead: Some(Arc::new(record_dead(pool.clone()))),
            ..WorkerOptions::default()
        };
        employ!(crew, queues.send.lane(lane), batches, batches, data, send);

        let data = DeliverContext::new(
            pool.clone(),
            clock.clone(),
            registry.clone(),
            lane,
            &options,
            crew.stop.clone(),
        );
        senders.push(data.clone());
        // More copies than sessions: while some are on the wire, others are claimed and recorded, in groups.
        let sessions = WorkerOptions {
            concurrency: PER_SESSION * options.sessions,
            prefetch: Some(PER_SESSION * options.sessions),
            takeover_after: options.takeover_after,
            ..WorkerOptions::default()
        };
        employ!(crew, queues.email.lane(lane), worker, sessions, data, email);

        let data = SmsContext::new(pool.clone(), clock.clone(), registry.clone(), lane, &options);
        let requests = WorkerOptions {
            concurrency: options.sessions,
            prefetch: Some(options.sessions),
            takeover_after: options.takeover_after,
            ..WorkerOptions::default()
        };
        employ!(crew, queues.sms.lane(lane), worker, requests, data, sms);
    }

    // A long purge holds up no reminders.
    let two =
        WorkerOptions { concurrency: 2, takeover_after: options.takeover_after, ..WorkerOptions::default() };
    let producer_options = herald_producers::Options {
        max_depth: options.max_depth,
        region: options.region,
        attachments: options.attachments.clone(),
    };
    let producer = Producer::new(pool.clone(), queues.clone(), clock.clone(), producer_options);
    let data = PeriodicContext {
        reminders: Reminders::new(producer.clone(), reader.clone()),
        context: context.clone(),
        running: Running::default(),
    };
    employ!(crew, queues.periodic, worker, two, data, periodic);

    // A server that does not answer holds up no other try.
    let tries =
        WorkerOptions { concurrency: 2, takeover_after: options.takeover_after, ..WorkerOptions::default() };
    employ!(crew, queues.check, worker, tries, context.clone(), check);

    let relay = Relay::new(pool.clone(), queues.clone(), clock, options.max_depth);
    let stop = crew.stop.clone();
    crew.help("relay", relay.run(stop.clone()));
    let mut follower = Follower::new(context.clone());
    crew.help(
        "cancelled batches",
        repeat("cancelled batches", stop.clone(), async move || follower.step().await),
    );
    let follow = tokio::spawn(async move { directory.follow().await });
    let alert_follow = alerts.handle().spawn(async move { alert_directory.follow().await });

    let tasks = workflow::tasks(&context, producer, &stop)
        .map_err(|error| WorkerDied { name: "of answers".into(), reason: error })?;
    for (name, task) in tasks {
        crew.help(name, task);
    }

    let ended = crew.watch(options.grace).await;
    for sender in senders {
        sender.close().await;
    }
    follow.abort();
    alert_follow.abort();
    ended
}

/// A thread with a runtime of its own, which may be dropped anywhere.
struct Thread(Option<Runtime>);

impl Thread {
    fn start(name: &str) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

struct Crew {
    tasks: JoinSet<(String, String)>,
    handles: Vec<ConsumerHandle>,
    stop: CancellationToken,
    /// Where the next is employed.
    place: Handle,
}

impl Crew {
    fn spawn(
        &mut self,
        name: String,
        handle: ConsumerHandle,
        worker: impl Future<Output = Result<(), apalis::prelude::WorkerError>> + Send + 'static,
    ) {
        self.handles.push(handle);
        let work = async move {
            let end = worker.await;
            (name, end.map_or_else(|error| error.to_string(), |()| "it ended".to_owned()))
        };
        self.tasks.spawn_on(work, &self.place);
    }

    /// Employs what serves no queue, and ends when it is told to stop.
    fn help(&mut self, name: &str, task: impl Future<Output = ()> + Send + 'static) {
        let name = name.to_owned();
        let work = AssertUnwindSafe(task).catch_unwind();
        self.tasks.spawn_on(
            async move {
                let end = work.await;
                (name, end.map_or_else(|_| "it panicked".to_owned(), |()| "it ended".to_owned()))
            },
            &self.place,
        );
    }

    /// Waits for the order to stop, or for a worker that ends without it; then for all to end, no longer than `grace`.
    async fn watch(mut self, grace: Duration) -> Result<(), WorkerDied> {
        let died = tokio::select! {
            // Workers that were told to stop may have ended before this looks.
            biased;
            () = self.stop.cancelled() => None,
            ended = self.tasks.join_next() => Some(match ended {
                Some(Ok((name, reason))) => WorkerDied { name, reason },
                Some(Err(panic)) => WorkerDied { name: "of some queue".into(), reason: panic.to_string() },
                None => WorkerDied { name: "of any queue".into(), reason: "there was none".into() },
            }),
        };
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!("Some jobs did not end within {} s; others will take them over", grace.as_secs());
        }
        self.tasks.abort_all();
        futures::future::join_all(self.handles.iter().map(ConsumerHandle::flush)).await;
        died.map_or(Ok(()), Err)
    }
}
