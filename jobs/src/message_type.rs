//! Message types: how a message behaves.

use serde::{Deserialize, Serialize};

/// Declares a closed set of names that are the same in Rust, JSON, the database and the command line.
macro_rules! names {
    ($(#[doc = $doc:literal])* $(#[derive($derive:ident)])? $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[doc = $doc])*
        $(#[derive($derive)])?
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
    DeliveryMethod {
        /// With the messages.
        Queue = "queue",
        /// With the alerts, and as a notice.
        Alert = "alert",
    }
}
names! {
    /// What the recipient must do before the message leaves the inbox.
    RequiredAction {
        /// Take note.
        View = "view",
        /// Answer.
        Reply = "reply",
        /// Open the action's URL.
        Action = "action",
    }
}
names! {
    /// Which copies go out besides the inbox.
    ExternalDelivery {
        /// Inbox only.
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
    CompleteOn {
        /// When its URL is opened.
        Click = "click",
        /// When the program behind the URL reports back.
        Callback = "callback",
    }
}
names! {
    /// What becomes of a copy of which nobody knows whether it arrived.
    OnUnknown {
        /// Sent once more, then held.
        RetryOnce = "retry_once",
        /// Held at once for an operator.
        Hold = "hold",
    }
}
names! {
    /// Which of the parallel queues a job takes: bulk does not delay normal, neither delays alerts.
    Lane {
        /// A worker, connections and mail sessions of its own.
        Alert = "alert",
        /// Where the type says nothing else.
        Normal = "normal",
        /// Mass sends.
        Bulk = "bulk",
    }
}

/// How messages of one kind behave. A message copies this when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}
