//! API tokens: which there are, a new one, and one that is to work no more.

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use chrono::{DateTime, Utc};
use herald_jobs::refusal::Refusal;
use herald_jobs::store;
use herald_jobs::store::access::ApiToken;
use herald_jobs::store::change::ChangeError;
use serde::Deserialize;

use super::fields::typed;
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::access::{WantedToken, new_api_token};
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::{Place, Shell, shell};
use crate::pages::when::{moment, when};

#[derive(Template)]
#[template(path = "admin/tokens.html")]
struct Tokens {
    shell: Shell,
    rows: Vec<Row>,
    revoked: bool,
}

/// One token.
struct Row {
    prefix: String,
    name: String,
    sends_as: String,
    /// What it may do besides.
    only: String,
    rate: String,
    administers: bool,
    ends: String,
    last_used: String,
    /// Whether it is good.
    good: bool,
}

#[derive(Template)]
#[template(path = "admin/token.html")]
struct Form<'a> {
    shell: Shell,
    typed: Typed<'a>,
    refused: Option<Refusal>,
}

/// What was typed.
#[derive(Default)]
struct Typed<'a> {
    name: &'a str,
    sender: &'a str,
    types: &'a str,
    rate: &'a str,
    expires: &'a str,
    admin: bool,
}

impl Form<'_> {
    fn problem(&self, field: &str) -> Option<&str> {
        let refused = self.refused.as_ref().filter(|refused| refused.field == field);
        refused.map(|refused| refused.problem.as_str())
    }
}

#[derive(Template)]
#[template(path = "admin/token_made.html")]
struct Made {
    shell: Shell,
    name: String,
    secret: String,
}

/// What was just done.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Done {
    done: String,
}

/// GET /admin/tokens
pub(crate) async fn show(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    done: Result<Query<Done>, QueryRejection>,
) -> Result<Html<String>, PageError> {
    let now = app.clock.now();
    let tokens = store::access::api_tokens(&app.pool).await?;
    let rows = tokens.into_iter().map(|token| row(&login, token, now)).collect();
    let revoked = done.is_ok_and(|Query(done)| done.done == "revoked");
    let shell = shell(&app, &login, &jar, Place::Tokens).await?;
    Ok(Html(Tokens { shell, rows, revoked }.render()?))
}

/// GET /admin/tokens/new
pub(crate) async fn new(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
) -> Result<Html<String>, PageError> {
    let shell = shell(&app, &login, &jar, Place::Tokens).await?;
    Ok(Html(Form { shell, typed: Typed::default(), refused: None }.render()?))
}

/// POST /admin/tokens/new: makes one, and shows it in this answer only.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    fields: Fields,
) -> Result<Response, PageError> {
    let shell = shell(&app, &login, &jar, Place::Tokens).await?;
    let wanted = match read(&fields, login.words.administration.not_a_number) {
        Ok(wanted) => wanted.read(&app.pool, app.clock.now()).await,
        Err(refusal) => Err(refusal.into()),
    };
    let refused = match wanted {
        Ok(token) => {
            let name = token.name.clone();
            let secret = new_api_token(&app.pool, &app.clock, token, &login.user.username).await?;
            return Ok(Html(Made { shell, name, secret }.render()?).into_response());
        }
        Err(ChangeError::Refused(refusal)) => refusal,
        Err(ChangeError::Database(error)) => return Err(error.into()),
        Err(other @ (ChangeError::Kept(_) | ChangeError::Unexpected(_))) => {
            Refusal::new("name", other.to_string())
        }
    };
    let typed = Typed {
        name: fields.get("name"),
        sender: fields.get("sender"),
        types: fields.get("type"),
        rate: fields.get("rate"),
        expires: fields.get("expires"),
        admin: fields.get("admin") == "on",
    };
    let form = Form { shell, typed, refused: Some(refused) };
    Ok((StatusCode::UNPROCESSABLE_ENTITY, Html(form.render()?)).into_response())
}

/// POST /admin/tokens/revoke/{name}
pub(crate) async fn revoke(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    Path(prefix): Path<String>,
    _fields: Fields,
) -> Result<Response, PageError> {
    let (now, actor) = (app.clock.now(), &login.user.username);
    let known = !prefix.contains('\0');
    if !known || !store::access::revoke_api_token(&app.pool, &prefix, now, actor).await? {
        return Err(PageError::NotFound);
    }
    Ok(Redirect::to("/admin/tokens?done=revoked").into_response())
}

fn read(fields: &Fields, not_a_number: &str) -> Result<WantedToken, Refusal> {
    let lines = |name: &str| -> Vec<String> {
        let lines = fields.get(name).lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    };
    let rate = typed(fields, "rate").map(|text| text.parse()).transpose();
    Ok(WantedToken {
        name: fields.get("name").trim().to_owned(),
        senders: lines("sender"),
        message_types: lines("type"),
        rate: rate.map_err(|_| Refusal::new("rate", not_a_number))?,
        admin: fields.get("admin") == "on",
        expires: typed(fields, "expires"),
    })
}

fn row(login: &Login, token: ApiToken, now: DateTime<Utc>) -> Row {
    let words = login.words.operations;
    let senders: Vec<&str> =
        std::iter::once(&token.sender).chain(&token.senders).map(String::as_str).collect();
    let over = token.expires_at.filter(|at| *at <= now);
    let ends = match (token.revoked_at, over, token.expires_at) {
        (Some(at), _, _) => (words.revoked)(&moment(login, at)),
        (None, Some(at), _) => (words.ended)(&moment(login, at)),
        (None, None, Some(at)) => moment(login, at),
        (None, None, None) => words.never.to_owned(),
    };
    Row {
        sends_as: senders.join(", "),
        only: token.message_types.map_or_else(|| words.any.to_owned(), |types| types.join(", ")),
        rate: token.rate.map_or_else(|| words.any.to_owned(), words.rate_of),
        administers: token.admin,
        last_used: token.last_used_at.map_or_else(|| words.never.to_owned(), |at| when(login, at, now).age),
        good: token.revoked_at.is_none() && over.is_none(),
        ends,
        prefix: token.prefix,
        name: token.name,
    }
}
