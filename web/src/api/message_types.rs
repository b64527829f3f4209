//! Message types.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use herald_jobs::message_type::MessageType;
use herald_jobs::store;

use super::body::JsonBody;
use super::page::{Listed, Page};
use super::problem::{self, Problem};
use super::token::{Caller, actor};
use super::version::{self, Expected};
use crate::app::App;

/// GET /api/v1/message-types
pub(crate) async fn list(State(app): State<App>, page: Page) -> Result<Json<Listed<MessageType>>, Problem> {
    let items = store::message_types::list(&app.pool, &page.after, page.limit).await?;
    let next = page.next(&items, |item| &item.code);
    Ok(Json(Listed { items, next }))
}

/// GET /api/v1/message-types/{code}
pub(crate) async fn show(
    State(app): State<App>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = store::message_types::get(&app.pool, &code).await?;
    version::tagged(&headers, &found.ok_or_else(problem::not_found)?)
}

/// PUT /api/v1/message-types/{code}: adds it, or replaces the whole of it; fields that are left out get their defaults.
pub(crate) async fn put(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(code): Path<String>,
    Expected(expect): Expected,
    JsonBody(mut kind): JsonBody<MessageType>,
) -> Result<Response, Problem> {
    problem::same_name("code", &mut kind.code, code)?;
    Ok(version::saved(&store::message_types::save(&app.pool, kind, &expect, &actor(&token)).await?))
}

/// DELETE /api/v1/message-types/{code}: not those that are shipped.
pub(crate) async fn remove(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(code): Path<String>,
    Expected(expect): Expected,
) -> Result<StatusCode, Problem> {
    version::removed(store::message_types::remove(&app.pool, &code, &expect, &actor(&token)).await?)
}
