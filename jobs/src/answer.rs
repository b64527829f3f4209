//! Answers: what a recipient may say, how it came in, and where it goes.

use serde::{Deserialize, Serialize};

use crate::message_type::names;

/// Longest reply, in characters.
pub const LONGEST_REPLY: usize = 2_000;
/// Longest name of a webhook or stream, in characters.
const LONGEST_NAME: usize = 60;

names! {
    /// Where a message was answered.
    Via {
        /// In the inbox.
        Inbox = "inbox",
        /// By a program that administers, over HTTP.
        Api = "api",
        /// By a link in an e-mail.
        Email = "email",
        /// On the command line.
        Cli = "cli",
        /// By the program behind an action's URL.
        Callback = "callback",
    }
}

impl Via {
    /// As people read it after "answered".
    pub fn words(self) -> &'static str {
        match self {
            Self::Inbox => "in the inbox",
            Self::Api => "over HTTP",
            Self::Email => "by e-mail",
            Self::Cli => "on the command line",
            Self::Callback => "by the program behind it",
        }
    }
}

/// Whom the answer to a message, or the decision of an authorisation, is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerTo {
    /// Whoever listens to `herald_answer`; the answer's row stays for them.
    Notify,
    /// The program behind this webhook.
    Webhook(String),
    /// Whoever reads this Redis stream.
    Stream(String),
}

impl std::str::FromStr for AnswerTo {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text.split_once(':') {
            None if text == "notify" => Ok(Self::Notify),
            Some(("webhook", name)) if is_name(name) => Ok(Self::Webhook(name.to_owned())),
            Some(("stream", name)) if is_name(name) => Ok(Self::Stream(name.to_owned())),
            _ => Err("must be notify, webhook:NAME or stream:NAME"),
        }
    }
}

impl std::fmt::Display for AnswerTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Notify => f.write_str("notify"),
            Self::Webhook(name) => write!(f, "webhook:{name}"),
            Self::Stream(name) => write!(f, "stream:{name}"),
        }
    }
}

/// Whether a webhook or a stream may have this name.
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= LONGEST_NAME
        && name.starts_with(plain)
        && name.chars().all(|c| plain(c) || matches!(c, '_' | '.' | '-'))
}

/// What is wrong with a reply, to be read after "it".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongReply {
    /// There is none.
    #[error("needs a value first")]
    Missing,
    /// It is none of its choices.
    #[error("does not offer this value; choose again")]
    NotOffered,
    /// It is longer than [`LONGEST_REPLY`].
    #[error("takes at most 2,000 characters")]
    TooLong,
    /// It holds the character U+0000.
    #[error("does not take the character U+0000")]
    Nul,
}

/// The reply as it is recorded; `offered` are the values of its choices, none where the text is free.
///
/// # Errors
/// [`WrongReply`].
pub fn check_reply<'a>(offered: &[&str], typed: Option<&'a str>) -> Result<&'a str, WrongReply> {
    let typed = typed.map(str::trim).filter(|typed| !typed.is_empty()).ok_or(WrongReply::Missing)?;
    if !offered.is_empty() && !offered.contains(&typed) {
        Err(WrongReply::NotOffered)
    } else if typed.chars().count() > LONGEST_REPLY {
        Err(WrongReply::TooLong)
    } else if typed.contains('\0') {
        Err(WrongReply::Nul)
    } else {
        Ok(typed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_answer_goes_is_read_as_it_is_shown() {
        for text in ["notify", "webhook:erp", "stream:po.decisions-1"] {
            assert_eq!(text.parse::<AnswerTo>().unwrap().to_string(), text);
        }
        for bad in ["", "webhook", "webhook:", "webhook:ERP", "mail:x", "stream:a b", "notify:x", "stream:-a"]
        {
            assert!(bad.parse::<AnswerTo>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reply_is_one_of_its_choices_or_some_text() {
        assert_eq!(check_reply(&["Yes", "No"], Some(" No ")), Ok("No"));
        assert!(check_reply(&["Yes", "No"], Some("no")).is_err());
        assert_eq!(check_reply(&[], Some("The blue one")), Ok("The blue one"));
        for bad in [None, Some(" "), Some("a\0b"), Some("x".repeat(2_001).as_str())] {
            assert!(check_reply(&[], bad).is_err());
        }
    }
}
