//! The schedule: what runs by itself, when it ran and how that ended, and how to have it run now.

use std::time::Duration;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::periodic::{PeriodicJob, PeriodicName};
use herald_jobs::store;
use herald_jobs::store::periodic::Run;

use super::done::Done;
use super::waiting::wait;
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::{Place, Shell, shell};
use crate::pages::when::{self, When, when};

/// How long a run is waited for until the page is shown without its end.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Template)]
#[template(path = "admin/schedule.html")]
struct Schedule {
    shell: Shell,
    jobs: Vec<Job>,
    /// What was just done.
    told: Option<String>,
    problem: Option<&'static str>,
}

/// One job.
struct Job {
    name: &'static str,
    does: &'static str,
    planned: String,
    /// When it runs next; `None`: it is disabled.
    next: Option<String>,
    last: Option<Last>,
}

/// Its last run.
struct Last {
    at: When,
    took: Option<String>,
    result: String,
    succeeded: Option<bool>,
}

/// GET /admin/schedule
pub(crate) async fn show(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    done: Done,
) -> Result<Html<String>, PageError> {
    let words = login.words.operations;
    let mut runs = store::periodic::last_of_each(&app.pool).await?;
    let now = store::now(&app.pool).await?;
    let job = |&name: &PeriodicName| {
        let plan = app.settings.periodic.iter().find(|job| job.name == name);
        let planned = plan.filter(|plan| plan.enabled).map(|plan| {
            let (start, zone) = plan.slots.start();
            (words.every)(&start.format("%H:%M:%S").to_string(), plan.slots.seconds(), zone.name())
        });
        let run = runs.iter().position(|run| run.job == name.as_str()).map(|at| runs.swap_remove(at));
        Job {
            name: name.as_str(),
            does: (words.job_does)(name.as_str()),
            planned: planned.unwrap_or_else(|| words.disabled.to_owned()),
            next: plan.and_then(|plan| plan.next(now)).map(|at| when::moment(&login, at)),
            last: run.map(|run| last(&app, &login, run)),
        }
    };
    let jobs = PeriodicName::ALL.iter().map(job).collect();
    let name = done.to.parse().map_or("", |name: PeriodicName| name.as_str());
    let (told, problem) = match done.done.as_str() {
        _ if name.is_empty() => (None, None),
        "ran" => (Some((words.ran)(name)), None),
        "asked" => (Some((words.asked_to_run)(name)), None),
        "failed" => (None, Some(words.not_asked)),
        _ => (None, None),
    };
    let shell = shell(&app, &login, &jar, Place::Schedule).await?;
    Ok(Html(Schedule { shell, jobs, told, problem }.render()?))
}

/// POST /admin/schedule/run/{name}: has a worker run it now, enabled or not, and waits a little for its end.
pub(crate) async fn run(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    Path(name): Path<String>,
    _fields: Fields,
) -> Result<Response, PageError> {
    let name: PeriodicName = name.parse().map_err(|_| PageError::NotFound)?;
    let slot = store::now(&app.pool).await?;
    if let Err(error) = app.queues.periodic.push(&PeriodicJob { name, slot }).await {
        tracing::warn!("Could not push a run of {name}: {error}");
        return Ok(Redirect::to(&format!("/admin/schedule?done=failed&to={name}")).into_response());
    }
    store::audit::record(&app.pool, &login.user.username, "periodic run", name.as_str()).await?;
    let pool = &app.pool;
    let ended = move || async move {
        let run = store::periodic::of_slot(pool, name, slot).await?;
        Ok(run.is_some_and(|run| run.finished_at.is_some()))
    };
    let done = if wait(PATIENCE, ended).await? { "ran" } else { "asked" };
    Ok(Redirect::to(&format!("/admin/schedule?done={done}&to={name}")).into_response())
}

fn last(app: &App, login: &Login, run: Run) -> Last {
    let words = login.words.operations;
    let took = run.finished_at.map(|end| (words.duration)((end - run.started_at).num_milliseconds()));
    Last {
        at: when(login, run.started_at, app.clock.now()),
        took,
        result: run.result.unwrap_or_default(),
        succeeded: run.succeeded,
    }
}
