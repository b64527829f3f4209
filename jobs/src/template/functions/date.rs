use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use chrono::format::{Item, StrftimeItems};
use chrono::{
    DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, SecondsFormat, Utc,
};
use chrono_tz::Tz;
use serde_json::Value;

use super::{Arguments, Function, Run};
use crate::template::values::{own, text};

/// Longest pattern, in bytes.
const LONGEST_PATTERN: usize = 1_000;
/// Longest text that is read as a date or time, in bytes.
const LONGEST: usize = 64;

pub(super) fn functions() -> Vec<Arc<Function>> {
    let relative = Function {
        name: Cow::Borrowed("std.date.relative"),
        takes: 1..=2,
        parameters: Cow::Borrowed("x, y"),
        makes: "x seen from y, without it from now: 3 days ago, in 2 hours",
        run: Run::Timed(relative),
    };
    vec![
        Function::std(
            "std.date.format",
            2..=3,
            (
                "x, pattern, zone",
                "a date or time by a strftime pattern, as in %d %B %Y; zone may be left out",
            ),
            format,
        ),
        Function::std("std.date.add", 2..=2, ("x, days", "so many days later"), add),
        Function::std("std.date.diff", 2..=2, ("x, y", "the days from y to x"), diff),
        Function::std("std.date.zone", 2..=2, ("x, zone", "the time in that zone"), zone),
        Arc::new(relative),
    ]
}

/// An ISO 8601 date, a time of a day, or an instant with its offset.
#[derive(Clone, Copy)]
enum Moment {
    Date(NaiveDate),
    Local(NaiveDateTime),
    Instant(DateTime<FixedOffset>),
}

impl Moment {
    fn of(value: &Value, position: usize) -> Result<Option<Self>, String> {
        if own(value).is_null() {
            return Ok(None);
        }
        let text = text(value)?;
        let text = Some(text.trim()).filter(|text| text.len() <= LONGEST).unwrap_or_default();
        let moment = DateTime::parse_from_rfc3339(text).map(Self::Instant);
        let moment =
            moment.or_else(|_| text.parse().map(Self::Local)).or_else(|_| text.parse().map(Self::Date));
        moment
            .map(Some)
            .map_err(|_| format!("argument {position} must be a date or time such as 2026-03-01T09:30:00Z"))
    }

    fn date(self) -> NaiveDate {
        match self {
            Self::Date(date) => date,
            Self::Local(local) => local.date(),
            Self::Instant(instant) => instant.date_naive(),
        }
    }

    /// An instant as it is told in a zone. What has no offset stays as it is.
    fn within(self, zone: Tz) -> Result<Self, String> {
        let Self::Instant(instant) = self else { return Ok(self) };
        let offset = zone_offset(instant, zone);
        // The calendar ends within a day of the farthest instant.
        let is_told = instant.naive_utc().checked_add_offset(offset).is_some();
        is_told.then(|| Self::Instant(instant.with_timezone(&offset))).ok_or_else(beyond)
    }

    /// What has no offset is taken in UTC.
    fn instant(self) -> DateTime<Utc> {
        match self {
            Self::Date(date) => date.and_time(NaiveTime::MIN).and_utc(),
            Self::Local(local) => local.and_utc(),
            Self::Instant(instant) => instant.to_utc(),
        }
    }
}

fn zone_offset(instant: DateTime<FixedOffset>, zone: Tz) -> FixedOffset {
    use chrono::TimeZone as _;
    zone.offset_from_utc_datetime(&instant.naive_utc()).fix()
}

fn beyond() -> String {
    "no calendar reaches so far".to_owned()
}

fn named_zone(value: &Value, position: usize) -> Result<Tz, String> {
    let name = text(value)?;
    name.parse().map_err(|_| format!("argument {position} must be a time zone such as Europe/Berlin"))
}

