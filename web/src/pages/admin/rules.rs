//! Reminder rules.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeZone as _, Utc};
use chrono_tz::Tz;
use herald_jobs::address::Channel;
use herald_jobs::refusal::Refusal;
use herald_jobs::reminder::{CatchUp, ContactPath, Interval, ReminderRule, Since};
use herald_jobs::store::change::{ChangeError, Expect, Saved};
use herald_jobs::store::reminders::Standing;
use herald_jobs::store::{self, message_templates, message_types, models};
use herald_producers::reminders::ReminderError;
use serde::{Serialize, Serializer};

use super::conditions;
use super::fields::{Field, Kind, lines, one_of, typed};
use super::kept::{Aside, Beside, Kept, MOST_OFFERED, Offered, Removal};
use super::list::{Asked, ONE_MORE};
use super::rule_trial;
use crate::access::form::Fields;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::Place;
use crate::words::Administration;

/// A rule, and how it stands. To whoever changes it, it is the same as long as the rule is.
pub(crate) struct Rule(pub(super) Standing);

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.rule.serialize(serializer)
    }
}

impl Default for Rule {
    /// What the form of a new one begins with.
    fn default() -> Self {
        let rule = ReminderRule {
            code: String::new(),
            description: String::new(),
            model: String::new(),
            initial: String::new(),
            status: String::new(),
            unchanged: Vec::new(),
            condition: None,
            interval: Interval { months: 0, days: 3, seconds: 0 },
            repeat: None,
            maximum: None,
            recipient: String::new(),
            otherwise: None,
            contacts: Vec::new(),
            message_type: String::new(),
            template: String::new(),
            zone: Tz::UTC,
            window: None,
            catch_up: CatchUp::All,
            from: Since::Now,
            cap: 1_000,
            valid_from: None,
            valid_to: None,
            enabled: true,
        };
        Self(Standing::unsaved(rule, DateTime::UNIX_EPOCH))
    }
}

impl Kept for Rule {
    const PATH: &'static str = "reminders";
    const PLACE: Place = Place::Reminders;

    fn titles(words: &Administration) -> (&'static str, &'static str) {
        (words.rules.reminders, words.rules.new_reminder)
    }

