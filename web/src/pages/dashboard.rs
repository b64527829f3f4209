//! The dashboard.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Html;
use axum_extra::extract::CookieJar;
use herald_jobs::store;
use uuid::Uuid;

use super::row::from;
use super::shell::{Place, Shell, shell};
use super::when::{self, When};
use crate::access::session::Login;
use crate::app::{App, Panel};
use crate::error::PageError;
use crate::words::Words;

/// How many of each kind the panel of the latest reads, and how many it shows.
const LATEST: (i64, usize) = (6, 8);

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Dashboard {
    shell: Shell,
    words: &'static Words,
    /// The host application's own.
    panels: Vec<Panel>,
    greeting: String,
    today: String,
    latest: Vec<Latest>,
}

#[derive(Template)]
#[template(path = "latest.html")]
struct LatestPanel {
    words: &'static Words,
    latest: Vec<Latest>,
}

/// One line of the panel.
struct Latest {
    id: Uuid,
    alert: bool,
    new: bool,
    subject: String,
    from: String,
    when: When,
}

/// GET /
pub(crate) async fn show(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
) -> Result<Html<String>, PageError> {
    let now = app.clock.now();
    let page = Dashboard {
        shell: shell(&app, &login, &jar, Place::Dashboard).await?,
        words: login.words,
        panels: app.settings.panels.clone(),
        greeting: when::greeting(&login, now),
        today: when::today(&login, now),
        latest: newest(&app, &login).await?,
    };
    Ok(Html(page.render()?))
}

/// GET /latest: the panel alone, for the script to replace.
pub(crate) async fn latest(
    State(app): State<App>,
    Extension(login): Extension<Login>,
) -> Result<Html<String>, PageError> {
    Ok(Html(LatestPanel { words: login.words, latest: newest(&app, &login).await? }.render()?))
}

async fn newest(app: &App, login: &Login) -> Result<Vec<Latest>, store::Error> {
    let (user, now) = (login.user.id, app.clock.now());
    let (read, shown) = LATEST;
    let mut messages = store::inbox::pending(&app.pool, user, true, None, read).await?;
    messages.extend(store::inbox::pending(&app.pool, user, false, None, read).await?);
    messages.sort_by_key(|message| std::cmp::Reverse(message.created_at));
    messages.truncate(shown);
    let line = |message: store::inbox::InboxMessage| Latest {
        id: message.id,
        alert: message.alert,
        new: message.seen_at.is_none(),
        from: from(&message),
        when: when::when(login, message.created_at, now),
        subject: message.subject,
    };
    Ok(messages.into_iter().map(line).collect())
}
