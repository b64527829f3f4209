//! Forms of what is maintained, with what stands beside them.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::refusal::Refusal;
use herald_jobs::store::change::ChangeError;

use super::fields::{Field, Kind, entries, focus};
use super::kept::{Beside, Kept, Removal};
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
    removal: Option<Removal>,
    trial: Option<&'static str>,
    /// What was just done.
    told: Option<&'static str>,
    /// What came of a trial, in a sentence.
    said: String,
    refused: Refused,
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
    /// Somebody opened it, or just did this to it.
    Opened(Option<&'static str>),
    /// They want to see what comes of what they typed.
    Tried(&'a Fields),
    /// It could not be done, with what was typed where something was.
    Refused(Option<&'a Fields>, ChangeError),
}

/// What stands above a form that was refused; what its fields say stands there too.
#[derive(Default)]
pub(super) struct Refused {
    /// What was not done; empty: nothing was refused.
    pub(super) title: &'static str,
    /// Why, where no field is at fault.
    pub(super) problem: Option<String>,
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
    let (typed, told) = match &made {
        Made::Opened(told) => (None, *told),
        Made::Tried(typed) => (Some(*typed), None),
        Made::Refused(typed, _) => (*typed, None),
    };
    for field in fields.iter_mut().filter(|field| !matches!(field.kind, Kind::Fixed)) {
        if let Some(typed) = typed {
            typed.get(&field.name).clone_into(&mut field.value);
        }
    }
    let tried = matches!(made, Made::Tried(_));
    let broken = typed.and_then(|typed| typed.whole().err());
    let read = typed.filter(|_| broken.is_none());
    let mut beside = one.beside(&Beside { app, login, typed: read, tried }).await?;
    beside.refused = beside.refused.or(broken.filter(|_| tried));
    let (mut refused, mut status) = (Refused::default(), StatusCode::OK);
    let mut said = if tried { words.only_tried.to_owned() } else { String::new() };
    if let Some(refusal) = beside.refused {
        status = StatusCode::UNPROCESSABLE_ENTITY;
        said = refusal.to_string();
        refused = Refused { title: words.not_tried, problem: place(&mut fields, refusal, words) };
    }
    if let Made::Refused(_, error) = made {
        status = StatusCode::UNPROCESSABLE_ENTITY;
        let problem = match error {
            ChangeError::Refused(refusal) => place(&mut fields, refusal, words),
            ChangeError::Kept(why) => Some(why),
            ChangeError::Unexpected(_) if made_from.is_empty() => Some(words.there_is_one.to_owned()),
            ChangeError::Unexpected(_) => {
                status = StatusCode::CONFLICT;
                None
            }
            ChangeError::Database(error) => return Err(error.into()),
        };
        if status != StatusCode::CONFLICT {
            refused = Refused { title: words.not_done, problem };
        }
    }
    focus(&mut fields);
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
        told,
        said,
        refused,
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
    let problem = match within {
        Some(within) if let Some(at) = position(within) => match field.kind {
            // Lists are typed one entry a line, with empty lines between them or not.
            Kind::Lines | Kind::Source => (words.on_line)(line_of(&field.value, at), &refusal.problem),
            _ => match entries(&field.value).nth(at) {
                Some(entry) => format!("{entry}: {}", refusal.problem),
                None => refusal.problem,
            },
        },
        Some(within) => format!("{within}: {}", refusal.problem),
        None => refusal.problem,
    };
    field.refuse(problem);
    None
}

/// On which line the entry stands, from 1.
fn line_of(text: &str, entry: usize) -> usize {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.nth(entry).map_or(entry, |(at, _)| at) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_told_by_the_line_that_it_stands_on() {
        for (text, entry, line) in [("a", 0, 1), ("a\nb", 1, 2), ("\n a\n \nb\n", 0, 2), ("\na\n\nb", 1, 4)] {
            assert_eq!(line_of(text, entry), line, "{text:?}");
        }
    }
}
