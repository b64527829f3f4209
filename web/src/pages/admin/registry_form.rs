//! The keys of a channel in the Application Registry, as they are filled in. What a secret holds is never shown.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::address::Channel;
use herald_jobs::registry;
use herald_jobs::secret::Secret;
use herald_jobs::store;
use herald_jobs::store::change::{ChangeError, version};
use herald_jobs::store::registry::Entry;
use ring::rand::SystemRandom;

use super::fields::{Field, Kind, focus};
use super::form::Refused;
use super::registry::{channel, no_keys, of};
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::{Place, Shell, shell};
use crate::words::Operations;

#[derive(Template)]
#[template(path = "admin/registry_form.html")]
struct Form {
    shell: Shell,
    name: &'static str,
    title: &'static str,
    fields: Vec<Field>,
    /// Which values it was made from.
    version: String,
    changed: bool,
    refused: Refused,
    no_keys: Option<String>,
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
    let fields = entries.iter().map(|entry| field(entry, login.words.operations)).collect();
    form(&app, &login, &jar, channel, (fields, version(&entries)), StatusCode::OK).await
}

/// POST /admin/registry/edit/{name}
pub(crate) async fn save(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(name): Path<String>,
    typed: Fields,
) -> Result<Response, PageError> {
    let channel = channel(&name)?;
    let entries = of(channel, store::registry::entries(&app.pool).await?);
    let mut fields: Vec<Field> = entries.iter().map(|entry| field(entry, login.words.operations)).collect();
    let mut changes = Vec::new();
    for (entry, field) in entries.iter().zip(&mut fields) {
        fill(field, &typed);
        match change(&app, entry, &typed) {
            Ok(Some(value)) => changes.push((entry.key.clone(), value)),
            Ok(None) => {}
            Err(problem) => field.refuse(problem),
        }
    }
    let made_from = typed.get("version");
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if fields.iter().all(|field| field.problem.is_none()) {
        let expect = |now: &[Entry]| {
            if version(&of(channel, now.to_vec())) != made_from {
                return Err(ChangeError::Unexpected("it was changed after it was read"));
            }
            Ok(registry::check_together(now, &changes, app.settings.allow_plaintext)?)
        };
        match store::registry::change(&app.pool, &changes, &login.user.username, expect).await {
            Ok(()) => return Ok(Redirect::to("/admin/registry?done=saved").into_response()),
            Err(ChangeError::Refused(refusal)) => {
                let at = fields.iter_mut().find(|field| field.name == refusal.field);
                at.into_iter().for_each(|field| field.refuse(&*refusal.problem));
            }
            Err(ChangeError::Unexpected(_) | ChangeError::Kept(_)) => status = StatusCode::CONFLICT,
            Err(ChangeError::Database(error)) => return Err(error.into()),
        }
    }
    for field in &mut fields {
        let is_secret = matches!(field.kind, Kind::Secret { .. });
        if is_secret && field.problem.is_none() && !typed.get(&field.name).is_empty() {
            field.refuse(login.words.operations.secret_again);
        }
    }
    form(&app, &login, &jar, channel, (fields, made_from.to_owned()), status).await
}

/// A key as it is filled in.
fn field(entry: &Entry, words: &Operations) -> Field {
    let one_of = |values: &[&str]| {
        let unset = (String::new(), words.as_if_unset.to_owned());
        let value = |value: &&str| ((*value).to_owned(), (*value).to_owned());
        Kind::One(std::iter::once(unset).chain(values.iter().map(value)).collect())
    };
    let (key, mut meaning) = (entry.key.clone(), entry.description.clone());
    let kind = match key.as_str() {
        _ if entry.secret => {
            meaning = format!("{meaning}. {}", words.secret_hint);
            Kind::Secret { unset: entry.value.is_some().then(|| (words.unset)(&key)), unsets: false }
        }
        "SMTP-SECURITY" => one_of(&["starttls", "tls", "none"]),
        "SMS-PROVIDER" => one_of(&["off", "twilio", "http"]),
        "SMS-METHOD" => one_of(&["POST", "PUT"]),
        "SMS-HEADERS" | "SMS-BODY" => Kind::Source,
        _ => Kind::Line,
    };
    let value = entry.value.clone().filter(|_| !entry.secret).unwrap_or_default();
    Field::new(key.clone(), (key, meaning), kind).holding(value)
}

/// Lets a field hold what was typed.
fn fill(field: &mut Field, typed: &Fields) {
    if let Kind::Secret { unsets, .. } = &mut field.kind {
        *unsets = typed.get(&format!("unset-{}", field.name)) == "on";
    } else {
        typed.get(&field.name).clone_into(&mut field.value);
    }
}

/// What a key is to be changed to; `None`: it stays.
fn change(app: &App, entry: &Entry, typed: &Fields) -> Result<Option<Option<String>>, String> {
    let text = typed.get(&entry.key);
    if !entry.secret {
        let text = text.trim().replace("\r\n", "\n");
        let value = Some(text).filter(|text| !text.is_empty());
        if value == entry.value {
            return Ok(None);
        }
        value.iter().try_for_each(|value| registry::check(&entry.key, value))?;
        return Ok(Some(value));
    }
    if typed.get(&format!("unset-{}", entry.key)) == "on" {
        return Ok(entry.value.is_some().then_some(None));
    }
    if text.is_empty() {
        return Ok(None);
    }
    let sealed = registry::sealed(&app.settings.keys, &entry.key, &Secret::new(text), &SystemRandom::new());
    sealed.map(|sealed| Some(Some(sealed))).map_err(|error| format!("{}: {error}", entry.key))
}

async fn form(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    channel: Channel,
    (mut fields, version): (Vec<Field>, String),
    status: StatusCode,
) -> Result<Response, PageError> {
    let mut refused = Refused::default();
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        refused.title = login.words.administration.not_done;
    }
    focus(&mut fields);
    let page = Form {
        shell: shell(app, login, jar, Place::Registry).await?,
        name: channel.as_str(),
        title: (login.words.operations.keys_of)(channel.as_str()),
        fields,
        version,
        changed: status == StatusCode::CONFLICT,
        refused,
        no_keys: no_keys(app, login),
    };
    Ok((status, Html(page.render()?)).into_response())
}
