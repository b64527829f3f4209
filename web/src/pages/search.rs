//! What is asked of a list: its address, read and written, so that it can be shared.

use chrono::{DateTime, Datelike as _, Days, NaiveDate, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use herald_jobs::store::inbox_search::{Search, State};
use serde::Deserialize;
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use crate::error::PageError;

/// Longest value of one field, in characters.
const LONGEST: usize = 200;

/// The fields as the address has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    pub(super) q: String,
    pub(super) sender: String,
    #[serde(rename = "type")]
    pub(super) message_type: String,
    pub(super) state: String,
    pub(super) from: String,
    pub(super) to: String,
    /// Continues after this message.
    before: String,
}

impl Asked {
    /// The same, with what no message can hold taken out.
    pub(super) fn clean(self) -> Self {
        let clean = |text: String| -> String {
            let text: String =
                text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
            text.trim().to_owned()
        };
        Self {
            q: clean(self.q),
            sender: clean(self.sender),
            message_type: clean(self.message_type).to_uppercase(),
            state: self.state,
            from: clean(self.from),
            to: clean(self.to),
            before: self.before,
        }
    }

    /// Where in the list.
    ///
    /// # Errors
    /// The address names no page of a list.
    pub(super) fn position(&self) -> Result<Option<Uuid>, PageError> {
        if self.before.is_empty() {
            return Ok(None);
        }
        Uuid::try_parse(&self.before).map(Some).map_err(|_| nowhere())
    }

    /// What to look for, in days of `zone`; a day that is none is left out, and [`Asked::bad_days`] tells.
    ///
    /// # Errors
    /// The address names no page of a list.
    pub(super) fn search(&self, alert: bool, zone: Tz) -> Result<Search, PageError> {
        Ok(Search {
            alert,
            words: self.q.clone(),
            sender: self.sender.clone(),
            message_type: self.message_type.clone(),
            state: self.state().ok_or_else(nowhere)?,
            from: day(&self.from).map(|day| begin(day, zone)),
            until: day(&self.to)
                .and_then(|day| day.checked_add_days(Days::new(1)))
                .map(|day| begin(day, zone)),
        })
    }

    /// Whether `from` and `to` hold something that is no day.
    pub(super) fn bad_days(&self) -> [bool; 2] {
        [&self.from, &self.to].map(|text| !text.is_empty() && day(text).is_none())
    }

    fn state(&self) -> Option<State> {
        match self.state.as_str() {
            "" => Some(State::Waiting),
            "unseen" => Some(State::Unseen),
            "done" => Some(State::Done),
            "acted" => Some(State::Acted),
            "taken-back" => Some(State::TakenBack),
            _ => None,
        }
    }

    /// Whether it is about what does not wait any more.
    pub(super) fn is_history(&self) -> bool {
        matches!(self.state(), Some(State::Done | State::Acted | State::TakenBack))
    }

    /// Whether less than all of a list is looked for.
    pub(super) fn is_narrowed(&self) -> bool {
        !self.q.is_empty() || self.has_filters()
    }

    /// Whether a field beside the words is used.
    pub(super) fn has_filters(&self) -> bool {
        let fields = [&self.sender, &self.message_type, &self.from, &self.to];
        fields.iter().any(|field| !field.is_empty()) || !matches!(self.state.as_str(), "" | "done")
    }

    /// The query of an address: empty, or from the question mark on.
    pub(super) fn address(&self, before: Option<Uuid>) -> String {
        let before = before.map(|id| id.to_string()).unwrap_or_default();
        let fields = [
            ("q", &self.q),
            ("sender", &self.sender),
            ("type", &self.message_type),
            ("state", &self.state),
            ("from", &self.from),
            ("to", &self.to),
            ("before", &before),
        ];
        let mut query = Serializer::for_suffix(String::from("?"), 1);
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            query.append_pair(name, value);
        }
        let query = query.finish();
        if query.len() > 1 { query } else { String::new() }
    }
}

fn nowhere() -> PageError {
    PageError::Bad("This address does not name a page of the list.")
}

fn day(text: &str) -> Option<NaiveDate> {
    text.parse::<NaiveDate>().ok().filter(|day| (1970..=9998).contains(&day.year()))
}

/// When a day begins in a zone. Where clocks skip midnight, an hour later.
fn begin(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = day.and_time(chrono::NaiveTime::MIN);
    let later = || zone.from_local_datetime(&(midnight + TimeDelta::hours(1))).earliest();
    zone.from_local_datetime(&midnight)
        .earliest()
        .or_else(later)
        .map_or_else(|| midnight.and_utc(), |begin| begin.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_readers_day() {
        let asked = Asked { from: "2026-07-01".into(), to: "2026-07-01".into(), ..Asked::default() };
        let search = asked.search(false, Tz::Europe__Berlin).unwrap();
        assert_eq!(search.from, Some("2026-06-30T22:00:00Z".parse().unwrap()));
        assert_eq!(search.until, Some("2026-07-01T22:00:00Z".parse().unwrap()), "the last day counts");
        // Chile's clocks skip midnight.
        let skipped = begin("2026-09-06".parse().unwrap(), Tz::America__Santiago);
        assert_eq!(skipped, "2026-09-06T04:00:00Z".parse::<DateTime<Utc>>().unwrap());
        for bad in ["yesterday", "2026-02-30", "+262142-01-01", "0000-01-01"] {
            let asked = Asked { to: bad.into(), ..Asked::default() };
            assert_eq!(asked.bad_days(), [false, true], "{bad}");
        }
    }

    #[test]
    fn an_address_holds_what_was_asked_and_nothing_else() {
        let asked = Asked { q: " po\u{0} 4711 & more ".into(), state: "done".into(), ..Asked::default() };
        assert_eq!(
            asked.clean().address(Some(Uuid::nil())),
            "?q=po++4711+%26+more&state=done&before=00000000-0000-0000-0000-000000000000"
        );
        assert_eq!(Asked::default().address(None), "");
    }
}
