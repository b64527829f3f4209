use std::time::Duration;

use redis::Value;

use crate::{
    EntryId, Job, Queue,
    connection::{QueueError, is_group_missing},
    envelope::payload_text,
    lane::PARKED,
    queue::Keys,
    reply, script,
};

/// How full a queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Jobs in the streams: waiting, running, and waiting for their next try.
    pub jobs: u64,
    /// Entries of these that a worker has; a pack is one.
    pub in_flight: u64,
    /// Entries of these that wait for their next try.
    pub parked: u64,
    /// The age of the oldest entry, by Redis's clock, which was read before the entry was looked for; `None` where
    /// there is no entry, or the clock was set back behind it.
    pub oldest_age: Option<Duration>,
    /// Dead entries.
    pub dead: u64,
    /// What the streams take in Redis's memory, in bytes, by its own estimate.
    pub bytes: u64,
}

/// An entry among the dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadEntry {
    /// Its name among the dead, by which to replay or drop it.
    pub id: EntryId,
    /// Its name in the stream, when it was alive.
    pub entry: Option<EntryId>,
    /// Why it failed.
    pub reason: String,
    /// The job as text, or where it had none all fields.
    pub payload: String,
    /// How often it was delivered.
    pub attempts: u32,
    /// When it died, since the epoch by Redis's clock.
    pub when: Duration,
}

impl<J: Job> Queue<J> {
    /// How full the queue is, all shards together.
    pub async fn depth(&self) -> Result<Depth, QueueError> {
        let now = self.core.redis.time().await?;
        let mut total = Depth::default();
        for keys in &self.core.shards {
            let depth = self.depth_of(keys, now).await?;
            total.jobs += depth.jobs;
            total.in_flight += depth.in_flight;
            total.parked += depth.parked;
            total.dead += depth.dead;
            total.bytes += depth.bytes;
            total.oldest_age = total.oldest_age.max(depth.oldest_age);
        }
        Ok(total)
    }

    /// How many jobs the streams hold, without a look at anything else.
    pub async fn jobs(&self) -> Result<u64, QueueError> {
        let mut ask = redis::pipe();
        for keys in &self.core.shards {
            ask.cmd("XLEN").arg(&keys.stream).cmd("GET").arg(&keys.packed);
        }
        let counts: Vec<Option<i64>> = ask.query_async(&mut self.core.redis.single()?).await?;
        Ok(counts.chunks(2).map(|counts| jobs(counts[0].unwrap_or(0), counts[1])).sum())
    }

    async fn depth_of(&self, keys: &Keys, now: Duration) -> Result<Depth, QueueError> {
        let mut connection = self.core.redis.single()?;
        let mut ask = redis::pipe();
        ask.cmd("XRANGE").arg(&keys.stream).arg("-").arg("+").arg("COUNT").arg(1);
        ask.cmd("XLEN").arg(&keys.stream).cmd("GET").arg(&keys.packed).cmd("XLEN").arg(&keys.dead);
        ask.cmd("MEMORY").arg("USAGE").arg(&keys.stream).cmd("MEMORY").arg("USAGE").arg(&keys.dead);
        type Answer = (Value, i64, Option<i64>, u64, Option<u64>, Option<u64>);
        let (oldest, entries, packed, dead, bytes, dead_bytes): Answer =
            ask.query_async(&mut connection).await?;
        let mut ask = redis::cmd("XPENDING");
        ask.arg(&keys.stream).arg(&self.core.options.group);
        let pending = match ask.query_async(&mut connection).await.map_err(QueueError::from) {
            Err(error) if is_group_missing(&error) => Value::Nil,
            answer => answer?,
        };
        let (pending, consumers) = reply::pending_summary(pending);
        let parked = consumers.iter().filter(|(name, _)| name == PARKED).map(|(_, count)| count).sum();
        let oldest = reply::entries(oldest, keys.shard).pop();
        Ok(Depth {
            jobs: jobs(entries, packed),
            in_flight: pending - parked,
            parked,
            oldest_age: oldest.and_then(|(id, _)| now.checked_sub(Duration::from_millis(id.ms))),
            dead,
            bytes: bytes.unwrap_or(0) + dead_bytes.unwrap_or(0),
        })
    }

    /// Up to `limit` dead entries, oldest first, from the beginning or behind the id `from`.
    pub async fn dead(&self, from: Option<&str>, limit: usize) -> Result<Vec<DeadEntry>, QueueError> {
        let from = from.map(|from| self.id(from)).transpose()?;
        let start = from.map_or("-".to_owned(), EntryId::stream_id);
        let mut found = Vec::new();
        for keys in &self.core.shards {
            let mut range = redis::cmd("XRANGE");
            // One more, because the range begins with `from` itself in its own shard.
            range.arg(&keys.dead).arg(&start).arg("+").arg("COUNT").arg(limit.saturating_add(1));
            let answer = range.query_async(&mut self.core.redis.single()?).await?;
            let entries = reply::entries(answer, keys.shard).into_iter();
            found.extend(entries.filter(|(id, _)| from.is_none_or(|from| *id > from)));
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        found.truncate(limit);
        Ok(found.into_iter().map(|(id, fields)| dead_entry(id, fields)).collect())
    }

    /// Puts a dead entry back into the queue, as new but with the time of its first push. False when there is none
    /// of that id.
    pub async fn replay_dead(&self, id: &str) -> Result<bool, QueueError> {
        let id = self.id(id)?;
        let keys = self.keys(id)?;
        let mut call = script::call(&script::REPLAY, &[&keys.dead, &keys.stream]);
        call.arg(script::Arg(id));
        let answer = script::run(&script::REPLAY, &call, &mut self.core.redis.single()?).await?;
        Ok(reply::int(&answer) == Some(1))
    }

    /// Deletes a dead entry. False when there is none of that id.
    pub async fn drop_dead(&self, id: &str) -> Result<bool, QueueError> {
        let id = self.id(id)?;
        let mut command = redis::cmd("XDEL");
        command.arg(&self.keys(id)?.dead).arg(script::Arg(id));
        let dropped: u64 = command.query_async(&mut self.core.redis.single()?).await?;
        Ok(dropped > 0)
    }

    fn id(&self, text: &str) -> Result<EntryId, QueueError> {
        let id = EntryId::parse(text).filter(|id| !id.is_part());
        id.ok_or_else(|| QueueError::NotAnId(text.to_owned()))
    }

    fn keys(&self, id: EntryId) -> Result<&Keys, QueueError> {
        let keys = self.core.shards.get(usize::from(id.shard));
        keys.ok_or_else(|| QueueError::NotAnId(id.to_string()))
    }
}

/// An empty stream holds none, and each entry holds one at least, whatever was deleted by hand.
fn jobs(entries: i64, packed: Option<i64>) -> u64 {
    let packed = packed.filter(|_| entries > 0).unwrap_or(0).max(0);
    u64::try_from(entries + packed).unwrap_or(0)
}

/// Three fields of the undertaker's come first, then the entry's own.
fn dead_entry(id: EntryId, fields: reply::Fields) -> DeadEntry {
    let mut fields = fields;
    let own = fields.split_off(fields.len().min(3));
    let mut words = fields.into_iter().map(|(_, value)| String::from_utf8_lossy(&value).into_owned());
    let reason = words.next().unwrap_or_default();
    let attempts = words.next().and_then(|attempts| attempts.parse().ok()).unwrap_or(0);
    let entry = words.next().and_then(|entry| EntryId::in_shard(&entry, id.shard));
    DeadEntry { id, entry, reason, payload: payload_text(&own), attempts, when: Duration::from_millis(id.ms) }
}
