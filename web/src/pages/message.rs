//! One message, whole.

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
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage {
    shell: Shell,
    row: Row,
    /// What can be fetched.
    outputs: Vec<Output>,
    /// How it stands, once it is no longer pending.
    settled: Option<String>,
}

/// GET /messages/{id}
pub(crate) async fn show(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(id): Path<String>,
) -> Result<Html<String>, PageError> {
    let id = Uuid::try_parse(&id).map_err(|_| PageError::NotFound)?;
    let (user, now) = (login.user.id, app.clock.now());
    let found = store::inbox::some(&app.pool, user, &[id]).await?.pop();
    let (message, standing) = found.ok_or(PageError::NotFound)?;
    let choices = Choices::load(&app.pool, std::iter::once(&message)).await?;
    if message.seen_at.is_none() {
        store::inbox::mark_seen(&app.pool, user, &[id], now).await?;
    }
    let settled = (standing.status != "pending")
        .then(|| answer::settled(&message, &standing, &choices, now, &login).words());
    let outputs = store::outputs::of_owner(&app.pool, user, (None, Some(id)), now).await?;
    let shell = shell(&app, &login, &jar, Place::Elsewhere).await?;
    let row = Row::whole(&app, &login, message, &choices);
    Ok(Html(MessagePage { shell, row, outputs, settled }.render()?))
}
