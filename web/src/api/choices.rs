//! Choice sets.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use herald_jobs::choice_set::ChoiceSet;
use herald_jobs::store;

use super::body::JsonBody;
use super::page::{Listed, Page};
use super::problem::{self, Problem};
use super::token::{Caller, actor};
use super::version::{self, Expected};
use crate::app::App;

/// GET /api/v1/choices
pub(crate) async fn list(State(app): State<App>, page: Page) -> Result<Json<Listed<ChoiceSet>>, Problem> {
    let items = store::choice_sets::list(&app.pool, &page.after, page.limit).await?;
    let next = page.next(&items, |item| &item.code);
    Ok(Json(Listed { items, next }))
}

/// GET /api/v1/choices/{code}
pub(crate) async fn show(
    State(app): State<App>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = store::choice_sets::get(&app.pool, &code).await?;
    version::tagged(&headers, &found.ok_or_else(problem::not_found)?)
}

/// PUT /api/v1/choices/{code}: adds it, or replaces the whole of it; fields that are left out get their defaults.
pub(crate) async fn put(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(code): Path<String>,
    Expected(expect): Expected,
    JsonBody(mut set): JsonBody<ChoiceSet>,
) -> Result<Response, Problem> {
    problem::same_name("code", &mut set.code, code)?;
    Ok(version::saved(&store::choice_sets::save(&app.pool, set, &expect, &actor(&token)).await?))
}

/// DELETE /api/v1/choices/{code}: not those that are shipped, nor those that are in use.
pub(crate) async fn remove(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(code): Path<String>,
    Expected(expect): Expected,
) -> Result<StatusCode, Problem> {
    version::removed(store::choice_sets::remove(&app.pool, &code, &expect, &actor(&token)).await?)
}
