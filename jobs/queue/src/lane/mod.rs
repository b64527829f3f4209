//! One shard of one consumer: tasks that read, claim, renew, save results and bury, each on its own connection, so
//! that none waits for another, and none for the handlers.

mod ack;
mod bury;
mod claim;
mod fetch;
mod lease;
mod packs;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use self::packs::Packs;
use redis::{Value, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tracing::error;

use crate::{
    Entry, EntryId, Job,
    connection::{Link, QueueError},
    control::Phase,
    envelope::Envelope,
    hub::{Hub, lock},
    queue::{Core, Keys},
    reply::Fields,
    script,
};

/// The consumer that owns the entries which wait for their next try. It is nobody: workers claim from it.
pub(crate) const PARKED: &str = "parked";
/// The idle time at which a parked entry is due, and so the longest delay. Redis counts idle time up and knows no
/// negative one, so an entry that waits for a minute is parked with this less a minute.
const PARKED_DUE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long saving the last results may take after the handlers have ended.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// What the tasks of one shard share.
pub(crate) struct Lane {
    pub(crate) keys: Keys,
    group: String,
    consumer: String,
    takeover_after: Duration,
    held: Mutex<Held>,
    packs: Packs,
    results: mpsc::UnboundedSender<Message>,
    graves: mpsc::UnboundedSender<Funeral>,
    /// Held while entries are under way here by a claim, when they are ours in Redis and not yet in `held`.
    claiming: tokio::sync::Mutex<()>,
    /// Whether an answer may have been lost, and with it entries that are ours without our knowing.
    recover: AtomicBool,
    /// Told when the suspect has ended.
    nudge: Notify,
}

/// The entries that this consumer owns in Redis, from their arrival until their result is saved.
#[derive(Default)]
struct Held {
    entries: HashMap<EntryId, Hold>,
    /// The one entry that runs here although it was delivered more than once to workers that vanished.
    suspect: Option<EntryId>,
}

#[derive(Clone, Copy)]
struct Hold {
    /// Until when, by Redis's clock, it is certain that nobody else has claimed the entry: its last delivery or
    /// renewal and the takeover time. Redis compares this with its own clock, so that a result which a worker sends,
    /// stands still, and sends on later is still checked.
    sure_until: Duration,
    fate: Fate,
}

/// Whose a held entry is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Ours,
    /// Not ours at the last renewal: its result was being saved just then, or it has become somebody else's.
    Gone,
    /// Somebody else's, and said so in the log.
    Lost,
}

/// The ends of the lane's channels that its tasks read.
pub(crate) struct Inboxes {
    results: mpsc::UnboundedReceiver<Message>,
    graves: mpsc::UnboundedReceiver<Funeral>,
}

pub(crate) enum Message {
    Report(Report),
    /// Nothing follows.
    End,
}

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) done: Vec<EntryId>,
    pub(crate) parked: Vec<Parked>,
    /// Jobs of packs that have failed: each is to be tried again by itself.
    pub(crate) failed: Vec<EntryId>,
}

impl Report {
    pub(crate) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.parked.is_empty() && self.failed.is_empty()
    }
}

pub(crate) struct Parked {
    pub(crate) id: EntryId,
    pub(crate) delay: Duration,
    /// The delivery count that the entry keeps.
    pub(crate) count: u32,
}

pub(crate) struct Grave {
    pub(crate) id: EntryId,
    pub(crate) attempts: u32,
    pub(crate) reason: String,
}

enum Funeral {
    Of(Grave),
    End,
}

impl Lane {
    pub(crate) fn new(
        core: &Core,
        keys: Keys,
        consumer: String,
        takeover_after: Duration,
    ) -> (Self, Inboxes) {
        let (results, results_inbox) = mpsc::unbounded_channel();
        let (graves, graves_inbox) = mpsc::unbounded_channel();
        let lane = Self {
            keys,
            group: core.options.group.clone(),
            consumer,
            takeover_after,
            held: Mutex::new(Held::default()),
            packs: Packs::default(),
            results,
            graves,
            claiming: tokio::sync::Mutex::new(()),
            recover: AtomicBool::new(false),
            nudge: Notify::new(),
        };
        (lane, Inboxes { results: results_inbox, graves: graves_inbox })
    }

