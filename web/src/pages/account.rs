//! Who one is here, and where one is logged in.

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::store;

use super::login::forget;
use super::shell::{Place, Shell, shell};
use super::when;
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    shell: Shell,
    /// What is known of the user: what it is, and its value.
    facts: Vec<(&'static str, String)>,
    sessions: Vec<Session>,
}

/// One line of the sessions.
struct Session {
    opened: String,
    used: String,
    /// The one that shows this page.
    own: bool,
}

/// GET /account
pub(crate) async fn show(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
) -> Result<Html<String>, PageError> {
    let (words, now) = (login.words, app.clock.now());
    let or_not = |value: &Option<String>| value.clone().unwrap_or_else(|| words.not_set.to_owned());
    let facts = vec![
        (words.username, login.user.username.clone()),
        (words.email, or_not(&login.user.email)),
        (words.mobile, or_not(&login.user.mobile)),
        (words.time_zone, login.user.time_zone.clone()),
        (words.language_label, login.locale.clone()),
    ];
    let sessions = store::access::sessions(&app.pool, login.user.id, &login.token_hash, now).await?;
    let session = |(opened, used, own)| Session {
        opened: (words.session_opened)(&when::moment(&login, opened)),
        used: (words.session_used)(&when::when(&login, used, now).age),
        own,
    };
    let sessions = sessions.into_iter().map(session).collect();
    let shell = shell(&app, &login, &jar, Place::Account).await?;
    Ok(Html(Account { shell, facts, sessions }.render()?))
}

/// POST /logout/everywhere: ends every session of the user, and the links that would open another.
pub(crate) async fn leave_everywhere(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    _fields: Fields,
) -> Result<Response, PageError> {
    let ended = store::access::close_sessions(&app.pool, login.user.id).await?;
    tracing::info!(user = %login.user.username, "Logged out everywhere: {ended} sessions");
    Ok((forget(&app, jar), Redirect::to("/login")).into_response())
}
