//! Lists and forms of what is maintained. Forms keep what was typed when they refuse, say why at the field, and save nothing
//! over a change that somebody else made meanwhile.

use std::future::Future;

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::refusal::Refusal;
use herald_jobs::store::change::{ChangeError, Expect, Saved, version};
use herald_jobs::store::{self, PgPool};
use serde::{Deserialize, Serialize};
use url::form_urlencoded::byte_serialize;

use super::fields::{Field, Kind};
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::{Place, Shell, shell};
use crate::words::{Administration, Words};

/// Rows on a page.
const PAGE: i64 = 100;

/// Something that is maintained: found by its name, changed as a whole.
pub(crate) trait Kept: Serialize + Default + Send + Sync + Sized + 'static {
    /// Where its pages are, below `/admin/`.
    const PATH: &'static str;
    /// Where it is in the menus.
    const PLACE: Place;
    /// Whether its list can be searched.
    const SEARCHED: bool = false;

    /// The list's title, and the one of the form that adds.
    fn titles(words: &Administration) -> (&'static str, &'static str);
    /// The columns of a list.
    fn columns(words: &Administration) -> Vec<&'static str>;
    /// Its cells, the first one its name.
    fn cells(&self, words: &Administration) -> Vec<String>;
    /// What it is called, and what removing it is called; `None`: it stays.
    fn name(&self) -> &str;
    /// What the button that removes it says; `None`: there is none.
    fn removal(&self, words: &Administration) -> Option<&'static str>;
    /// Its form. `choices` are the codes that it may refer to.
    fn fields(&self, words: &Administration, choices: &[String]) -> Vec<Field>;
    /// What was typed.
    fn read(fields: &Fields, words: &Administration) -> Result<Self, Refusal>;

    /// Another way to add some: its address below [`PATH`](Self::PATH), and what it is called.
    fn other_way(_: &Words) -> Option<(&'static str, &'static str)> {
        None
    }
    /// What stands below its form, rendered by a template of its own, which escapes.
    fn beside(&self, _: &Login) -> Result<String, askama::Error> {
        Ok(String::new())
    }

    /// Those in which `words` stand.
    fn search(
        pool: &PgPool,
        _words: &str,
        after: &str,
    ) -> impl Future<Output = Result<Vec<Self>, store::Error>> + Send {
        Self::list(pool, after)
    }
    fn list(pool: &PgPool, after: &str) -> impl Future<Output = Result<Vec<Self>, store::Error>> + Send;
    fn get(pool: &PgPool, name: &str) -> impl Future<Output = Result<Option<Self>, store::Error>> + Send;
    fn save(
        self,
        pool: &PgPool,
        expect: &Expect,
        actor: &str,
    ) -> impl Future<Output = Result<Saved<Self>, ChangeError>> + Send;
    fn remove(
        pool: &PgPool,
        name: &str,
        expect: &Expect,
        actor: &str,
    ) -> impl Future<Output = Result<bool, ChangeError>> + Send;
}

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
    removal: Option<&'static str>,
    /// Why nothing was saved, where no field is at fault.
    problem: Option<String>,
    /// Somebody else changed it.
    changed: bool,
    beside: String,
}

/// Where in a list.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Position {
    q: String,
    after: String,
    done: String,
}

/// GET /admin/KIND
pub(crate) async fn list<K: Kept>(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    position: Result<Query<Position>, QueryRejection>,
) -> Result<Html<String>, PageError> {
    let words = &login.words.administration;
    let Query(position) =
        position.map_err(|_| PageError::Bad("This address does not name a page of the list."))?;
    let clean =
        |text: &str| -> String { text.trim().chars().filter(|c| !c.is_control()).take(100).collect() };
    let (q, after) = (clean(&position.q), clean(&position.after));
    let mut found = if q.is_empty() {
        K::list(&app.pool, &after).await?
    } else {
        K::search(&app.pool, &q, &after).await?
    };
    let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let more = found.len() > page;
    found.truncate(page);
    let next = found.last().filter(|_| more).map(|last| {
        let q = if q.is_empty() { String::new() } else { format!("q={}&", escape(&q)) };
        format!("/admin/{}?{q}after={}", K::PATH, escape(last.name()))
    });
    let told = match position.done.as_str() {
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
        search: K::SEARCHED.then_some(q),
        other_way: K::other_way(login.words),
    };
    Ok(Html(list.render()?))
}

/// GET /admin/KIND/new
pub(crate) async fn new<K: Kept>(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
) -> Result<Response, PageError> {
    form(&app, &login, &jar, &K::default(), "", None).await
}

/// GET /admin/KIND/edit/{name}
pub(crate) async fn edit<K: Kept>(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let one = find::<K>(&app, &name).await?;
    form(&app, &login, &jar, &one, &version(&one), None).await
}