    pub(crate) fn report(&self, report: Report) {
        if !report.is_empty() {
            self.send(Message::Report(report));
        }
    }

    /// Sending fails only once the lane has ended, and then others take over what it held.
    fn send(&self, message: Message) {
        let _ = self.results.send(message);
    }

    pub(crate) fn bury(&self, grave: Grave) {
        let _ = self.graves.send(Funeral::Of(grave));
    }

    /// Notes that an entry is ours, since `asked` or later by Redis's clock; false when we have it already, which
    /// happens when the stream or its group was made anew while it ran. It must not run twice at once here.
    fn hold(&self, id: EntryId, asked: Duration) -> bool {
        let hold = Hold { sure_until: asked + self.takeover_after, fate: Fate::Ours };
        lock(&self.held).entries.insert(id, hold).is_none()
    }

    fn holds(&self, id: EntryId) -> bool {
        lock(&self.held).entries.contains_key(&id)
    }

    fn release(&self, ids: impl Iterator<Item = EntryId>) {
        let mut held = lock(&self.held);
        for id in ids {
            held.entries.remove(&id);
            if held.suspect == Some(id) {
                held.suspect = None;
                self.nudge.notify_one();
            }
        }
    }

    /// Takes the one place for a suspect; false when it is taken.
    fn suspect(&self, id: EntryId) -> bool {
        let mut held = lock(&self.held);
        let free = held.suspect.is_none();
        if free {
            held.suspect = Some(id);
        }
        free
    }

    fn has_suspect(&self) -> bool {
        lock(&self.held).suspect.is_some()
    }

    /// Notes which of `ids` were renewed at `asked` or later, and which are `lost`.
    fn renewed(&self, ids: &[EntryId], lost: &[EntryId], asked: Duration) {
        let mut held = lock(&self.held);
        for id in ids {
            if let Some(hold) = held.entries.get_mut(id) {
                hold.sure_until = asked + self.takeover_after;
            }
        }
        for id in lost {
            if let Some(hold) = held.entries.get_mut(id) {
                *hold = Hold { sure_until: Duration::ZERO, fate: Fate::Gone };
            }
        }
    }

    fn renewable(&self) -> Vec<EntryId> {
        lock(&self.held)
            .entries
            .iter()
            .filter(|(_, hold)| hold.fate == Fate::Ours)
            .map(|(id, _)| *id)
            .collect()
    }

    /// How many entries have turned out to be somebody else's since this was last asked: gone, and held all the same.
    fn lost(&self) -> usize {
        let mut held = lock(&self.held);
        let gone = held.entries.values_mut().filter(|hold| hold.fate == Fate::Gone);
        gone.map(|hold| hold.fate = Fate::Lost).count()
    }

    /// Until when it is certain that nobody else has claimed any of these.
    fn sure_until(&self, ids: &[EntryId]) -> Duration {
        let held = lock(&self.held);
        let each = ids.iter().map(|id| held.entries.get(id).map_or(Duration::ZERO, |hold| hold.sure_until));
        each.min().unwrap_or_default()
    }

    fn recovery_is_due(&self) -> bool {
        self.recover.swap(false, Ordering::Relaxed)
    }

    fn ask_recovery(&self) {
        self.recover.store(true, Ordering::Relaxed);
    }

    /// How often our entries are renewed, and those of others looked at.
    fn beat(&self) -> Duration {
        self.takeover_after / 3
    }

    fn link(&self, core: &Core, purpose: &str, answer_limit: Duration) -> Link {
        Link::new(&core.redis, format!("{purpose} {}", self.keys.stream), answer_limit, self.beat() / 2)
    }

