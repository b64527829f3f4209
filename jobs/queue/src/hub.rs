//! What the parts of one consumer share: the jobs that wait to start, how many run, and whether it is stopping.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::task::AtomicWaker;
use tokio::sync::Notify;
use tracing::{error, warn};

use crate::{
    Entry, EntryId, Failure, WorkerOptions,
    control::Control,
    figures::Figures,
    lane::{Grave, Lane, Parked, Report},
    queue::Core,
};

/// The pause after an outage, at first and at most.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Dead entries whose hook has not come through yet, from which on nothing more is fetched: while their record
/// cannot be written, more of them must not pile up here.
const MOST_UNBURIED: usize = 1_000;

/// An entry that a handler was given.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    pub(crate) id: EntryId,
    pub(crate) attempt: u32,
}

pub(crate) struct Hub<J> {
    pub(crate) core: Arc<Core>,
    pub(crate) options: WorkerOptions<J>,
    pub(crate) lanes: Vec<Arc<Lane>>,
    pub(crate) figures: Figures,
    pub(crate) control: Arc<Control>,
    /// Wakes the worker when there is something to start.
    pub(crate) taker: AtomicWaker,
    /// Redis's clock: what it said, and when.
    clock: Mutex<Option<(Instant, Duration)>>,
    /// How many entries a free place takes: one, or a batch.
    per_place: usize,
    prefetch: usize,
    state: Mutex<State<J>>,
    /// Told when a place, or the pause after an outage, has ended.
    room: Notify,
}

struct State<J> {
    /// Delivered for the first time, by a read.
    fresh: VecDeque<Entry<J>>,
    /// Delivered again, by a claim.
    again: VecDeque<Entry<J>>,
    /// Whose turn it is when both wait.
    agains_turn: bool,
    running: usize,
    unburied: usize,
    pause: Duration,
    paused_until: Option<Instant>,
    stopping: bool,
}

/// Why nothing is to be fetched now.
enum Wait {
    Until(Instant),
    ForRoom,
}

impl<J> Hub<J> {
    pub(crate) fn new(
        core: Arc<Core>,
        options: WorkerOptions<J>,
        lanes: Vec<Arc<Lane>>,
        per_place: usize,
        prefetch: usize,
    ) -> Self {
        let state = State {
            fresh: VecDeque::new(),
            again: VecDeque::new(),
            agains_turn: false,
            running: 0,
            unburied: 0,
            pause: Duration::ZERO,
            paused_until: None,
            stopping: false,
        };
        Self {
            figures: Figures::new(&core.name),
            core,
            options,
            lanes,
            control: Arc::new(Control::new()),
            taker: AtomicWaker::new(),
            clock: Mutex::new(None),
            per_place,
            prefetch,
            state: Mutex::new(state),
            room: Notify::new(),
        }
    }

