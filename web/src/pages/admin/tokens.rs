//! API tokens: which there are, a new one, and one that is to work no more.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use chrono::{DateTime, Utc};
use herald_jobs::refusal::Refusal;
use herald_jobs::store;
use herald_jobs::store::access::ApiToken;
use herald_jobs::store::change::ChangeError;

use super::done::Done;
use super::fields::{Field, Kind, focus, lines, typed};
use super::form::Refused;
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::access::{WantedToken, new_api_token};
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::{Place, Shell, shell};
use crate::pages::when::{moment, when};
use crate::words::Operations;

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
struct Form {
    shell: Shell,
    fields: Vec<Field>,
    refused: Refused,
}

#[derive(Template)]
#[template(path = "admin/token_made.html")]
struct Made {
    shell: Shell,
    name: String,
    secret: String,
}

/// GET /admin/tokens
pub(crate) async fn show(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    done: Done,
) -> Result<Html<String>, PageError> {
    let now = app.clock.now();
    let tokens = store::access::api_tokens(&app.pool).await?;
    let rows = tokens.into_iter().map(|token| row(&login, token, now)).collect();
    let revoked = done.done == "revoked";
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
    let fields = fields(login.words.operations);
    Ok(Html(Form { shell, fields, refused: Refused::default() }.render()?))
}

/// POST /admin/tokens/new: makes one, and shows it in this answer only.
pub(crate) async fn create(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    typed: Fields,
) -> Result<Response, PageError> {
    let shell = shell(&app, &login, &jar, Place::Tokens).await?;
    let wanted = match read(&typed, login.words.administration.not_a_number) {
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
    let mut fields = fields(login.words.operations);
    for field in &mut fields {
        typed.get(&field.name).clone_into(&mut field.value);
        if field.name == refused.field {
            field.refuse(&*refused.problem);
        }
    }
    focus(&mut fields);
    let refused = Refused { title: login.words.administration.not_done, problem: None };
    let form = Form { shell, fields, refused };
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

fn fields(words: &Operations) -> Vec<Field> {
    vec![
        Field::new("name", words.token_name, Kind::Line),
        Field::new("sender", words.senders, Kind::Lines),
        Field::new("type", words.only_types, Kind::Lines),
        Field::new("rate", words.rate, Kind::Number),
        Field::new("expires", words.expires, Kind::Line),
        Field::new("admin", words.administers, Kind::Tick),
    ]
}

fn read(fields: &Fields, not_a_number: &str) -> Result<WantedToken, Refusal> {
    let rate = typed(fields, "rate").map(|text| text.parse()).transpose();
    Ok(WantedToken {
        name: fields.get("name").trim().to_owned(),
        senders: lines(fields, "sender"),
        message_types: lines(fields, "type"),
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
