use std::fmt;

/// The name of an entry: the id that Redis gave it, and the shard whose stream holds it.
///
/// Written as `1700000000000-0`, with `.3` behind it for the third job of a pack, and `@2` in a shard other than the first. The first number is the
/// time, by Redis's clock, at which the entry came into the stream, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId {
    pub(crate) ms: u64,
    pub(crate) seq: u64,
    /// Which job of a pack, from 1; 0: the entry as a whole.
    pub(crate) part: u16,
    pub(crate) shard: u16,
}

impl EntryId {
    /// Reads what [`Display`](fmt::Display) wrote; `None` when it is not such an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (stream_id, shard) = match text.split_once('@') {
            Some((stream_id, shard)) => (stream_id, shard.parse().ok()?),
            None => (text, 0),
        };
        let (stream_id, part) = match stream_id.split_once('.') {
            Some((stream_id, part)) => (stream_id, part.parse().ok()?),
            None => (stream_id, 0),
        };
        Self::in_shard(stream_id, shard).map(|entry| entry.part(part))
    }

    /// A job of this entry.
    pub(crate) fn part(self, part: u16) -> Self {
        Self { part, ..self }
    }

    /// The entry as a whole.
    pub(crate) fn entry(self) -> Self {
        self.part(0)
    }

    pub(crate) fn is_part(self) -> bool {
        self.part > 0
    }

    pub(crate) fn in_shard(stream_id: &str, shard: u16) -> Option<Self> {
        let (ms, seq) = stream_id.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, seq: seq.parse().ok()?, part: 0, shard })
    }

    /// The id as Redis knows it, without the shard.
    pub(crate) fn stream_id(self) -> String {
        format!("{}-{}", self.ms, self.seq)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)?;
        if self.is_part() {
            write!(f, ".{}", self.part)?;
        }
        if self.shard > 0 {
            write!(f, "@{}", self.shard)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::EntryId;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        for text in ["0-1", "1700000000000-0", "1700000000000-12@3", "1-0.2", "1-0.2@3"] {
            assert_eq!(EntryId::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "-", "1", "1-", "a-1", "1-1@", "1-1@x", "1-1@70000", "1-1."] {
            assert_eq!(EntryId::parse(text), None, "{text}");
        }
    }
}
