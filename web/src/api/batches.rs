//! Sends to many.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use herald_jobs::store;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::problem::{self, Problem};
use super::sending;
use super::token::Caller;
use crate::app::App;

/// What was cancelled.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Cancelled {
    /// The batch's id.
    id: Uuid,
    /// `cancelled`.
    status: &'static str,
}

/// POST /api/v1/batches/{id}/cancel: takes back all that waits of a send to many, however much that is. Twice is as good as once.
pub(crate) async fn cancel(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Cancelled>, Problem> {
    let id: Uuid = id.parse().map_err(|_| problem::not_found())?;
    let batch = store::sent::sender_of_batch(&app.pool, id).await?;
    // Others' do not exist for it.
    batch
        .filter(|(sender, message_type)| sending::is_own(&token, sender, message_type))
        .ok_or_else(problem::not_found)?;
    app.producer.cancel_batch(id).await?;
    Ok(Json(Cancelled { id, status: "cancelled" }))
}
