//! The events of watched tables: what became of each, and how to let the rules see one once more.

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::store::watched_events::{self, WatchedEvent, Which};
use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::done::Done;
use crate::access::form::{Fields, mask};
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::{Place, Shell, shell};
use crate::pages::when::{When, when};
use crate::words::Running;

/// Events on a page, and beside the form of their watch.
const PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "admin/watched.html")]
struct Watched {
    shell: Shell,
    asked: Asked,
    events: Events,
    next: Option<String>,
    told: Option<&'static str>,
}

/// Events, each with a button where it can be seen once more.
#[derive(Template)]
#[template(path = "admin/events.html")]
struct Events {
    words: &'static Running,
    rows: Vec<(WatchedEvent, When)>,
    /// What follows the address that a replay is posted to.
    query: String,
    form_token: String,
}

/// Which events.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    state: String,
    watch: String,
    before: Option<i64>,
}

impl Asked {
    fn read(asked: Result<Query<Self>, QueryRejection>) -> Result<(Self, Which, Option<i64>), PageError> {
        let bad = || PageError::Bad("This address does not name a page of events.");
        let Query(asked) = asked.map_err(|_| bad())?;
        let which = match asked.state.as_str() {
            "" | "failed" => Which::Failed,
            "waiting" => Which::Waiting,
            "all" => Which::All,
            _ => return Err(bad()),
        };
        let watch = Some(asked.watch.trim()).filter(|text| !text.is_empty());
        let watch = watch.map(|text| text.parse().map_err(|_| bad())).transpose()?;
        Ok((asked, which, watch))
    }

    fn query(&self, before: Option<i64>, done: Option<&str>) -> String {
        let mut query = Serializer::new(String::new());
        for (name, text) in [("state", &self.state), ("watch", &self.watch)] {
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
        query.finish()
    }
}

/// GET /admin/watched
pub(crate) async fn show(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    asked: Result<Query<Asked>, QueryRejection>,
    done: Done,
) -> Result<Html<String>, PageError> {
    let (asked, which, watch) = Asked::read(asked)?;
    let found = watched_events::page(&app.pool, (which, watch), asked.before, PAGE).await?;
    let told = (done.done == "replayed").then_some(login.words.operations.running.replayed);
    let next = found.next.map(|next| format!("/admin/watched?{}", asked.query(Some(next), None)));
    let events = rows(&app, &login, found.events, asked.query(asked.before, None));
    let shell = shell(&app, &login, &jar, Place::Watched).await?;
    Ok(Html(Watched { shell, asked, events, next, told }.render()?))
}

/// POST /admin/watched/replay/{id}
pub(crate) async fn replay(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
    _fields: Fields,
) -> Result<Response, PageError> {
    let (asked, ..) = Asked::read(asked)?;
    let id = id.parse().map_err(|_| PageError::NotFound)?;
    if !watched_events::replay(&app.pool, id, &login.user.username).await? {
        return Err(PageError::NotFound);
    }
    let query = asked.query(asked.before, Some("replayed"));
    Ok(Redirect::to(&format!("/admin/watched?{query}")).into_response())
}

/// The last events of one watch, as they stand beside its form.
pub(super) async fn of_watch(app: &App, login: &Login, watch: i64) -> Result<String, PageError> {
    let found = watched_events::page(&app.pool, (Which::All, Some(watch)), None, PAGE).await?;
    Ok(rows(app, login, found.events, format!("state=all&watch={watch}")).render()?)
}

fn rows(app: &App, login: &Login, events: Vec<WatchedEvent>, query: String) -> Events {
    let now = app.clock.now();
    let rows = events.into_iter().map(|event| {
        let at = when(login, event.at, now);
        (event, at)
    });
    Events {
        words: login.words.operations.running,
        rows: rows.collect(),
        query,
        form_token: mask(&login.form_token),
    }
}
