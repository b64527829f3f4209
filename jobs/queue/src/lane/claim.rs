//! Claims parked entries that are due, and what workers that vanished have left.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{Value, aio::MultiplexedConnection};
use tracing::info;

use super::{Grave, Lane, PARKED, PARKED_DUE, ack, millis};
use crate::{
    EntryId, Job,
    connection::{QueueError, is_group_missing},
    control::Phase,
    hub::Hub,
    reply::{self, ConsumerInfo, Pending},
    script,
};

/// How often parked entries are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// The share of the time that looking may take: the search walks over all that is parked.
const LOOK_SHARE: u32 = 20;
/// An empty consumer that has been silent for so many takeover times has vanished.
const FORGET_AFTER: u32 = 4;

pub(super) async fn run<J: Job>(hub: Arc<Hub<J>>, lane: Arc<Lane>) {
    let mut link = lane.link(&hub.core, "claiming from", lane.beat().max(Duration::from_secs(1)));
    let mut watch = Watch::begin(Instant::now());
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = lane.nudge.notified() => watch.look_at_once(),
            _ = hub.control.reached(Phase::Stopping) => return,
        }
        let began = Instant::now();
        let step = async {
            let mut connection = link.get().await?;
            let claimed = claim_due(&hub, &lane, &mut connection).await?;
            if watch.may_take_over(Instant::now(), lane.takeover_after) {
                take_over(&hub, &lane, &mut connection).await?;
            }
            Ok(claimed)
        };
        pause = match step.await {
            Ok(claimed) => {
                link.succeeded();
                watch.was_in_touch(Instant::now());
                if claimed { Duration::ZERO } else { (began.elapsed() * LOOK_SHARE).max(LOOK) }
            }
            Err(error) if is_group_missing(&error) => LOOK,
            Err(error) => {
                lane.ask_recovery();
                link.failed(&error).await;
                Duration::ZERO
            }
        };
    }
}

/// When others' entries may be taken. After a time in which this worker could not reach Redis, or stood still,
/// others may have been no better off: they are given time to renew what they hold.
struct Watch {
    in_touch_since: Instant,
    last_touch: Instant,
    last_look: Option<Instant>,
}

impl Watch {
    fn begin(now: Instant) -> Self {
        Self { in_touch_since: now, last_touch: now, last_look: None }
    }

    fn was_in_touch(&mut self, now: Instant) {
        self.last_touch = now;
    }

    fn look_at_once(&mut self) {
        self.last_look = None;
    }

    fn may_take_over(&mut self, now: Instant, takeover_after: Duration) -> bool {
        if now - self.last_touch > takeover_after / 2 {
            self.in_touch_since = now;
        }
        let is_due = self.last_look.is_none_or(|last| now - last >= takeover_after / 3);
        let may = is_due && now - self.in_touch_since >= takeover_after / 2;
        if may {
            self.last_look = Some(now);
        }
        may
    }
}

/// Claims parked entries that are due; whether there were any.
async fn claim_due<J: Job>(
    hub: &Hub<J>,
    lane: &Lane,
    connection: &mut MultiplexedConnection,
) -> Result<bool, QueueError> {
    let room = hub.room_again();
    if room == 0 {
        return Ok(false);
    }
    let due = pending(lane, PARKED, PARKED_DUE, room, connection).await?;
    let (spent, due): (Vec<_>, Vec<_>) =
        due.into_iter().partition(|pending| pending.count >= hub.options.max_attempts);
    bury(hub, lane, &spent, PARKED_DUE, "it had failed for good before a stop", connection).await?;
    claim(hub, lane, &due, PARKED_DUE, connection).await?;
    Ok(!due.is_empty() || !spent.is_empty())
}

/// Takes over from workers that have been silent for too long. Entries that were delivered once to such a worker
/// come in bulk. Those of more deliveries may be what ends the workers, and come one at a time.
async fn take_over<J: Job>(
    hub: &Hub<J>,
    lane: &Lane,
    connection: &mut MultiplexedConnection,
) -> Result<(), QueueError> {
    let mut list = redis::cmd("XINFO");
    list.arg("CONSUMERS").arg(&lane.keys.stream).arg(&lane.group);
    let consumers = reply::consumers(list.query_async(connection).await?);
    for ConsumerInfo { name, pending: owned, idle } in consumers {
        if name == lane.consumer || name == PARKED {
            continue;
        }
        if owned == 0 && idle >= lane.takeover_after * FORGET_AFTER {
            lane.forget(&name, lane.takeover_after * FORGET_AFTER, connection).await?;
            continue;
        }
        let room = hub.room_again();
        if owned == 0 || room == 0 {
            continue;
        }
        let left = pending(lane, &name, lane.takeover_after, room, connection).await?;
        let (spent, left): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|pending| pending.count >= hub.options.max_attempts);
        bury(hub, lane, &spent, lane.takeover_after, "its workers vanished while it ran", connection).await?;
        let (suspects, innocent): (Vec<_>, Vec<_>) = left.into_iter().partition(|pending| pending.count > 1);
        let taken = claim(hub, lane, &innocent, lane.takeover_after, connection).await?;
        hub.figures.taken_over.increment(taken as u64);
        if taken > 0 {
            info!(queue = hub.core.name, "Took over {taken} entries of {name}, which is silent");
        }
        take_suspect(hub, lane, &suspects, connection).await?;
    }
    Ok(())
}

