//! One-use log-in links. Opening one shows whom it lets in; only the button uses it up, so that previews and scanners of mail
//! programs do not.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::store;

use super::login::{Wanted, local, stranger};
use crate::access::form::Fields;
use crate::access::{session, token};
use crate::app::App;
use crate::assets::{self, Assets};
use crate::error::PageError;
use crate::words::{self, Words};

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage<'a> {
    assets: &'static Assets,
    /// Where it leads.
    next: &'a str,
    words: &'static Words,
    form_token: String,
    /// Whom it lets in, in words; `None`: nobody any more.
    enter: Option<String>,
}

/// GET /login/link/{secret}
pub(crate) async fn show(
    State(app): State<App>,
    jar: CookieJar,
    Path(secret): Path<String>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, PageError> {
    let next = wanted.map(|Query(wanted)| wanted.next).unwrap_or_default();
    let owner = store::access::login_link(&app.pool, &token::hash(&secret), app.clock.now()).await?;
    let name =
        owner.map(|owner| if owner.display_name.is_empty() { owner.username } else { owner.display_name });
    page(&app, jar, name, &next)
}

/// POST /login/link/{secret}
pub(crate) async fn enter(
    State(app): State<App>,
    jar: CookieJar,
    Path(secret): Path<String>,
    fields: Fields,
) -> Result<Response, PageError> {
    match store::access::use_login_link(&app.pool, &token::hash(&secret), app.clock.now()).await? {
        Some(user) => {
            metrics::counter!("herald_logins_total", "outcome" => "entered").increment(1);
            Ok((session::open(&app, jar, user).await?, Redirect::to(local(fields.get("next"))))
                .into_response())
        }
        None => page(&app, jar, None, ""),
    }
}

fn page(app: &App, jar: CookieJar, name: Option<String>, next: &str) -> Result<Response, PageError> {
    let words = words::default();
    let status = if name.is_some() { StatusCode::OK } else { StatusCode::GONE };
    let (jar, form_token) = stranger(app, jar);
    let page = LinkPage {
        assets: assets::all(),
        next: local(next),
        words,
        form_token,
        enter: name.map(|name| (words.log_in_as)(&name)),
    };
    Ok((status, jar, Html(page.render()?)).into_response())
}
