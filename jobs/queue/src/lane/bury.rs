//! Puts entries that have failed for good among the dead, after telling the hook.

use std::{future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use redis::{Value, aio::MultiplexedConnection};
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::warn;

use super::{Funeral, Grave, Lane, Parked, Report};
use crate::{
    DeadDecision, DeadJob, Job,
    connection::{Link, QueueError, is_group_missing},
    control::Phase,
    envelope::{Envelope, payload_text},
    hub::Hub,
    reply, script,
};

/// How many burials are under way at once.
const AT_ONCE: usize = 16;
/// How long a burial waits before its hook is asked again, at first and at most.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn run<J: Job>(hub: Arc<Hub<J>>, lane: Arc<Lane>, mut inbox: UnboundedReceiver<Funeral>) {
    let mut under_way: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>> = FuturesUnordered::new();
    let link = Arc::new(tokio::sync::Mutex::new(lane.link(&hub.core, "burying in", ANSWER_LIMIT)));
    loop {
        tokio::select! {
            Some(()) = under_way.next() => {}
            funeral = inbox.recv(), if under_way.len() < AT_ONCE => match funeral {
                Some(Funeral::Of(grave)) => {
                    under_way.push(Box::pin(hold(hub.clone(), lane.clone(), link.clone(), grave)));
                }
                Some(Funeral::End) | None => break,
            },
        }
    }
    while under_way.next().await.is_some() {}
}

/// Buries one entry, however often it takes; at a stop the entry is parked, to be buried by another.
async fn hold<J: Job>(hub: Arc<Hub<J>>, lane: Arc<Lane>, link: Arc<tokio::sync::Mutex<Link>>, grave: Grave) {
    let mut wait = SHORTEST_WAIT;
    let buried = loop {
        let connection = link.lock().await.get().await;
        let attempt = async { attempt(&hub, &lane, &grave, &mut connection?).await };
        match attempt.await {
            Ok(true) => break true,
            Ok(false) => {}
            Err(error) if is_group_missing(&error) => break true,
            Err(error) => link.lock().await.failed(&error).await,
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
            _ = hub.control.reached(Phase::Closing) => break false,
        }
    };
    if buried {
        lane.release(std::iter::once(grave.id));
    } else {
        let count = grave.attempts.max(hub.options.max_attempts);
        let parked = vec![Parked { id: grave.id, delay: Duration::ZERO, count }];
        lane.report(Report { parked, ..Report::default() });
    }
    hub.buried();
}

/// Whether the entry is out of the stream: false when the hook asks to come again.
async fn attempt<J: Job>(
    hub: &Hub<J>,
    lane: &Lane,
    grave: &Grave,
    connection: &mut MultiplexedConnection,
) -> Result<bool, QueueError> {
    let Some((payload, envelope)) = exhume(lane, grave, connection).await? else {
        return Ok(true);
    };
    // It died with its workers, as one: which of its jobs is to blame is found out one by one.
    if let Some(size) = envelope.pack() {
        lane.take_apart(grave.id, size);
        return Ok(true);
    }
    let keep = match &hub.options.on_dead {
        None => true,
        Some(on_dead) => {
            let dead = DeadJob {
                id: grave.id,
                job: envelope.decode().ok(),
                payload,
                reason: grave.reason.clone(),
                attempts: grave.attempts,
                enqueued_at: envelope.enqueued_at,
                trace: envelope.trace,
            };
            // A panic of the hook must not end the task that buries for everybody.
            let decision = AssertUnwindSafe(async { on_dead(dead).await }).catch_unwind().await;
            match decision.unwrap_or_else(|_| DeadDecision::Later("the hook panicked".into())) {
                DeadDecision::Keep => true,
                DeadDecision::Drop => false,
                DeadDecision::Later(reason) => {
                    warn!(queue = hub.core.name, id = %grave.id, reason, "A dead job could not be recorded yet");
                    return Ok(false);
                }
            }
        }
    };
    let mut call = script::call(&script::BURY, &[&lane.keys.stream, &lane.keys.dead]);
    call.arg(&lane.group).arg(&lane.consumer).arg(script::Arg(grave.id)).arg(u8::from(keep));
    call.arg(&grave.reason).arg(grave.attempts).arg(hub.core.options.dead_limit.unwrap_or(0));
    script::run(&script::BURY, &call, connection).await?;
    Ok(true)
}

/// The entry, and it as text; `None` when it is gone.
async fn exhume(
    lane: &Lane,
    grave: &Grave,
    connection: &mut MultiplexedConnection,
) -> Result<Option<(String, Envelope)>, QueueError> {
    let id = grave.id.stream_id();
    let answer: Value =
        redis::cmd("XRANGE").arg(&lane.keys.stream).arg(&id).arg(&id).query_async(connection).await?;
    let entry = reply::entries(answer, lane.keys.shard).pop();
    Ok(entry.map(|(id, fields)| (payload_text(&fields), Envelope::read(id, fields))))
}
