//! Who is reached, and where: parsed once at the edge, valid by type afterwards.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use crate::email_address::parse as email;
use crate::message_type::names;

/// A user's name: lower case, no white space, no slash, at most 100 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Username(String);

impl Username {
    /// Reads a name; upper case becomes lower case.
    ///
    /// # Errors
    /// Says what is wrong with the name, without naming a field.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.trim().to_lowercase();
        match name.chars().count() {
            0 => Err("must not be empty".into()),
            101.. => Err("must be at most 100 characters".into()),
            _ if name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/') => {
                Err("must not hold white space, control characters or a slash".into())
            }
            _ => Ok(Self(name)),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Username {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

names! {
    /// How a copy leaves the house.
    Channel {
        /// By SMTP.
        Email = "email",
        /// By an SMS provider.
        Sms = "sms",
    }
}
names! {
    /// How an outside contact appears on an e-mail.
    EmailMode {
        /// A main recipient.
        To = "to",
        /// In copy.
        Cc = "cc",
        /// In copy, seen by nobody else.
        Bcc = "bcc",
    }
}

impl EmailMode {
    /// Reads `To`, `Cc` or `Bcc` in any case.
    ///
    /// # Errors
    /// Says which values there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.trim().to_ascii_lowercase().parse().map_err(|_| "must be To, Cc or Bcc".into())
    }
}

/// Somebody who is not a user, reached by e-mail or SMS: the form decides which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// E-mail or SMS.
    pub channel: Channel,
    /// An e-mail address (RFC 5321) at a real domain, or a number in E.164 form.
    pub address: String,
    /// Ignored for SMS.
    pub mode: EmailMode,
}

impl Contact {
    /// Reads a contact's reference.
    ///
    /// # Errors
    /// Says what is wrong with it, without naming a field.
    pub fn parse(reference: &str, mode: EmailMode) -> Result<Self, String> {
        let text = reference.trim();
        if text.contains('@') {
            email(text).map(|address| Self { channel: Channel::Email, address, mode })
        } else {
            mobile(text).map(|address| Self { channel: Channel::Sms, address, mode })
        }
    }
}

/// Reads a mobile number in E.164 form (ITU-T E.164: a plus, then 7 to 15 digits); spaces, dots, dashes and brackets are
/// taken out.
///
/// # Errors
/// Says what is wrong with the number.
pub fn mobile(text: &str) -> Result<String, String> {
    let number: Cow<'_, str> = text.chars().filter(|c| !matches!(c, ' ' | '.' | '-' | '(' | ')')).collect();
    let digits = number.strip_prefix('+').unwrap_or_default();
    if (7..=15).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0')
    {
        Ok(number.into_owned())
    } else {
        Err("must be an e-mail address or a mobile number such as +491701234567".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_decides_the_channel() {
        let mail = Contact::parse("ann@example.com", EmailMode::Cc).unwrap();
        assert_eq!((mail.channel, mail.mode), (Channel::Email, EmailMode::Cc));
        let sms = Contact::parse("+49 (170) 123-4567", EmailMode::To).unwrap();
        assert_eq!((sms.channel, sms.address.as_str()), (Channel::Sms, "+491701234567"));
        assert!(Contact::parse("0170 1234567", EmailMode::To).is_err());
    }

    #[test]
    fn names_are_one_in_any_case() {
        assert_eq!(Username::parse(" Ann ").unwrap(), Username::parse("ann").unwrap());
        assert!(
            Username::parse("a b").is_err()
                && Username::parse("").is_err()
                && Username::parse(&"a".repeat(101)).is_err()
        );
    }
}
