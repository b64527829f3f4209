//! Message templates: read, saved and previewed.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use herald_jobs::authoring::{Preview, Sample};
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::store;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::body::JsonBody;
use super::problem::{self, Problem};
use super::token::{Caller, actor};
use crate::app::App;

/// All templates.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Templates {
    templates: Vec<MessageTemplate>,
}

/// GET /api/v1/templates
pub(crate) async fn list(State(app): State<App>) -> Result<Json<impl Serialize>, Problem> {
    Ok(Json(Templates { templates: store::message_templates::all(&app.pool).await? }))
}

/// GET /api/v1/templates/{code}
pub(crate) async fn show(
    State(app): State<App>,
    Path(code): Path<String>,
) -> Result<Json<MessageTemplate>, Problem> {
    saved(&app, &code).await.map(Json)
}

async fn saved(app: &App, code: &str) -> Result<MessageTemplate, Problem> {
    store::message_templates::get(&app.pool, code).await?.ok_or_else(problem::not_found)
}

/// PUT /api/v1/templates/{code}: checks and saves. `version` says which one it was made from; 409 when there is a later one.
pub(crate) async fn put(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(code): Path<String>,
    JsonBody(mut template): JsonBody<MessageTemplate>,
) -> Result<Json<MessageTemplate>, Problem> {
    problem::same_name("code", &mut template.code, code)?;
    let versions = app.authoring.save(std::slice::from_ref(&template), &actor(&token)).await?;
    template.version = versions.first().copied().unwrap_or(template.version);
    Ok(Json(template))
}

/// What a template is previewed on: a record of its model, or fields.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewRequest {
    /// Instead of the saved one.
    #[serde(default)]
    template: Option<MessageTemplate>,
    #[serde(default)]
    model_key: Option<Value>,
    #[serde(default)]
    instance: Option<Map<String, Value>>,
}

/// POST /api/v1/templates/{code}/preview
pub(crate) async fn preview(
    State(app): State<App>,
    Path(code): Path<String>,
    JsonBody(request): JsonBody<PreviewRequest>,
) -> Result<Json<Preview>, Problem> {
    let template = match request.template {
        Some(template) => MessageTemplate { code, ..template },
        None => saved(&app, &code).await?,
    };
    let sample = match (request.model_key, request.instance) {
        (Some(key), None) => Sample::Key(key),
        (None, Some(instance)) => Sample::Instance(instance),
        _ => {
            let problem = "either this or an instance is needed".to_owned();
            return Err(problem::invalid("/model_key".to_owned(), problem));
        }
    };
    Ok(Json(app.authoring.environment().await?.preview(&template, sample, app.clock.now()).await?))
}