/// POST /admin/KIND/new
pub(crate) async fn add<K: Kept>(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    fields: Fields,
) -> Result<Response, PageError> {
    let words = &login.words.administration;
    let saved = match K::read(&fields, words) {
        Ok(one) => one.save(&app.pool, &Expect::Nothing, &login.user.username).await.map(drop),
        Err(refusal) => Err(refusal.into()),
    };
    answer(&app, &login, &jar, &K::default(), &fields, "", saved).await
}

/// POST /admin/KIND/edit/{name}: saves it, or removes it.
pub(crate) async fn change<K: Kept>(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(name): Path<String>,
    fields: Fields,
) -> Result<Response, PageError> {
    let one = find::<K>(&app, &name).await?;
    let (words, actor, made_from) =
        (&login.words.administration, &login.user.username, fields.get("version"));
    let expect = Expect::Version(vec![made_from.to_owned()]);
    if fields.get("do") == "remove" {
        return match K::remove(&app.pool, one.name(), &expect, actor).await {
            Ok(_) => Ok(Redirect::to(&format!("/admin/{}?done=removed", K::PATH)).into_response()),
            Err(error) => form(&app, &login, &jar, &one, made_from, Some((&fields, error))).await,
        };
    }
    let saved = match K::read(&fields, words) {
        Ok(read) if read.name() == one.name() => read.save(&app.pool, &expect, actor).await.map(drop),
        Ok(_) => return Err(PageError::Bad("The form is for another one than its address.")),
        Err(refusal) => Err(refusal.into()),
    };
    answer(&app, &login, &jar, &one, &fields, made_from, saved).await
}

async fn find<K: Kept>(app: &App, name: &str) -> Result<K, PageError> {
    if name.contains('\0') {
        return Err(PageError::NotFound);
    }
    K::get(&app.pool, name).await?.ok_or(PageError::NotFound)
}

async fn answer<K: Kept>(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    one: &K,
    fields: &Fields,
    made_from: &str,
    saved: Result<(), ChangeError>,
) -> Result<Response, PageError> {
    match saved {
        Ok(()) => Ok(Redirect::to(&format!("/admin/{}?done=saved", K::PATH)).into_response()),
        Err(error) => form(app, login, jar, one, made_from, Some((fields, error))).await,
    }
}

/// The form, with what was typed and why that was refused.
async fn form<K: Kept>(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    one: &K,
    made_from: &str,
    refused: Option<(&Fields, ChangeError)>,
) -> Result<Response, PageError> {
    let words: &'static Words = login.words;
    let sets = store::choice_sets::list(&app.pool, "", 1_000).await?;
    let sets: Vec<String> = sets.into_iter().map(|set| set.code).collect();
    let mut fields = one.fields(words.administration, &sets);
    let (mut problem, mut changed, mut status) = (None, false, StatusCode::OK);
    if let Some((typed, error)) = refused {
        status = StatusCode::UNPROCESSABLE_ENTITY;
        for field in fields.iter_mut().filter(|field| !matches!(field.kind, Kind::Fixed)) {
            typed.get(field.name).clone_into(&mut field.value);
        }
        match error {
            ChangeError::Refused(refusal) => {
                let name = refusal.field.split('/').next().unwrap_or_default();
                match fields.iter_mut().find(|field| field.name == name) {
                    Some(field) => field.problem = Some(refusal.problem),
                    None => problem = Some(refusal.to_string()),
                }
            }
            ChangeError::Kept(why) => problem = Some(why),
            ChangeError::Unexpected(_) if made_from.is_empty() => {
                problem = Some(words.administration.there_is_one.to_owned());
            }
            ChangeError::Unexpected(_) => changed = true,
            ChangeError::Database(error) => return Err(error.into()),
        }
        if changed {
            status = StatusCode::CONFLICT;
        }
    }
    let (list_title, new_title) = K::titles(words.administration);
    let is_new = one.name().is_empty();
    let page = Form {
        shell: shell(app, login, jar, K::PLACE).await?,
        title: if is_new { new_title.to_owned() } else { one.name().to_owned() },
        list: K::PATH,
        list_title,
        action: if is_new { format!("/admin/{}/new", K::PATH) } else { address(one) },
        fields,
        version: made_from.to_owned(),
        removal: one.removal(words.administration).filter(|_| !is_new),
        problem,
        changed,
        beside: if is_new { String::new() } else { one.beside(login)? },
    };
    Ok((status, Html(page.render()?)).into_response())
}

fn address<K: Kept>(one: &K) -> String {
    format!("/admin/{}/edit/{}", K::PATH, escape(one.name()).replace('+', "%20"))
}

fn escape(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}
