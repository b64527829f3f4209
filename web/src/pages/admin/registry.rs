//! The Application Registry: its keys by channel, and a test of each channel, which a worker carries out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::address::{self, Channel};
use herald_jobs::check::CheckJob;
use herald_jobs::id;
use herald_jobs::registry;
use herald_jobs::seal::SealError;
use herald_jobs::secret::Secret;
use herald_jobs::store;
use herald_jobs::store::change::{ChangeError, version};
use herald_jobs::store::checks::Check;
use herald_jobs::store::registry::Entry;
use herald_producers::numbers;
use ring::rand::SystemRandom;
use serde::Deserialize;

use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::{Place, Shell, shell};
use crate::pages::when;

/// How long a test is waited for until the page is shown without its end.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether a test has ended.
const LOOK: Duration = Duration::from_millis(100);

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
}

#[derive(Template)]
#[template(path = "admin/registry_form.html")]
struct Form {
    shell: Shell,
    name: &'static str,
    title: &'static str,
    settings: Vec<Setting>,
    /// Which values it was made from.
    version: String,
    changed: bool,
    no_keys: Option<String>,
}

/// A key as it is filled in. What a secret holds is not here.
struct Setting {
    key: String,
    meaning: String,
    value: String,
    kind: Kind,
    problem: Option<String>,
}

enum Kind {
    Line,
    Lines,
    One(&'static [&'static str]),
    Secret { set: bool },
}

impl Setting {
    fn new(entry: &Entry) -> Self {
        let kind = match entry.key.as_str() {
            _ if entry.secret => Kind::Secret { set: entry.value.is_some() },
            "SMTP-SECURITY" => Kind::One(&["starttls", "tls", "none"]),
            "SMS-PROVIDER" => Kind::One(&["off", "twilio", "http"]),
            "SMS-METHOD" => Kind::One(&["POST", "PUT"]),
            "SMS-HEADERS" | "SMS-BODY" => Kind::Lines,
            _ => Kind::Line,
        };
        let value = entry.value.clone().filter(|_| !entry.secret).unwrap_or_default();
        Self { key: entry.key.clone(), meaning: entry.description.clone(), value, kind, problem: None }
    }

    fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret { .. })
    }

    /// What describes the field: its meaning, its problem.
    fn described_by(&self) -> String {
        let problem = self.problem.is_some().then(|| format!(" problem-{}", self.key));
        format!("hint-{}{}", self.key, problem.unwrap_or_default())
    }
}

/// What was just done.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Done {
    done: String,
}

/// GET /admin/registry
pub(crate) async fn show(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    done: Result<Query<Done>, QueryRejection>,
) -> Result<Response, PageError> {
    let saved = done.is_ok_and(|Query(done)| done.done == "saved");
    page(&app, &login, &jar, saved, None).await
}

/// GET /admin/registry/edit/{name}
pub(crate) async fn edit(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let channel = channel(&name)?;
    let entries = of(channel, store::registry::entries(&app.pool).await?);
    form(&app, &login, &jar, channel, &entries, None).await
}

