//! What happened in watched tables becomes messages: each event once.

use chrono::{DateTime, Utc};
use herald_jobs::event_rule::{Plan, Surroundings, plan};
use herald_jobs::model::Catalogue;
use herald_jobs::send::NewMessage;
use herald_jobs::store;
use herald_jobs::store::events::{Event, Outcome};
use herald_producers::{Producer, SendError};
use sqlx::{Connection as _, PgConnection};

use super::{MOST_TRIES, again, is_its_own, now};
use crate::Context;

/// Most events in one look.
const ROUND: usize = 100;
/// Longest result that is kept, in characters.
const MOST_KEPT: usize = 500;

/// What the rules made of an event.
#[derive(Default)]
struct Handled {
    results: Vec<String>,
    /// Those that sent something.
    sent_by: Vec<String>,
    /// One of them could not.
    failed: bool,
}

/// Handles what waits. Answers how many events.
///
/// # Errors
/// The database cannot be reached; the next look does what this one left.
pub(super) async fn step(context: &Context, producer: &Producer) -> Result<usize, sqlx::Error> {
    let mut catalogue: Option<Catalogue> = None;
    for done in 0..ROUND {
        let now = now(context).await?;
        let mut transaction = context.pool.begin().await?;
        let Some(event) = store::events::next(&mut transaction, now).await? else { return Ok(done) };
        let handled = match handle(context, producer, &mut transaction, &event, &mut catalogue).await {
            Ok(handled) => handled,
            Err(error) => {
                // A locked table, a rule of a later version: other events need not wait for it.
                transaction.rollback().await?;
                let (why, counts) = (store::complaint(&error), is_its_own(&error));
                if !counts || event.tries < MOST_TRIES {
                    tracing::warn!(event.id = event.happened.id, "An event is tried again: {why}");
                    let (id, at) = (event.happened.id, now + again(event.tries));
                    store::events::postpone(&context.pool, id, &kept(&why), counts, at).await?;
                    continue;
                }
                transaction = context.pool.begin().await?;
                let results = vec![format!("given up: {why}")];
                Handled { results, failed: true, ..Handled::default() }
            }
        };
        finish(&mut transaction, &event, &handled, now).await?;
        transaction.commit().await?;
    }
    Ok(ROUND)
}

async fn handle(
    context: &Context,
    producer: &Producer,
    transaction: &mut PgConnection,
    event: &Event,
    catalogue: &mut Option<Catalogue>,
) -> Result<Handled, sqlx::Error> {
    let mut handled = Handled::default();
    if event.is_unreadable {
        handled.results.push("the row cannot be read as JSON".to_owned());
        handled.failed = true;
        return Ok(handled);
    }
    let rules = store::event_rules::all(&mut *transaction, Some(event.watch)).await?;
    if catalogue.is_none() && !rules.is_empty() {
        *catalogue = Some(store::catalogue::read(&context.pool, &context.reader).await?);
    }
    let nothing = Catalogue::default();
    let catalogue = catalogue.as_ref().unwrap_or(&nothing);
    let around = Surroundings { pool: &context.pool, reader: &context.reader, catalogue };
    for rule in rules.into_iter().filter(|rule| !event.sent_by.contains(&rule.code)) {
        let sent = match plan(&rule, &event.happened, &around).await? {
            Plan::Not => continue,
            Plan::Cannot(problem) => Err(problem),
            Plan::Send(messages) => send(transaction, producer, messages).await?,
        };
        match sent {
            Ok(said) => {
                handled.results.push(format!("{}: {said}", rule.code));
                handled.sent_by.push(rule.code);
            }
            Err(problem) => {
                handled.results.push(format!("{}: {problem}", rule.code));
                handled.failed = true;
            }
        }
    }
    Ok(handled)
}

/// Sends all of a rule's messages, or none where one cannot be. Contacts that are none get no copy, and nobody else loses by it.
async fn send(
    transaction: &mut PgConnection,
    producer: &Producer,
    messages: Vec<NewMessage>,
) -> Result<Result<String, String>, sqlx::Error> {
    let mut said = format!("sent {}", messages.len());
    let mut savepoint = transaction.begin().await?;
    for message in messages {
        let (recipients, skipped) = producer.usable_contacts(message.recipients);
        if !skipped.is_empty() {
            said = format!("{said} without {}", skipped.join(", "));
        }
        match producer.send_in(&mut savepoint, NewMessage { recipients, ..message }).await {
            Ok(_) => {}
            Err(SendError::Unavailable(why)) => return Err(sqlx::Error::Protocol(why)),
            Err(error) => {
                savepoint.rollback().await?;
                return Ok(Err(error.to_string()));
            }
        }
    }
    savepoint.commit().await?;
    Ok(Ok(said))
}

async fn finish(
    transaction: &mut PgConnection,
    event: &Event,
    handled: &Handled,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let id = event.happened.id;
    let result = match handled.results.as_slice() {
        [] => "no rule wanted it".to_owned(),
        some => kept(&some.join("; ")),
    };
    let outcome = match handled {
        Handled { failed: true, .. } => "failed",
        Handled { sent_by, .. } if sent_by.is_empty() => "unwanted",
        Handled { .. } => "sent",
    };
    let recorded = Outcome { result: &result, failed: handled.failed, sent_by: &handled.sent_by };
    if !store::events::handled(transaction, id, recorded, now).await? {
        // Another process has handled it after this one gave it up.
        return Ok(());
    }
    if handled.failed {
        tracing::warn!(event.id = id, "An event of watch {} failed: {result}", event.watch);
    } else {
        tracing::debug!(event.id = id, "Handled an event of watch {}: {result}", event.watch);
    }
    metrics::counter!("herald_events_total", "outcome" => outcome).increment(1);
    Ok(())
}

/// As much of a result as is kept, in one line.
fn kept(result: &str) -> String {
    result.replace(char::is_control, " ").chars().take(MOST_KEPT).collect()
}
