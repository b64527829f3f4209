//! What is maintained: lists and forms, the same for all kinds. Forms keep what was typed when they refuse, say why at the field, and
//! save nothing over a change that somebody else made meanwhile.

use std::future::Future;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::refusal::Refusal;
use herald_jobs::store;
use herald_jobs::store::change::{ChangeError, Expect, Saved, version};
use serde::Serialize;

use super::done::Done;
use super::fields::Field;
use super::form::{self, Made, Page};
use super::list::Asked;
pub(crate) use super::list::list;
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::Place;
use crate::words::{Administration, Words};

/// Something that is maintained: found by its name, changed as a whole.
pub(crate) trait Kept: Serialize + Default + Send + Sync + Sized + 'static {
    /// Where its pages are, below `/admin/`.
    const PATH: &'static str;
    /// Where it is in the menus.
    const PLACE: Place;
    /// Whether its list can be searched.
    const SEARCHED: bool = false;
    /// Whether it can be changed, and is not only added and removed.
    const CHANGES: bool = true;
    /// Whether its form is tried while it is typed.
    const LIVE: bool = false;

    /// The list's title, and the one of the form that adds.
    fn titles(words: &Administration) -> (&'static str, &'static str);
    /// The columns of a list.
    fn columns(words: &Administration) -> Vec<&'static str>;
    /// Its cells, the first one its name.
    fn cells(&self, words: &Administration) -> Vec<String>;
    /// What it is called.
    fn name(&self) -> &str;
    /// How it is removed; `None`: it cannot be.
    fn removal(&self, words: &Administration) -> Option<Removal>;
    /// What the button says that tries what was typed and saves nothing; `None`: there is none.
    fn trial(_: &Administration) -> Option<&'static str> {
        None
    }
    /// What is said on its own page of what was just done to it.
    fn told(_: &Administration, _: &str) -> Option<&'static str> {
        None
    }
    /// Its form.
    fn fields(&self, words: &Administration, offered: &Offered) -> Vec<Field>;
    /// What was typed.
    fn read(fields: &Fields, words: &Administration) -> Result<Self, Refusal>;

    /// The codes that its form may refer to.
    fn offered(_: &App) -> impl Future<Output = Result<Offered, store::Error>> + Send {
        async { Ok(Offered::default()) }
    }
    /// Another way to add some: its address below [`PATH`](Self::PATH), and what it is called.
    fn other_way(_: &Words) -> Option<(&'static str, &'static str)> {
        None
    }
    /// What stands beside its form.
    fn beside(&self, _: &Beside<'_>) -> impl Future<Output = Result<Aside, PageError>> + Send {
        async { Ok(Aside::default()) }
    }
    fn list(app: &App, asked: &Asked) -> impl Future<Output = Result<Vec<Self>, store::Error>> + Send;
    fn get(app: &App, name: &str) -> impl Future<Output = Result<Option<Self>, store::Error>> + Send;
    fn save(
        self,
        app: &App,
        expect: &Expect,
        actor: &str,
    ) -> impl Future<Output = Result<Saved<Self>, ChangeError>> + Send;
    fn remove(
        app: &App,
        name: &str,
        expect: &Expect,
        actor: &str,
    ) -> impl Future<Output = Result<bool, ChangeError>> + Send;
}

/// How something is removed: only by whoever has read what follows.
pub(crate) struct Removal {
    /// What the button says that asks, and the one that does it.
    pub(super) words: (&'static str, &'static str),
    /// What follows.
    pub(super) follows: &'static str,
}

impl Removal {
    pub(super) fn new(words: (&'static str, &'static str), follows: &'static str) -> Self {
        Self { words, follows }
    }
}

/// Most codes that a form offers; others can be had by the API.
pub(super) const MOST_OFFERED: i64 = 1_000;

/// What forms refer to, by code.
#[derive(Default)]
pub(crate) struct Offered {
    pub(super) choice_sets: Vec<String>,
    pub(super) models: Vec<String>,
    pub(super) message_types: Vec<String>,
    pub(super) templates: Vec<String>,
    /// Number and name of each.
    pub(super) watches: Vec<(String, String)>,
}

