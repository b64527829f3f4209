//! Saves results: deletes what is done, and parks what is to be tried again.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::warn;

use super::{CLOSE_LIMIT, Lane, Message, Parked, fetch, millis};
use crate::{
    EntryId,
    connection::{Link, QueueError, is_group_missing},
    hub::Hub,
    script,
};

/// How many messages are gathered at most before their results are saved together.
const GATHERED: usize = 1_000;

pub(super) async fn run<J>(hub: Arc<Hub<J>>, lane: Arc<Lane>, mut inbox: UnboundedReceiver<Message>) {
    let mut link = lane.link(&hub.core, "saving results of", CLOSE_LIMIT);
    let mut messages = Vec::new();
    let mut ends = false;
    while !ends && inbox.recv_many(&mut messages, GATHERED).await > 0 {
        let (mut done, mut parked) = (Vec::new(), Vec::new());
        for message in messages.drain(..) {
            match message {
                Message::Report(report) if done.is_empty() && parked.is_empty() => {
                    (done, parked) = (report.done, report.parked);
                }
                Message::Report(report) => {
                    done.extend(report.done);
                    parked.extend(report.parked);
                }
                Message::End => ends = true,
            }
        }
        done.sort_unstable();
        for chunk in done.chunks(script::CHUNK) {
            save(&hub, &lane, &mut link, Work::Acknowledge(chunk)).await;
        }
        for chunk in parked.chunks(script::CHUNK) {
            save(&hub, &lane, &mut link, Work::Park(chunk)).await;
        }
    }
    save(&hub, &lane, &mut link, Work::Leave).await;
}

/// What is saved in one step.
#[derive(Clone, Copy)]
enum Work<'a> {
    Acknowledge(&'a [EntryId]),
    Park(&'a [Parked]),
    /// Give back whatever is still ours, and delete our name.
    Leave,
}

impl Work<'_> {
    fn ids(self) -> Vec<EntryId> {
        match self {
            Self::Acknowledge(ids) => ids.to_vec(),
            Self::Park(parked) => parked.iter().map(|parked| parked.id).collect(),
            Self::Leave => Vec::new(),
        }
    }

    /// Answers the entries that were not ours.
    async fn once(self, lane: &Lane, link: &mut Link) -> Result<Vec<EntryId>, QueueError> {
        let mut connection = link.get().await?;
        match self {
            Self::Acknowledge(ids) => acknowledge(lane, ids, &mut connection).await,
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
    let mut call = script::call(&script::ACK, &[&lane.keys.stream]);
    call.arg(&lane.group).arg(&lane.consumer).arg(millis(lane.sure_until(ids)));
    for id in ids {
        call.arg(script::Arg(*id));
    }
    lane.others(script::run(&script::ACK, &call, connection).await?)
}
