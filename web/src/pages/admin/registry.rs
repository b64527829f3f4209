//! The Application Registry: its keys by channel, and a test of each channel, which a worker carries out.

use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::address::{self, Channel};
use herald_jobs::check::CheckJob;
use herald_jobs::id;
use herald_jobs::registry;
use herald_jobs::seal::SealError;
use herald_jobs::store;
use herald_jobs::store::checks::Check;
use herald_jobs::store::registry::Entry;
use herald_producers::numbers;

use super::done::Done;
use super::waiting::wait;
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::{Place, Shell, shell};
use crate::pages::when;

/// How long a test is waited for until the page is shown without its end.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Template)]
#[template(path = "admin/registry.html")]
struct Registry {
    shell: Shell,
    channels: Vec<Keys>,
    saved: bool,
    no_keys: Option<String>,
}

/// A channel's keys.
struct Keys {
    name: &'static str,
    title: &'static str,
    entries: Vec<Entry>,
    /// Label and hint of where the test goes.
    to: (&'static str, &'static str),
    typed: String,
    problem: Option<String>,
    last: Option<Told>,
}

/// The last test.
struct Told {
    sentence: String,
    /// Whether it worked; `None`: it has not ended.
    worked: Option<bool>,
    /// Somebody has just asked for it.
    is_new: bool,
}

/// GET /admin/registry
pub(crate) async fn show(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    done: Done,
) -> Result<Response, PageError> {
    page(&app, &login, &jar, &done, None).await
}

/// POST /admin/registry/test/{name}: has a worker try it, and waits a little for what it says.
pub(crate) async fn test(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(name): Path<String>,
    fields: Fields,
) -> Result<Response, PageError> {
    let channel = channel(&name)?;
    let to = fields.get("to");
    let read = match channel {
        Channel::Email => address::email(to),
        Channel::Sms => numbers::e164(to, app.producer.region()),
    };
    let address = match read {
        Ok(address) => address,
        Err(problem) => {
            return page(&app, &login, &jar, &Done::default(), Some((channel, to, problem))).await;
        }
    };
    let now = app.clock.now();
    let job = CheckJob { id: id::new(now), channel, address };
    store::checks::ask(&app.pool, &job, &login.user.username, now).await?;
    let action = format!("check {channel}");
    store::audit::record(&app.pool, &login.user.username, &action, &job.address).await?;
    if let Err(error) = app.queues.check.push(&job).await {
        tracing::warn!("Could not push a test of {channel}: {error}");
        let said = login.words.operations.not_asked;
        store::checks::finish(&app.pool, job.id, Err(said), app.clock.now()).await?;
    }
    let (pool, id) = (&app.pool, job.id);
    let ended = move || async move {
        let last = store::checks::last(pool, channel).await?;
        Ok(last.is_none_or(|last| last.id != id || last.finished_at.is_some()))
    };
    wait(PATIENCE, ended).await?;
    Ok(Redirect::to(&format!("/admin/registry?done=tested&to={channel}#test-{channel}")).into_response())
}

pub(super) fn channel(name: &str) -> Result<Channel, PageError> {
    name.parse().map_err(|_| PageError::NotFound)
}

/// The keys of a channel, as one sets them one after the other.
pub(super) fn of(channel: Channel, mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.retain(|entry| entry.key.starts_with("SMS-") == (channel == Channel::Sms));
    entries.sort_by_key(|entry| registry::position(&entry.key));
    entries
}

/// The keys, with a test that was refused: what was typed, and why.
async fn page(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    done: &Done,
    refused: Option<(Channel, &str, String)>,
) -> Result<Response, PageError> {
    let words = login.words.operations;
    let status = if refused.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let entries = store::registry::entries(&app.pool).await?;
    let mut channels = Vec::new();
    for &channel in Channel::ALL {
        let own = match channel {
            Channel::Email => login.user.email.as_deref(),
            Channel::Sms => login.user.mobile.as_deref(),
        };
        let refused = refused.as_ref().filter(|(refused, _, _)| *refused == channel);
        let last = store::checks::last(&app.pool, channel).await?;
        channels.push(Keys {
            name: channel.as_str(),
            title: (words.keys_of)(channel.as_str()),
            entries: of(channel, entries.clone()),
            to: (words.test_to)(channel.as_str()),
            typed: refused.map_or(own.unwrap_or_default(), |(_, typed, _)| *typed).to_owned(),
            problem: refused.map(|(_, _, problem)| problem.clone()),
            last: last.map(|last| {
                let is_new = done.done == "tested" && done.to == channel.as_str();
                told(app, login, &last, is_new)
            }),
        });
    }
    let shell = shell(app, login, jar, Place::Registry).await?;
    let saved = done.done == "saved";
    let page = Registry { shell, channels, saved, no_keys: no_keys(app, login) };
    Ok((status, Html(page.render()?)).into_response())
}

fn told(app: &App, login: &Login, check: &Check, is_new: bool) -> Told {
    let words = login.words.operations;
    let at = check.finished_at.unwrap_or(check.asked_at);
    let age = when::when(login, at, app.clock.now()).age;
    let said = check.said.as_deref().unwrap_or_default();
    let sentence = match check.succeeded {
        None => (words.test_waits)(&check.address, &age),
        Some(true) => (words.test_worked)(&check.address, &age, said),
        Some(false) => (words.test_failed)(&check.address, &age, said),
    };
    Told { sentence, worked: check.succeeded, is_new }
}

/// Why secrets cannot be saved by this process.
pub(super) fn no_keys(app: &App, login: &Login) -> Option<String> {
    let why = SealError::NoKeys.to_string();
    app.settings.keys.is_empty().then(|| (login.words.operations.no_keys)(&why))
}
