//! What surrounds each page of who is logged in: menus, counts, and the notice of alerts.

use axum_extra::extract::CookieJar;
use herald_jobs::store;
use herald_jobs::store::inbox::{Counts, InboxMessage};

use super::notice::{self, Notice};
use crate::access::form;
use crate::access::session::Login;
use crate::app::App;
use crate::assets::{self, Assets};

/// Where the user is, to mark it in the menu.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Dashboard,
    Alerts,
    Messages,
    Elsewhere,
}

/// What the surrounding part of a page shows.
pub(super) struct Shell {
    pub(super) assets: &'static Assets,
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) counts: Counts,
    /// Under a mask of its own for each page.
    pub(super) form_token: String,
    /// Seconds between two looks at the counts where there are no live updates.
    pub(super) refresh: u64,
    /// Ids of alerts that the page knows, with a space between them.
    pub(super) known: String,
    pub(super) notice: Option<Notice>,
}

impl Shell {
    pub(super) fn is(&self, place: &str) -> bool {
        match self.place {
            Place::Dashboard => place == "dashboard",
            Place::Alerts => place == "alerts",
            Place::Messages => place == "messages",
            Place::Elsewhere => false,
        }
    }
}

/// Reads what surrounds a page.
pub(super) async fn shell(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    place: Place,
) -> Result<Shell, store::Error> {
    let counts = store::inbox::counts(&app.pool, login.user.id).await?;
    let alerts: Vec<InboxMessage> = if counts.alerts > 0 {
        store::inbox::pending(&app.pool, login.user.id, true, None, notice::MOST).await?
    } else {
        Vec::new()
    };
    let notice = if place == Place::Alerts { None } else { notice::notice(app, jar, &alerts, counts.alerts) };
    Ok(Shell {
        assets: assets::all(),
        place,
        name: login.name().to_owned(),
        counts,
        form_token: form::mask(&login.form_token),
        refresh: app.settings.refresh.as_secs().max(1),
        known: notice::ids(&alerts),
        notice,
    })
}