/// By a pattern such as `%d.%m.%Y` (strftime), in a zone where one is given.
fn format(of: Arguments<'_, '_>) -> Result<Value, String> {
    let zone = of.get(2).map(|zone| named_zone(zone, 3)).transpose()?;
    let (Some(moment), pattern) = (Moment::of(&of[0], 1)?, text(&of[1])?) else { return Ok(Value::Null) };
    let moment = zone.map_or(Ok(moment), |zone| moment.within(zone))?;
    let refuse = || format!("the pattern `{pattern:.80}` does not fit; `%d.%m.%Y` would");
    if pattern.len() > LONGEST_PATTERN {
        return Err(refuse());
    }
    let items: Vec<Item<'_>> = StrftimeItems::new(&pattern).collect();
    let mut formatted = String::new();
    let written = match moment {
        _ if items.contains(&Item::Error) => Err(std::fmt::Error),
        Moment::Date(date) => {
            write!(formatted, "{}", date.and_time(NaiveTime::MIN).format_with_items(items.iter()))
        }
        Moment::Local(local) => write!(formatted, "{}", local.format_with_items(items.iter())),
        Moment::Instant(instant) => write!(formatted, "{}", instant.format_with_items(items.iter())),
    };
    written.map_err(|_| refuse())?;
    Ok(formatted.into())
}

/// So many days later; earlier, if negative.
fn add(of: Arguments<'_, '_>) -> Result<Value, String> {
    let days = of[1].as_i64().ok_or("argument 2 must be a whole number of days")?;
    let Some(moment) = Moment::of(&of[0], 1)? else { return Ok(Value::Null) };
    let by = Days::new(days.unsigned_abs());
    macro_rules! moved {
        ($time:expr) => {
            if days < 0 { $time.checked_sub_days(by) } else { $time.checked_add_days(by) }
        };
    }
    let moved = match moment {
        Moment::Date(date) => moved!(date).map(Moment::Date),
        Moment::Local(local) => moved!(local).map(Moment::Local),
        Moment::Instant(instant) => moved!(instant).map(Moment::Instant),
    };
    moved.map(written).ok_or_else(beyond)
}

/// In ISO 8601.
fn written(moment: Moment) -> Value {
    match moment {
        Moment::Date(date) => date.to_string(),
        Moment::Local(local) => local.format("%Y-%m-%dT%H:%M:%S%.f").to_string(),
        Moment::Instant(instant) => instant.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    }
    .into()
}

/// The days from the second date to the first.
fn diff(of: Arguments<'_, '_>) -> Result<Value, String> {
    let (Some(later), Some(earlier)) = (Moment::of(&of[0], 1)?, Moment::of(&of[1], 2)?) else {
        return Ok(Value::Null);
    };
    Ok((later.date() - earlier.date()).num_days().into())
}

/// The same instant, as it is told in a zone.
fn zone(of: Arguments<'_, '_>) -> Result<Value, String> {
    let zone = named_zone(&of[1], 2)?;
    let moment = Moment::of(&of[0], 1)?.map(|moment| moment.within(zone)).transpose()?;
    Ok(moment.map_or(Value::Null, written))
}

/// How long before or after another time, or now: `3 days ago`, `in 2 hours`, `just now`. A date counts in days: `today`.
fn relative(of: Arguments<'_, '_>, now: DateTime<Utc>) -> Result<Value, String> {
    let than = of.get(1).map_or(Ok(Some(Moment::Instant(now.fixed_offset()))), |than| Moment::of(than, 2))?;
    let (Some(moment), Some(than)) = (Moment::of(&of[0], 1)?, than) else { return Ok(Value::Null) };
    let by_day = matches!(moment, Moment::Date(_)) || matches!(than, Moment::Date(_));
    let seconds = if by_day {
        (moment.date() - than.date()).num_seconds()
    } else {
        (moment.instant() - than.instant()).num_seconds()
    };
    let units =
        [(365 * 86_400, "year"), (30 * 86_400, "month"), (86_400, "day"), (3_600, "hour"), (60, "minute")];
    let unit = units.into_iter().find(|(unit, _)| seconds.abs() >= *unit);
    let Some((unit, name)) = unit else { return Ok(if by_day { "today" } else { "just now" }.into()) };
    let count = seconds.abs() / unit;
    let plural = if count == 1 { "" } else { "s" };
    let relative = if seconds < 0 {
        format!("{count} {name}{plural} ago")
    } else {
        format!("in {count} {name}{plural}")
    };
    Ok(relative.into())
}
