//! Periodic jobs.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use herald_jobs::periodic::{PeriodicJob, PeriodicName};
use herald_jobs::store;
use herald_jobs::store::periodic::Run;
use schemars::JsonSchema;
use serde::Serialize;

use super::problem::{self, Problem};
use crate::app::App;

/// A periodic job.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Job {
    name: PeriodicName,
    /// When it runs next; absent: it is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<DateTime<Utc>>,
    /// Its last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Run>,
}

/// All periodic jobs.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Jobs {
    items: Vec<Job>,
}

/// GET /api/v1/periodic
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Jobs>, Problem> {
    let mut last = store::periodic::last_of_each(&app.pool).await?;
    let now = store::now(&app.pool).await?;
    let job = |&name: &PeriodicName| Job {
        name,
        next: app.settings.periodic.iter().find(|job| job.name == name).and_then(|job| job.next(now)),
        last: last.iter().position(|run| run.job == name.as_str()).map(|at| last.swap_remove(at)),
    };
    Ok(Json(Jobs { items: PeriodicName::ALL.iter().map(job).collect() }))
}

/// A run that was asked for.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Asked {
    /// The slot that it has.
    slot: DateTime<Utc>,
}

/// POST /api/v1/periodic/{name}/run: runs a job now, on a worker.
pub(crate) async fn run(
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<Asked>), Problem> {
    let name: PeriodicName = name.parse().map_err(|_| problem::not_found())?;
    let slot = store::now(&app.pool).await?;
    app.queues.periodic.push(&PeriodicJob { name, slot }).await.map_err(|error| {
        tracing::warn!("Could not push a run of {name}: {error}");
        problem::unavailable()
    })?;
    Ok((StatusCode::ACCEPTED, Json(Asked { slot })))
}
