//! Deletes what has been kept for long enough.

use std::time::Instant;

use chrono::{DateTime, Utc};
use herald_jobs::retention::{Kept, Retention};
use herald_jobs::store;
use herald_jobs::store::PgPool;

/// Most rows deleted by one statement: some milliseconds' worth, since what arrives meanwhile waits about as long.
const MOST: i64 = 250;
/// Fewest, however slow they are.
const FEWEST: i64 = 50;
/// A statement that took longer than this many milliseconds is followed by one of half the rows: nobody should wait for a lock.
const LONG_MS: u128 = 50;

/// Purges everything whose time has come, in batches, and rests after each for as long as it took: others come first. What one run leaves
/// the next one finds. Answers what went.
///
/// # Errors
/// The database cannot be reached; what was deleted until then stays so.
pub async fn purge(
    pool: &PgPool,
    retention: Retention,
    now: DateTime<Utc>,
) -> Result<Vec<(Kept, u64)>, store::Error> {
    let mut gone = Vec::new();
    for &kept in Kept::ALL {
        let Some(until) = retention.until(kept, now) else { continue };
        let (mut many, mut limit) = (0, MOST);
        loop {
            let begun = Instant::now();
            let batch = store::purging::batch(pool, kept, until, limit).await?;
            let took = begun.elapsed();
            many += batch;
            if batch < limit.unsigned_abs() || kept == Kept::Sessions {
                break;
            }
            limit = if took.as_millis() > LONG_MS { (limit / 2).max(FEWEST) } else { (limit * 2).min(MOST) };
            tokio::time::sleep(took).await;
        }
        gone.push((kept, many));
    }
    Ok(gone)
}

/// What a purge at `now` would delete.
///
/// # Errors
/// The database cannot be reached.
pub async fn dry_run(
    pool: &PgPool,
    retention: Retention,
    now: DateTime<Utc>,
) -> Result<Vec<(Kept, u64)>, store::Error> {
    let mut due = Vec::new();
    for &kept in Kept::ALL {
        if let Some(until) = retention.until(kept, now) {
            let many = store::purging::count(pool, kept, until).await?;
            due.push((kept, u64::try_from(many).unwrap_or_default()));
        }
    }
    Ok(due)
}

/// What went, in words.
pub fn told(gone: &[(Kept, u64)]) -> String {
    let parts = gone.iter().map(|(kept, many)| format!("{many} {kept}"));
    format!("purged {}", parts.collect::<Vec<_>>().join(", "))
}
