//! Links by which a host application opens the inbox for a user whom it knows.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use chrono::{DateTime, TimeDelta, Utc};
use herald_jobs::address::Username;
use herald_jobs::store;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::JsonBody;
use super::problem::{self, Problem};
use super::token::{Caller, actor};
use crate::access;
use crate::app::App;
use crate::pages::local;

/// Longest life of a link, in seconds: it is opened at once.
const LONGEST: i64 = 600;

/// How a link is to be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaunchRequest {
    /// The page to show: a path of ours, such as `/alerts`.
    #[serde(default = "dashboard")]
    next: String,
    /// For how many seconds it can be used, 1 to 600.
    #[serde(default = "a_minute")]
    seconds: i64,
}

fn dashboard() -> String {
    "/".to_owned()
}

fn a_minute() -> i64 {
    60
}

/// A link that lets in once. It is a secret.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Launch {
    /// Where to send the user's browser.
    url: String,
    /// Until when.
    expires_at: DateTime<Utc>,
}

/// POST /api/v1/users/{name}/launch
pub(crate) async fn create(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(username): Path<String>,
    JsonBody(request): JsonBody<LaunchRequest>,
) -> Result<(StatusCode, Json<Launch>), Problem> {
    if local(&request.next) != request.next {
        return Err(problem::invalid(
            "/next".to_owned(),
            "must be a path of ours, such as /alerts".to_owned(),
        ));
    }
    if !(1..=LONGEST).contains(&request.seconds) {
        return Err(problem::invalid("/seconds".to_owned(), format!("must be 1 to {LONGEST}")));
    }
    let name = Username::parse(&username).map_err(|_| problem::not_found())?;
    let user = store::users::by_name(&app.pool, &name).await?.filter(|user| user.active);
    let user = user.ok_or_else(problem::not_found)?;
    let life = TimeDelta::seconds(request.seconds);
    let url = access::new_launch_link(
        &app.pool,
        &app.clock,
        &app.settings.public_url,
        user.id,
        (life, &request.next),
    )
    .await?;
    store::audit::record(&app.pool, &actor(&token), "launch link", name.as_str()).await?;
    Ok((StatusCode::CREATED, Json(Launch { url: url.into(), expires_at: app.clock.now() + life })))
}
