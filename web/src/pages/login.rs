//! Log in and out.

use std::time::Instant;

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::address::Username;
use herald_jobs::store;
use serde::Deserialize;

use crate::access::form::{self, Fields};
use crate::access::session::Login;
use crate::access::{cookie, peer, session, token};
use crate::app::App;
use crate::assets::{self, Assets};
use crate::error::PageError;
use crate::words::{self, Words};

/// Where to go after the log-in.
#[derive(Default, Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    pub(super) next: String,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    assets: &'static Assets,
    words: &'static Words,
    form_token: String,
    next: &'a str,
    username: &'a str,
    problem: Option<String>,
}

/// GET /login
pub(crate) async fn show(
    State(app): State<App>,
    jar: CookieJar,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, PageError> {
    let next = wanted.map(|Query(wanted)| wanted.next).unwrap_or_default();
    if session::find(&app, &jar, session::Use::Active).await?.is_some() {
        return Ok(Redirect::to(local(&next)).into_response());
    }
    form(&app, jar, StatusCode::OK, &next, "", None)
}

/// POST /login. All refusals read and take the same, whether the user exists or not.
pub(crate) async fn enter(
    State(app): State<App>,
    jar: CookieJar,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    let (typed, password, next) = (fields.get("username"), fields.get("password"), fields.get("next"));
    let address = peer::address(&extensions, &headers, &app.settings.trusted_proxies);
    let username = Username::parse(typed).ok();
    let known = username.as_ref().map_or("", Username::as_str);
    if let Err(wait) = app.attempts.begin(address, known, Instant::now()) {
        tracing::warn!(client = %address, "Refused a log-in as {known:?}: too many attempts");
        metrics::counter!("herald_logins_total", "outcome" => "limited").increment(1);
        let minutes = wait.as_secs().div_ceil(60);
        let problem = (words::default().too_many_attempts)(minutes);
        return form(&app, jar, StatusCode::TOO_MANY_REQUESTS, next, typed, Some(problem));
    }
    let stored = match &username {
        Some(name) => store::users::password_hash(&app.pool, name).await?,
        None => None,
    };
    let (user, hash) = stored.map_or((None, None), |(user, hash)| (Some(user), Some(hash)));
    let right = app.passwords.check(password.to_owned(), hash).await;
    let Some(user) = user.filter(|_| right) else {
        tracing::info!(client = %address, "Refused a log-in as {known:?}");
        metrics::counter!("herald_logins_total", "outcome" => "refused").increment(1);
        let problem = words::default().wrong_password.to_owned();
        return form(&app, jar, StatusCode::UNPROCESSABLE_ENTITY, next, typed, Some(problem));
    };
    app.attempts.succeeded(address, known);
    metrics::counter!("herald_logins_total", "outcome" => "entered").increment(1);
    let jar = session::open(&app, jar, user).await?;
    Ok((jar, Redirect::to(local(next))).into_response())
}

/// POST /logout
pub(crate) async fn leave(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    _fields: Fields,
) -> Result<Response, PageError> {
    store::access::close_session(&app.pool, &login.token_hash).await?;
    Ok((forget(&app, jar), Redirect::to("/login")).into_response())
}

/// Without what a log-in left in the browser.
pub(super) fn forget(app: &App, jar: CookieJar) -> CookieJar {
    let jar = cookie::remove(&app.settings, jar, cookie::Kind::Session);
    cookie::remove(&app.settings, jar, cookie::Kind::Dismissed)
}

fn form(
    app: &App,
    jar: CookieJar,
    status: StatusCode,
    next: &str,
    username: &str,
    problem: Option<String>,
) -> Result<Response, PageError> {
    let (jar, form_token) = stranger(app, jar);
    let page = LoginPage {
        assets: assets::all(),
        words: words::default(),
        form_token,
        next: local(next),
        username,
        problem,
    };
    Ok((status, jar, Html(page.render()?)).into_response())
}

/// The form token of who is not logged in, masked; made where the browser has none.
pub(super) fn stranger(app: &App, jar: CookieJar) -> (CookieJar, String) {
    if let Some(known) = cookie::get(&app.settings, &jar, cookie::Kind::Form) {
        let masked = form::mask(known);
        return (jar, masked);
    }
    let fresh = token::random();
    let masked = form::mask(&fresh);
    (cookie::set(&app.settings, jar, cookie::Kind::Form, fresh, None), masked)
}

/// A page of ours to go to, whatever was asked for.
pub(crate) fn local(next: &str) -> &str {
    let ours = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(|c: char| c == '\\' || c.is_control() || !c.is_ascii());
    if ours { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn a_log_in_leads_to_our_own_pages_only() {
        assert_eq!(local("/alerts?before=1"), "/alerts?before=1");
        for elsewhere in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\r\nb",
            "evil",
            "/\t/evil.example",
        ] {
            assert_eq!(local(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
