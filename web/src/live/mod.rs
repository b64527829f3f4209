//! Live updates. Postgres is the truth: a notification only says that it is time to look, and what a page is sent has been read
//! from there. Where no stream is to be had, the page asks for its counts now and then.

mod hub;
mod known;
mod stream;

use axum::extract::State;
use axum::{Extension, Json};
use herald_jobs::store::inbox::Counts;
use herald_jobs::store::{self, PgPool};
use serde::Serialize;
use uuid::Uuid;

pub(crate) use hub::{Hub, follow};
pub(crate) use stream::stream;

use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages;

/// How many of the newest alerts a page is told of.
const ALERTS: i64 = 5;

/// What the counts at the bottom left show, and which messages are the newest: as many may have come as were acted on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Badge {
    #[serde(flatten)]
    counts: Counts,
    newest_alert: Option<Uuid>,
    newest_message: Option<Uuid>,
}

/// What a page needs to know to be up to date.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Snapshot {
    #[serde(flatten)]
    badge: Badge,
    /// The newest alerts that were not seen yet. The page knows which of them it has told of.
    new_alerts: Vec<NewAlert>,
}

/// An alert, for its notice.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct NewAlert {
    id: Uuid,
    subject: String,
    sender: String,
    /// The notice's second line, in the user's language.
    from: String,
}

impl Snapshot {
    async fn read(pool: &PgPool, login: &Login) -> Result<Self, store::Error> {
        let user = login.user.id;
        // All of one moment: a message that comes in between is told of once, and wholly.
        let mut moment = store::snapshot(pool).await?;
        let counts = store::inbox::counts(&mut *moment, user).await?;
        let alerts = if counts.alerts > 0 {
            store::inbox::pending(&mut *moment, user, true, None, ALERTS).await?
        } else {
            Vec::new()
        };
        let newest_alert = alerts.first().map(|alert| alert.id);
        let newest_message =
            if counts.messages > 0 { store::inbox::newest(&mut *moment, user, false).await? } else { None };
        moment.commit().await?;
        let new = |alert: store::inbox::InboxMessage| {
            let sender = pages::sender(&alert);
            NewAlert { id: alert.id, subject: alert.subject, from: (login.words.alert_from)(&sender), sender }
        };
        let new_alerts = alerts.into_iter().filter(|alert| alert.seen_at.is_none()).map(new).collect();
        Ok(Self { badge: Badge { counts, newest_alert, newest_message }, new_alerts })
    }
}

/// GET /counts
pub(crate) async fn counts(
    State(app): State<App>,
    Extension(login): Extension<Login>,
) -> Result<Json<impl Serialize>, PageError> {
    Ok(Json(Snapshot::read(&app.pool, &login).await?))
}
