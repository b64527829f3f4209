//! Accepting: a send is committed to the outbox, alone with what belongs to it, or in a group with others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use herald_jobs::attachment::Attachment;
use herald_jobs::group_commit::{Commit, is_outage};
use herald_jobs::refusal::Refusal;
use herald_jobs::store;
use herald_jobs::store::outbox::{Accepted, Accepting};
use sqlx::{PgConnection, PgPool};

use crate::SendError;
use crate::push::SendPushers;

/// Most sends in one accepting commit.
pub(crate) const GROUP: usize = 500;
/// Accepting commits under way at once: while one waits for the disk, the other is at work.
pub(crate) const COMMITS: usize = 2;
/// How long the database may be away before an accept is refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// Accepts a send with its files and where its answer goes, which it must be together with.
pub(crate) async fn accept_with(
    transaction: &mut PgConnection,
    accepting: &Accepting,
    files: &[Attachment],
    answer_to: Option<&str>,
) -> Result<(), SendError> {
    let id = accepting.id;
    let answers = store::outbox::accept(transaction, std::slice::from_ref(accepting)).await?;
    answers.into_iter().try_for_each(refuse_stranger)?;
    if let Some(answer_to) = answer_to
        && !store::answers::route(transaction, id, answer_to).await?
    {
        let name = answer_to.split_once(':').map_or(answer_to, |(_, name)| name);
        return Err(Refusal::new("answer_to", format!("there is no webhook \"{name}\"")).into());
    }
    Ok(store::attachments::insert(transaction, id, files).await?)
}

/// Why a send was not accepted.
pub(crate) fn refuse_stranger(answer: Accepted) -> Result<(), SendError> {
    match answer {
        Accepted::Yes => Ok(()),
        Accepted::NoRecipient => {
            Err(Refusal::new("recipient", "there is no active user of this name").into())
        }
        Accepted::NoSender => Err(Refusal::new(
            "sender",
            "there is no user of this name; name a model together with sender_instance",
        )
        .into()),
        Accepted::Cancelled => Err(Refusal::new("batch_id", "the batch was cancelled").into()),
    }
}

/// Concurrent accepts share one commit, and one push.
pub(crate) struct Accept {
    pub(crate) pool: PgPool,
    pub(crate) pushers: Arc<SendPushers>,
}

impl Accept {
    /// Workers have the jobs while the commit is on its way to the disk; whoever sent them is answered when it is there.
    async fn once(&self, items: &[Accepting]) -> Result<Vec<Accepted>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let answers = store::outbox::accept_early(&mut connection, items).await?;
        let accepted = items.iter().zip(&answers).filter(|(_, answer)| **answer == Accepted::Yes);
        let push = self.pushers.push(accepted.map(|(item, _)| item));
        let ((), flushed) = tokio::join!(push, store::flush(&mut *connection));
        flushed.map(|()| answers)
    }
}

impl Commit for Accept {
    type Item = Accepting;
    type Outcome = Accepted;

    /// Where an answer was lost it is repeated with the same ids, which accepts each of them once.
    async fn commit(&self, items: &[Accepting]) -> Result<Vec<Accepted>, sqlx::Error> {
        let begun = Instant::now();
        loop {
            match self.once(items).await {
                Err(error) if is_outage(&error) && begun.elapsed() < PATIENCE => {
                    tracing::info!("Tries again to accept a group of {}: {error}", items.len());
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                answer => return answer,
            }
        }
    }
}
