//! Answers that programs give: for a recipient, or as the program behind an action.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use herald_jobs::answer::Via;
use herald_jobs::id::MessageId;
use herald_jobs::message_type::RequiredAction;
use herald_jobs::store;
use herald_producers::workflow::{Answer, Answered};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::JsonBody;
use super::messages;
use super::problem::{self, Problem};
use super::token::{Caller, actor};
use crate::app::App;

/// What a program answers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GivenAnswer {
    /// The reply, or what the action came to.
    #[serde(default)]
    reply_value: Option<String>,
    /// Who answers; absent: this token.
    #[serde(default)]
    by: Option<String>,
}

/// An answer that counts.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Taken {
    /// The message's id.
    id: MessageId,
    /// `acted`.
    status: &'static str,
}

/// POST /api/v1/messages/{id}/act: for its recipient, where no reply is wanted.
pub(crate) async fn act(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    JsonBody(given): JsonBody<GivenAnswer>,
) -> Result<Json<Taken>, Problem> {
    answer(&app, &caller, known(&app, &id).await?, given, Via::Api).await
}

/// POST /api/v1/messages/{id}/reply: for its recipient.
pub(crate) async fn reply(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    JsonBody(given): JsonBody<GivenAnswer>,
) -> Result<Json<Taken>, Problem> {
    let id = known(&app, &id).await?;
    let message = store::answers::answerable(&app.pool, id).await?;
    if let Some(message) = message.filter(|it| it.required_action != RequiredAction::Reply) {
        let problem = format!("{} takes no reply", message.message_type);
        return Err(problem::invalid("/message_id".to_owned(), problem));
    }
    answer(&app, &caller, id, given, Via::Api).await
}

/// POST /api/v1/messages/{id}/complete: the program behind an action's URL reports that it is done.
pub(crate) async fn complete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    JsonBody(given): JsonBody<GivenAnswer>,
) -> Result<Json<Taken>, Problem> {
    let (id, _) = messages::own(&app, &caller, &id).await?;
    answer(&app, &caller, id, given, Via::Callback).await
}

async fn known(app: &App, id: &str) -> Result<MessageId, Problem> {
    let id: MessageId = id.parse().map_err(|_| problem::not_found())?;
    app.producer.standing(id).await?.ok_or_else(problem::not_found)?;
    Ok(id)
}

async fn answer(
    app: &App,
    Caller(token): &Caller,
    message: MessageId,
    given: GivenAnswer,
    via: Via,
) -> Result<Json<Taken>, Problem> {
    let by = match given.by {
        Some(by) => {
            herald_jobs::refusal::check_line("by", &by, herald_jobs::send::MAX_SENDER)?;
            by.trim().to_owned()
        }
        None => actor(token),
    };
    let answer = Answer { message, reply: given.reply_value.as_deref(), by: &by, via };
    match app.producer.answer(answer).await? {
        Answered::Now => Ok(Json(Taken { id: message, status: "acted" })),
        Answered::Before(standing) => Err(problem::answered(standing)),
    }
}
