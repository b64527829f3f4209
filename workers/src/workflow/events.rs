//! What happened in watched tables becomes messages: each event once.

use herald_jobs::event_rule::{Plan, Surroundings, plan};
use herald_jobs::model::Catalogue;
use herald_jobs::store;
use herald_jobs::store::events::Event;
use herald_producers::{Producer, SendError};
use sqlx::{Connection as _, PgConnection};

use crate::Context;

/// Most events in one look.
const ROUND: usize = 100;
/// Longest result that is kept, in characters.
const MOST_KEPT: usize = 500;

/// Handles what waits. Answers how many events.
///
/// # Errors
/// The database cannot be reached; the next look does what this one left.
pub(super) async fn step(context: &Context, producer: &Producer) -> Result<usize, sqlx::Error> {
    let mut catalogue: Option<Catalogue> = None;
    for done in 0..ROUND {
        let mut transaction = context.pool.begin().await?;
        let Some(event) = store::events::next(&mut transaction).await? else { return Ok(done) };
        let rules = store::events::rules(&mut *transaction, Some(event.watch)).await?;
        if catalogue.is_none() && !rules.is_empty() {
            catalogue = Some(store::catalogue::read(&context.pool, &context.reader).await?);
        }
        let mut results = Vec::new();
        for rule in rules {
            let nothing = Catalogue::default();
            let around = Surroundings {
                pool: &context.pool,
                reader: &context.reader,
                catalogue: catalogue.as_ref().unwrap_or(&nothing),
            };
            let said = match plan(&rule, &event.happened, &around).await? {
                Plan::Not => continue,
                Plan::Cannot(problem) => problem,
                Plan::Send(messages) => {
                    let many = messages.len();
                    match send(&mut transaction, producer, messages).await? {
                        Ok(()) => format!("sent {many}"),
                        Err(problem) => problem,
                    }
                }
            };
            results.push(format!("{}: {said}", rule.code));
        }
        finish(transaction, &event, &results, context).await?;
    }
    Ok(ROUND)
}

/// Sends all of a rule's messages, or none where one cannot be.
async fn send(
    transaction: &mut PgConnection,
    producer: &Producer,
    messages: Vec<herald_producers::NewMessage>,
) -> Result<Result<(), String>, sqlx::Error> {
    let mut savepoint = transaction.begin().await?;
    for message in messages {
        match producer.send_in(&mut savepoint, message).await {
            Ok(_) => {}
            Err(SendError::Unavailable(why)) => return Err(sqlx::Error::Protocol(why)),
            Err(error) => {
                savepoint.rollback().await?;
                return Ok(Err(error.to_string()));
            }
        }
    }
    savepoint.commit().await?;
    Ok(Ok(()))
}

async fn finish(
    mut transaction: sqlx::Transaction<'_, sqlx::Postgres>,
    event: &Event,
    results: &[String],
    context: &Context,
) -> Result<(), sqlx::Error> {
    let id = event.happened.id;
    let result: String = match results {
        [] => "no rule wanted it".to_owned(),
        some => some.join("; ").replace(char::is_control, " ").chars().take(MOST_KEPT).collect(),
    };
    tracing::debug!(event.id = id, "Handled an event of watch {}: {result}", event.watch);
    metrics::counter!("herald_events_total").increment(1);
    store::events::handled(&mut *transaction, id, &result, context.clock.now()).await?;
    transaction.commit().await
}
