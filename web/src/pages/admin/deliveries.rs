//! Deliveries: the copies that went out or did not, each with its attempts, and how to try one again or withdraw it.

use std::collections::HashMap;

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::address::Channel;
use herald_jobs::deliver::DeliveryState;
use herald_jobs::id::DeliveryId;
use herald_jobs::store::change::ChangeError;
use herald_jobs::store::ledger::{self, Copy, Filter};
use herald_jobs::store::operating;
use serde::Deserialize;
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use super::done::Done;
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::{Place, Shell, shell};
use crate::pages::when::{When, moment, when};
use crate::words::Running;

/// Copies on a page.
const PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "admin/deliveries.html")]
struct Deliveries {
    shell: Shell,
    asked: Asked,
    rows: Vec<Row>,
    next: Option<String>,
    told: Option<&'static str>,
    problem: Option<String>,
}

impl Deliveries {
    fn states() -> &'static [DeliveryState] {
        DeliveryState::ALL
    }

    fn channels() -> &'static [Channel] {
        Channel::ALL
    }
}

/// One copy.
struct Row {
    id: Uuid,
    message_id: Uuid,
    address: String,
    channel: &'static str,
    state: DeliveryState,
    asked: When,
    /// When it is tried next.
    next: Option<String>,
    reason: Option<String>,
    attempts: Vec<Attempt>,
}

struct Attempt {
    number: i32,
    at: When,
    /// How it ended, how long that took, and the reply's code.
    said: String,
    reply: String,
}

impl Row {
    fn may_be_retried(&self) -> bool {
        use DeliveryState::{Failed, Suppressed, Unknown};
        matches!(self.state, Failed | Suppressed | Unknown) && !self.address.is_empty()
    }

    fn is_unknown(&self) -> bool {
        self.state == DeliveryState::Unknown
    }

    fn may_be_cancelled(&self) -> bool {
        self.state == DeliveryState::Pending
    }
}

/// Which copies.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    state: String,
    channel: String,
    address: String,
    before: Option<Uuid>,
}

impl Asked {
    fn filter(&self) -> Result<Filter, PageError> {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let bad = |_| PageError::Bad("This address does not name a page of deliveries.");
        Ok(Filter {
            state: given(&self.state).map(|text| text.parse()).transpose().map_err(bad)?,
            channel: given(&self.channel).map(|text| text.parse()).transpose().map_err(bad)?,
            message: None,
            address: given(&self.address)
                .map(|text| text.chars().filter(|c| !c.is_control()).take(300).collect()),
        })
    }

    fn is_narrowed(&self) -> bool {
        [&self.state, &self.channel, &self.address].iter().any(|text| !text.is_empty())
    }

    /// The address of these copies, or of what is to be done on a page of them.
    fn address(&self, path: &str, before: Option<Uuid>, done: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        for (name, text) in [("state", &self.state), ("channel", &self.channel), ("address", &self.address)] {
            if !text.is_empty() {
                query.append_pair(name, text);
            }
        }
        if let Some(before) = before {
            query.append_pair("before", &before.to_string());
        }
        if let Some(done) = done {
            query.append_pair("done", done);
        }
        format!("/admin/deliveries{path}?{}", query.finish())
    }

    /// Where what is done to a copy is posted to; it leads back to this page.
    fn action(&self, what: &str, id: &Uuid) -> String {
        self.address(&format!("/{what}/{id}"), self.before, None)
    }
}

/// GET /admin/deliveries
pub(crate) async fn show(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    asked: Result<Query<Asked>, QueryRejection>,
    done: Done,
) -> Result<Response, PageError> {
    let words = login.words.operations.running;
    let told = match done.done.as_str() {
        "retried" => Some(words.retried),
        "cancelled" => Some(words.cancelled),
        _ => None,
    };
    page(&app, &login, &jar, read(asked)?, (told, None)).await
}

