//! Reminder rules.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use herald_jobs::refusal::Refusal;
use herald_jobs::reminder::ReminderRule;
use herald_jobs::store;
use herald_jobs::store::reminder_log::Logged;
use herald_jobs::store::reminders::{Floor, Standing};
use herald_producers::reminders::{Checked, DryRun, ReminderError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::JsonBody;
use super::page::{Listed, MOST, Page};
use super::problem::{self, Problem};
use super::token::{Caller, actor};
use super::version::{self, Expected};
use crate::app::App;

/// GET /api/v1/reminder-rules: the rules, and how they stand.
pub(crate) async fn list(State(app): State<App>, page: Page) -> Result<Json<Listed<Standing>>, Problem> {
    let items = store::reminders::list(&app.pool, &page.after, page.limit).await?;
    let next = page.next(&items, |item| &item.rule.code);
    Ok(Json(Listed { items, next }))
}

/// GET /api/v1/reminder-rules/{code}
pub(crate) async fn show(
    State(app): State<App>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    version::tagged(&headers, &find(&app, &code).await?.rule)
}

/// PUT /api/v1/reminder-rules/{code}: adds it, or replaces the whole of it; fields that are left out get their defaults.
pub(crate) async fn put(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(code): Path<String>,
    Expected(expect): Expected,
    JsonBody(mut rule): JsonBody<ReminderRule>,
) -> Result<Response, Problem> {
    problem::same_name("code", &mut rule.code, code)?;
    Ok(version::saved(&app.reminders.save(rule, &expect, &actor(&token)).await?))
}

/// DELETE /api/v1/reminder-rules/{code}
pub(crate) async fn remove(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(code): Path<String>,
    Expected(expect): Expected,
) -> Result<StatusCode, Problem> {
    version::removed(store::reminders::remove(&app.pool, &code, &expect, &actor(&token)).await?)
}

/// POST /api/v1/reminder-rules/{code}/check: whether the rule fits the models, how much is overdue, and which index would help.
pub(crate) async fn check(
    State(app): State<App>,
    Path(code): Path<String>,
) -> Result<Json<Checked>, Problem> {
    let rule = find(&app, &code).await?.rule;
    Ok(Json(app.reminders.check(rule, app.reminders.now().await?).await?))
}

/// When a rule is tried, and on what.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DryRunRequest {
    /// Absent: now.
    #[serde(default)]
    at: Option<DateTime<Utc>>,
    /// The key of one record; absent: all.
    #[serde(default)]
    record: Option<Vec<String>>,
    /// Of how many reminders the texts are made, at most 100.
    #[serde(default)]
    texts: u8,
    /// Instead of the saved one.
    #[serde(default)]
    rule: Option<ReminderRule>,
}

/// POST /api/v1/reminder-rules/{code}/dry-run: what it would send, and why it would not send the rest.
pub(crate) async fn dry_run(
    State(app): State<App>,
    Path(code): Path<String>,
    JsonBody(request): JsonBody<DryRunRequest>,
) -> Result<Json<DryRun>, Problem> {
    let now = app.reminders.now().await?;
    if request.texts > 100 {
        return Err(problem::invalid("/texts".to_owned(), "must be at most 100".to_owned()));
    }
    if request.record.iter().flatten().any(|part| part.contains('\0')) {
        return Err(problem::invalid("/record".to_owned(), "must not hold the character U+0000".to_owned()));
    }
    let standing = match request.rule {
        Some(rule) => {
            let rule = ReminderRule { code, ..rule };
            let checked = app.reminders.check(rule.clone(), now).await;
            checked.map_err(within_rule)?;
            Standing::unsaved(rule, now)
        }
        None => find(&app, &code).await?,
    };
    let (at, record) = (request.at.unwrap_or(now), request.record.as_deref());
    Ok(Json(app.reminders.dry_run(&standing, &app.authoring, at, record, request.texts.into()).await?))
}

/// What a run did.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RunAnswer {
    /// Messages that were accepted.
    sent: usize,
    /// In words.
    result: String,
    /// Why the rule has paused itself; it sent nothing then.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<String>,
}

/// POST /api/v1/reminder-rules/{code}/run: sends now what is due.
pub(crate) async fn run(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(code): Path<String>,
) -> Result<Json<RunAnswer>, Problem> {
    let standing = find(&app, &code).await?;
    let ran = app.reminders.run_now(&standing, &actor(&token)).await?;
    Ok(Json(RunAnswer { sent: ran.sent, result: ran.to_string(), paused: ran.paused }))
}

/// What becomes of what came due while a rule stood still.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnableRequest {
    /// It is sent too.
    #[serde(default)]
    catch_up: bool,
}

/// POST /api/v1/reminder-rules/{code}/enable: lets it fire from now on, and ends its pause.
pub(crate) async fn enable(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(code): Path<String>,
    JsonBody(request): JsonBody<EnableRequest>,
) -> Result<StatusCode, Problem> {
    let floor = if request.catch_up { Floor::Kept } else { Floor::Now };
    let now = app.reminders.now().await?;
    version::removed(store::reminders::enable(&app.pool, &code, floor, &actor(&token), now).await?)
}

/// POST /api/v1/reminder-rules/{code}/disable: lets it fire no more.
pub(crate) async fn disable(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Path(code): Path<String>,
) -> Result<StatusCode, Problem> {
    let now = app.clock.now();
    version::removed(store::reminders::disable(&app.pool, &code, &actor(&token), now).await?)
}

/// How much of the history is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    limit: Option<i64>,
}

/// What a rule has sent.
#[derive(Serialize, JsonSchema)]
pub(crate) struct History {
    /// Newest first.
    items: Vec<Logged>,
}

/// GET /api/v1/reminder-rules/{code}/history
pub(crate) async fn history(
    State(app): State<App>,
    Path(code): Path<String>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<History>, Problem> {
    let Query(asked) = asked.map_err(|rejection| problem::bad_query(rejection.body_text()))?;
    let limit = asked.limit.unwrap_or(100);
    if !(1..=MOST).contains(&limit) {
        return Err(problem::bad_query(format!("limit: must be 1 to {MOST}")));
    }
    find(&app, &code).await?;
    Ok(Json(History { items: store::reminder_log::history(&app.pool, &code, None, limit).await? }))
}

/// A field of a rule that stands in another body.
fn within_rule(error: ReminderError) -> ReminderError {
    match error {
        ReminderError::Refused(refusal) => {
            Refusal::new(format!("rule/{}", refusal.field), refusal.problem).into()
        }
        other => other,
    }
}

async fn find(app: &App, code: &str) -> Result<Standing, Problem> {
    store::reminders::get(&app.pool, code).await?.ok_or_else(problem::not_found)
}
