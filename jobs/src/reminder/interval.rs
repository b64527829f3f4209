//! Spans of time, as rules say them.

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A day's usual length, in seconds.
const DAY: i64 = 24 * 3_600;
/// By how much two clocks on the wall may differ for the same instant, in seconds: zones, and changes of the clock within one.
const APART: i64 = 26 * 3_600;
/// The longest interval, in days.
const LONGEST: u64 = 366 * 100;

/// A span of time. Years, months, weeks and days are counted by the calendar of a zone, and so end at the same time of day; hours, minutes
/// and seconds are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// By the calendar; the last day of a month stands for those that it does not have.
    pub months: i32,
    /// By the calendar, after the months.
    pub days: i32,
    /// Exact, after the days.
    pub seconds: i64,
}

impl Interval {
    /// Whether all of it is exact.
    pub fn is_exact(self) -> bool {
        self.months == 0 && self.days == 0
    }

    /// The shortest that it can last, whatever the calendar and the clocks say.
    pub fn least(self) -> TimeDelta {
        let apart = if self.is_exact() { 0 } else { APART };
        TimeDelta::seconds(
            i64::from(self.months) * 28 * DAY + i64::from(self.days) * DAY + self.seconds - apart,
        )
    }

    /// The longest that it can last.
    pub fn most(self) -> TimeDelta {
        let apart = if self.is_exact() { 0 } else { APART };
        TimeDelta::seconds(
            i64::from(self.months) * 31 * DAY + i64::from(self.days) * DAY + self.seconds + apart,
        )
    }

    fn add(&mut self, number: u64, unit: Unit) -> Result<(), &'static str> {
        let many = |factor: u64| number.checked_mul(factor).ok_or(TOO_LONG);
        let days = match unit {
            Unit::Year => 366,
            Unit::Month => 31,
            Unit::Week => 7,
            Unit::Day => 1,
            Unit::Hour | Unit::Minute | Unit::Second => 0,
        };
        if many(days)? > LONGEST || number > LONGEST * DAY.unsigned_abs() {
            return Err(TOO_LONG);
        }
        let whole = |number: u64| i32::try_from(number).map_err(|_| TOO_LONG);
        let exact = |number: u64| i64::try_from(number).map_err(|_| TOO_LONG);
        match unit {
            Unit::Year => self.months = self.months.saturating_add(whole(many(12)?)?),
            Unit::Month => self.months = self.months.saturating_add(whole(number)?),
            Unit::Week => self.days = self.days.saturating_add(whole(many(7)?)?),
            Unit::Day => self.days = self.days.saturating_add(whole(number)?),
            Unit::Hour => self.seconds = self.seconds.saturating_add(exact(many(3_600)?)?),
            Unit::Minute => self.seconds = self.seconds.saturating_add(exact(many(60)?)?),
            Unit::Second => self.seconds = self.seconds.saturating_add(exact(number)?),
        }
        let together = i64::from(self.months) * 31 + i64::from(self.days) + self.seconds / DAY;
        if together.unsigned_abs() > LONGEST { Err(TOO_LONG) } else { Ok(()) }
    }
}

const FORM: &str = "must be such as 3 days, 36 hours, 1 month and 2 days, P3D or PT36H";
const TOO_LONG: &str = "must be at most 100 years";

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Year,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
}

impl FromStr for Interval {
    type Err = &'static str;

    /// Reads ISO 8601 (`P1M2D`, `PT36H`) or words (`1 month and 2 days`, `36 hours`), in whole numbers.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.starts_with(['P', 'p']) { designated(&text[1..]) } else { worded(text) }
    }
}

/// What follows the `P` of ISO 8601: each unit once, in order, those of time after a `T`.
fn designated(text: &str) -> Result<Interval, &'static str> {
    let mut interval = Interval::default();
    let (mut digits, mut is_time, mut last) = (String::new(), false, None);
    for letter in text.chars().map(|letter| letter.to_ascii_uppercase()) {
        let unit = match (letter, is_time) {
            ('0'..='9', _) => {
                digits.push(letter);
                continue;
            }
            ('T', false) if digits.is_empty() => {
                is_time = true;
                continue;
            }
            ('Y', false) => Unit::Year,
            ('M', false) => Unit::Month,
            ('W', false) => Unit::Week,
            ('D', false) => Unit::Day,
            ('H', true) => Unit::Hour,
            ('M', true) => Unit::Minute,
            ('S', true) => Unit::Second,
            _ => return Err(FORM),
        };
        if digits.is_empty() || last >= Some(unit) {
            return Err(FORM);
        }
        interval.add(std::mem::take(&mut digits).parse().map_err(|_| TOO_LONG)?, unit)?;
        last = Some(unit);
    }
    if last.is_none() || !digits.is_empty() || is_time && last < Some(Unit::Hour) {
        return Err(FORM);
    }
    Ok(interval)
}

