//! My messages, and my alerts.

use std::collections::HashMap;

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;
use axum_extra::extract::CookieJar;
use herald_jobs::store;
use serde::Deserialize;
use uuid::Uuid;

use super::answer::{self, Answered, Outcome};
use super::row::{Choices, Row, Task};
use super::shell::{Place, Shell, shell};
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;

/// Rows on a page.
const PAGE: usize = 50;

/// Where in the list.
#[derive(Deserialize)]
pub(crate) struct Position {
    /// Continues after this message.
    before: Option<Uuid>,
}

type Asked = Result<Query<Position>, QueryRejection>;
type Page = Result<Html<String>, PageError>;

#[derive(Template)]
#[template(path = "list.html")]
struct List {
    shell: Shell,
    alerts: bool,
    rows: Vec<Row>,
    /// What became of the last Post.
    answered: Vec<Answered>,
    /// The page's own position.
    before: Option<Uuid>,
    /// Where the next page begins.
    older: Option<Uuid>,
}

impl List {
    fn path(&self) -> &'static str {
        if self.alerts { "/alerts" } else { "/messages" }
    }

    fn title(&self) -> &'static str {
        if self.alerts { "My alerts" } else { "My messages" }
    }

    fn pending(&self) -> i64 {
        if self.alerts { self.shell.counts.alerts } else { self.shell.counts.messages }
    }
}

/// GET /messages
pub(crate) async fn messages(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    asked: Asked,
) -> Page {
    page(&app, &login, &jar, false, asked, Posted::default()).await
}

/// GET /alerts
pub(crate) async fn alerts(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    asked: Asked,
) -> Page {
    page(&app, &login, &jar, true, asked, Posted::default()).await
}

/// POST /messages
pub(crate) async fn post_messages(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    asked: Asked,
    fields: Fields,
) -> Page {
    let posted = Posted::act(&app, &login, &fields).await?;
    page(&app, &login, &jar, false, asked, posted).await
}

/// POST /alerts
pub(crate) async fn post_alerts(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    asked: Asked,
    fields: Fields,
) -> Page {
    let posted = Posted::act(&app, &login, &fields).await?;
    page(&app, &login, &jar, true, asked, posted).await
}

/// What the last Post did, and what was typed but not posted.
#[derive(Default)]
struct Posted {
    answered: Vec<Answered>,
    typed: HashMap<Uuid, String>,
}

impl Posted {
    async fn act(app: &App, login: &Login, fields: &Fields) -> Result<Self, PageError> {
        let answered = answer::act(app, login, fields).await?;
        Ok(Self { answered, typed: answer::replies(fields) })
    }
}

async fn page(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    alerts: bool,
    asked: Asked,
    mut posted: Posted,
) -> Page {
    let Query(Position { before }) =
        asked.map_err(|_| PageError::Bad("This address does not name a page of the list."))?;
    let (user, one_more) = (login.user.id, i64::try_from(PAGE + 1).unwrap_or(i64::MAX));
    let mut messages = store::inbox::pending(&app.pool, user, alerts, before, one_more).await?;
    let older = (messages.len() > PAGE).then(|| messages[PAGE - 1].id);
    messages.truncate(PAGE);

    let choices = Choices::load(&app.pool, messages.iter()).await?;
    let unseen: Vec<Uuid> =
        messages.iter().filter(|message| message.seen_at.is_none()).map(|message| message.id).collect();
    if !unseen.is_empty() {
        store::inbox::mark_seen(&app.pool, user, &unseen, app.clock.now()).await?;
    }
    let mut rows: Vec<Row> =
        messages.into_iter().map(|message| Row::listed(app, login, message, &choices)).collect();
    for row in &mut rows {
        row.value = posted.typed.remove(&row.id).unwrap_or_default();
        row.problem =
            posted.answered.iter().find(|answered| answered.id == row.id).and_then(|answered| match answered
                .outcome
            {
                Outcome::Stays(why) => Some(why),
                Outcome::Acted(_) | Outcome::Already(_) | Outcome::TakenBack(_) | Outcome::Gone => None,
            });
    }
    let place = if alerts { Place::Alerts } else { Place::Messages };
    let shell = shell(app, login, jar, place).await?;
    Ok(Html(List { shell, alerts, rows, answered: posted.answered, before, older }.render()?))
}
