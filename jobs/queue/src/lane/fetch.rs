//! Reads what is new, as much as there is room for.

use std::{sync::Arc, time::Duration};

use redis::{Value, aio::MultiplexedConnection};
use tracing::info;

use super::{Lane, Parked, millis};
use crate::{
    Job,
    connection::{Link, QueueError},
    control::Phase,
    hub::Hub,
    reply::{self, Pending},
    script,
};

/// How long a read waits for an entry before it begins anew. It bounds how long a vanished group goes unnoticed
/// where the server does not tell a waiting reader.
const BLOCK: Duration = Duration::from_secs(2);
/// How long after that an answer may take before the connection counts as broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long a read that was told to end may still take.
const END_LIMIT: Duration = Duration::from_secs(1);

pub(super) async fn run<J: Job>(hub: Arc<Hub<J>>, lane: Arc<Lane>) {
    let mut link = lane.link(&hub.core, "reading", ANSWER_LIMIT);
    let mut client = None;
    let mut density = 1;
    while let Some(room) = hub.room().await {
        let step = step(&hub, &lane, &mut link, &mut client, &mut density, room).await;
        match step {
            Ok(()) => link.succeeded(),
            Err(error) => {
                lane.ask_recovery();
                tokio::select! {
                    () = link.failed(&error) => {}
                    _ = hub.control.reached(Phase::Stopping) => {}
                }
            }
        }
    }
}

/// Reads once: as many entries as bring `room` jobs, if each holds `density` jobs as those of the last read did. A group that has vanished is an error as any other, after which all begins anew.
async fn step<J: Job>(
    hub: &Hub<J>,
    lane: &Lane,
    link: &mut Link,
    client: &mut Option<u64>,
    density: &mut usize,
    room: usize,
) -> Result<(), QueueError> {
    let is_new = !link.is_connected();
    let mut connection = link.get().await?;
    if is_new {
        lane.make_group(&mut connection).await?;
        *client = redis::cmd("CLIENT").arg("ID").query_async(&mut connection).await.ok();
    }
    if lane.recovery_is_due() {
        recover(lane, &mut connection).await.inspect_err(|_| lane.ask_recovery())?;
    }
    read(hub, lane, &mut connection, *client, density, room).await
}

async fn read<J: Job>(
    hub: &Hub<J>,
    lane: &Lane,
    connection: &mut MultiplexedConnection,
    client: Option<u64>,
    density: &mut usize,
    room: usize,
) -> Result<(), QueueError> {
    let mut command = redis::cmd("XREADGROUP");
    command.arg("GROUP").arg(&lane.group).arg(&lane.consumer);
    command.arg("COUNT").arg(room.div_ceil(*density)).arg("BLOCK").arg(millis(BLOCK));
    command.arg("STREAMS").arg(&lane.keys.stream).arg(">");
    let asked = hub.redis_time();
    let mut answer = std::pin::pin!(command.query_async::<Value>(connection));
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer?,
        _ = hub.control.reached(Phase::Stopping) => {
            unblock(hub, client).await;
            match tokio::time::timeout(END_LIMIT, answer).await {
                Ok(answer) => answer?,
                // Whatever this read still brings is ours without our knowing: the last look gives it back.
                Err(_) => return Ok(()),
            }
        }
    };
    let found = reply::read(answer, lane.keys.shard);
    let held = found.len();
    let mut entries = Vec::new();
    for (id, fields) in found {
        if lane.hold(id, asked) {
            entries.extend(lane.admit(hub, id, fields, 1));
        }
    }
    if held > 0 {
        *density = entries.len().div_ceil(held).max(1);
    }
    lane.offer(hub, entries, false);
    Ok(())
}

/// Ends a waiting read, so that nothing is delivered to it after the stop.
async fn unblock<J>(hub: &Hub<J>, client: Option<u64>) {
    if let (Some(client), Ok(mut connection)) = (client, hub.core.redis.single()) {
        let mut unblock = redis::cmd("CLIENT");
        unblock.arg("UNBLOCK").arg(client);
        // A server that forbids it ends the read by itself after `BLOCK`.
        let _ = tokio::time::timeout(END_LIMIT, unblock.exec_async(&mut connection)).await;
    }
}

/// Gives back what is ours without our knowing, because the answer that brought it was lost. Nothing is under way
/// to this consumer meanwhile: this is the task that reads, and claims are held off.
async fn recover(lane: &Lane, connection: &mut MultiplexedConnection) -> Result<(), QueueError> {
    let _no_claims = lane.claiming.lock().await;
    let unknown = owned(lane, connection).await?.into_iter().filter(|pending| !lane.holds(pending.id));
    let unknown: Vec<_> = unknown.map(as_if_never_delivered).collect();
    for chunk in unknown.chunks(script::CHUNK) {
        lane.park(chunk, connection).await?;
    }
    if !unknown.is_empty() {
        info!("Gave back {} entries of {} whose delivery was lost", unknown.len(), lane.keys.stream);
    }
    Ok(())
}

/// Gives back all that is ours at the end, and deletes the consumer's name.
pub(super) async fn leave(lane: &Lane, connection: &mut MultiplexedConnection) -> Result<(), QueueError> {
    let left: Vec<_> = owned(lane, connection).await?.into_iter().map(as_if_never_delivered).collect();
    for chunk in left.chunks(script::CHUNK) {
        lane.park(chunk, connection).await?;
    }
    lane.forget(&lane.consumer, Duration::ZERO, connection).await
}

fn as_if_never_delivered(pending: Pending) -> Parked {
    Parked { id: pending.id, delay: Duration::ZERO, count: pending.count.saturating_sub(1) }
}

/// Everything that Redis says this consumer owns.
async fn owned(lane: &Lane, connection: &mut MultiplexedConnection) -> Result<Vec<Pending>, QueueError> {
    let mut all: Vec<Pending> = Vec::new();
    loop {
        let start = all.last().map_or("-".to_owned(), |last| format!("({}", last.id.stream_id()));
        let mut command = redis::cmd("XPENDING");
        command.arg(&lane.keys.stream).arg(&lane.group).arg(start).arg("+");
        command.arg(script::CHUNK).arg(&lane.consumer);
        let found = reply::pending(command.query_async(connection).await?, lane.keys.shard);
        let last = found.len() < script::CHUNK;
        all.extend(found);
        if last {
            return Ok(all);
        }
    }
}
