//! The notice of alerts at the bottom right: there at login and when one arrives, until it is dismissed. Never a window, and it
//! takes no focus.

use axum::Extension;
use axum::extract::State;
use axum::response::Redirect;
use axum_extra::extract::CookieJar;
use herald_jobs::store::inbox::InboxMessage;
use uuid::Uuid;

use super::row::from;
use crate::access::cookie;
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::words::Words;

/// How many of the newest alerts a notice looks at.
pub(crate) const MOST: i64 = 5;
/// How many dismissed alerts the cookie remembers.
const REMEMBERED: usize = 40;

/// A notice of one alert or of several.
pub(super) struct Notice {
    /// The ids that dismissing it dismisses, with a space between them.
    pub(super) ids: String,
    pub(super) title: String,
    pub(super) detail: String,
    pub(super) href: String,
}

/// The notice to show for the newest pending alerts, unless all of them were dismissed.
pub(super) fn notice(
    app: &App,
    jar: &CookieJar,
    words: &Words,
    newest: &[InboxMessage],
    pending: i64,
) -> Option<Notice> {
    let dismissed = dismissed(app, jar);
    if newest.iter().all(|alert| dismissed.contains(&alert.id)) {
        return None;
    }
    let first = newest.first()?;
    let title = if pending == 1 { first.subject.clone() } else { (words.alerts_wait)(pending) };
    let detail = if pending == 1 {
        (words.alert_from)(&from(first))
    } else {
        (words.latest_alert)(&first.subject, &from(first))
    };
    let href = if pending == 1 { format!("/messages/{}", first.id) } else { "/alerts".to_owned() };
    Some(Notice { ids: ids(newest), title, detail, href })
}

/// The messages' ids, with a space between them.
pub(super) fn ids(messages: &[InboxMessage]) -> String {
    messages.iter().map(|message| message.id.to_string()).collect::<Vec<_>>().join(" ")
}

fn dismissed(app: &App, jar: &CookieJar) -> Vec<Uuid> {
    let value = cookie::get(&app.settings, jar, cookie::Kind::Dismissed).unwrap_or_default();
    value.split('.').filter_map(|id| Uuid::try_parse(id).ok()).take(REMEMBERED).collect()
}

/// Dismisses the notice of some alerts until the next login. The alerts stay.
pub(crate) async fn dismiss(
    State(app): State<App>,
    Extension(_login): Extension<Login>,
    jar: CookieJar,
    fields: Fields,
) -> Result<(CookieJar, Redirect), PageError> {
    let mut all: Vec<Uuid> =
        fields.get("ids").split(' ').filter_map(|id| Uuid::try_parse(id).ok()).take(REMEMBERED).collect();
    all.extend(dismissed(&app, &jar));
    all.truncate(REMEMBERED);
    let value = all.iter().map(|id| id.simple().to_string()).collect::<Vec<_>>().join(".");
    Ok((cookie::set(&app.settings, jar, cookie::Kind::Dismissed, value, None), Redirect::to("/")))
}
