//! Models: which tables templates may read.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use herald_jobs::model::{Model, Table};
use herald_jobs::store;
use herald_jobs::store::change::Expect;
use schemars::JsonSchema;
use serde::Serialize;

use super::body::JsonBody;
use super::problem::{self, Problem};
use super::token::{Caller, actor};
use crate::app::App;

/// All models.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Models {
    models: Vec<Model>,
}

/// GET /api/v1/models
pub(crate) async fn list(State(app): State<App>) -> Result<Json<impl Serialize>, Problem> {
    let models = store::models::all(&app.pool).await?;
    Ok(Json(Models { models: models.into_iter().map(|(model, _)| model).collect() }))
}

/// A model, and what templates can name.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ModelShown")]
pub(crate) struct Shown {
    #[serde(flatten)]
    model: Model,
    fields: Vec<Field>,
    related: Vec<Related>,
}

#[derive(Serialize, JsonSchema)]
struct Field {
    name: String,
    sql_type: String,
}

#[derive(Serialize, JsonSchema)]
struct Related {
    names: Vec<String>,
    model: String,
    many: bool,
}

impl From<Table> for Shown {
    fn from(table: Table) -> Self {
        let fields = table.columns.into_iter();
        let related = table.relations.into_iter();
        Self {
            model: table.model,
            fields: fields.map(|it| Field { name: it.spoken(), sql_type: it.sql_type }).collect(),
            related: related.map(|it| Related { names: it.names, model: it.target, many: it.many }).collect(),
        }
    }
}

/// GET /api/v1/models/{name}
pub(crate) async fn show(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<impl Serialize>, Problem> {
    let mut catalogue = app.authoring.catalogue().await?;
    catalogue.tables.remove(&name).map(|table| Json(Shown::from(table))).ok_or_else(problem::not_found)
}

/// PUT /api/v1/models/{name}: registers a model, or changes it.
pub(crate) async fn put(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(name): Path<String>,
    JsonBody(mut model): JsonBody<Model>,
) -> Result<Json<Model>, Problem> {
    problem::same_name("name", &mut model.name, name)?;
    Ok(Json(store::models::register(&app.pool, &model, &actor(&token)).await?))
}

/// DELETE /api/v1/models/{name}: the table itself stays as it is.
pub(crate) async fn remove(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let removed = store::models::remove(&app.pool, &name, &Expect::Anything, &actor(&token)).await?;
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(problem::not_found()) }
}
