//! All queues there are: the one list that says what travels through Redis.

pub use herald_queue::{Depth, QueueError};
use herald_queue::{Options, Queue, Redis};

use crate::address::Channel;
use crate::check::CheckJob;
use crate::deliver::DeliverJob;
use crate::message_type::Lane;
use crate::periodic::PeriodicJob;
use crate::send::SendJob;

/// One queue for each lane.
#[derive(Clone)]
pub struct Lanes<J> {
    queues: [Queue<J>; 3],
}

impl<J: herald_queue::Job> Lanes<J> {
    fn new(redis: &Redis, step: &str, options: &Options) -> Self {
        let options = Options { pack: PACK, ..options.clone() };
        let queue = |lane: Lane| Queue::new(redis, &format!("{step}:{lane}"), options.clone());
        Self { queues: [queue(Lane::Alert), queue(Lane::Normal), queue(Lane::Bulk)] }
    }

    /// The lane's queue.
    pub fn lane(&self, lane: Lane) -> &Queue<J> {
        match lane {
            Lane::Alert => &self.queues[0],
            Lane::Normal => &self.queues[1],
            Lane::Bulk => &self.queues[2],
        }
    }

    /// All three, each with its lane.
    pub fn iter(&self) -> impl Iterator<Item = (Lane, &Queue<J>)> {
        Lane::ALL.iter().map(|&lane| (lane, self.lane(lane)))
    }
}

/// The queues of one Herald.
#[derive(Clone)]
pub struct Queues {
    /// Where they are kept.
    pub redis: Redis,
    /// Messages on their way to the inbox.
    pub send: Lanes<SendJob>,
    /// Copies on their way out by e-mail.
    pub email: Lanes<DeliverJob>,
    /// Copies on their way out by SMS.
    pub sms: Lanes<DeliverJob>,
    /// What the schedule starts.
    pub periodic: Queue<PeriodicJob>,
    /// Tries of the ways out.
    pub check: Queue<CheckJob>,
    /// What all keys begin with.
    prefix: String,
}

/// How many jobs that are pushed together travel as one entry.
const PACK: u16 = 16;
/// About how many answers a stream holds; older ones are in Postgres.
const ANSWERS: usize = 100_000;

impl Queues {
    /// The queues kept in `redis`.
    pub fn new(redis: Redis, options: &Options) -> Self {
        Self {
            send: Lanes::new(&redis, "send", options),
            email: Lanes::new(&redis, "email", options),
            sms: Lanes::new(&redis, "sms", options),
            periodic: Queue::new(&redis, "periodic", options.clone()),
            check: Queue::new(&redis, "check", options.clone()),
            prefix: options.prefix.clone(),
            redis,
        }
    }

    /// Appends an answer to the stream of this name, for programs that read streams: `<prefix>:answers:<name>`.
    ///
    /// # Errors
    /// Redis did not take it, or its answer was lost.
    pub async fn tell(&self, name: &str, id: &str, payload: &str) -> Result<(), QueueError> {
        let stream = format!("{}:answers:{name}", self.prefix);
        self.redis.append(&stream, &[("id", id), ("payload", payload)], ANSWERS).await
    }

    /// Those of a channel's copies.
    pub fn copies(&self, channel: Channel) -> &Lanes<DeliverJob> {
        match channel {
            Channel::Email => &self.email,
            Channel::Sms => &self.sms,
        }
    }

    /// Those of copies, of every channel and lane.
    pub fn all_copies(&self) -> impl Iterator<Item = &Queue<DeliverJob>> {
        Channel::ALL.iter().flat_map(|&channel| self.copies(channel).iter().map(|(_, queue)| queue))
    }
}