    fn columns(words: &Administration) -> Vec<&'static str> {
        vec![
            words.code.0,
            words.set_description.0,
            words.authoring.model.0,
            words.rules.interval.0,
            words.rules.state,
        ]
    }

    fn cells(&self, words: &Administration) -> Vec<String> {
        let rule = &self.0.rule;
        vec![
            rule.code.clone(),
            rule.description.clone(),
            rule.model.clone(),
            rule.interval.to_string(),
            words.rules.stands(&self.0).to_owned(),
        ]
    }

    fn name(&self) -> &str {
        &self.0.rule.code
    }

    fn removal(&self, words: &Administration) -> Option<Removal> {
        Some(Removal::new(words.delete, words.rules.log_goes_too))
    }

    fn told(words: &Administration, done: &str) -> Option<&'static str> {
        match done {
            "enabled" => Some(words.rules.was_enabled),
            "disabled" => Some(words.rules.was_disabled),
            "ran" => Some(words.rules.has_run),
            _ => None,
        }
    }

    fn trial(words: &Administration) -> Option<&'static str> {
        Some(words.rules.dry_run)
    }

    fn fields(&self, words: &Administration, offered: &Offered) -> Vec<Field> {
        let (rule, said) = (&self.0.rule, words.rules);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let code = if rule.code.is_empty() { Kind::Line } else { Kind::Fixed };
        let time = |at: Option<DateTime<Utc>>| {
            at.map_or(String::new(), |at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        };
        let number = |number: Option<i32>| number.map(|it| it.to_string()).unwrap_or_default();
        let named = |name: &str, label: &str| (name.to_owned(), label.to_owned());
        let since = vec![named("now", said.from_now), named("all", said.from_all)];
        let catch_up = vec![named("all", said.catch_up_all), named("latest", said.catch_up_latest)];
        let contacts = rule.contacts.iter().map(contact_line).collect::<Vec<_>>();
        let choose = Some(said.choose);
        vec![
            Field::new("code", words.code, code).holding(&rule.code),
            Field::new("description", words.set_description, Kind::Line).holding(&rule.description),
            Field::new("model", said.model, one_of(choose, &offered.models)).holding(&rule.model),
            Field::new("initial", said.initial, Kind::Line).holding(&rule.initial),
            Field::new("status", said.status, Kind::Line).holding(&rule.status),
            Field::new("unchanged", said.unchanged, Kind::Lines).holding(rule.unchanged.join("\n")),
            Field::new("where", said.condition, Kind::Source)
                .holding(conditions::written(rule.condition.as_ref())),
            Field::new("interval", said.interval, Kind::Line).holding(rule.interval.to_string()),
            Field::new("repeat", said.repeat, Kind::Line)
                .holding(rule.repeat.map(|it| it.to_string()).unwrap_or_default()),
            Field::new("maximum", said.maximum, Kind::Number).holding(number(rule.maximum)),
            Field::new("recipient", said.recipient, Kind::Line).holding(&rule.recipient),
            Field::new("otherwise", said.otherwise, Kind::Line).holding(text(&rule.otherwise)),
            Field::new("contacts", said.contacts, Kind::Lines).holding(contacts.join("\n")),
            Field::new("message_type", said.message_type, one_of(choose, &offered.message_types))
                .holding(&rule.message_type),
            Field::new("template", said.template, one_of(choose, &offered.templates)).holding(&rule.template),
            Field::new("zone", words.time_zone, Kind::Line).holding(rule.zone.to_string()),
            Field::new("window", said.window, Kind::Line).holding(text(&rule.window)),
            Field::new("catch_up", said.catch_up, Kind::One(catch_up)).holding(rule.catch_up.as_str()),
            Field::new("from", said.from, Kind::One(since)).holding(rule.from.as_str()),
            Field::new("cap", said.cap, Kind::Number).holding(rule.cap.to_string()),
            Field::new("valid_from", said.valid_from, Kind::Line).holding(time(rule.valid_from)),
            Field::new("valid_to", said.valid_to, Kind::Line).holding(time(rule.valid_to)),
            Field::new("enabled", said.enabled, Kind::Tick).holding(if rule.enabled { "on" } else { "" }),
            Field::new("at", said.at, Kind::Line).of_trial(),
            Field::new("record", said.record, Kind::Line).of_trial(),
        ]
    }

    fn read(fields: &Fields, words: &Administration) -> Result<Self, Refusal> {
        let text = |name: &str| fields.get(name).trim().to_owned();
        let interval = |name: &str| {
            let read = |text: String| text.parse::<Interval>().map_err(|problem| Refusal::new(name, problem));
            typed(fields, name).map(read).transpose()
        };
        let number = |name: &str| {
            let read = |text: String| text.parse::<i32>().map_err(|_| Refusal::new(name, words.not_a_number));
            typed(fields, name).map(read).transpose()
        };
        let set = |name: &'static str| move |problem: String| Refusal::new(name, problem);
        let zone: Tz = text("zone").parse().map_err(|_| Refusal::new("zone", words.rules.no_zone))?;
        let rule = ReminderRule {
            code: text("code"),
            description: text("description"),
            model: text("model"),
            initial: text("initial"),
            status: text("status"),
            unchanged: lines(fields, "unchanged"),
            condition: conditions::read("where", fields.get("where"))?,
            interval: interval("interval")?.ok_or_else(|| Refusal::new("interval", words.rules.needed))?,
            repeat: interval("repeat")?,
            maximum: number("maximum")?,
            recipient: text("recipient"),
            otherwise: typed(fields, "otherwise"),
            contacts: lines(fields, "contacts").iter().map(|line| contact(line)).collect(),
            message_type: text("message_type"),
            template: text("template"),
            zone,
            window: typed(fields, "window"),
            catch_up: text("catch_up").parse().map_err(set("catch_up"))?,
            from: text("from").parse().map_err(set("from"))?,
            cap: number("cap")?.ok_or_else(|| Refusal::new("cap", words.not_a_number))?,
            valid_from: time(fields, "valid_from", zone, words)?,
            valid_to: time(fields, "valid_to", zone, words)?,
            enabled: fields.get("enabled") == "on",
        };
        Ok(Self(Standing::unsaved(rule, DateTime::UNIX_EPOCH)))
    }

    async fn offered(app: &App) -> Result<Offered, store::Error> {
        let models = models::all(&app.pool).await?.into_iter().map(|(model, _)| model.name);
        let kinds = message_types::list(&app.pool, "", MOST_OFFERED).await?;
        let templates = message_templates::list(&app.pool, "", "", MOST_OFFERED).await?;
        Ok(Offered {
            models: models.collect(),
            message_types: kinds.into_iter().map(|kind| kind.code).collect(),
            templates: templates.into_iter().map(|template| template.code).collect(),
            ..Offered::default()
        })
    }

    async fn beside(&self, beside: &Beside<'_>) -> Result<Aside, PageError> {
        rule_trial::beside(&self.0, beside).await
    }

    async fn list(app: &App, asked: &Asked) -> Result<Vec<Self>, store::Error> {
        let rules = store::reminders::list(&app.pool, &asked.after, ONE_MORE).await?;
        Ok(rules.into_iter().map(Self).collect())
    }

    async fn get(app: &App, name: &str) -> Result<Option<Self>, store::Error> {
        Ok(store::reminders::get(&app.pool, name).await?.map(Self))
    }

    async fn save(self, app: &App, expect: &Expect, actor: &str) -> Result<Saved<Self>, ChangeError> {
        let condition = self.0.rule.condition.clone();
        let saved = app.reminders.save(self.0.rule, expect, actor).await;
        let saved = saved.map_err(|error| match error {
            ReminderError::Refused(refusal) => conditions::placed(refusal, condition.as_ref()).into(),
            ReminderError::Change(error) => error,
            ReminderError::Database(error) => error.into(),
        })?;
        let Saved { value, created } = saved;
        Ok(Saved { value: Self(Standing::unsaved(value, DateTime::UNIX_EPOCH)), created })
    }

    async fn remove(app: &App, name: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
        store::reminders::remove(&app.pool, name, expect, actor).await
    }
}

