//! What answers and events set in motion: answers are told to whoever asked, requests for a decision end when their time is over, the
//! people that a path leads to are asked, and what happens in watched tables becomes messages.
//!
//! All of it works on rows of Postgres alone: any number of processes may run it, each row is one's at a time.

mod decide;
mod events;
mod tell;
mod webhook;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use herald_jobs::group_commit::is_outage;
use herald_jobs::store;
use herald_producers::Producer;
use sqlx::error::DatabaseError;
use tokio_util::sync::CancellationToken;

use self::tell::Teller;
use crate::Context;
use crate::guard;
use crate::repeat::repeat;

/// The tasks, by what they do. Each runs until `stop`.
///
/// # Errors
/// TLS cannot be set up.
pub(crate) fn tasks(
    context: &Context,
    producer: Producer,
    stop: &CancellationToken,
) -> Result<[(&'static str, BoxFuture<'static, ()>); 3], String> {
    let client = guard::client(context.options.allow_private_webhooks, guard::PATIENCE)
        .map_err(|error| error.to_string())?;
    let teller = Teller::new(context.clone(), client);
    let (deciding, seeing) = (context.clone(), context.clone());
    Ok([
        ("answers", teller.run(stop.clone()).boxed()),
        (
            "events",
            repeat("events", stop.clone(), async move || events::step(&seeing, &producer).await).boxed(),
        ),
        (
            "authorisations",
            repeat("authorisations", stop.clone(), async move || decide::step(&deciding).await).boxed(),
        ),
    ])
}

/// The database's time, which all processes share, moved by as much as this process' clock was: nobody decides early because one
/// machine's clock is wrong.
pub(crate) async fn now(context: &Context) -> Result<DateTime<Utc>, sqlx::Error> {
    Ok(store::now(&context.pool).await? + context.clock.offset())
}

/// Times that something is tried again which fails by its own fault, though that may pass: about two hours.
const MOST_TRIES: i32 = 30;

/// Whether it is to blame itself: no outage stood against it, or its own statement took too long.
fn is_its_own(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    !is_outage(error) || code.is_some_and(|code| code == "57014")
}

/// How long to leave what could not be done for a passing reason: from 5 seconds to 5 minutes.
fn again(tries: i32) -> TimeDelta {
    TimeDelta::seconds((5 << tries.clamp(0, 6)).min(300))
}