    /// Makes the group, and the stream with it, where they are missing. It begins at the stream's begin, so that
    /// nothing is missed that came before it.
    async fn make_group(&self, connection: &mut MultiplexedConnection) -> Result<(), QueueError> {
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg(&self.keys.stream).arg(&self.group).arg("0").arg("MKSTREAM");
        match create.exec_async(connection).await {
            Err(error) if error.code() != Some("BUSYGROUP") => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Parks entries that are ours; answers those that are not.
    async fn park(
        &self,
        parked: &[Parked],
        connection: &mut MultiplexedConnection,
    ) -> Result<Vec<EntryId>, QueueError> {
        let mut call = script::call(&script::PARK, &[&self.keys.stream]);
        call.arg(&self.group).arg(&self.consumer).arg(PARKED);
        for Parked { id, delay, count } in parked {
            let idle = PARKED_DUE.saturating_sub(*delay);
            call.arg(script::Arg(*id)).arg(millis(idle)).arg(count);
        }
        self.others(script::run(&script::PARK, &call, connection).await?)
    }

    fn others(&self, answer: Value) -> Result<Vec<EntryId>, QueueError> {
        Ok(crate::reply::ids(answer, self.keys.shard))
    }

    /// Reads an entry that has just become ours. One that cannot be read goes to the undertaker; of a pack, only the jobs that
    /// can be read are run, and all are taken apart when it was delivered before.
    fn admit<J: Job>(&self, hub: &Hub<J>, id: EntryId, fields: Fields, attempt: u32) -> Vec<Entry<J>> {
        let mut envelope = Envelope::read(id, fields);
        let (enqueued_at, trace) = (envelope.enqueued_at, envelope.trace.take());
        let entry = |id, job| Entry { id, attempt, enqueued_at, trace: trace.clone(), job };
        match envelope.pack() {
            Some(size) if attempt > 1 => {
                self.take_apart(id, size);
                Vec::new()
            }
            Some(size) => {
                self.packs.open(id, size);
                let mut failed = Vec::new();
                let entries = envelope.parts().filter_map(|(part, job)| {
                    job.map(|job| entry(id.part(part), job)).map_err(|_| failed.push(id.part(part))).ok()
                });
                let entries = entries.collect();
                self.report(Report { failed, ..Report::default() });
                entries
            }
            None => match envelope.decode() {
                Ok(job) => vec![entry(id, job)],
                Err(reason) => {
                    hub.bury(self, Grave { id, attempts: attempt, reason });
                    Vec::new()
                }
            },
        }
    }

    /// Makes each job of a pack that is ours an entry of its own.
    fn take_apart(&self, id: EntryId, size: u16) {
        self.packs.open(id, size);
        self.report(Report { failed: (1..=size).map(|part| id.part(part)).collect(), ..Report::default() });
    }

    /// Offers entries to the worker, and gives them back where it is stopping.
    fn offer<J>(&self, hub: &Hub<J>, entries: Vec<Entry<J>>, again: bool) {
        if !entries.is_empty() {
            let refused = hub.offer(entries, again);
            hub.give_back(refused.iter().map(Entry::ticket));
        }
    }
}

/// Runs a lane until its consumer has closed; answers whether everything was saved.
pub(crate) async fn run<J: Job>(hub: Arc<Hub<J>>, lane: Arc<Lane>, inboxes: Inboxes) -> bool {
    let fetching = tokio::spawn(fetch::run(hub.clone(), lane.clone()));
    let claiming = tokio::spawn(claim::run(hub.clone(), lane.clone()));
    let renewing = tokio::spawn(lease::run(hub.clone(), lane.clone()));
    let saving = tokio::spawn(ack::run(hub.clone(), lane.clone(), inboxes.results));
    let burying = tokio::spawn(bury::run(hub.clone(), lane.clone(), inboxes.graves));

    hub.control.reached(Phase::Closing).await;
    hub.idle().await;
    let stops =
        [fetching.abort_handle(), claiming.abort_handle(), saving.abort_handle(), burying.abort_handle()];
    let close = async {
        ended(fetching).await;
        ended(claiming).await;
        let _ = lane.graves.send(Funeral::End);
        ended(burying).await;
        lane.send(Message::End);
        ended(saving).await;
    };
    let saved = tokio::time::timeout(CLOSE_LIMIT, close).await.is_ok();
    if !saved {
        let left = lock(&lane.held).entries.len();
        if left > 0 {
            error!(queue = hub.core.name, "Stopped with {left} results unsaved: these jobs will run again");
        }
        stops.iter().for_each(tokio::task::AbortHandle::abort);
    }
    renewing.abort();
    saved
}

async fn ended(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        error!(%error, "A task of the queue died");
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
