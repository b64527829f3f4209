//! Live updates. Postgres is the truth: a notification only says that it is time to look, and what a page is sent has been read
//! from there. Where no stream is to be had, the page asks for its counts now and then.

mod hub;
mod stream;

use axum::extract::State;
use axum::{Extension, Json};
use herald_jobs::store::{self, PgPool};
use serde::Serialize;
use uuid::Uuid;

pub(crate) use hub::{Hub, follow};
pub(crate) use stream::stream;

use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;

/// How many of the newest alerts a page is told of.
const ALERTS: i64 = 5;

/// What a page needs to know to be up to date.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Snapshot {
    #[serde(flatten)]
    counts: store::inbox::Counts,
    /// The newest alerts that were not seen yet. The page knows which of them it has told of.
    new_alerts: Vec<NewAlert>,
}

/// An alert, for its notice.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct NewAlert {
    id: Uuid,
    subject: String,
    sender: String,
}

impl Snapshot {
    async fn read(pool: &PgPool, user: i64) -> Result<Self, store::Error> {
        let counts = store::inbox::counts(pool, user).await?;
        let alerts = if counts.alerts > 0 {
            store::inbox::pending(pool, user, true, None, ALERTS).await?
        } else {
            Vec::new()
        };
        let new = |alert: store::inbox::InboxMessage| NewAlert {
            id: alert.id,
            subject: alert.subject,
            sender: alert.sender_instance.map_or(alert.sender.clone(), |it| format!("{} {it}", alert.sender)),
        };
        let new_alerts = alerts.into_iter().filter(|alert| alert.seen_at.is_none()).map(new).collect();
        Ok(Self { counts, new_alerts })
    }
}

/// GET /counts
pub(crate) async fn counts(
    State(app): State<App>,
    Extension(login): Extension<Login>,
) -> Result<Json<impl Serialize>, PageError> {
    Ok(Json(Snapshot::read(&app.pool, login.user.id).await?))
}
