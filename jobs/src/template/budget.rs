//! What one rendering may still do. Nothing of it outlives the rendering.

use std::cell::Cell;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

/// Most values that one rendering may go through, the elements of lists and objects counted, long texts more than once.
const MAX_VALUES: usize = 200_000;
/// Most rounds that all loops of one text may make together.
const MAX_ROUNDS: usize = 100_000;
/// How much of a text counts as one value, in bytes.
const BYTES_A_VALUE: usize = 64;
/// How long the user's functions may run for one text, all together.
const SCRIPTS: Duration = Duration::from_millis(400);

#[derive(Debug)]
pub(super) struct Budget {
    pub(super) now: DateTime<Utc>,
    values: Cell<usize>,
    rounds: Cell<usize>,
    scripts: Cell<Duration>,
}

impl Budget {
    pub(super) fn new(now: DateTime<Utc>) -> Self {
        Self {
            now,
            values: Cell::new(MAX_VALUES),
            rounds: Cell::new(MAX_ROUNDS),
            scripts: Cell::new(SCRIPTS),
        }
    }

    /// Counts one step.
    pub(super) fn step(&self) -> Result<(), String> {
        self.take(1)
    }

    /// Counts a value and all in it.
    pub(super) fn charge(&self, value: &Value) -> Result<(), String> {
        match value {
            Value::String(text) => self.take(1 + text.len() / BYTES_A_VALUE),
            Value::Array(items) => {
                self.take(1)?;
                items.iter().try_for_each(|item| self.charge(item))
            }
            Value::Object(fields) => {
                self.take(1)?;
                fields.values().try_for_each(|item| self.charge(item))
            }
            _ => self.take(1),
        }
    }

    /// Counts one round of a loop.
    pub(super) fn round(&self) -> Result<(), String> {
        let left = self.rounds.get().checked_sub(1);
        self.rounds.set(left.ok_or_else(|| format!("the loops make more than {MAX_ROUNDS} rounds"))?);
        self.take(1)
    }

    /// How long the user's functions may still run.
    pub(super) fn scripts(&self) -> Duration {
        self.scripts.get()
    }

    pub(super) fn spend_on_scripts(&self, took: Duration) {
        self.scripts.set(self.scripts.get().saturating_sub(took));
    }

    fn take(&self, count: usize) -> Result<(), String> {
        let left = self.values.get().checked_sub(count);
        self.values.set(left.ok_or_else(|| format!("the text goes through more than {MAX_VALUES} values"))?);
        Ok(())
    }
}
