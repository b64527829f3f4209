//! Post: what becomes of the rows that were ticked.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use herald_jobs::answer::{WrongReply, check_reply};
use herald_jobs::message_type::RequiredAction;
use herald_jobs::store;
use herald_jobs::store::inbox::{InboxMessage, Standing};
use uuid::Uuid;

use super::row::Choices;
use super::when;
use crate::access::form::Fields;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::words::Words;

/// Most rows in one Post: more than a page can show.
const MOST: usize = 200;

/// What became of one row.
pub(super) struct Answered {
    pub(super) id: Uuid,
    pub(super) subject: String,
    pub(super) outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done, with this reply where it has one.
    Acted(Option<String>),
    /// Somebody was faster, perhaps in another tab: when, and with what.
    Already(String),
    /// It was taken back by its sender or its workflow, for this reason.
    TakenBack(Option<String>),
    /// It stays, for this reason.
    Stays(&'static str),
    /// There is no such message any more, or it is not this user's.
    Gone,
}

impl Outcome {
    /// Whether the row is done with.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Acted(_))
    }

    /// What the user reads beside the subject.
    pub(super) fn words(&self, words: &Words) -> String {
        match self {
            Self::Acted(None) => words.acted.to_owned(),
            Self::Acted(Some(reply)) => (words.answered)(reply),
            Self::Already(when) => when.clone(),
            Self::TakenBack(None) => words.was_taken_back.to_owned(),
            Self::TakenBack(Some(why)) => (words.waits_no_more)(why.trim_end_matches('.')),
            Self::Stays(why) => (*why).to_owned(),
            Self::Gone => words.is_gone.to_owned(),
        }
    }
}

/// What was typed or chosen, by row.
pub(super) fn replies(fields: &Fields) -> HashMap<Uuid, String> {
    let reply = |(name, value): (&str, &str)| {
        let id = Uuid::try_parse(name.strip_prefix("reply:")?).ok()?;
        (!value.trim().is_empty()).then(|| (id, value.to_owned()))
    };
    fields.iter().filter_map(reply).collect()
}

/// Acts on the ticked rows. Each row has its own outcome; a row that somebody else was faster with is told, not an error.
pub(super) async fn act(app: &App, login: &Login, fields: &Fields) -> Result<Vec<Answered>, PageError> {
    let ticked: Vec<Uuid> = fields
        .iter()
        .filter(|&(name, _)| name == "act")
        .filter_map(|(_, id)| Uuid::try_parse(id).ok())
        .collect();
    if ticked.len() > MOST {
        return Err(PageError::Bad("More rows were ticked than a page has."));
    }
    let (user, now) = (login.user.id, app.clock.now());
    let replies = replies(fields);
    let found = store::inbox::some(&app.pool, user, &ticked).await?;
    let choices = Choices::load(&app.pool, found.iter().map(|(message, _)| message)).await?;
    let found: HashMap<Uuid, (InboxMessage, Standing)> =
        found.into_iter().map(|(message, standing)| (message.id, (message, standing))).collect();

    let mut answers: Vec<(Uuid, Option<&str>)> = Vec::new();
    let mut refused: HashMap<Uuid, &'static str> = HashMap::new();
    for (id, (message, standing)) in &found {
        if standing.status != "pending" {
            continue;
        }
        match reply(message, replies.get(id).map(String::as_str), &choices, login.words) {
            Ok(reply) => answers.push((*id, reply)),
            Err(why) => {
                refused.insert(*id, why);
            }
        }
    }
    let acted = store::inbox::act(&app.pool, user, &answers, now).await?;
    let late: Vec<Uuid> = answers.iter().map(|&(id, _)| id).filter(|id| !acted.contains(id)).collect();
    let late: HashMap<Uuid, Standing> = store::inbox::some(&app.pool, user, &late)
        .await?
        .into_iter()
        .map(|(message, standing)| (message.id, standing))
        .collect();

    let told = |id: Uuid| {
        let Some((message, standing)) = found.get(&id) else {
            return Answered { id, subject: login.words.a_message.to_owned(), outcome: Outcome::Gone };
        };
        let outcome = if acted.contains(&id) {
            let reply = answers.iter().find(|(answered, _)| *answered == id).and_then(|&(_, reply)| reply);
            Outcome::Acted(reply.map(|reply| choices.label(message, reply).to_owned()))
        } else if let Some(why) = refused.get(&id) {
            Outcome::Stays(why)
        } else if standing.status == "pending" {
            late.get(&id).map_or(Outcome::Gone, |standing| settled(message, standing, &choices, now, login))
        } else {
            settled(message, standing, &choices, now, login)
        };
        Answered { id, subject: message.subject.clone(), outcome }
    };
    Ok(ticked.into_iter().map(told).collect())
}

/// The reply to record, if the row may be acted on.
fn reply<'a>(
    message: &InboxMessage,
    typed: Option<&'a str>,
    choices: &Choices,
    words: &Words,
) -> Result<Option<&'a str>, &'static str> {
    match message.required_action {
        RequiredAction::View => Ok(None),
        RequiredAction::Action => Err(words.wants_opening),
        RequiredAction::Reply => {
            let offered: Vec<&str> = choices.of(message).iter().map(|choice| choice.value.as_str()).collect();
            check_reply(&offered, typed).map(Some).map_err(|wrong| match wrong {
                WrongReply::Missing => words.needs_value,
                WrongReply::NotOffered => words.not_offered,
                WrongReply::TooLong => words.too_long,
                WrongReply::Nul => words.no_nul,
            })
        }
    }
}

/// What its recipient reads of a message that is no longer pending.
pub(super) fn history(
    message: &InboxMessage,
    standing: &Standing,
    choices: &Choices,
    now: DateTime<Utc>,
    login: &Login,
) -> String {
    if standing.status != "acted" {
        let took_back = login.words.sender_took_back;
        return standing.closed_reason.clone().unwrap_or_else(|| took_back.to_owned());
    }
    let at = when::when(login, standing.acted_at.unwrap_or(now), now);
    match standing.reply_value.as_deref().map(|value| choices.label(message, value)) {
        Some(value) => (login.words.you_answered)(value, &at.age),
        None => (login.words.you_acted)(&at.age),
    }
}

/// What the slower of two is told of a message that is no longer pending.
pub(super) fn settled(
    message: &InboxMessage,
    standing: &Standing,
    choices: &Choices,
    now: DateTime<Utc>,
    login: &Login,
) -> Outcome {
    if standing.status != "acted" {
        return Outcome::TakenBack(standing.closed_reason.clone());
    }
    let at = when::when(login, standing.acted_at.unwrap_or(now), now);
    let by = standing.acted_by.as_ref().filter(|by| **by != login.user.username);
    let by = by.map_or(String::new(), |by| (login.words.by)(by));
    let with = standing.reply_value.as_deref().map(|value| choices.label(message, value));
    Outcome::Already(match with {
        Some(value) => (login.words.was_answered)(value, &by, &at.age, &at.exact),
        None => (login.words.was_acted)(&by, &at.age, &at.exact),
    })
}
