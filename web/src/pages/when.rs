//! Times as their reader reads them.

use chrono::{DateTime, Timelike as _, Utc};

use crate::access::session::Login;

/// A time, in the words of its reader.
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
pub(super) fn when(login: &Login, at: DateTime<Utc>, now: DateTime<Utc>) -> When {
    let (words, local) = (login.words, at.with_timezone(&login.zone));
    let minutes = (now - at).num_minutes();
    let age = match minutes {
        ..1 => words.just_now.to_owned(),
        1..60 => (words.minutes_ago)(minutes),
        60..1_440 => (words.hours_ago)(minutes / 60),
        1_440..2_880 => words.yesterday.to_owned(),
        2_880..10_080 => (words.days_ago)(minutes / 1_440),
        _ => (words.date)(local, login.region),
    };
    When { age, exact: (words.exact)(local, login.region), machine: at.to_rfc3339() }
}

/// A day and time, in words that need no age beside them.
pub(super) fn moment(login: &Login, at: DateTime<Utc>) -> String {
    (login.words.date_and_time)(at.with_timezone(&login.zone), login.region)
}

/// How to greet somebody at this hour.
pub(super) fn greeting(login: &Login, now: DateTime<Utc>) -> String {
    (login.words.greeting)(now.with_timezone(&login.zone).hour(), login.name())
}

/// Today, in words.
pub(super) fn today(login: &Login, now: DateTime<Utc>) -> String {
    (login.words.day)(now.with_timezone(&login.zone), login.region)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn ages_are_short_and_times_are_in_the_readers_zone_and_order() {
        let at: DateTime<Utc> = "2026-07-01T22:30:00Z".parse().unwrap();
        let london = Login::of_test("UTC", "en-GB");
        let age = |delta| when(&london, at, at + delta).age;
        assert_eq!(age(TimeDelta::seconds(-5)), "just now");
        assert_eq!(age(TimeDelta::minutes(59)), "59 min ago");
        assert_eq!(age(TimeDelta::hours(23)), "23 h ago");
        assert_eq!(age(TimeDelta::hours(30)), "yesterday");
        assert_eq!(age(TimeDelta::days(6)), "6 days ago");
        assert_eq!(age(TimeDelta::days(8)), "1 Jul 2026");
        assert_eq!(
            when(&Login::of_test("Europe/Berlin", "de-DE"), at, at).exact,
            "2 July 2026, 00:30:00 CEST"
        );
        let new_york = Login::of_test("America/New_York", "en-US");
        assert_eq!(when(&new_york, at, at).exact, "July 1, 2026, 6:30:00 PM EDT");
        assert_eq!(moment(&new_york, at), "Jul 1, 2026, 6:30 PM EDT");
        let tokyo = Login::of_test("Asia/Tokyo", "en");
        assert_eq!(greeting(&tokyo, at), "Good morning, ann");
        assert_eq!(today(&tokyo, at), "Thursday, 2 July 2026");
    }
}
