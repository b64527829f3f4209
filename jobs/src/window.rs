//! The hours of each day in which something goes out.

use chrono::{DateTime, LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

/// A span of each day, by the clocks of a zone; it may last over midnight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    from: NaiveTime,
    until: NaiveTime,
    zone: Tz,
}

impl Window {
    /// Reads `06:00-22:00`; `22:00-06:00` lasts over midnight.
    ///
    /// # Errors
    /// Says what it must be.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, String> {
        let time = |text: &str| NaiveTime::parse_from_str(text.trim(), "%H:%M").ok();
        let times = text.split_once('-').and_then(|(from, until)| Some((time(from)?, time(until)?)));
        match times {
            Some((from, until)) if from != until => Ok(Self { from, until, zone }),
            _ => Err(format!("must be two different times of day such as 06:00-22:00, not {text:?}")),
        }
    }

    /// When it opens next; `None`: it is open at `at`.
    pub fn opens(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let today = at.with_timezone(&self.zone).date_naive();
        // The one of yesterday may last until today. A day on which clocks jump over all of it has none.
        let days = (-1..=2).filter_map(|days| today.checked_add_signed(TimeDelta::days(days)));
        let spans = days.map(|day| self.on(day)).filter(|(open, close)| open < close);
        let mut next = None;
        for (open, close) in spans {
            if open <= at && at < close {
                return None;
            }
            next = next.or(Some(open).filter(|open| *open > at));
        }
        next
    }

    /// The span that begins on this day.
    fn on(&self, day: NaiveDate) -> (DateTime<Utc>, DateTime<Utc>) {
        let overnight = TimeDelta::days(i64::from(self.until < self.from));
        let last = day.checked_add_signed(overnight).unwrap_or(day);
        (self.instant(day, self.from).0, self.instant(last, self.until).1)
    }

    /// When clocks show this time, first and last. Where they jump over it: when they have jumped.
    fn instant(&self, day: NaiveDate, time: NaiveTime) -> (DateTime<Utc>, DateTime<Utc>) {
        let mut local = day.and_time(time);
        loop {
            match self.zone.from_local_datetime(&local) {
                LocalResult::Single(at) => return (at.to_utc(), at.to_utc()),
                LocalResult::Ambiguous(first, last) => return (first.to_utc(), last.to_utc()),
                LocalResult::None => local += TimeDelta::minutes(1),
            }
        }
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{} {}", self.from.format("%H:%M"), self.until.format("%H:%M"), self.zone)
    }
}

#[cfg(test)]
mod tests {
    use chrono::Timelike as _;

    use super::*;

    fn window(text: &str) -> Window {
        Window::parse(text, chrono_tz::Europe::Berlin).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn it_opens_by_the_clocks_of_its_zone_in_summer_and_winter() {
        for (text, when, opens) in [
            ("06:00-22:00", "2026-01-15T04:59:59Z", Some("2026-01-15T05:00:00Z")),
            ("06:00-22:00", "2026-01-15T05:00:00Z", None),
            ("06:00-22:00", "2026-01-15T20:59:59Z", None),
            ("06:00-22:00", "2026-01-15T21:00:00Z", Some("2026-01-16T05:00:00Z")),
            ("06:00-22:00", "2026-07-15T03:00:00Z", Some("2026-07-15T04:00:00Z")),
            // The night before clocks go forward, and back.
            ("06:00-22:00", "2026-03-28T22:00:00Z", Some("2026-03-29T04:00:00Z")),
            ("06:00-22:00", "2026-10-24T22:00:00Z", Some("2026-10-25T05:00:00Z")),
            ("22:00-06:00", "2026-01-15T22:00:00Z", None),
            ("22:00-06:00", "2026-01-15T04:00:00Z", None),
            ("22:00-06:00", "2026-01-15T05:00:00Z", Some("2026-01-15T21:00:00Z")),
            // Clocks jump from 02:00 to 03:00.
            ("02:30-09:00", "2026-03-29T00:00:00Z", Some("2026-03-29T01:00:00Z")),
            ("02:10-02:50", "2026-03-29T00:00:00Z", Some("2026-03-30T00:10:00Z")),
            // Clocks show 02:00 to 03:00 twice.
            ("02:30-02:45", "2026-10-25T00:20:00Z", Some("2026-10-25T00:30:00Z")),
            ("02:30-02:45", "2026-10-25T01:44:00Z", None),
        ] {
            assert_eq!(window(text).opens(at(when)), opens.map(at), "{text} at {when}");
        }
    }

    #[test]
    fn all_through_a_year_it_is_open_when_clocks_say_so_and_opens_when_it_says() {
        for (text, open) in [
            ("06:00-22:00", (|hour| (6..22).contains(&hour)) as fn(u32) -> bool),
            ("20:00-05:00", |hour| !(5..20).contains(&hour)),
        ] {
            let window = window(text);
            for quarter in 0..4 * 24 * 366 {
                let now = at("2026-01-01T00:00:00Z") + TimeDelta::minutes(15 * quarter);
                let hour = now.with_timezone(&window.zone).hour();
                match window.opens(now) {
                    None => assert!(open(hour), "{text} at {now}"),
                    Some(next) => {
                        assert!(
                            !open(hour) && next > now && next - now <= TimeDelta::hours(17),
                            "{text} at {now}"
                        );
                        assert_eq!(window.opens(next), None);
                        assert!(window.opens(next - TimeDelta::seconds(1)).is_some());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for bad in
            ["", "06:00", "06:00-06:00", "6-22", "06:00-24:00", "06:00–22:00", "a-b", "06:00-22:00-23:00"]
        {
            assert!(Window::parse(bad, Tz::UTC).is_err(), "{bad}");
        }
        assert_eq!(window(" 06:00 - 22:00 ").to_string(), "06:00-22:00 Europe/Berlin");
    }
}
