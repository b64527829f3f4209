//! Lets the rows of cancelled batches follow their marks. Nobody waits for that: what a mark says holds from its commit on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use herald_jobs::store;
use uuid::Uuid;

use crate::Context;
use crate::workflow::now;

/// Most rows of a table that follow in one transaction: a few hundred milliseconds.
const GROUP: i32 = 2_000;

/// Follows marks. What one process leaves, another one finds.
pub(crate) struct Follower {
    context: Context,
    batches: HashMap<Uuid, Progress>,
}

/// How far this process has come with a batch.
struct Progress {
    /// Who was writing when the mark was first seen here, and has not ended since.
    writers: Vec<String>,
    /// The message that the last group ended with; nil: the next group looks from the beginning.
    last: Uuid,
    /// A look at all of it found nothing: before the next one, the writers have to end.
    is_done_but_for_writers: bool,
}

impl Follower {
    pub(crate) fn new(context: Context) -> Self {
        Self { context, batches: HashMap::new() }
    }

    /// Lets one group of each cancelled batch follow, and rests for as long as it took: others come first. Answers how many looks had
    /// something to do.
    ///
    /// # Errors
    /// The database cannot be reached; the next step does what this one left.
    pub(crate) async fn step(&mut self) -> Result<usize, store::Error> {
        let open = store::cancelling::cancelling(&self.context.pool).await?;
        self.batches.retain(|batch, _| open.contains(batch));
        let mut busy = 0;
        for batch in open {
            let begun = Instant::now();
            busy += usize::from(self.follow(batch).await?);
            tokio::time::sleep(begun.elapsed()).await;
        }
        Ok(busy)
    }

    /// A statement that had begun before the mark may still bring a row that no group finds: the mark stays open until all that were
    /// writing then have ended, and a look from the beginning after that finds nothing. Answers whether there is more to do.
    async fn follow(&mut self, batch: Uuid) -> Result<bool, store::Error> {
        let (pool, now) = (&self.context.pool, now(&self.context).await?);
        let progress = match self.batches.entry(batch) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let writers = store::cancelling::writers(pool).await?;
                new.insert(Progress { writers, last: Uuid::nil(), is_done_but_for_writers: false })
            }
        };
        if !progress.writers.is_empty() {
            let writing = store::cancelling::writers(pool).await?;
            progress.writers.retain(|writer| writing.contains(writer));
            if progress.is_done_but_for_writers && !progress.writers.is_empty() {
                return Ok(false);
            }
        }
        let is_whole_look = progress.last.is_nil();
        let Some(group) = store::cancelling::follow(pool, batch, progress.last, GROUP, now).await? else {
            return Ok(false);
        };
        progress.last = if group.many > 0 { group.last } else { Uuid::nil() };
        if group.many > 0 || !is_whole_look {
            return Ok(true);
        }
        progress.is_done_but_for_writers = true;
        if progress.writers.is_empty() {
            store::cancelling::followed(pool, batch, now).await?;
            tracing::info!(batch.id = %batch, "All of a cancelled batch has followed");
        }
        Ok(false)
    }
}
