//! Saves results: deletes what is done, and parks what is to be tried again.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::warn;

use super::{CLOSE_LIMIT, Lane, Message, Parked, Report, fetch, millis, packs::Over};
use crate::{
    EntryId,
    connection::{Link, QueueError, is_group_missing},
    hub::Hub,
    script,
};

/// How many messages are gathered at most before their results are saved together.
const GATHERED: usize = 1_000;
/// How many packs one script call ends at most.
const PACKS: usize = 50;

pub(super) async fn run<J>(hub: Arc<Hub<J>>, lane: Arc<Lane>, mut inbox: UnboundedReceiver<Message>) {
    let mut link = lane.link(&hub.core, "saving results of", CLOSE_LIMIT);
    let mut messages = Vec::new();
    let mut ends = false;
    while !ends && inbox.recv_many(&mut messages, GATHERED).await > 0 {
        let mut all = Report::default();
        for message in messages.drain(..) {
            match message {
                Message::Report(report) if all.is_empty() => all = report,
                Message::Report(report) => {
                    all.done.extend(report.done);
                    all.parked.extend(report.parked);
                    all.failed.extend(report.failed);
                }
                Message::End => ends = true,
            }
        }
        let over = lane.packs.settle(&mut all);
        all.done.sort_unstable();
        for chunk in all.done.chunks(script::CHUNK) {
            save(&hub, &lane, &mut link, Work::Acknowledge(chunk)).await;
        }
        for chunk in over.chunks(PACKS) {
            save(&hub, &lane, &mut link, Work::Unpack(chunk)).await;
        }
        for chunk in all.parked.chunks(script::CHUNK) {
            save(&hub, &lane, &mut link, Work::Park(chunk)).await;
        }
    }
    save(&hub, &lane, &mut link, Work::Leave).await;
}

/// What is saved in one step.
#[derive(Clone, Copy)]
enum Work<'a> {
    Acknowledge(&'a [EntryId]),
    Unpack(&'a [Over]),
    Park(&'a [Parked]),
    /// Give back whatever is still ours, and delete our name.
    Leave,
}

impl Work<'_> {
    fn ids(self) -> Vec<EntryId> {
        match self {
            Self::Acknowledge(ids) => ids.to_vec(),
            Self::Unpack(packs) => packs.iter().map(|over| over.id).collect(),
            Self::Park(parked) => parked.iter().map(|parked| parked.id).collect(),
            Self::Leave => Vec::new(),
        }
    }

    /// Answers the entries that were not ours.
    async fn once(self, lane: &Lane, link: &mut Link) -> Result<Vec<EntryId>, QueueError> {
        let mut connection = link.get().await?;
        match self {
            Self::Acknowledge(ids) => acknowledge(lane, ids, &mut connection).await,
            Self::Unpack(packs) => unpack(lane, packs, &mut connection).await,
            Self::Park(parked) => lane.park(parked, &mut connection).await,
            Self::Leave => fetch::leave(lane, &mut connection).await.map(|()| Vec::new()),
        }
    }
}

/// Tries until it succeeds. What is saved here was done: there is nothing better to do than to wait for Redis.
async fn save<J>(hub: &Hub<J>, lane: &Lane, link: &mut Link, work: Work<'_>) {
    let others = loop {
        match work.once(lane, link).await {
            Ok(others) => break others,
            // Where the stream or the group has vanished, nothing is ours.
            Err(error) if is_group_missing(&error) => break work.ids(),
            Err(error) => link.failed(&error).await,
        }
    };
    link.succeeded();
    lane.release(work.ids().into_iter());
    if !others.is_empty() {
        hub.figures.lost.increment(others.len() as u64);
        warn!(
            queue = hub.core.name,
            "{} jobs had become somebody else's when they ended here: they may run twice",
            others.len()
        );
    }
}

/// Deletes what is ours of these, which are in ascending order; answers what is not.
pub(super) async fn acknowledge(
    lane: &Lane,
    ids: &[EntryId],
    connection: &mut MultiplexedConnection,
) -> Result<Vec<EntryId>, QueueError> {
    let mut call = script::call(&script::ACK, &[&lane.keys.stream, &lane.keys.packed]);
    call.arg(&lane.group).arg(&lane.consumer).arg(millis(lane.sure_until(ids)));
    for id in ids {
        call.arg(script::Arg(*id));
    }
    lane.others(script::run(&script::ACK, &call, connection).await?)
}

/// Deletes packs that are ours, and puts back what is left of them; answers those that are not ours.
async fn unpack(
    lane: &Lane,
    packs: &[Over],
    connection: &mut MultiplexedConnection,
) -> Result<Vec<EntryId>, QueueError> {
    let mut call = script::call(&script::UNPACK, &[&lane.keys.stream, &lane.keys.packed]);
    call.arg(&lane.group).arg(&lane.consumer);
    for Over { id, size, left } in packs {
        call.arg(script::Arg(*id)).arg(*size).arg(left.len()).arg(left);
    }
    lane.others(script::run(&script::UNPACK, &call, connection).await?)
}
