//! Users.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use herald_jobs::account::Account;
use herald_jobs::store;

use super::body::JsonBody;
use super::page::{Listed, Page};
use super::problem::{self, Problem};
use super::token::{Caller, actor};
use super::version::{self, Expected};
use crate::app::App;

/// GET /api/v1/users
pub(crate) async fn list(State(app): State<App>, page: Page) -> Result<Json<Listed<Account>>, Problem> {
    let items = store::accounts::list(&app.pool, &page.after, page.limit).await?;
    let next = page.next(&items, |item| &item.username);
    Ok(Json(Listed { items, next }))
}

/// GET /api/v1/users/{name}
pub(crate) async fn show(
    State(app): State<App>,
    Path(username): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = store::accounts::get(&app.pool, &username.to_lowercase()).await?;
    version::tagged(&headers, &found.ok_or_else(problem::not_found)?)
}

/// PUT /api/v1/users/{name}: adds it, or replaces the whole of it; fields that are left out get their defaults.
pub(crate) async fn put(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(username): Path<String>,
    Expected(expect): Expected,
    JsonBody(mut account): JsonBody<Account>,
) -> Result<Response, Problem> {
    account.username = account.username.trim().to_lowercase();
    problem::same_name("username", &mut account.username, username.to_lowercase())?;
    Ok(version::saved(&store::accounts::save(&app.pool, account, &expect, &actor(&token)).await?))
}

/// DELETE /api/v1/users/{name}: deactivates the user. Messages name their recipients, so that users are never deleted.
pub(crate) async fn remove(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(username): Path<String>,
    Expected(expect): Expected,
) -> Result<StatusCode, Problem> {
    version::removed(
        store::accounts::deactivate(&app.pool, &username.to_lowercase(), &expect, &actor(&token)).await?,
    )
}
