//! One message, whole: on a page of its own, and in the reading pane of a list.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Html;
use axum_extra::extract::CookieJar;
use herald_jobs::store;
use herald_jobs::store::outputs::Output;
use uuid::Uuid;

use super::answer;
use super::row::{Choices, Row, Task};
use super::shell::{Place, Shell, shell};
use crate::access::form;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::words::Words;

/// What is read of one message.
struct Reading {
    words: &'static Words,
    row: Row,
    /// What can be fetched.
    outputs: Vec<(Output, String)>,
    form_token: String,
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    shell: Shell,
    reading: Reading,
}

#[derive(Template)]
#[template(path = "pane.html")]
struct Pane {
    reading: Reading,
}

/// GET /messages/{id}
pub(crate) async fn show(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(id): Path<String>,
) -> Result<Html<String>, PageError> {
    let reading = read(&app, &login, &id).await?;
    let shell = shell(&app, &login, &jar, Place::Elsewhere).await?;
    Ok(Html(MessagePage { shell, reading }.render()?))
}

/// GET /messages/{id}/pane: the message alone, for the script to show beside the list.
pub(crate) async fn pane(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    Path(id): Path<String>,
) -> Result<Html<String>, PageError> {
    Ok(Html(Pane { reading: read(&app, &login, &id).await? }.render()?))
}

async fn read(app: &App, login: &Login, id: &str) -> Result<Reading, PageError> {
    let id = Uuid::try_parse(id).map_err(|_| PageError::NotFound)?;
    let (user, now) = (login.user.id, app.clock.now());
    let found = store::inbox::some(&app.pool, user, &[id]).await?.pop();
    let (message, standing) = found.ok_or(PageError::NotFound)?;
    let choices = Choices::load(&app.pool, std::iter::once(&message)).await?;
    if message.seen_at.is_none() && standing.status == "pending" {
        store::inbox::mark_seen(&app.pool, user, &[id], now).await?;
    }
    let settled =
        (standing.status != "pending").then(|| answer::history(&message, &standing, &choices, now, login));
    let outputs = store::outputs::of_owner(&app.pool, user, (None, Some(id)), now).await?;
    let outputs = outputs.into_iter().map(|output| {
        let fetch = (login.words.fetch)(&output.name);
        (output, fetch)
    });
    let row = Row { settled, ..Row::whole(app, login, message, &choices) };
    let form_token = form::mask(&login.form_token);
    Ok(Reading { words: login.words, row, outputs: outputs.collect(), form_token })
}