async fn take_suspect<J: Job>(
    hub: &Hub<J>,
    lane: &Lane,
    suspects: &[Pending],
    connection: &mut MultiplexedConnection,
) -> Result<(), QueueError> {
    for suspect in suspects {
        if lane.has_suspect() {
            return Ok(());
        }
        let taken = claim(hub, lane, std::slice::from_ref(suspect), lane.takeover_after, connection).await?;
        hub.figures.taken_over.increment(taken as u64);
        if taken > 0 {
            lane.suspect(suspect.id);
        }
    }
    Ok(())
}

/// What a consumer owns and has been idle for at least so long.
async fn pending(
    lane: &Lane,
    consumer: &str,
    idle: Duration,
    most: usize,
    connection: &mut MultiplexedConnection,
) -> Result<Vec<Pending>, QueueError> {
    let mut command = redis::cmd("XPENDING");
    command.arg(&lane.keys.stream).arg(&lane.group).arg("IDLE").arg(millis(idle));
    command.arg("-").arg("+").arg(most.min(script::CHUNK)).arg(consumer);
    Ok(reply::pending(command.query_async(connection).await?, lane.keys.shard))
}

/// Claims entries, if they are still as idle, and offers them to the worker; answers how many.
async fn claim<J: Job>(
    hub: &Hub<J>,
    lane: &Lane,
    wanted: &[Pending],
    idle: Duration,
    connection: &mut MultiplexedConnection,
) -> Result<usize, QueueError> {
    if wanted.is_empty() {
        return Ok(0);
    }
    let (claimed, missing) = {
        let _claiming = lane.claiming.lock().await;
        let asked = hub.redis_time();
        let answer: Value = claim_command(lane, wanted, idle).query_async(connection).await?;
        let mut counts: HashMap<EntryId, u32> =
            wanted.iter().map(|pending| (pending.id, pending.count)).collect();
        let mut claimed = Vec::new();
        for (id, fields) in reply::entries(answer, lane.keys.shard) {
            let count = counts.remove(&id).unwrap_or(0);
            if lane.hold(id, asked) {
                claimed.push((id, fields, count + 1));
            }
        }
        (claimed, counts)
    };
    // Not there: another worker was faster, or the entry was deleted under its owner. What is ours of them goes.
    if !missing.is_empty() {
        let mut missing: Vec<_> = missing.into_keys().collect();
        missing.sort_unstable();
        ack::acknowledge(lane, &missing, connection).await?;
    }
    let taken = claimed.len();
    let entries =
        claimed.into_iter().flat_map(|(id, fields, attempt)| lane.admit(hub, id, fields, attempt)).collect();
    lane.offer(hub, entries, true);
    Ok(taken)
}

/// Claims entries that have no try left, for the undertaker.
async fn bury<J>(
    hub: &Hub<J>,
    lane: &Lane,
    spent: &[Pending],
    idle: Duration,
    reason: &str,
    connection: &mut MultiplexedConnection,
) -> Result<(), QueueError> {
    if spent.is_empty() {
        return Ok(());
    }
    let _claiming = lane.claiming.lock().await;
    let asked = hub.redis_time();
    let answer = claim_command(lane, spent, idle).arg("JUSTID").query_async(connection).await?;
    let claimed = reply::ids(answer, lane.keys.shard);
    for Pending { id, count } in spent.iter().filter(|pending| claimed.contains(&pending.id)) {
        if lane.hold(*id, asked) {
            let reason = format!("{reason} ({count} deliveries)");
            hub.bury(lane, Grave { id: *id, attempts: *count, reason });
        }
    }
    Ok(())
}

fn claim_command(lane: &Lane, wanted: &[Pending], idle: Duration) -> redis::Cmd {
    let mut command = redis::cmd("XCLAIM");
    command.arg(&lane.keys.stream).arg(&lane.group).arg(&lane.consumer).arg(millis(idle));
    for pending in wanted {
        command.arg(script::Arg(pending.id));
    }
    command
}

impl Lane {
    /// Deletes a consumer's name if it owns nothing and has been silent for so long.
    pub(super) async fn forget(
        &self,
        consumer: &str,
        silence: Duration,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), QueueError> {
        let mut call = script::call(&script::FORGET, &[&self.keys.stream]);
        call.arg(&self.group).arg(consumer).arg(millis(silence));
        script::run(&script::FORGET, &call, connection).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Watch;

    #[test]
    fn nothing_is_taken_over_for_a_while_after_a_time_without_redis() {
        let takeover_after = Duration::from_secs(30);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watch::begin(start);
        let mut may = |seconds| {
            let may = watch.may_take_over(at(seconds), takeover_after);
            watch.was_in_touch(at(seconds));
            may
        };
        assert_eq!([0, 10, 15, 16, 24, 25].map(&mut may), [false, false, true, false, false, true]);
        // 20 s of silence.
        assert_eq!([45, 55, 59, 60].map(&mut may), [false, false, false, true]);
    }
}
