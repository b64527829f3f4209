//! One message as pages show it.

use std::collections::HashMap;

use herald_jobs::action_url::{Destinations, action_url};
use herald_jobs::message_type::RequiredAction;
use herald_jobs::store::inbox::InboxMessage;
use herald_jobs::store::message_types::Choice;
use herald_jobs::store::{self, PgPool};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::byte_serialize;
use uuid::Uuid;

use super::when::{self, When};
use crate::access::session::Login;
use crate::app::App;
use crate::words::Words;

/// Characters of a text that a list shows; the reading pane and the message's own page show all.
const SHOWN: usize = 240;
/// Most choices that become a button each; more of them become a drop-down.
const BUTTONS: usize = 4;

/// What a row shows.
pub(super) struct Row {
    pub(super) words: &'static Words,
    pub(super) id: Uuid,
    pub(super) alert: bool,
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) from: String,
    pub(super) when: When,
    /// Seen for the first time now.
    pub(super) new: bool,
    pub(super) expires: Option<String>,
    pub(super) task: Task,
    /// What was typed or chosen before the page was shown again.
    pub(super) value: String,
    /// Why the last Post left it here.
    pub(super) problem: Option<&'static str>,
    /// How it stands, once it is no longer pending.
    pub(super) settled: Option<String>,
}

/// What the recipient has to do.
pub(super) enum Task {
    View,
    /// Choose one of these.
    Choose(Vec<Choice>),
    Write,
    /// Open another program's page.
    Open(Result<Opening, String>),
}

/// Where an action leads.
pub(super) struct Opening {
    pub(super) url: Url,
    /// Named where it is not the application's own host.
    pub(super) elsewhere: Option<String>,
}

impl Row {
    /// A row for the whole text.
    pub(super) fn whole(app: &App, login: &Login, message: InboxMessage, choices: &Choices) -> Self {
        let now = app.clock.now();
        Self {
            words: login.words,
            id: message.id,
            alert: message.alert,
            from: from(&message),
            when: when::when(login, message.created_at, now),
            new: message.seen_at.is_none(),
            expires: message.expires_at.map(|at| (login.words.kept_until)(&when::moment(login, at))),
            task: task(&message, choices, &app.destinations, login.words),
            subject: message.subject,
            text: message.message_text,
            value: String::new(),
            problem: None,
            settled: None,
        }
    }

    /// A row for a list, where a long text is cut.
    pub(super) fn listed(app: &App, login: &Login, message: InboxMessage, choices: &Choices) -> Self {
        let mut row = Self::whole(app, login, message, choices);
        if let Some((end, _)) = row.text.char_indices().nth(SHOWN) {
            row.text.truncate(end);
            row.text.push('…');
        }
        row
    }

    /// Whether the text says more than the subject.
    pub(super) fn says_more(&self) -> bool {
        self.text.trim() != self.subject.trim()
    }

    /// Whether it is acted on by opening its page, not by Post.
    pub(super) fn opens(&self) -> bool {
        matches!(self.task, Task::Open(_))
    }

    /// Whether each choice is offered by a button of its own.
    pub(super) fn has_buttons(&self) -> bool {
        matches!(&self.task, Task::Choose(choices) if choices.len() <= BUTTONS)
    }

    /// What must be done, in a word or two.
    pub(super) fn wants(&self) -> &'static str {
        match self.task {
            Task::View => self.words.wants_view,
            Task::Choose(_) | Task::Write => self.words.wants_reply,
            Task::Open(_) => self.words.wants_action,
        }
    }

    pub(super) fn act_on(&self) -> String {
        (self.words.act_on)(&self.subject)
    }

    pub(super) fn act_opens(&self) -> String {
        (self.words.act_opens)(&self.subject)
    }

    pub(super) fn reply_to(&self) -> String {
        (self.words.reply_to)(&self.subject)
    }

    /// All that came from the same sender.
    pub(super) fn of_sender(&self) -> String {
        let sender: String = byte_serialize(self.from.as_bytes()).collect();
        format!("{}?sender={sender}", self.list())
    }

    /// The list that it stands in.
    pub(super) fn list(&self) -> &'static str {
        if self.alert { "/alerts" } else { "/messages" }
    }
}

/// Who sent a message: a user, or a model with its instance.
pub(crate) fn from(message: &InboxMessage) -> String {
    match &message.sender_instance {
        Some(instance) => format!("{} {instance}", message.sender),
        None => message.sender.clone(),
    }
}

/// What a message asks of its recipient.
fn task(message: &InboxMessage, choices: &Choices, destinations: &Destinations, words: &Words) -> Task {
    match message.required_action {
        RequiredAction::View => Task::View,
        RequiredAction::Reply => match choices.of(message) {
            [] => Task::Write,
            some => Task::Choose(some.to_vec()),
        },
        RequiredAction::Action => Task::Open(opening(message, destinations, words)),
    }
}

fn opening(message: &InboxMessage, destinations: &Destinations, words: &Words) -> Result<Opening, String> {
    let template = message.action_url.as_deref().unwrap_or_default();
    let parameters: &[Value] =
        message.action_parameters.as_ref().and_then(Value::as_array).map_or(&[], Vec::as_slice);
    let url = action_url(template, parameters, destinations).map_err(|error| error.to_string())?;
    let own = destinations.application.as_ref().is_some_and(|own| own.origin() == url.origin());
    let elsewhere = (!own).then(|| (words.opens)(url.host_str().unwrap_or_default()));
    Ok(Opening { url, elsewhere })
}

/// The choices that the replies on a page offer.
#[derive(Default)]
pub(super) struct Choices(HashMap<String, Vec<Choice>>);

impl Choices {
    /// Reads those that `messages` need.
    pub(super) async fn load<'a>(
        pool: &PgPool,
        messages: impl Iterator<Item = &'a InboxMessage>,
    ) -> Result<Self, store::Error> {
        let mut sets: Vec<String> = messages.filter_map(|message| message.choice_set.clone()).collect();
        sets.sort_unstable();
        sets.dedup();
        let mut choices: HashMap<String, Vec<Choice>> = HashMap::new();
        if !sets.is_empty() {
            for choice in store::message_types::choices(pool, &sets).await? {
                choices.entry(choice.choice_set.clone()).or_default().push(choice);
            }
        }
        Ok(Self(choices))
    }

    /// The choices of one message; none: free text.
    pub(super) fn of(&self, message: &InboxMessage) -> &[Choice] {
        message.choice_set.as_ref().and_then(|set| self.0.get(set)).map_or(&[], Vec::as_slice)
    }

    /// What a recorded reply was called when it was chosen.
    pub(super) fn label<'a>(&'a self, message: &InboxMessage, value: &'a str) -> &'a str {
        self.of(message).iter().find(|choice| choice.value == value).map_or(value, |choice| &choice.label)
    }
}
