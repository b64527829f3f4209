//! Lets the rows of cancelled batches follow their marks. Nobody waits for that: what a mark says holds from its commit on.

use std::collections::HashMap;
use std::time::Instant;

use herald_jobs::store;
use uuid::Uuid;

use crate::Context;

/// Most rows of a table that follow in one transaction: a few hundred milliseconds.
const GROUP: i32 = 2_000;

/// Follows marks. What one process leaves, another one finds.
pub(crate) struct Follower {
    context: Context,
    /// For each batch, who was writing when it was first seen here, and has not ended since.
    writers: HashMap<Uuid, Vec<String>>,
}

impl Follower {
    pub(crate) fn new(context: Context) -> Self {
        Self { context, writers: HashMap::new() }
    }

    /// Lets one group of each cancelled batch follow, and rests for as long as it took: others come first. Answers how many followed.
    ///
    /// # Errors
    /// The database cannot be reached; the next step does what this one left.
    pub(crate) async fn step(&mut self) -> Result<usize, store::Error> {
        let batches = store::cancelling::cancelling(&self.context.pool).await?;
        self.writers.retain(|batch, _| batches.contains(batch));
        let mut followed = 0;
        for batch in batches {
            let begun = Instant::now();
            followed += self.follow(batch).await?;
            tokio::time::sleep(begun.elapsed()).await;
        }
        Ok(followed)
    }

    /// A statement that had begun before the mark may still bring a row that no group finds: the mark stays open until all that were
    /// writing then have ended, and a look after that finds nothing.
    async fn follow(&mut self, batch: Uuid) -> Result<usize, store::Error> {
        let pool = &self.context.pool;
        let no_late_row = match self.writers.get_mut(&batch) {
            Some(writers) if writers.is_empty() => true,
            Some(writers) => {
                let now = store::cancelling::writers(pool).await?;
                writers.retain(|writer| now.contains(writer));
                writers.is_empty()
            }
            None => {
                let writers = store::cancelling::writers(pool).await?;
                self.writers.entry(batch).or_insert(writers).is_empty()
            }
        };
        let followed = store::cancelling::follow(pool, batch, GROUP, self.context.clock.now()).await?;
        if followed == Some(0) && no_late_row {
            store::cancelling::followed(pool, batch, self.context.clock.now()).await?;
            tracing::info!(batch.id = %batch, "All of a cancelled batch has followed");
        }
        Ok(followed.and_then(|many| usize::try_from(many).ok()).unwrap_or_default())
    }
}
