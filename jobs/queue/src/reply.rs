//! Reads the answers of the stream commands, without the hash map per entry that the typed replies of the redis
//! crate would make.

use std::time::Duration;

use redis::Value;

use crate::{connection::QueueError, id::EntryId};

/// The fields of an entry, in their order.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// One line of `XPENDING` in its long form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) id: EntryId,
    /// How often the entry has been delivered.
    pub(crate) count: u32,
}

/// One line of `XINFO CONSUMERS`.
#[derive(Debug, Default)]
pub(crate) struct ConsumerInfo {
    pub(crate) name: String,
    pub(crate) pending: u64,
    pub(crate) idle: Duration,
}

/// `TIME`: seconds and microseconds.
pub(crate) fn time(answer: Value) -> Result<Duration, QueueError> {
    let parts: Vec<u64> = array(answer).iter().filter_map(int).collect();
    match parts.as_slice() {
        [seconds, micros] => Ok(Duration::from_secs(*seconds) + Duration::from_micros(*micros)),
        _ => Err(QueueError::Answer("TIME")),
    }
}

/// `XREADGROUP` of one stream; nothing when the wait ended without an entry.
pub(crate) fn read(answer: Value, shard: u16) -> Vec<(EntryId, Fields)> {
    let mut streams = match answer {
        Value::Map(streams) => streams.into_iter().map(|(_, entries)| entries).collect(),
        other => {
            array(other).into_iter().filter_map(|stream| array(stream).into_iter().nth(1)).collect::<Vec<_>>()
        }
    };
    streams.pop().map(|stream| entries(stream, shard)).unwrap_or_default()
}

/// `XRANGE` and `XCLAIM`: entries, of which deleted ones are nil in older servers.
pub(crate) fn entries(answer: Value, shard: u16) -> Vec<(EntryId, Fields)> {
    array(answer)
        .into_iter()
        .filter_map(|entry| {
            let mut parts = array(entry).into_iter();
            let id = EntryId::in_shard(&text(&parts.next()?), shard)?;
            Some((id, fields(parts.next()?)))
        })
        .collect()
}

pub(crate) fn pending(answer: Value, shard: u16) -> Vec<Pending> {
    array(answer)
        .into_iter()
        .filter_map(|line| {
            let parts = array(line);
            let id = EntryId::in_shard(&text(parts.first()?), shard)?;
            Some(Pending { id, count: u32::try_from(int(parts.get(3)?)?).unwrap_or(u32::MAX) })
        })
        .collect()
}

/// `XPENDING` in its short form: the total, and the count of each consumer.
pub(crate) fn pending_summary(answer: Value) -> (u64, Vec<(String, u64)>) {
    let parts = array(answer);
    let total = parts.first().and_then(int).unwrap_or(0);
    let consumers = parts.into_iter().nth(3).map(array).unwrap_or_default().into_iter().filter_map(|line| {
        let line = array(line);
        Some((text(line.first()?), int(line.get(1)?)?))
    });
    (total, consumers.collect())
}

pub(crate) fn consumers(answer: Value) -> Vec<ConsumerInfo> {
    array(answer)
        .into_iter()
        .map(|consumer| {
            let mut info = ConsumerInfo::default();
            for (name, value) in pairs(consumer) {
                match text(&name).as_str() {
                    "name" => info.name = text(&value),
                    "pending" => info.pending = int(&value).unwrap_or(0),
                    "idle" => info.idle = Duration::from_millis(int(&value).unwrap_or(0)),
                    _ => {}
                }
            }
            info
        })
        .collect()
}

/// A list of ids, as the scripts answer it.
pub(crate) fn ids(answer: Value, shard: u16) -> Vec<EntryId> {
    array(answer).iter().filter_map(|id| EntryId::in_shard(&text(id), shard)).collect()
}

pub(crate) fn int(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Nil => None,
        other => text(other).parse().ok(),
    }
}

pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        _ => String::new(),
    }
}

fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        _ => Vec::new(),
    }
}

fn pairs(value: Value) -> Vec<(Value, Value)> {
    match value {
        Value::Map(pairs) => pairs,
        other => {
            let mut pairs = Vec::new();
            let mut items = array(other).into_iter();
            while let (Some(name), Some(value)) = (items.next(), items.next()) {
                pairs.push((name, value));
            }
            pairs
        }
    }
}

fn fields(value: Value) -> Fields {
    pairs(value).into_iter().map(|(name, value)| (bytes(name), bytes(value))).collect()
}

fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes,
        other => text(&other).into_bytes(),
    }
}
