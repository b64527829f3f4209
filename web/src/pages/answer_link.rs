//! Links in e-mails that answer their message. Opening one shows what would be answered; only the button answers, so that scanners and
//! previews of mail programs change nothing.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::answer::Via;
use herald_jobs::answer_link::AnswerLink;
use herald_jobs::id::MessageId;
use herald_jobs::message_type::RequiredAction;
use herald_jobs::store;
use herald_jobs::store::answers::Answerable;
use herald_producers::SendError;
use herald_producers::workflow::{Answer, Answered};

use super::login::stranger;
use crate::access::form::Fields;
use crate::app::App;
use crate::assets::{self, Assets};
use crate::error::PageError;
use crate::words::{self, Words};

#[derive(Template)]
#[template(path = "answer.html")]
struct AnswerPage {
    assets: &'static Assets,
    words: &'static Words,
    form_token: String,
    subject: String,
    text: String,
    stage: Stage,
}

/// What the page shows.
enum Stage {
    /// A button that answers: what it says.
    Choose(String),
    /// A text to be written, and what was wrong with the last one.
    Write(Option<String>),
    /// It is the answer now.
    Done(String),
    /// It is none, for this reason.
    Over(String),
}

/// GET /answer/{link}
pub(crate) async fn show(
    State(app): State<App>,
    jar: CookieJar,
    Path(link): Path<String>,
) -> Result<Response, PageError> {
    let (link, message) = find(&app, &link).await?;
    let stage = stage(&app, &link, &message, None);
    page(&app, jar, message, stage)
}

/// POST /answer/{link}
pub(crate) async fn commit(
    State(app): State<App>,
    jar: CookieJar,
    Path(link): Path<String>,
    fields: Fields,
) -> Result<Response, PageError> {
    let (link, message) = find(&app, &link).await?;
    let (words, now) = (words::default(), stage(&app, &link, &message, None));
    if matches!(now, Stage::Over(_)) {
        return page(&app, jar, message, now);
    }
    let is_reply = message.required_action == RequiredAction::Reply;
    let typed = fields.get("reply");
    let reply = link.choice.as_deref().or_else(|| is_reply.then_some(typed));
    let answer = Answer { message: MessageId(message.id), reply, by: &message.recipient, via: Via::Email };
    let stage = match app.producer.answer(answer).await {
        Ok(Answered::Now) => Stage::Done((words.thanks)(reply.map(|reply| label(&message, reply)))),
        Ok(Answered::Before(standing)) => Stage::Over((words.nothing_changed)(&standing.words())),
        Err(SendError::Refused(refusal)) => match stage(&app, &link, &message, Some(refusal.problem.clone()))
        {
            writes @ Stage::Write(_) => writes,
            _ => Stage::Over((words.nothing_changed)(&refusal.problem)),
        },
        Err(error) => {
            tracing::warn!("Could not answer by a link: {error}");
            return Err(PageError::Unavailable);
        }
    };
    page(&app, jar, message, stage)
}

/// The link and its message. A link that was not made here, or not for this recipient, leads nowhere.
async fn find(app: &App, link: &str) -> Result<(AnswerLink, Answerable), PageError> {
    let link = AnswerLink::read(&app.settings.keys, link).ok_or(PageError::NotFound)?;
    let message = store::answers::answerable(&app.pool, MessageId(link.message)).await?;
    let message = message.filter(|it| it.recipient_id == link.recipient).ok_or(PageError::NotFound)?;
    Ok((link, message))
}

fn stage(app: &App, link: &AnswerLink, message: &Answerable, problem: Option<String>) -> Stage {
    let words = words::default();
    let over = |why: &str| Stage::Over((words.nothing_changed)(why));
    // First, so that an old link tells nothing of what became of its message.
    if link.is_expired(app.clock.now()) {
        over(words.answer_link_is_over)
    } else if message.standing.status != "pending" {
        over(&message.standing.words())
    } else if !message.recipient_active {
        over(words.receives_no_more)
    } else {
        match (&link.choice, message.required_action) {
            (Some(choice), _) => Stage::Choose((words.answer_with)(label(message, choice))),
            (None, RequiredAction::Reply) => Stage::Write(problem),
            (None, _) => Stage::Choose(words.i_have_read.to_owned()),
        }
    }
}

/// What a choice is called.
fn label<'a>(message: &'a Answerable, value: &'a str) -> &'a str {
    message.choices.iter().find(|(known, _)| known == value).map_or(value, |(_, label)| label)
}

fn page(app: &App, jar: CookieJar, message: Answerable, stage: Stage) -> Result<Response, PageError> {
    let status = if matches!(stage, Stage::Over(_)) { StatusCode::GONE } else { StatusCode::OK };
    let (jar, form_token) = stranger(app, jar);
    // What the mail carried: the inbox's text may be for the inbox only.
    let text = message.external_message.unwrap_or(message.message_text);
    let subject = message.subject;
    let page =
        AnswerPage { assets: assets::all(), words: words::default(), form_token, subject, text, stage };
    Ok((status, jar, Html(page.render()?)).into_response())
}