    /// Waits until there is room, and answers for how many entries; `None` when the consumer stops.
    pub(crate) async fn room(&self) -> Option<usize> {
        loop {
            let mut changed = std::pin::pin!(self.room.notified());
            changed.as_mut().enable();
            let wait = {
                let state = self.state();
                if state.stopping {
                    return None;
                }
                match self.room_in(&state, Instant::now()) {
                    Ok(0) => Wait::ForRoom,
                    Ok(room) => return Some(room.min(self.options.batch.max(1))),
                    Err(until) => Wait::Until(until),
                }
            };
            match wait {
                Wait::ForRoom => changed.await,
                Wait::Until(until) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(until.into()) => {}
                        () = changed => {}
                    }
                }
            }
        }
    }

    /// For how many entries that were delivered before there is room now.
    pub(crate) fn room_again(&self) -> usize {
        let state = self.state();
        let most = (self.options.concurrency.max(1) * self.per_place).min(self.options.batch.max(1));
        match self.room_in(&state, Instant::now()) {
            Ok(_) if !state.stopping && state.unburied < MOST_UNBURIED => {
                most.saturating_sub(state.again.len())
            }
            _ => 0,
        }
    }

    /// The room for fresh entries, or the end of the pause.
    fn room_in(&self, state: &State<J>, now: Instant) -> Result<usize, Instant> {
        if let Some(until) = state.paused_until.filter(|until| *until > now) {
            return Err(until);
        }
        if state.unburied >= MOST_UNBURIED {
            return Ok(0);
        }
        let places = self.options.concurrency.max(1).saturating_sub(state.running);
        let room = (places * self.per_place + self.prefetch).saturating_sub(state.fresh.len());
        // While half of what was fetched ahead is left there is no hurry, and fewer, larger reads are cheaper.
        Ok(if room > self.prefetch / 2 { room } else { 0 })
    }

    /// Puts entries where the worker takes them. They come back when the consumer is stopping.
    pub(crate) fn offer(&self, entries: Vec<Entry<J>>, again: bool) -> Vec<Entry<J>> {
        {
            let mut state = self.state();
            if state.stopping {
                return entries;
            }
            if again {
                state.again.extend(entries);
            } else {
                state.fresh.extend(entries);
            }
        }
        self.taker.wake();
        Vec::new()
    }

    /// What is to start now: one entry, or as many as are there. An entry of a batch that was delivered before
    /// comes alone, so that it takes no innocent neighbour with it.
    pub(crate) fn take(&self, most: usize) -> Vec<Entry<J>> {
        let mut state = self.state();
        let now = Instant::now();
        if state.stopping
            || state.running >= self.options.concurrency.max(1)
            || state.paused_until.is_some_and(|until| until > now)
        {
            return Vec::new();
        }
        let from_again = match (state.fresh.is_empty(), state.again.is_empty()) {
            (true, true) => return Vec::new(),
            (false, false) => state.agains_turn,
            (fresh_empty, _) => fresh_empty,
        };
        state.agains_turn = !from_again;
        let queue = if from_again { &mut state.again } else { &mut state.fresh };
        let first_tries = queue.iter().take(most).take_while(|entry| entry.attempt <= 1).count();
        let taken: Vec<_> = queue.drain(..first_tries.max(1)).collect();
        state.running += 1;
        drop(state);
        self.room.notify_waiters();
        self.observe(&taken);
        taken
    }

    fn observe(&self, taken: &[Entry<J>]) {
        self.figures.in_flight.increment(taken.len() as f64);
        let now = self.redis_time();
        for entry in taken {
            self.figures.wait.record(now.saturating_sub(entry.enqueued_at));
        }
    }

    /// Notes how a handler's run ended: `None` is success.
    pub(crate) fn settle<'a>(&self, ended: impl Iterator<Item = (Ticket, Option<&'a Failure>)>) {
        let mut reports: Vec<Report> = Vec::new();
        reports.resize_with(self.lanes.len(), Report::default);
        let (mut done, mut outage) = (0, None);
        for (ticket, failure) in ended {
            let shard = usize::from(ticket.id.shard);
            let (Some(lane), Some(report)) = (self.lanes.get(shard), reports.get_mut(shard)) else {
                continue;
            };
            match failure {
                None => {
                    done += 1;
                    report.done.push(ticket.id);
                }
                Some(failure) => self.fail(lane, report, ticket, failure, &mut outage),
            }
        }
        if done > 0 {
            self.figures.done.increment(done);
            self.recovered();
        }
        self.send(reports);
    }

    /// What becomes of a failed entry: it is reported, or handed to the undertaker.
    fn fail(
        &self,
        lane: &Lane,
        report: &mut Report,
        ticket: Ticket,
        failure: &Failure,
        outage: &mut Option<Duration>,
    ) {
        let Ticket { id, attempt } = ticket;
        let queue = &self.core.name;
        match failure {
            Failure::Outage { reason } => {
                self.figures.outage.increment(1);
                let delay = *outage.get_or_insert_with(|| self.outage(reason));
                report.parked.push(Parked { id, delay, count: attempt.saturating_sub(1) });
            }
            Failure::Retry { reason, .. } | Failure::Dead { reason } if id.is_part() => {
                self.figures.retried.increment(1);
                warn!(queue, %id, reason, "A job of a pack failed and will be tried by itself");
                report.failed.push(id);
            }
            Failure::Retry { reason, after } if attempt < self.options.max_attempts => {
                self.figures.retried.increment(1);
                let delay = after.unwrap_or_else(|| self.options.retry.after(attempt));
                warn!(queue, %id, attempt, reason, "A job failed and will be tried again in {delay:?}");
                report.parked.push(Parked { id, delay, count: attempt });
            }
            Failure::Retry { reason, .. } | Failure::Dead { reason } => {
                self.bury(lane, Grave { id, attempts: attempt, reason: reason.clone() });
            }
        }
    }

    /// Hands entries back at once, as if they had never been delivered.
    pub(crate) fn give_back(&self, tickets: impl Iterator<Item = Ticket>) {
        let mut reports: Vec<Report> = Vec::new();
        reports.resize_with(self.lanes.len(), Report::default);
        for Ticket { id, attempt } in tickets {
            if let Some(report) = reports.get_mut(usize::from(id.shard)) {
                report.parked.push(Parked { id, delay: Duration::ZERO, count: attempt.saturating_sub(1) });
            }
        }
        self.send(reports);
    }

    fn send(&self, reports: Vec<Report>) {
        for (lane, report) in self.lanes.iter().zip(reports) {
            lane.report(report);
        }
    }

    /// Hands an entry to the undertaker.
    pub(crate) fn bury(&self, lane: &Lane, grave: Grave) {
        let Grave { id, attempts, reason } = &grave;
        error!(queue = self.core.name, %id, attempts, reason, "A job has failed for good");
        self.figures.dead.increment(1);
        self.state().unburied += 1;
        lane.bury(grave);
    }

    pub(crate) fn buried(&self) {
        self.state().unburied -= 1;
        self.room.notify_waiters();
    }

    /// A handler's run is over, whatever came of it.
    pub(crate) fn left(&self, entries: usize, took: Duration) {
        self.state().running -= 1;
        self.figures.in_flight.decrement(entries as f64);
        self.figures.run.record(took);
        self.room.notify_waiters();
    }

    /// Lengthens the pause, once for all that fail in the same one, and answers how long it still is.
    fn outage(&self, reason: &str) -> Duration {
        let mut state = self.state();
        let now = Instant::now();
        if let Some(until) = state.paused_until.filter(|until| *until > now) {
            return until - now;
        }
        state.pause = (state.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        state.paused_until = Some(now + state.pause);
        warn!(queue = self.core.name, reason, "An outage: pausing for {:?}", state.pause);
        state.pause
    }

    /// Wakes the worker for what has waited here for the end of a pause.
    pub(crate) fn end_pause(&self) {
        let state = self.state();
        let has_ended = state.paused_until.is_some_and(|until| until <= Instant::now());
        let waits = !state.fresh.is_empty() || !state.again.is_empty();
        drop(state);
        if has_ended && waits {
            self.taker.wake();
        }
    }

    fn recovered(&self) {
        let mut state = self.state();
        if state.pause.is_zero() {
            return;
        }
        state.pause = Duration::ZERO;
        state.paused_until = None;
        drop(state);
        self.room.notify_waiters();
        self.taker.wake();
    }

    /// Starts nothing more, and gives back what waits.
    pub(crate) fn stop(&self) {
        let waiting: Vec<_> = {
            let mut state = self.state();
            state.stopping = true;
            let fresh = std::mem::take(&mut state.fresh);
            fresh.into_iter().chain(std::mem::take(&mut state.again)).map(|entry| entry.ticket()).collect()
        };
        self.give_back(waiting.into_iter());
        self.room.notify_waiters();
        self.taker.wake();
    }

    /// Waits until no handler runs.
    pub(crate) async fn idle(&self) {
        loop {
            let mut changed = std::pin::pin!(self.room.notified());
            changed.as_mut().enable();
            if self.state().running == 0 {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn set_clock(&self, redis_time: Duration) {
        *lock(&self.clock) = Some((Instant::now(), redis_time));
    }

    /// Redis's time, or a little earlier; zero until it was first read.
    pub(crate) fn redis_time(&self) -> Duration {
        lock(&self.clock).map_or(Duration::ZERO, |(read_at, time)| time + read_at.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State<J>> {
        lock(&self.state)
    }
}

impl<J> Entry<J> {
    pub(crate) fn ticket(&self) -> Ticket {
        Ticket { id: self.id, attempt: self.attempt }
    }
}

/// No invariant is broken between two statements under these locks, so a panic elsewhere does not spoil them.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
