//! Users, as they are maintained.

use serde::{Deserialize, Serialize};

use crate::address::{self, Username};
use crate::refusal::{Refusal, check_line};

/// Longest display name, in characters.
const MAX_NAME: usize = 200;

/// A user. Passwords and log-in links are made elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Account {
    /// Unique, lower case.
    pub username: String,
    /// Shown to people; may be empty.
    pub display_name: String,
    /// Where e-mail goes.
    pub email: Option<String>,
    /// Where SMS goes: a number in E.164 form.
    pub mobile: Option<String>,
    /// BCP 47, as in `en-GB`.
    pub locale: String,
    /// An IANA name, as in `Europe/Berlin`.
    pub time_zone: String,
    /// `operator` and `admin`, and roles of the house's own, by which approvers are found.
    pub roles: Vec<String>,
    /// Receives messages and may log in.
    pub active: bool,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            username: String::new(),
            display_name: String::new(),
            email: None,
            mobile: None,
            locale: "en".into(),
            time_zone: "UTC".into(),
            roles: Vec::new(),
            active: true,
        }
    }
}

impl Account {
    /// Checks everything but the time zone, which the database knows, and brings names and addresses into their one form.
    ///
    /// # Errors
    /// Names the field that cannot be.
    pub fn validate(mut self) -> Result<Self, Refusal> {
        let refuse = |field: &'static str| move |problem: String| Refusal::new(field, problem);
        self.username = Username::parse(&self.username).map_err(refuse("username"))?.to_string();
        if !self.display_name.is_empty() {
            check_line("display_name", &self.display_name, MAX_NAME)?;
        }
        self.email = self.email.map(|text| address::email(&text)).transpose().map_err(refuse("email"))?;
        self.mobile = match self.mobile {
            // An e-mail address would be told to be one.
            Some(text) => Some(
                address::mobile(&text)
                    .map_err(|_| Refusal::new("mobile", "must be a mobile number such as +491701234567"))?,
            ),
            None => None,
        };
        if !is_locale(&self.locale) {
            return Err(Refusal::new("locale", "must be a language and perhaps a region, as in en-GB"));
        }
        for (position, role) in self.roles.iter().enumerate() {
            if !is_role(role) {
                let problem = "must be operator, admin, or a role of your own: a letter, then letters, digits, _ or -, in lower case";
                return Err(Refusal::new(format!("roles/{position}"), problem));
            }
        }
        self.roles.sort();
        self.roles.dedup();
        Ok(self)
    }
}

fn is_role(role: &str) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    role.len() <= 60 && role.starts_with(|c: char| c.is_ascii_lowercase()) && role.chars().all(is_part)
}

/// Whether this has the form of a language tag (BCP 47).
fn is_locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    text.len() <= 35
        && (2..=8).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_its_field() {
        let good =
            Account { username: "Ann".into(), email: Some(" ann@example.com".into()), ..Account::default() };
        let read = good.clone().validate().unwrap();
        assert_eq!((read.username.as_str(), read.email.as_deref()), ("ann", Some("ann@example.com")));
        for (bad, field) in [
            (Account { username: "a b".into(), ..good.clone() }, "username"),
            (Account { display_name: "a\nb".into(), ..good.clone() }, "display_name"),
            (Account { email: Some("ann".into()), ..good.clone() }, "email"),
            (Account { mobile: Some("0170".into()), ..good.clone() }, "mobile"),
            (Account { locale: "english please".into(), ..good.clone() }, "locale"),
            (Account { roles: vec!["admin".into(), "Root".into()], ..good }, "roles/1"),
        ] {
            assert_eq!(bad.validate().unwrap_err().field, field);
        }
    }
}
