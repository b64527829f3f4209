//! Reminder rules: who is told when a record's status has not changed for a while.
//!
//! A rule fires for a record of a model whose status is still one of those that count as unchanged when an [`Interval`] has passed since its
//! initial date and time; then again, where it says so. What it has fired is an occurrence: the rule, the record, the value of the initial
//! date and time, and a number from 1. Each is sent once.

mod condition;
mod interval;
mod plan;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

pub use self::condition::{Comparison, Condition, Operator};
pub use self::interval::Interval;
pub use self::plan::{Found, Moment, Plan};
use crate::address::{Channel, EmailMode};
use crate::message_type::names;
use crate::refusal::{Refusal, check_code, check_line};
use crate::window::Window;

/// Most statuses, and most paths to outside contacts.
const MOST: (usize, usize) = (100, 20);
/// Longest path, in bytes.
const LONGEST_PATH: usize = 500;
/// Longest description, in characters.
const LONGEST_DESCRIPTION: usize = 200;
/// The shortest time between two reminders, in seconds.
const SHORTEST_REPEAT: i64 = 60;
/// Most occurrences of one record, and most that a run may be let send.
pub const MAX_OCCURRENCES: (i32, i32) = (1_000_000, 100_000);

/// A rule as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReminderRule {
    /// Unique, as in `PO-OVERDUE`.
    #[serde(default)]
    pub code: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The model whose records it looks at.
    pub model: String,
    /// The path to the date, or date and time, from which the interval counts.
    pub initial: String,
    /// The path to the status.
    pub status: String,
    /// The statuses that count as unchanged.
    pub unchanged: Vec<String>,
    /// What else must be true of a record.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// How long the status may stand still.
    pub interval: Interval,
    /// How long after one reminder the next follows; absent: there is one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Interval>,
    /// Reminders at most, for one initial date and time; absent: as long as the status stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<i32>,
    /// The path to a username: who is reminded.
    pub recipient: String,
    /// The path to the username of who is reminded where that is no active user: a manager, as in `approver.manager`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
    /// Outside contacts who get a copy, found when the rule fires.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<ContactPath>,
    /// The type of its messages.
    pub message_type: String,
    /// The template of their texts, over the same model.
    pub template: String,
    /// The zone by whose calendar days are counted, and whose clocks the window means.
    #[serde(default = "utc", skip_serializing_if = "is_utc")]
    #[schemars(with = "String")]
    pub zone: Tz,
    /// The hours in which it fires, as in `08:00-18:00`; what comes due outside them waits, and is not sent where the status changes
    /// meanwhile. Absent: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// What is made up for when several occurrences of a record have come due: all, or the latest only.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Whether what was due before the rule was made is sent too.
    #[serde(default)]
    pub from: Since,
    /// Messages that one run may send at most: where more are due it sends none, and pauses.
    #[serde(default = "usual_cap")]
    pub cap: i32,
    /// What comes due before this is not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<DateTime<Utc>>,
    /// Nor what comes due from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<DateTime<Utc>>,
    /// Whether it fires.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// Where outside contacts are found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactPath {
    /// The path to e-mail addresses or mobile numbers, as in `customer.contact_person.email`.
    pub path: String,
    /// Takes what is of this channel only; absent: the form of each decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// `To` (default), `Cc` or `Bcc`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
}

names! {
    /// What is made up for after an outage.
    #[derive(Default)]
    CatchUp {
        /// Every occurrence that has come due.
        #[default]
        All = "all",
        /// Of each record the latest.
        Latest = "latest",
    }
}
names! {
    /// From when on a new rule fires.
    #[derive(Default)]
    Since {
        /// What comes due from now on.
        #[default]
        Now = "now",
        /// What is overdue too.
        All = "all",
    }
}

