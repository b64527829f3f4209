//! Message types: how a message behaves.

use serde::{Deserialize, Serialize};

use crate::action_url;
use crate::refusal::{Refusal, check_code, check_line};

/// Declares a closed set of names that are the same in Rust, JSON, the database and the command line.
macro_rules! names {
    ($(#[doc = $doc:literal])* $(#[derive($derive:ident)])? $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[doc = $doc])*
        $(#[derive($derive)])?
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!("must be one of {}", [$($text),+].join(", "))),
                }
            }
        }

        impl From<String> for $name {
            /// Reads a value whose column has a check constraint on exactly these names.
            fn from(text: String) -> Self {
                text.parse().unwrap_or(Self::ALL[0])
            }
        }
    };
}
pub(crate) use names;

names! {
    /// Where a message is shown.
    #[derive(Default)]
    DeliveryMethod {
        /// With the messages.
        #[default]
        Queue = "queue",
        /// With the alerts, and as a notice.
        Alert = "alert",
    }
}
names! {
    /// What the recipient must do before the message leaves the inbox.
    #[derive(Default)]
    RequiredAction {
        /// Take note.
        #[default]
        View = "view",
        /// Answer.
        Reply = "reply",
        /// Open the action's URL.
        Action = "action",
    }
}
names! {
    /// Which copies go out besides the inbox.
    #[derive(Default)]
    ExternalDelivery {
        /// Inbox only.
        #[default]
        None = "none",
        /// E-mail.
        Email = "email",
        /// SMS.
        Sms = "sms",
        /// E-mail and SMS.
        Both = "both",
    }
}
names! {
    /// When an action counts as done.
    #[derive(Default)]
    CompleteOn {
        /// When its URL is opened.
        #[default]
        Click = "click",
        /// When the program behind the URL reports back.
        Callback = "callback",
    }
}
names! {
    /// What becomes of a copy of which nobody knows whether it arrived.
    #[derive(Default)]
    OnUnknown {
        /// Sent once more, then held.
        #[default]
        RetryOnce = "retry_once",
        /// Held at once for an operator.
        Hold = "hold",
    }
}
names! {
    /// Which of the parallel queues a job takes: bulk does not delay normal, neither delays alerts.
    #[derive(Default)]
    Lane {
        /// A worker, connections and mail sessions of its own.
        Alert = "alert",
        /// Where the type says nothing else.
        #[default]
        Normal = "normal",
        /// Mass sends.
        Bulk = "bulk",
    }
}

/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 200;
/// Longest action URL and fallback text, in characters.
const MAX_TEXT: usize = 2_000;
/// Hours for which a copy is tried where nothing is said, and at most.
const RETRY_HOURS: i32 = 120;
const MAX_RETRY_HOURS: i32 = 8_760;
/// Most days until a message expires.
const MAX_DAYS: i32 = 36_500;

/// How messages of one kind behave. A message copies this when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MessageType {
    /// Unique, as in `VIEW-NORMAL`.
    pub code: String,
    /// The subject of its e-mails where the message has none.
    pub description: String,
    /// Message or alert.
    pub delivery_method: DeliveryMethod,
    /// View, reply or action.
    pub required_action: RequiredAction,
    /// Days until a view message is purged; `None`: never.
    pub expiry_days: Option<i32>,
    /// E-mail, SMS, both or none.
    pub external_delivery: ExternalDelivery,
    /// The named set a reply is chosen from; `None`: free text.
    pub choice_set: Option<String>,
    /// Opened by an action message.
    pub action_url: Option<String>,
    /// When an action counts as done.
    pub complete_on: CompleteOn,
    /// What becomes of copies with an unknown outcome.
    pub on_unknown: OnUnknown,
    /// The lane its messages take.
    pub lane: Lane,
    /// Hours after which a copy that a server keeps putting off is given up. In force as it stands now, also for messages that were made
    /// before.
    pub retry_hours: i32,
    /// What is delivered when a template cannot be rendered; `None`: that there is a message, and from whom.
    pub fallback_text: Option<String>,
    /// Shipped with Herald: can be adjusted, not deleted. Herald says so; what a change says of it does not count.
    pub standard: bool,
}

impl Default for MessageType {
    fn default() -> Self {
        Self {
            code: String::new(),
            description: String::new(),
            delivery_method: DeliveryMethod::default(),
            required_action: RequiredAction::default(),
            expiry_days: None,
            external_delivery: ExternalDelivery::default(),
            choice_set: None,
            action_url: None,
            complete_on: CompleteOn::default(),
            on_unknown: OnUnknown::default(),
            lane: Lane::default(),
            retry_hours: RETRY_HOURS,
            fallback_text: None,
            standard: false,
        }
    }
}

