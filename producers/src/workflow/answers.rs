//! Answering a message: the same rules wherever the answer comes from.

use herald_jobs::answer::{Via, check_reply};
use herald_jobs::message_type::{CompleteOn, RequiredAction};
use herald_jobs::refusal::Refusal;
use herald_jobs::store;
use herald_jobs::store::answers::Answerable;
use herald_jobs::store::inbox::Standing;

use crate::{MessageId, Producer, SendError};

/// Longest that a program reports of how an action ended, in characters.
const LONGEST_OUTCOME: usize = 200;

/// What somebody, or some program, answers.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// To this message.
    pub message: MessageId,
    /// The reply of a reply message, or what an action came to.
    pub reply: Option<&'a str>,
    /// Who answers.
    pub by: &'a str,
    /// Where.
    pub via: Via,
}

/// What became of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It is the answer.
    Now,
    /// The message did not wait any more: who was faster, with what and when.
    Before(Standing),
}

impl Producer {
    /// Answers a message that waits in an inbox.
    ///
    /// # Errors
    /// [`SendError::Refused`], naming `message_id`, `reply_value` or `by`; nothing has changed then.
    pub async fn answer(&self, answer: Answer<'_>) -> Result<Answered, SendError> {
        let message = self.answerable(answer.message).await?;
        if message.standing.status != "pending" {
            return Ok(Answered::Before(message.standing));
        }
        let reply = checked(&message, answer)?;
        let now = self.clock().now();
        let answers = [(message.id, reply)];
        let acted = store::answers::answer(self.pool(), None, &answers, (answer.by, answer.via), now).await?;
        if !acted.is_empty() {
            return Ok(Answered::Now);
        }
        Ok(Answered::Before(self.answerable(answer.message).await?.standing))
    }

    async fn answerable(&self, id: MessageId) -> Result<Answerable, SendError> {
        let found = store::answers::answerable(self.pool(), id).await?;
        let missing = || Refusal::new("message_id", format!("there is no message {id} in an inbox"));
        Ok(found.ok_or_else(missing)?)
    }
}

/// What is recorded as the reply.
fn checked<'a>(message: &Answerable, answer: Answer<'a>) -> Result<Option<&'a str>, Refusal> {
    let refuse = |field: &str, problem: String| Err(Refusal::new(field, problem));
    let kind = &message.message_type;
    let is_called_back =
        message.required_action == RequiredAction::Action && message.complete_on == CompleteOn::Callback;
    if answer.via == Via::Callback && !is_called_back {
        return refuse("message_id", format!("a callback completes no {kind}"));
    }
    let reply = match message.required_action {
        RequiredAction::Reply => {
            let offered: Vec<&str> = message.choices.iter().map(|(value, _)| value.as_str()).collect();
            let reply = check_reply(&offered, answer.reply);
            Some(reply.map_err(|problem| Refusal::new("reply_value", format!("{kind} {problem}")))?)
        }
        RequiredAction::Action if is_called_back => {
            if !matches!(answer.via, Via::Callback | Via::Cli) {
                return refuse("message_id", "is completed by the program behind its URL".to_owned());
            }
            outcome(answer.reply)?
        }
        RequiredAction::View | RequiredAction::Action if answer.reply.is_some() => {
            return refuse("reply_value", format!("is of no use: {kind} takes no reply"));
        }
        RequiredAction::View | RequiredAction::Action => None,
    };
    match &message.requester {
        Some(_) if reply.is_none() => refuse("reply_value", "must say what was decided".to_owned()),
        Some(requester) if answer.by.eq_ignore_ascii_case(requester) => {
            refuse("by", "is who asks: somebody else has to decide".to_owned())
        }
        _ => Ok(reply),
    }
}

fn outcome(said: Option<&str>) -> Result<Option<&str>, Refusal> {
    let Some(said) = said.map(str::trim) else { return Ok(None) };
    if said.is_empty() || said.chars().count() > LONGEST_OUTCOME || said.contains(char::is_control) {
        let problem = format!("must be one line of 1 to {LONGEST_OUTCOME} characters");
        return Err(Refusal::new("reply_value", problem));
    }
    Ok(Some(said))
}
