//! Ends authorisations whose time is over, and asks those to whom a path leads.

use herald_jobs::path::{self, PathError};
use herald_jobs::store;

use crate::Context;

/// Most authorisations that end in one transaction.
const ROUND: i32 = 50;

/// One look. Answers how many authorisations it moved.
///
/// # Errors
/// The database cannot be reached; the next look does what this one left.
pub(super) async fn step(context: &Context) -> Result<usize, sqlx::Error> {
    let ended = store::authorisations::time_out(&context.pool, context.clock.now(), ROUND).await?;
    let asked = ask(context).await?;
    Ok(usize::try_from(ended).unwrap_or(0) + usize::from(asked))
}

/// Asks the next approvers of one authorisation. `false`: none waits for that.
async fn ask(context: &Context) -> Result<bool, sqlx::Error> {
    let mut transaction = context.pool.begin().await?;
    let Some(it) = store::authorisations::to_ask(&mut transaction).await? else { return Ok(false) };
    let now = context.clock.now();
    let subject = (it.model.as_str(), &it.model_key);
    let found = match it.path.as_str() {
        "" => Ok(Vec::new()),
        path => path::follow(&context.pool, &context.reader, subject, &[path]).await,
    };
    let why = match found {
        Ok(found) => {
            let found = found.into_iter().flatten().collect::<Vec<_>>();
            match store::authorisations::ask_next(&mut *transaction, it.id, &found, now).await {
                Ok(0) => format!("Nobody can be asked: {} leads to no user.", it.path),
                Ok(_) => {
                    transaction.commit().await?;
                    return Ok(true);
                }
                Err(error) if error.as_database_error().is_none() => return Err(error),
                Err(error) => format!("Nobody can be asked: {}.", store::complaint(&error)),
            }
        }
        Err(PathError::Database(error)) => return Err(error),
        Err(PathError::Problem(problem)) => format!("Nobody can be asked: {problem}."),
    };
    transaction.rollback().await?;
    tracing::warn!(authorisation.id = %it.id, "{why}");
    store::authorisations::fail(&context.pool, it.id, &why, now).await?;
    Ok(true)
}