/// Whose form it is that something stands beside.
pub(crate) struct Beside<'a> {
    pub(super) app: &'a App,
    pub(super) login: &'a Login,
    /// What was typed; `None`: the form is shown as it is saved.
    pub(super) typed: Option<&'a Fields>,
    /// Whether that is to be tried.
    pub(super) tried: bool,
}

/// What stands beside a form.
#[derive(Default)]
pub(crate) struct Aside {
    /// Rendered by a template of its own, which escapes.
    pub(super) html: String,
    /// What a trial refused.
    pub(super) refused: Option<Refusal>,
    /// It has a frame, now or later, in which mail brings its own styles.
    pub(super) shows_mail: bool,
}

/// GET /admin/KIND/new
pub(crate) async fn new<K: Kept>(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
) -> Result<Response, PageError> {
    let page = Page { app: &app, login: &login, jar: &jar };
    form::show(&page, &K::default(), "", Made::Opened(None)).await
}

/// GET /admin/KIND/edit/{name}
pub(crate) async fn edit<K: Kept>(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(name): Path<String>,
    done: Done,
) -> Result<Response, PageError> {
    let one = find::<K>(&app, &name).await?;
    let page = Page { app: &app, login: &login, jar: &jar };
    let told = K::told(login.words.administration, &done.done);
    form::show(&page, &one, &version(&one), Made::Opened(told)).await
}

/// POST /admin/KIND/new: saves it, or tries it.
pub(crate) async fn add<K: Kept>(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    fields: Fields,
) -> Result<Response, PageError> {
    let page = Page { app: &app, login: &login, jar: &jar };
    if fields.get("do") == "try" {
        return form::show(&page, &K::default(), "", Made::Tried(&fields)).await;
    }
    let saved = match read::<K>(&fields, login.words.administration) {
        Ok(one) => one.save(&app, &Expect::Nothing, &login.user.username).await.map(drop),
        Err(refusal) => Err(refusal.into()),
    };
    answer(&page, &K::default(), &fields, "", saved).await
}

/// POST /admin/KIND/edit/{name}: saves it, tries it, or removes it.
pub(crate) async fn change<K: Kept>(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(name): Path<String>,
    fields: Fields,
) -> Result<Response, PageError> {
    let one = find::<K>(&app, &name).await?;
    let page = Page { app: &app, login: &login, jar: &jar };
    let (actor, made_from) = (&login.user.username, fields.get("version"));
    let expect = Expect::Version(vec![made_from.to_owned()]);
    match fields.get("do") {
        "try" => return form::show(&page, &one, made_from, Made::Tried(&fields)).await,
        "remove" => {
            return match K::remove(&app, one.name(), &expect, actor).await {
                Ok(_) => Ok(Redirect::to(&format!("/admin/{}?done=removed", K::PATH)).into_response()),
                Err(error) => form::show(&page, &one, made_from, Made::Refused(Some(&fields), error)).await,
            };
        }
        _ => {}
    }
    let saved = match read::<K>(&fields, login.words.administration) {
        Ok(read) if read.name() == one.name() => read.save(&app, &expect, actor).await.map(drop),
        Ok(_) => return Err(PageError::Bad("The form is for another one than its address.")),
        Err(refusal) => Err(refusal.into()),
    };
    answer(&page, &one, &fields, made_from, saved).await
}

fn read<K: Kept>(fields: &Fields, words: &Administration) -> Result<K, Refusal> {
    fields.whole().and_then(|()| K::read(fields, words))
}

/// The one of this name.
pub(super) async fn find<K: Kept>(app: &App, name: &str) -> Result<K, PageError> {
    if name.contains('\0') {
        return Err(PageError::NotFound);
    }
    K::get(app, name).await?.ok_or(PageError::NotFound)
}

async fn answer<K: Kept>(
    page: &Page<'_>,
    one: &K,
    fields: &Fields,
    made_from: &str,
    saved: Result<(), ChangeError>,
) -> Result<Response, PageError> {
    match saved {
        Ok(()) => Ok(Redirect::to(&format!("/admin/{}?done=saved", K::PATH)).into_response()),
        Err(error) => form::show(page, one, made_from, Made::Refused(Some(fields), error)).await,
    }
}