fn utc() -> Tz {
    Tz::UTC
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn is_utc(zone: &Tz) -> bool {
    *zone == Tz::UTC
}

fn usual_cap() -> i32 {
    1_000
}

fn yes() -> bool {
    true
}

impl ReminderRule {
    /// Checks what can be checked without models, and brings it into its one form.
    ///
    /// # Errors
    /// Names the field that cannot be.
    pub fn validate(mut self) -> Result<Self, Refusal> {
        let refuse = |field: &str, problem: String| Err(Refusal::new(field, problem));
        check_code("code", &self.code)?;
        if !self.description.is_empty() {
            check_line("description", &self.description, LONGEST_DESCRIPTION)?;
        }
        check_line("model", &self.model, LONGEST_PATH)?;
        for (field, path) in self.paths() {
            check_path(&field, path)?;
        }
        if self.unchanged.is_empty() || self.unchanged.len() > MOST.0 {
            return refuse("unchanged", format!("must have 1 to {} entries", MOST.0));
        }
        condition::check_values("unchanged", &self.unchanged)?;
        if let Some(condition) = &self.condition {
            condition.validate("where")?;
        }
        if self.repeat.is_some_and(|repeat| repeat.is_exact() && repeat.seconds < SHORTEST_REPEAT) {
            return refuse("repeat", "must be at least a minute".into());
        }
        match (self.maximum, self.repeat) {
            (Some(_), None) => return refuse("maximum", "is only of use with repeat".into()),
            (Some(maximum), _) if !(1..=MAX_OCCURRENCES.0).contains(&maximum) => {
                return refuse("maximum", format!("must be 1 to {}", MAX_OCCURRENCES.0));
            }
            _ => {}
        }
        if self.contacts.len() > MOST.1 {
            return refuse("contacts", format!("has more than {} entries", MOST.1));
        }
        for (at, contact) in self.contacts.iter_mut().enumerate() {
            contact.validate(at)?;
        }
        check_code("message_type", &self.message_type)?;
        check_code("template", &self.template)?;
        self.open_hours()?;
        if !(1..=MAX_OCCURRENCES.1).contains(&self.cap) {
            return refuse("cap", format!("must be 1 to {}", MAX_OCCURRENCES.1));
        }
        if self.valid_from.zip(self.valid_to).is_some_and(|(from, to)| from >= to) {
            return refuse("valid_to", "must be later than valid_from".into());
        }
        Ok(self)
    }

    /// The hours in which it fires; `None`: always.
    ///
    /// # Errors
    /// Names the field `window`.
    pub fn open_hours(&self) -> Result<Option<Window>, Refusal> {
        let window = self.window.as_deref().map(|text| Window::parse(text, self.zone));
        window.transpose().map_err(|problem| Refusal::new("window", problem))
    }

    /// Whether `other` fires for the same records at the same times: what is overdue for the one is so for the other.
    pub fn fires_like(&self, other: &Self) -> bool {
        let what = |rule: &Self| {
            let Self {
                model,
                initial,
                status,
                unchanged,
                condition,
                interval,
                repeat,
                maximum,
                zone,
                from,
                ..
            } = rule.clone();
            (model, initial, status, unchanged, condition, interval, repeat, maximum, zone, from)
        };
        what(self) == what(other)
    }

    fn paths(&self) -> Vec<(String, &str)> {
        let mut paths = vec![
            ("initial".to_owned(), self.initial.as_str()),
            ("status".to_owned(), &self.status),
            ("recipient".to_owned(), &self.recipient),
        ];
        paths.extend(self.otherwise.as_deref().map(|path| ("otherwise".to_owned(), path)));
        let contacts = self.contacts.iter().enumerate();
        paths.extend(contacts.map(|(at, contact)| (format!("contacts/{at}/path"), contact.path.as_str())));
        let comparisons = self.condition.iter().flat_map(|condition| condition.comparisons("where"));
        paths.extend(
            comparisons.map(|(field, comparison)| (format!("{field}/path"), comparison.path.as_str())),
        );
        paths
    }
}

impl ContactPath {
    /// How they appear on an e-mail.
    ///
    /// # Errors
    /// Says what it must be.
    pub fn email_mode(&self) -> Result<EmailMode, String> {
        EmailMode::parse(if self.mode.is_empty() { "To" } else { &self.mode })
    }

    fn validate(&mut self, at: usize) -> Result<(), Refusal> {
        self.email_mode().map(drop).map_err(|problem| Refusal::new(format!("contacts/{at}/mode"), problem))
    }
}

/// Whether a model could have such a path: the catalogue says whether it has.
fn check_path(field: &str, path: &str) -> Result<(), Refusal> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if path.len() <= LONGEST_PATH && path.split('.').all(is_name) {
        return Ok(());
    }
    Err(Refusal::new(field, "must be a path of names such as status or customer.country"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> ReminderRule {
        let rule = serde_json::json!({"code": "PO-OVERDUE", "model": "purchase_order", "initial": "submitted_at", "status": "status",
            "unchanged": ["submitted"], "interval": "3 days", "recipient": "approver", "message_type": "VIEW-NORMAL",
            "template": "PO-REMINDER"});
        serde_json::from_value(rule).unwrap()
    }

    #[test]
    fn each_refusal_names_its_field() {
        type Change = fn(&mut ReminderRule);
        let contact =
            |path: &str, mode: &str| ContactPath { path: path.into(), channel: None, mode: mode.into() };
        assert!(rule().validate().is_ok());
        let cases: [(Change, &str); 19] = [
            (|it| it.code = "po".into(), "code"),
            (|it| it.description = "a\nb".into(), "description"),
            (|it| it.model = String::new(), "model"),
            (|it| it.initial = "1; drop table x".into(), "initial"),
            (|it| it.status = "pg_sleep(9)".into(), "status"),
            (|it| it.recipient = "a..b".into(), "recipient"),
            (|it| it.otherwise = Some("\"x\"".into()), "otherwise"),
            (|it| it.unchanged = vec![], "unchanged"),
            (|it| it.unchanged = vec!["a\0".into()], "unchanged"),
            (|it| it.condition = Some(Condition::Any { any: vec![] }), "where/any"),
            (|it| it.repeat = Some("59 seconds".parse().unwrap()), "repeat"),
            (|it| it.maximum = Some(5), "maximum"),
            (|it| (it.repeat, it.maximum) = (Some("1 day".parse().unwrap()), Some(0)), "maximum"),
            (|it| it.message_type = "x".into(), "message_type"),
            (|it| it.template = "x".into(), "template"),
            (|it| it.window = Some("8-18".into()), "window"),
            (|it| it.cap = 0, "cap"),
            (
                |it| (it.valid_from, it.valid_to) = (Some(DateTime::UNIX_EPOCH), Some(DateTime::UNIX_EPOCH)),
                "valid_to",
            ),
            (|it| it.initial = "x".repeat(501), "initial"),
        ];
        for (change, field) in cases {
            let mut bad = rule();
            change(&mut bad);
            assert_eq!(bad.clone().validate().unwrap_err().field, field, "{bad:?}");
        }
        for (contact, field) in
            [(contact("a b", ""), "contacts/0/path"), (contact("customer.email", "Copy"), "contacts/0/mode")]
        {
            let bad = ReminderRule { contacts: vec![contact], ..rule() };
            assert_eq!(bad.validate().unwrap_err().field, field);
        }
    }

    #[test]
    fn what_is_left_out_has_its_default_and_is_shown_as_it_was_written() {
        let rule = rule().validate().unwrap();
        assert!(rule.enabled && rule.cap == 1_000 && rule.zone == Tz::UTC);
        assert_eq!((rule.from, rule.catch_up), (Since::Now, CatchUp::All));
        let shown = serde_json::to_string(&rule).unwrap();
        assert_eq!(serde_json::from_str::<ReminderRule>(&shown).unwrap(), rule);
    }
}
