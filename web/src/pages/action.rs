//! Act on an Action message: opens the action's URL, in another tab.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::message_type::{CompleteOn, RequiredAction};
use herald_jobs::store;
use herald_jobs::store::inbox::{InboxMessage, Standing};
use uuid::Uuid;

use super::row::{Choices, Row, Task};
use super::shell::{Place, Shell, shell};
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;

#[derive(Template)]
#[template(path = "action.html")]
struct ActionPage {
    shell: Shell,
    row: Row,
    /// It was cancelled or withdrawn: there is nothing to open any more.
    taken_back: bool,
}

/// GET /messages/{id}/act: asks before it opens, since a GET must change nothing.
pub(crate) async fn ask(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let (message, standing) = find(&app, &login, &id).await?;
    page(&app, &login, &jar, message, &standing).await
}

/// POST /messages/{id}/act: records the click where that completes the action, and leads on. An action that is done can be
/// opened again.
pub(crate) async fn open(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(id): Path<String>,
    _fields: Fields,
) -> Result<Response, PageError> {
    let (message, standing) = find(&app, &login, &id).await?;
    let row = Row::whole(&app, &login, message.clone(), &Choices::default());
    match row.task {
        Task::Open(Ok(opening)) if !is_taken_back(&standing) => {
            let (user, now) = (login.user.id, app.clock.now());
            if message.complete_on == CompleteOn::Click {
                store::inbox::act(&app.pool, user, &[(message.id, None)], now).await?;
            } else {
                store::inbox::mark_seen(&app.pool, user, &[message.id], now).await?;
            }
            Ok(Redirect::to(opening.url.as_str()).into_response())
        }
        _ => page(&app, &login, &jar, message, &standing).await,
    }
}

async fn find(app: &App, login: &Login, id: &str) -> Result<(InboxMessage, Standing), PageError> {
    let id = Uuid::try_parse(id).map_err(|_| PageError::NotFound)?;
    store::inbox::some(&app.pool, login.user.id, &[id])
        .await?
        .pop()
        .filter(|(message, _)| message.required_action == RequiredAction::Action)
        .ok_or(PageError::NotFound)
}

async fn page(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    message: InboxMessage,
    standing: &Standing,
) -> Result<Response, PageError> {
    let shell = shell(app, login, jar, Place::Elsewhere).await?;
    let row = Row::whole(app, login, message, &Choices::default());
    let page = ActionPage { shell, row, taken_back: is_taken_back(standing) };
    Ok(Html(page.render()?).into_response())
}

fn is_taken_back(standing: &Standing) -> bool {
    standing.status != "pending" && standing.status != "acted"
}
