//! My messages, and my alerts: what waits, and what was done.

use std::collections::HashMap;

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Html;
use axum_extra::extract::CookieJar;
use herald_jobs::store;
use herald_jobs::store::inbox::{InboxMessage, Standing};
use herald_jobs::store::inbox_search::{self, Found};
use uuid::Uuid;

use super::answer::{self, Answered, Outcome};
use super::row::{Choices, Row, Task};
use super::search::Asked;
use super::shell::{Place, Shell, shell};
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;

/// Rows on a page.
const PAGE: i64 = 50;
/// Message types that the filter suggests; others can be typed.
const SUGGESTED: i64 = 60;

type Address = Result<Query<Asked>, QueryRejection>;
type Page = Result<(StatusCode, Html<String>), PageError>;

#[derive(Template)]
#[template(path = "list.html")]
struct List {
    shell: Shell,
    alerts: bool,
    asked: Asked,
    /// Whether the days of the search are none.
    bad_days: [bool; 2],
    /// Codes of message types.
    types: Vec<String>,
    rows: Vec<Row>,
    /// What became of the last Post.
    answered: Vec<Answered>,
    /// The page's own position.
    before: Option<Uuid>,
    /// Where the next page begins.
    next: Option<Uuid>,
    /// How many of those that wait the page knows of, and the newest of them: what is more or newer, it says or shows.
    shown: i64,
    newest: String,
}

impl List {
    fn path(&self) -> &'static str {
        if self.alerts { "/alerts" } else { "/messages" }
    }

    fn title(&self) -> &'static str {
        if self.alerts { self.shell.words.my_alerts } else { self.shell.words.my_messages }
    }

    fn pending(&self) -> i64 {
        if self.alerts { self.shell.counts.alerts } else { self.shell.counts.messages }
    }

    /// This page's own address.
    fn address(&self) -> String {
        format!("{}{}", self.path(), self.asked.address(self.before))
    }

    /// The address of the first page of this search.
    fn first(&self) -> String {
        format!("{}{}", self.path(), self.asked.address(None))
    }

    fn next_address(&self) -> Option<String> {
        self.next.map(|next| format!("{}{}", self.path(), self.asked.address(Some(next))))
    }

    /// Whether there may be more, though the page is not full.
    fn goes_on(&self) -> bool {
        self.next.is_some() && self.rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX)
    }

    /// What the Post did that needs no look, folded away when it is much.
    fn done(&self) -> Vec<&Answered> {
        self.answered.iter().filter(|answered| answered.outcome.is_done()).collect()
    }

    fn not_done(&self) -> Vec<&Answered> {
        self.answered.iter().filter(|answered| !answered.outcome.is_done()).collect()
    }

    /// What scripts say, with 0 where the number goes.
    fn new_ones(&self) -> String {
        (self.shell.words.new_ones)(0)
    }

    fn selected(&self) -> String {
        (self.shell.words.selected)(0)
    }

    fn done_words(&self) -> String {
        (self.shell.words.done)(self.done().len())
    }

    /// Whether there is something to post.
    fn has_boxes(&self) -> bool {
        self.rows.iter().any(|row| row.settled.is_none() && !row.opens())
    }

    /// What an empty list says.
    fn nothing(&self) -> &'static str {
        let words = self.shell.words;
        match () {
            () if self.goes_on() => words.no_match_yet,
            () if self.before.is_some() => words.nothing_older,
            () if self.asked.is_narrowed() => words.no_match,
            () if self.asked.is_history() => words.no_history,
            () if self.alerts => words.no_alerts,
            () => words.no_messages,
        }
    }
}

/// GET /messages
pub(crate) async fn messages(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    asked: Address,
) -> Page {
    page(&app, &login, &jar, false, asked, Posted::default()).await
}

/// GET /alerts
pub(crate) async fn alerts(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    asked: Address,
) -> Page {
    page(&app, &login, &jar, true, asked, Posted::default()).await
}

/// POST /messages
pub(crate) async fn post_messages(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    asked: Address,
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
    asked: Address,
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
    asked: Address,
    posted: Posted,
) -> Page {
    let Query(asked) = asked.map_err(|_| PageError::Bad("This address does not name a page of the list."))?;
    let asked = asked.clean();
    let (before, bad_days) = (asked.position()?, asked.bad_days());
    let search = asked.search(alerts, login.zone)?;
    let is_bad = bad_days.contains(&true);
    // Before the list is read: what comes in between stands in it, or is more than the page knows of.
    let shell = shell(app, login, jar, if alerts { Place::Alerts } else { Place::Messages }).await?;
    let newest = store::inbox::newest(&app.pool, login.user.id, alerts).await?.unwrap_or(Uuid::nil());
    let found = if is_bad {
        Found::default()
    } else {
        inbox_search::find(&app.pool, login.user.id, &search, before, PAGE).await?
    };
    let between = found.rows.iter().map(|(message, _)| message.id).filter(|id| *id > newest);
    let newest = between.clone().max().unwrap_or(newest);
    let between = i64::try_from(between.count()).unwrap_or(0);
    let types = store::message_types::list(&app.pool, "", SUGGESTED).await?;
    let rows = rows(app, login, found.rows, &posted).await?;
    let list = List {
        shown: between + if alerts { shell.counts.alerts } else { shell.counts.messages },
        shell,
        alerts,
        asked,
        bad_days,
        types: types.into_iter().map(|kind| kind.code).collect(),
        rows,
        answered: posted.answered,
        before,
        next: found.next,
        newest: newest.to_string(),
    };
    let status = if is_bad { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok((status, Html(list.render()?)))
}

/// The rows to show. Those that wait are seen from now on.
async fn rows(
    app: &App,
    login: &Login,
    found: Vec<(InboxMessage, Standing)>,
    posted: &Posted,
) -> Result<Vec<Row>, PageError> {
    let now = app.clock.now();
    let choices = Choices::load(&app.pool, found.iter().map(|(message, _)| message)).await?;
    let unseen: Vec<Uuid> = found
        .iter()
        .filter(|(message, standing)| message.seen_at.is_none() && standing.status == "pending")
        .map(|(message, _)| message.id)
        .collect();
    if !unseen.is_empty() {
        store::inbox::mark_seen(&app.pool, login.user.id, &unseen, now).await?;
    }
    let row = |(message, standing): (InboxMessage, Standing)| {
        let settled = (standing.status != "pending")
            .then(|| answer::history(&message, &standing, &choices, now, login));
        let new = settled.is_none() && message.seen_at.is_none();
        let mut row = Row { settled, new, ..Row::listed(app, login, message, &choices) };
        row.value = posted.typed.get(&row.id).cloned().unwrap_or_default();
        row.problem =
            posted.answered.iter().find(|answered| answered.id == row.id).and_then(|answered| match answered
                .outcome
            {
                Outcome::Stays(why) => Some(why),
                Outcome::Acted(_) | Outcome::Already(_) | Outcome::TakenBack(_) | Outcome::Gone => None,
            });
        row
    };
    Ok(found.into_iter().map(row).collect())
}
