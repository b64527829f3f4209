//! Forms of what is maintained, with what stands beside them.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::refusal::Refusal;
use herald_jobs::store::change::ChangeError;

use super::fields::{Field, Kind};
use super::kept::{Beside, Kept};
use super::list::address;
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::assets;
use crate::error::PageError;
use crate::headers::OwnStyles;
use crate::pages::shell::{Shell, shell};
use crate::words::Administration;

#[derive(Template)]
#[template(path = "admin/form.html")]
struct Form {
    shell: Shell,
    title: String,
    list: &'static str,
    list_title: &'static str,
    action: String,
    fields: Vec<Field>,
    /// Which one it was made from; empty: it is new.
    version: String,
    /// Whether what is typed can be saved.
    saves: bool,
    removal: Option<&'static str>,
    trial: Option<&'static str>,
    /// Why nothing was saved, where no field is at fault.
    problem: Option<String>,
    /// Somebody else changed it.
    changed: bool,
    /// The script that tries it while it is typed.
    script: Option<String>,
    beside: String,
}

/// For whom a page is made.
pub(super) struct Page<'a> {
    pub(super) app: &'a App,
    pub(super) login: &'a Login,
    pub(super) jar: &'a CookieJar,
}

/// Why the form is shown.
pub(super) enum Made<'a> {
    /// Somebody opened it.
    Opened,
    /// They want to see what comes of what they typed.
    Tried(&'a Fields),
    /// It could not be saved.
    Refused(&'a Fields, ChangeError),
}

/// The form, with what was typed and why that was refused.
pub(super) async fn show<K: Kept>(
    page: &Page<'_>,
    one: &K,
    made_from: &str,
    made: Made<'_>,
) -> Result<Response, PageError> {
    let &Page { app, login, jar } = page;
    let words = login.words.administration;
    let mut fields = one.fields(words, &K::offered(app).await?);
    let typed = match &made {
        Made::Opened => None,
        Made::Tried(typed) | Made::Refused(typed, _) => Some(*typed),
    };
    for field in fields.iter_mut().filter(|field| !matches!(field.kind, Kind::Fixed)) {
        if let Some(typed) = typed {
            typed.get(field.name).clone_into(&mut field.value);
        }
    }
    let beside = one.beside(&Beside { app, login, typed, tried: matches!(made, Made::Tried(_)) }).await?;
    let (mut problem, mut status) = (None, StatusCode::OK);
    if let Some(refusal) = beside.refused {
        status = StatusCode::UNPROCESSABLE_ENTITY;
        problem = place(&mut fields, refusal, words);
    }
    if let Made::Refused(_, error) = made {
        status = StatusCode::UNPROCESSABLE_ENTITY;
        match error {
            ChangeError::Refused(refusal) => problem = place(&mut fields, refusal, words),
            ChangeError::Kept(why) => problem = Some(why),
            ChangeError::Unexpected(_) if made_from.is_empty() => {
                problem = Some(words.there_is_one.to_owned());
            }
            ChangeError::Unexpected(_) => status = StatusCode::CONFLICT,
            ChangeError::Database(error) => return Err(error.into()),
        }
    }
    let (list_title, new_title) = K::titles(words);
    let is_new = one.name().is_empty();
    let form = Form {
        shell: shell(app, login, jar, K::PLACE).await?,
        title: if is_new { new_title.to_owned() } else { one.name().to_owned() },
        list: K::PATH,
        list_title,
        action: if is_new { format!("/admin/{}/new", K::PATH) } else { address(one) },
        fields,
        version: made_from.to_owned(),
        saves: is_new || K::CHANGES,
        removal: one.removal(words).filter(|_| !is_new),
        trial: K::trial(words),
        problem,
        changed: status == StatusCode::CONFLICT,
        script: K::LIVE.then(|| assets::all().trying.url()),
        beside: beside.html,
    };
    let mut response = (status, Html(form.render()?)).into_response();
    if beside.shows_mail {
        response.extensions_mut().insert(OwnStyles);
    }
    Ok(response)
}

/// Says at its field why it was refused. Answers what is to be said where there is no such field.
fn place(fields: &mut [Field], refusal: Refusal, words: &Administration) -> Option<String> {
    let mut parts = refusal.field.splitn(2, '/');
    let (name, within) = (parts.next().unwrap_or_default(), parts.next());
    let Some(field) = fields.iter_mut().find(|field| field.name == name) else {
        return Some(refusal.to_string());
    };
    let position = |within: &str| within.split('/').next()?.parse::<usize>().ok();
    field.problem = Some(match within {
        // Lists are typed one entry a line.
        Some(within) if let Some(at) = position(within) => (words.on_line)(at + 1, &refusal.problem),
        Some(within) => format!("{within}: {}", refusal.problem),
        None => refusal.problem,
    });
    None
}
