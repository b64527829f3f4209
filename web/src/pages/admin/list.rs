//! Lists of what is maintained.

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;
use axum_extra::extract::CookieJar;
use serde::Deserialize;
use url::form_urlencoded::byte_serialize;

use super::done::Done;
use super::kept::Kept;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::{Shell, shell};

/// Rows on a page.
const PAGE: i64 = 100;
/// How many rows a list reads.
pub(super) const ONE_MORE: i64 = PAGE + 1;

#[derive(Template)]
#[template(path = "admin/list.html")]
struct List {
    shell: Shell,
    title: &'static str,
    path: &'static str,
    columns: Vec<&'static str>,
    /// Address and cells of each.
    rows: Vec<(String, Vec<String>)>,
    /// Where the next page begins.
    next: Option<String>,
    /// What was just done.
    told: Option<&'static str>,
    /// What is looked for; `None`: it cannot be.
    search: Option<String>,
    other_way: Option<(&'static str, &'static str)>,
}

impl List {
    fn is_narrowed(&self) -> bool {
        self.search.as_ref().is_some_and(|q| !q.is_empty())
    }
}

/// Where in a list, and what is looked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    pub(super) q: String,
    pub(super) after: String,
}

/// GET /admin/KIND
pub(crate) async fn list<K: Kept>(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    asked: Result<Query<Asked>, QueryRejection>,
    done: Done,
) -> Result<Html<String>, PageError> {
    let words = &login.words.administration;
    let Query(mut asked) =
        asked.map_err(|_| PageError::Bad("This address does not name a page of the list."))?;
    for text in [&mut asked.q, &mut asked.after] {
        *text = text.trim().chars().filter(|c| !c.is_control()).take(100).collect();
    }
    let mut found = K::list(&app, &asked).await?;
    let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let more = found.len() > page;
    found.truncate(page);
    let next = found.last().filter(|_| more).map(|last| {
        let q = if asked.q.is_empty() { String::new() } else { format!("q={}&", escape(&asked.q)) };
        format!("/admin/{}?{q}after={}", K::PATH, escape(last.name()))
    });
    let told = match done.done.as_str() {
        "saved" => Some(words.saved),
        "removed" => Some(words.removed),
        _ => None,
    };
    let list = List {
        shell: shell(&app, &login, &jar, K::PLACE).await?,
        title: K::titles(words).0,
        path: K::PATH,
        columns: K::columns(words),
        rows: found.iter().map(|one| (address(one), one.cells(words))).collect(),
        next,
        told,
        search: K::SEARCHED.then_some(asked.q),
        other_way: K::other_way(login.words),
    };
    Ok(Html(list.render()?))
}

/// Where the form of one is.
pub(super) fn address<K: Kept>(one: &K) -> String {
    format!("/admin/{}/edit/{}", K::PATH, escape(one.name()).replace('+', "%20"))
}

fn escape(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}