/// POST /admin/registry/edit/{name}
pub(crate) async fn save(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(name): Path<String>,
    fields: Fields,
) -> Result<Response, PageError> {
    let channel = channel(&name)?;
    let entries = of(channel, store::registry::entries(&app.pool).await?);
    let mut refused = Refused::default();
    let mut changes = Vec::new();
    for entry in &entries {
        match typed(&app, entry, &fields) {
            Ok(Some(value)) => changes.push((entry.key.clone(), value)),
            Ok(None) => {}
            Err(problem) => drop(refused.problems.insert(entry.key.clone(), problem)),
        }
    }
    if refused.problems.is_empty() {
        let expect = |now: &[Entry]| {
            if version(&of(channel, now.to_vec())) != fields.get("version") {
                return Err(ChangeError::Unexpected("it was changed after it was read"));
            }
            Ok(registry::check_together(now, &changes, app.settings.allow_plaintext)?)
        };
        match store::registry::change(&app.pool, &changes, &login.user.username, expect).await {
            Ok(()) => return Ok(Redirect::to("/admin/registry?done=saved").into_response()),
            Err(ChangeError::Refused(refusal)) => {
                refused.problems.insert(refusal.field, refusal.problem);
            }
            Err(ChangeError::Unexpected(_) | ChangeError::Kept(_)) => refused.changed = true,
            Err(ChangeError::Database(error)) => return Err(error.into()),
        }
    }
    form(&app, &login, &jar, channel, &entries, Some((&fields, refused))).await
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
            return page(&app, &login, &jar, false, Some((channel, to, problem))).await;
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
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let last = store::checks::last(&app.pool, channel).await?;
        if last.is_none_or(|last| last.id != job.id || last.finished_at.is_some()) {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(Redirect::to(&format!("/admin/registry#test-{channel}")).into_response())
}

fn channel(name: &str) -> Result<Channel, PageError> {
    name.parse().map_err(|_| PageError::NotFound)
}

/// The keys of a channel.
fn of(channel: Channel, entries: Vec<Entry>) -> Vec<Entry> {
    let is_sms = |entry: &Entry| entry.key.starts_with("SMS-");
    entries.into_iter().filter(|entry| is_sms(entry) == (channel == Channel::Sms)).collect()
}

/// What a key is to be changed to; `None`: it stays.
fn typed(app: &App, entry: &Entry, fields: &Fields) -> Result<Option<Option<String>>, String> {
    let text = fields.get(&entry.key);
    if !entry.secret {
        let text = text.trim().replace("\r\n", "\n");
        let value = Some(text).filter(|text| !text.is_empty());
        if value == entry.value {
            return Ok(None);
        }
        value.iter().try_for_each(|value| registry::check(&entry.key, value))?;
        return Ok(Some(value));
    }
    if fields.get(&format!("unset-{}", entry.key)) == "on" {
        return Ok(entry.value.is_some().then_some(None));
    }
    if text.is_empty() {
        return Ok(None);
    }
    let sealed = registry::sealed(&app.settings.keys, &entry.key, &Secret::new(text), &SystemRandom::new());
    sealed.map(|sealed| Some(Some(sealed))).map_err(|error| format!("{}: {error}", entry.key))
}

/// Why what was typed was not saved.
#[derive(Default)]
struct Refused {
    /// By key.
    problems: HashMap<String, String>,
    /// Somebody else changed it.
    changed: bool,
}

async fn form(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    channel: Channel,
    entries: &[Entry],
    refused: Option<(&Fields, Refused)>,
) -> Result<Response, PageError> {
    let words = login.words.operations;
    let mut settings: Vec<Setting> = entries.iter().map(Setting::new).collect();
    let (mut made_from, mut changed, mut status) = (version(&entries), false, StatusCode::OK);
    if let Some((fields, Refused { mut problems, changed: by_another })) = refused {
        fields.get("version").clone_into(&mut made_from);
        changed = by_another;
        status = if changed { StatusCode::CONFLICT } else { StatusCode::UNPROCESSABLE_ENTITY };
        for setting in &mut settings {
            let text = fields.get(&setting.key);
            setting.problem = problems.remove(&setting.key);
            if !setting.is_secret() {
                text.clone_into(&mut setting.value);
            } else if !text.is_empty() && setting.problem.is_none() {
                setting.problem = Some(words.secret_again.to_owned());
            }
        }
    }
    let page = Form {
        shell: shell(app, login, jar, Place::Registry).await?,
        name: channel.as_str(),
        title: (words.keys_of)(channel.as_str()),
        settings,
        version: made_from,
        changed,
        no_keys: no_keys(app, login),
    };
    Ok((status, Html(page.render()?)).into_response())
}

/// The keys, with a test that was refused: what was typed, and why.
async fn page(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    saved: bool,
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
            last: last.map(|last| told(app, login, &last)),
        });
    }
    let shell = shell(app, login, jar, Place::Registry).await?;
    let page = Registry { shell, channels, saved, no_keys: no_keys(app, login) };
    Ok((status, Html(page.render()?)).into_response())
}

fn told(app: &App, login: &Login, check: &Check) -> Told {
    let words = login.words.operations;
    let at = check.finished_at.unwrap_or(check.asked_at);
    let age = when::when(login, at, app.clock.now()).age;
    let said = check.said.as_deref().unwrap_or_default();
    let sentence = match check.succeeded {
        None => (words.test_waits)(&check.address, &age),
        Some(true) => (words.test_worked)(&check.address, &age, said),
        Some(false) => (words.test_failed)(&check.address, &age, said),
    };
    Told { sentence, worked: check.succeeded }
}

/// Why secrets cannot be saved by this process.
fn no_keys(app: &App, login: &Login) -> Option<String> {
    let why = SealError::NoKeys.to_string();
    app.settings.keys.is_empty().then(|| (login.words.operations.no_keys)(&why))
}
