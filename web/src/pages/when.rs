//! Times as people read them.

use chrono::{DateTime, Timelike as _, Utc};
use chrono_tz::Tz;

/// A time, in the words of somebody in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct When {
    /// How long ago; older than a week: the date.
    pub(super) age: String,
    /// To the second, with the zone.
    pub(super) exact: String,
    /// For machines (RFC 3339).
    pub(super) machine: String,
}

/// `at`, seen at `now`.
pub(super) fn when(at: DateTime<Utc>, now: DateTime<Utc>, zone: Tz) -> When {
    let local = at.with_timezone(&zone);
    let minutes = (now - at).num_minutes();
    let age = match minutes {
        ..1 => "just now".to_owned(),
        1..60 => format!("{minutes} min ago"),
        60..1_440 => format!("{} h ago", minutes / 60),
        1_440..2_880 => "yesterday".to_owned(),
        2_880..10_080 => format!("{} days ago", minutes / 1_440),
        _ => local.format("%-d %b %Y").to_string(),
    };
    When { age, exact: local.format("%-d %B %Y, %H:%M:%S %Z").to_string(), machine: at.to_rfc3339() }
}

/// A day and time, in words that need no age beside them.
pub(super) fn moment(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%-d %b %Y, %H:%M %Z").to_string()
}

/// How to greet somebody at this hour.
pub(super) fn greeting(now: DateTime<Utc>, zone: Tz) -> &'static str {
    match now.with_timezone(&zone).hour() {
        5..12 => "Good morning",
        12..18 => "Good afternoon",
        _ => "Good evening",
    }
}

/// Today, in words.
pub(super) fn today(now: DateTime<Utc>, zone: Tz) -> String {
    now.with_timezone(&zone).format("%A, %-d %B %Y").to_string()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn ages_are_short_and_times_are_in_the_readers_zone() {
        let at: DateTime<Utc> = "2026-07-01T22:30:00Z".parse().unwrap();
        let age = |delta| when(at, at + delta, Tz::UTC).age;
        assert_eq!(age(TimeDelta::seconds(-5)), "just now");
        assert_eq!(age(TimeDelta::minutes(59)), "59 min ago");
        assert_eq!(age(TimeDelta::hours(23)), "23 h ago");
        assert_eq!(age(TimeDelta::hours(30)), "yesterday");
        assert_eq!(age(TimeDelta::days(6)), "6 days ago");
        assert_eq!(age(TimeDelta::days(8)), "1 Jul 2026");
        let berlin = when(at, at, Tz::Europe__Berlin);
        assert_eq!(berlin.exact, "2 July 2026, 00:30:00 CEST");
        assert_eq!(greeting(at, Tz::Asia__Tokyo), "Good morning");
        assert_eq!(today(at, Tz::Asia__Tokyo), "Thursday, 2 July 2026");
    }
}