/// POST /admin/deliveries/retry/{id}
pub(crate) async fn retry(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
    fields: Fields,
) -> Result<Response, PageError> {
    let copy = find(&app, &id).await?;
    // Whoever tries an unknown one again has seen that it is.
    let done = if fields.get("state") == copy.state.as_str() {
        operating::retry(&app.pool, &copy, &login.user.username, app.clock.now()).await
    } else {
        Err(ChangeError::Kept((login.words.operations.running.now_is)(copy.state.as_str())))
    };
    answer(&app, &login, &jar, read(asked)?, (&copy, done, "retried")).await
}

/// POST /admin/deliveries/cancel/{id}
pub(crate) async fn cancel(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
    _fields: Fields,
) -> Result<Response, PageError> {
    let copy = find(&app, &id).await?;
    let done = operating::cancel(&app.pool, &copy, &login.user.username, app.clock.now()).await;
    answer(&app, &login, &jar, read(asked)?, (&copy, done, "cancelled")).await
}

fn read(asked: Result<Query<Asked>, QueryRejection>) -> Result<Asked, PageError> {
    let Query(asked) =
        asked.map_err(|_| PageError::Bad("This address does not name a page of deliveries."))?;
    Ok(asked)
}

async fn find(app: &App, id: &str) -> Result<Copy, PageError> {
    let id: DeliveryId = id.parse().map_err(|_| PageError::NotFound)?;
    ledger::find(&app.pool, id).await?.ok_or(PageError::NotFound)
}

async fn answer(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    asked: Asked,
    (copy, done, what): (&Copy, Result<(), ChangeError>, &str),
) -> Result<Response, PageError> {
    match done {
        Ok(()) => Ok(Redirect::to(&asked.address("", asked.before, Some(what))).into_response()),
        Err(ChangeError::Database(error)) => Err(error.into()),
        Err(why) => {
            let problem = (login.words.operations.running.not_done)(&copy.address, &why.to_string());
            page(app, login, jar, asked, (None, Some(problem))).await
        }
    }
}

async fn page(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    asked: Asked,
    (told, problem): (Option<&'static str>, Option<String>),
) -> Result<Response, PageError> {
    let found = ledger::page(&app.pool, &asked.filter()?, asked.before.map(DeliveryId), PAGE).await?;
    let ids: Vec<Uuid> = found.copies.iter().map(|copy| copy.id).collect();
    let mut attempts: HashMap<Uuid, Vec<ledger::Attempt>> = HashMap::new();
    for attempt in ledger::attempts(&app.pool, &ids).await? {
        attempts.entry(attempt.delivery_id).or_default().push(attempt);
    }
    let rows = found.copies.into_iter().map(|copy| {
        let attempts = attempts.remove(&copy.id).unwrap_or_default();
        row(app, login, copy, attempts)
    });
    let rows = rows.collect();
    let next = found.next.map(|next| asked.address("", Some(next.0), None));
    let status = if problem.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    let shell = shell(app, login, jar, Place::Deliveries).await?;
    let page = Deliveries { shell, asked, rows, next, told, problem };
    Ok((status, Html(page.render()?)).into_response())
}

fn row(app: &App, login: &Login, copy: Copy, attempts: Vec<ledger::Attempt>) -> Row {
    let (now, words) = (app.clock.now(), login.words.operations.running);
    let attempt = |attempt: ledger::Attempt| Attempt {
        number: attempt.number,
        at: when(login, attempt.started_at, now),
        said: said(&attempt, words, login.words.operations.duration),
        reply: attempt.reply,
    };
    Row {
        id: copy.id,
        message_id: copy.message_id,
        address: copy.address,
        channel: copy.channel.as_str(),
        state: copy.state,
        asked: when(login, copy.created_at, now),
        next: (copy.state == DeliveryState::Pending).then(|| moment(login, copy.next_attempt_at)),
        reason: copy.reason,
        attempts: attempts.into_iter().map(attempt).collect(),
    }
}

fn said(attempt: &ledger::Attempt, words: &Running, duration: fn(i64) -> String) -> String {
    let took = duration((attempt.finished_at - attempt.started_at).num_milliseconds());
    (words.ended)((words.outcome)(attempt.outcome), &took, attempt.code)
}