/// A contact, as in `customer.contact_person.email Cc`.
fn contact_line(contact: &ContactPath) -> String {
    let channel = contact.channel.map(Channel::as_str);
    let mode = Some(contact.mode.as_str()).filter(|mode| !mode.is_empty());
    std::iter::once(contact.path.as_str()).chain(mode).chain(channel).collect::<Vec<_>>().join(" ")
}

fn contact(line: &str) -> ContactPath {
    let mut words = line.split_whitespace();
    let mut contact =
        ContactPath { path: words.next().unwrap_or_default().to_owned(), channel: None, mode: String::new() };
    for word in words {
        match word.to_lowercase().parse() {
            Ok(channel) => contact.channel = Some(channel),
            Err(_) => word.clone_into(&mut contact.mode),
        }
    }
    contact
}

/// A time as it was typed: as in RFC 3339, or a day or minute in a zone.
pub(super) fn time(
    fields: &Fields,
    name: &str,
    zone: Tz,
    words: &Administration,
) -> Result<Option<DateTime<Utc>>, Refusal> {
    let Some(text) = typed(fields, name) else { return Ok(None) };
    let local = NaiveDateTime::parse_from_str(&text.replace('T', " "), "%Y-%m-%d %H:%M")
        .or_else(|_| text.parse::<NaiveDate>().map(|day| day.and_time(chrono::NaiveTime::MIN)));
    let at = match (DateTime::parse_from_rfc3339(&text), local) {
        (Ok(at), _) => Some(at.to_utc()),
        (_, Ok(local)) => zone.from_local_datetime(&local).earliest().map(|at| at.to_utc()),
        _ => None,
    };
    at.map(Some).ok_or_else(|| Refusal::new(name, words.rules.no_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_read_as_it_is_written() {
        for line in
            ["owner.email", "customer.contact_person.email Cc", "owner.phone To sms", "owner.phone sms"]
        {
            assert_eq!(contact_line(&contact(line)), line);
        }
    }
}
