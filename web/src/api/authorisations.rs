//! Requests for a decision.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use herald_jobs::authorisation::{NewAuthorisation, Status, key_of};
use herald_jobs::store;
use herald_jobs::store::authorisations::{Authorisation, AuthorisationFilter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::body::JsonBody;
use super::page::{Filtered, Listed};
use super::problem::{self, Problem};
use super::token::Caller;
use super::{sending, version};
use crate::app::App;

/// What was asked for, or withdrawn.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Asked {
    /// The authorisation's id.
    id: Uuid,
    /// `pending` or `withdrawn`.
    status: &'static str,
}

/// POST /api/v1/authorisations: asks for a decision on a record of a model that the token sends as; with an `Idempotency-Key` once.
pub(crate) async fn request(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<NewAuthorisation>,
) -> Result<Response, Problem> {
    let key = sending::key(&headers)?;
    sending::may_send(
        &token,
        "model",
        &request.model,
        request.message_type.as_deref().unwrap_or("REPLY-YESNO"),
    )?;
    let producer = sending::producer(&app, &token);
    let asked = sending::within_rate(&app, &token, producer.request_authorisation(&request, key)).await?;
    let location = format!("/api/v1/authorisations/{}", asked.id);
    let body = Json(Asked { id: asked.id, status: "pending" });
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], body).into_response())
}

/// Which requests are listed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    status: Option<Status>,
    model: Option<String>,
    model_key: Option<String>,
}

/// GET /api/v1/authorisations: those on records of the models that the token sends as, newest first.
pub(crate) async fn list(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Filtered { filter, page }: Filtered<Filter>,
) -> Result<Json<Listed<Authorisation>>, Problem> {
    if filter.model_key.is_some() && filter.model.is_none() {
        return Err(problem::bad_query("model: is needed with model_key".to_owned()));
    }
    let which = AuthorisationFilter {
        status: filter.status,
        model: filter.model,
        model_key: filter.model_key.as_deref().map(key_of),
        models: Some(sending::senders(&token).map(str::to_owned).collect()),
        types: token.message_types.clone(),
        before: page.after_id()?,
    };
    let items = store::authorisations::list(&app.pool, &which, page.limit).await?;
    let next = page.next_by_id(&items, |item| item.id);
    Ok(Json(Listed { items, next }))
}

/// GET /api/v1/authorisations/{id}
pub(crate) async fn read(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    version::tagged(&headers, &own(&app, &caller, &id).await?)
}

/// Why a request is withdrawn.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Withdrawal {
    /// What those are told who were asked; absent: that it was withdrawn.
    #[serde(default)]
    reason: Option<String>,
}

/// POST /api/v1/authorisations/{id}/withdraw: nobody needs to answer any more. Twice is as good as once.
pub(crate) async fn withdraw(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    JsonBody(withdrawal): JsonBody<Withdrawal>,
) -> Result<Json<Asked>, Problem> {
    let id = own(&app, &caller, &id).await?.id;
    app.producer.withdraw_authorisation(id, withdrawal.reason.as_deref()).await?;
    Ok(Json(Asked { id, status: "withdrawn" }))
}

/// An authorisation of a model that the caller sends as. Others do not exist for it.
async fn own(app: &App, Caller(token): &Caller, id: &str) -> Result<Authorisation, Problem> {
    let id: Uuid = id.parse().map_err(|_| problem::not_found())?;
    let found = app.producer.authorisation(id).await?;
    found.filter(|it| sending::is_own(token, &it.model, &it.message_type)).ok_or_else(problem::not_found)
}