impl MessageType {
    /// Checks what can be checked without looking up the choice set.
    ///
    /// # Errors
    /// Names the field that cannot be.
    pub fn validate(&self) -> Result<(), Refusal> {
        let refuse = |field: &str, problem: &str| Err(Refusal::new(field, problem));
        check_code("code", &self.code)?;
        check_line("description", &self.description, MAX_DESCRIPTION)?;
        let action = self.required_action;
        match self.expiry_days {
            Some(_) if action != RequiredAction::View => {
                return refuse("expiry_days", "is for view types only: others wait for their recipients");
            }
            Some(days) if !(1..=MAX_DAYS).contains(&days) => {
                return refuse("expiry_days", &format!("must be 1 to {MAX_DAYS}; leave it out for never"));
            }
            _ => {}
        }
        if self.choice_set.is_some() && action != RequiredAction::Reply {
            return refuse("choice_set", "is for reply types only");
        }
        match &self.action_url {
            Some(_) if action != RequiredAction::Action => {
                return refuse("action_url", "is for action types only");
            }
            None if action == RequiredAction::Action => {
                return refuse("action_url", "is needed for an action type");
            }
            Some(url) => action_url::check_template(url, MAX_TEXT)
                .map_err(|problem| Refusal::new("action_url", problem))?,
            None => {}
        }
        if !(0..=MAX_RETRY_HOURS).contains(&self.retry_hours) {
            return refuse("retry_hours", &format!("must be 0 to {MAX_RETRY_HOURS}"));
        }
        if self.complete_on == CompleteOn::Callback && action != RequiredAction::Action {
            return refuse("complete_on", "can be callback for action types only");
        }
        if let Some(text) = &self.fallback_text
            && (text.trim().is_empty() || text.chars().count() > MAX_TEXT || text.contains('\0'))
        {
            return refuse(
                "fallback_text",
                &format!("must be 1 to {MAX_TEXT} characters, none of them U+0000"),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl FnOnce(&mut MessageType)) -> MessageType {
        let mut kind =
            MessageType { code: "NOTE".into(), description: "A note".into(), ..MessageType::default() };
        change(&mut kind);
        kind
    }

    #[test]
    fn c04_what_does_not_go_together_is_refused_by_field() {
        let reply = |kind: &mut MessageType| kind.required_action = RequiredAction::Reply;
        let action = |kind: &mut MessageType| {
            kind.required_action = RequiredAction::Action;
            kind.action_url = Some("/approve?id=".into());
        };
        for good in [
            with(|_| {}),
            with(|kind| kind.expiry_days = Some(10)),
            with(|kind| {
                reply(kind);
                kind.choice_set = Some("YESNO-CHOICES".into());
            }),
            with(reply),
            with(action),
        ] {
            assert_eq!(good.validate(), Ok(()), "{good:?}");
        }
        for (bad, field) in [
            (with(|kind| kind.code = "note".into()), "code"),
            (with(|kind| kind.code = "N".repeat(61)), "code"),
            (with(|kind| kind.description = " ".into()), "description"),
            (with(|kind| kind.description = "two\nlines".into()), "description"),
            (with(|kind| kind.expiry_days = Some(0)), "expiry_days"),
            (with(|kind| kind.expiry_days = Some(-1)), "expiry_days"),
            (with(|kind| kind.expiry_days = Some(i32::MAX)), "expiry_days"),
            (
                with(|kind| {
                    reply(kind);
                    kind.expiry_days = Some(10);
                }),
                "expiry_days",
            ),
            (with(|kind| kind.choice_set = Some("YESNO-CHOICES".into())), "choice_set"),
            (with(|kind| kind.action_url = Some("/x".into())), "action_url"),
            (with(|kind| kind.required_action = RequiredAction::Action), "action_url"),
            (
                with(|kind| {
                    action(kind);
                    kind.action_url = Some("javascript:alert(1)".into());
                }),
                "action_url",
            ),
            (with(|kind| kind.complete_on = CompleteOn::Callback), "complete_on"),
            (with(|kind| kind.retry_hours = -1), "retry_hours"),
            (with(|kind| kind.fallback_text = Some(" ".into())), "fallback_text"),
        ] {
            assert_eq!(bad.validate().unwrap_err().field, field, "{bad:?}");
        }
    }
}
