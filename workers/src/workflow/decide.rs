//! Ends authorisations whose time is over, and asks those to whom a path leads.

use chrono::{DateTime, Utc};
use herald_jobs::group_commit::is_passing;
use herald_jobs::path::{self, PathError};
use herald_jobs::store;
use herald_jobs::store::authorisations::ToAsk;
use sqlx::{Connection as _, PgConnection};

use super::{MOST_TRIES, again, is_its_own, now};
use crate::Context;

/// Most authorisations that end in one transaction.
const ROUND: i32 = 50;

/// One look. Answers how many authorisations it moved.
///
/// # Errors
/// The database cannot be reached; the next look does what this one left.
pub(super) async fn step(context: &Context) -> Result<usize, sqlx::Error> {
    let now = now(context).await?;
    let ended = store::authorisations::time_out(&context.pool, now, ROUND).await?;
    let asked = ask(context, now).await?;
    Ok(usize::try_from(ended).unwrap_or(0) + usize::from(asked))
}

/// Asks the next approvers of one authorisation. `false`: none waits for that.
async fn ask(context: &Context, now: DateTime<Utc>) -> Result<bool, sqlx::Error> {
    let mut transaction = context.pool.begin().await?;
    let Some(it) = store::authorisations::to_ask(&mut transaction, now).await? else { return Ok(false) };
    match asked(context, &mut transaction, &it, now).await {
        Ok(Ok(())) => transaction.commit().await?,
        Ok(Err(why)) => {
            give_up(&mut transaction, &it, &why, now).await?;
            transaction.commit().await?;
        }
        Err(error) => {
            transaction.rollback().await?;
            let (why, counts) = (store::complaint(&error), is_its_own(&error));
            if !counts || it.tries < MOST_TRIES {
                tracing::warn!(authorisation.id = %it.id, "Nobody can be asked right now: {why}");
                store::authorisations::postpone(&context.pool, it.id, counts, now + again(it.tries)).await?;
            } else {
                give_up(&mut *context.pool.acquire().await?, &it, &why, now).await?;
            }
        }
    }
    Ok(true)
}

async fn give_up(
    connection: &mut PgConnection,
    it: &ToAsk,
    why: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let why = format!("Nobody can be asked: {why}.");
    tracing::warn!(authorisation.id = %it.id, "{why}");
    store::authorisations::fail(connection, it.id, &why, now).await
}

/// The inner error says why there is nobody to ask; nothing has changed then.
async fn asked(
    context: &Context,
    transaction: &mut PgConnection,
    it: &ToAsk,
    now: DateTime<Utc>,
) -> Result<Result<(), String>, sqlx::Error> {
    let subject = (it.model.as_str(), &it.model_key);
    let found = match it.path.as_str() {
        "" => Vec::new(),
        path => match path::follow(&context.pool, &context.reader, subject, &[path]).await {
            Ok(found) => found.into_iter().flatten().collect(),
            Err(PathError::Database(error)) => return Err(error),
            Err(PathError::Problem(problem)) => return Ok(Err(problem)),
        },
    };
    let mut savepoint = transaction.begin().await?;
    let why = match store::authorisations::ask_next(&mut *savepoint, it.id, &found, now).await {
        Ok(0) => format!("{} leads to no user", it.path),
        Ok(_) => return savepoint.commit().await.map(Ok),
        Err(error) if error.as_database_error().is_none() || is_passing(&error) => return Err(error),
        Err(error) => store::complaint(&error),
    };
    savepoint.rollback().await?;
    Ok(Err(why))
}