/// Numbers and units in turns; `a` and `an` are one, commas and `and` may stand between.
fn worded(text: &str) -> Result<Interval, &'static str> {
    let text = text.to_lowercase().replace(',', " ");
    let mut words = text.split_whitespace().filter(|word| *word != "and");
    let (mut interval, mut is_empty) = (Interval::default(), true);
    while let Some(word) = words.next() {
        let digits = word.chars().take_while(char::is_ascii_digit).count();
        let (number, rest) = match word {
            "a" | "an" => (1, ""),
            _ if digits == 0 => return Err(FORM),
            _ => (word[..digits].parse().map_err(|_| TOO_LONG)?, &word[digits..]),
        };
        let unit = if rest.is_empty() { words.next().ok_or(FORM)? } else { rest };
        interval.add(number, named(unit).ok_or(FORM)?)?;
        is_empty = false;
    }
    if is_empty { Err(FORM) } else { Ok(interval) }
}

fn named(word: &str) -> Option<Unit> {
    Some(match word {
        "year" | "years" | "y" => Unit::Year,
        "month" | "months" => Unit::Month,
        "week" | "weeks" | "w" => Unit::Week,
        "day" | "days" | "d" => Unit::Day,
        "hour" | "hours" | "h" => Unit::Hour,
        "minute" | "minutes" | "min" => Unit::Minute,
        "second" | "seconds" | "s" => Unit::Second,
        _ => return None,
    })
}

impl fmt::Display for Interval {
    /// As ISO 8601 has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { months, days, seconds } = *self;
        if *self == Self::default() {
            return f.write_str("P0D");
        }
        f.write_str("P")?;
        let parts = [(i64::from(months / 12), "Y"), (i64::from(months % 12), "M"), (i64::from(days), "D")];
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number != 0) {
            write!(f, "{number}{unit}")?;
        }
        if seconds != 0 {
            f.write_str("T")?;
        }
        let parts = [(seconds / 3_600, "H"), (seconds / 60 % 60, "M"), (seconds % 60, "S")];
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number != 0) {
            write!(f, "{number}{unit}")?;
        }
        Ok(())
    }
}

impl Serialize for Interval {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl schemars::JsonSchema for Interval {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Interval".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "Days, weeks, months and years by the calendar; hours, minutes and seconds exactly. As in `3 days`, `PT36H`.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_iso_8601_say_the_same() {
        for (text, iso) in [
            ("3 days", "P3D"),
            ("a day", "P1D"),
            ("2 weeks", "P14D"),
            ("36 hours", "PT36H"),
            ("36h", "PT36H"),
            ("1 month and 2 days", "P1M2D"),
            ("1 year, 1 month, 1 hour and 30 min", "P1Y1MT1H30M"),
            ("90 Minutes", "PT1H30M"),
            ("p2w", "P14D"),
            ("P14M", "P1Y2M"),
            ("PT3600S", "PT1H"),
            ("P0D", "P0D"),
            ("24 hours", "PT24H"),
        ] {
            let interval: Interval = text.parse().unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert_eq!(interval.to_string(), iso, "{text}");
            assert_eq!(iso.parse(), Ok(interval));
        }
        assert_ne!("1 day".parse::<Interval>(), "24 hours".parse());
    }

    #[test]
    fn what_is_no_interval_is_refused() {
        for bad in [
            "", "3", "days", "-3 days", "3.5 days", "P", "PT", "P1", "P1DT", "P1H", "PT1D", "P1D2D", "P1D1M",
            "3 moons", "P-1D", "1 day 2", "tomorrow", "１ day", "P1.5D",
        ] {
            assert_eq!(bad.parse::<Interval>(), Err(FORM), "{bad}");
        }
        for long in [
            "101 years",
            "P99999999999999999999D",
            "18446744073709551615 weeks",
            "99 years 99 years",
            "PT9999999999H",
        ] {
            assert_eq!(long.parse::<Interval>(), Err(TOO_LONG), "{long}");
        }
    }
}
