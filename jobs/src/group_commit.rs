//! Greedy group commit: what came in while others commit is the next group. There is no waiting window.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};

/// A transaction that settles many items at once.
pub trait Commit: Send + Sync + 'static {
    /// What is handed in.
    type Item: Send + Sync + 'static;
    /// What becomes of it.
    type Outcome: Send + 'static;

    /// Commits all of `items` or none, and answers in their order. Must be safe to repeat: the answer to a COMMIT can be lost.
    fn commit(
        &self,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Outcome>, sqlx::Error>> + Send;
}

/// Why an item was not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The database refuses this item, and will again.
    #[error("the database refuses this: {0}")]
    Data(String),
    /// The database could not be reached or did not answer: not this item's fault.
    #[error("the database is not available: {0}")]
    Outage(String),
}

/// Hands items to tasks that commit them in groups. Clones share the tasks, which end when the last is dropped.
pub struct GroupCommit<C: Commit> {
    queue: mpsc::Sender<Waiting<C>>,
}

type Waiting<C> = (<C as Commit>::Item, oneshot::Sender<Result<<C as Commit>::Outcome, CommitError>>);

impl<C: Commit> Clone for GroupCommit<C> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<C: Commit> GroupCommit<C> {
    /// Starts the tasks. A group holds at most `limit` items, and `at_once` of them are under way at most: the more, the less
    /// they wait for the disk, and the smaller they are.
    pub fn spawn(commit: C, limit: usize, at_once: usize) -> Self {
        let (queue, waiting) = mpsc::channel::<Waiting<C>>(2 * limit);
        let shared = Arc::new((commit, Mutex::new(waiting)));
        for _ in 0..at_once {
            let shared = shared.clone();
            tokio::spawn(async move {
                let (commit, waiting) = &*shared;
                let mut group = Vec::with_capacity(limit);
                while waiting.lock().await.recv_many(&mut group, limit).await > 0 {
                    let (items, answers): (Vec<_>, Vec<_>) = group.drain(..).unzip();
                    for (outcome, answer) in settle(commit, &items).await.into_iter().zip(answers) {
                        // Whoever asked may have gone; what was committed stays.
                        let _ = answer.send(outcome);
                    }
                }
            });
        }
        Self { queue }
    }

    /// Commits one item together with its neighbours.
    ///
    /// # Errors
    /// [`CommitError`], for this item alone.
    pub async fn submit(&self, item: C::Item) -> Result<C::Outcome, CommitError> {
        let (answer, outcome) = oneshot::channel();
        let gone = || CommitError::Outage("shutting down".into());
        self.queue.send((item, answer)).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

/// How often a group is repeated after a deadlock or serialisation failure.
const REPEATS: u32 = 20;

/// Commits `items` as one group. Deadlocks repeat the group and count against no item; an item that the database refuses is
/// found by halving, and does not take its neighbours with it.
pub async fn settle<C: Commit>(commit: &C, items: &[C::Item]) -> Vec<Result<C::Outcome, CommitError>> {
    let mut repeats = 0;
    loop {
        let error = match commit.commit(items).await {
            Ok(outcomes) => return outcomes.into_iter().map(Ok).collect(),
            Err(error) => error,
        };
        match fate(&error) {
            Fate::Repeat if repeats < REPEATS => {
                repeats += 1;
                tracing::info!(repeats, "Repeats a group of {} after: {error}", items.len());
                tokio::time::sleep(Duration::from_millis(u64::from(repeats) * 3)).await;
            }
            Fate::Refused if items.len() > 1 => {
                let (left, right) = items.split_at(items.len() / 2);
                let mut outcomes = Box::pin(settle(commit, left)).await;
                outcomes.extend(Box::pin(settle(commit, right)).await);
                return outcomes;
            }
            Fate::Refused => return vec![Err(CommitError::Data(error.to_string()))],
            Fate::Repeat | Fate::Outage => {
                let outage = CommitError::Outage(error.to_string());
                return items.iter().map(|_| Err(outage.clone())).collect();
            }
        }
    }
}

/// Whether `error` says that the database could not be reached or is going down, so that trying again makes sense. What was
/// asked may have been done nevertheless.
pub fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        // Operator intervention (restart, shutdown, starting up), connection exceptions, insufficient resources.
        sqlx::Error::Database(database) => {
            database.code().is_some_and(|code| matches!(code.get(..2), Some("57" | "08" | "53")))
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Whether `error` may be gone in a while: an outage, or a deadlock, a conflict or a lock that others hold.
pub fn is_passing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    is_outage(error) || code.is_some_and(|code| matches!(&*code, "40001" | "40P01" | "55P03"))
}

enum Fate {
    Repeat,
    Refused,
    Outage,
}

fn fate(error: &sqlx::Error) -> Fate {
    match error {
        sqlx::Error::Database(database) => match database.code().as_deref() {
            // Serialisation failure, deadlock, lock time-out.
            Some("40001" | "40P01" | "55P03") => Fate::Repeat,
            // Data exceptions, integrity violations, program limits (an index row too large), untranslatable characters.
            Some(code) if matches!(code.get(..2), Some("22" | "23" | "54")) => Fate::Refused,
            _ => Fate::Outage,
        },
        sqlx::Error::Encode(_) => Fate::Refused,
        _ => Fate::Outage,
    }
}
