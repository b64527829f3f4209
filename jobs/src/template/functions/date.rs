use std::fmt::Write as _;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat};
use serde_json::Value;

use super::{Arguments, Function};
use crate::template::values::text;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "std.date.format", takes: 2..=2, run: format },
    Function { name: "std.date.add", takes: 2..=2, run: add },
    Function { name: "std.date.diff", takes: 2..=2, run: diff },
];

/// An ISO 8601 date, a time of a day, or an instant with its offset.
#[derive(Clone, Copy)]
enum Moment {
    Date(NaiveDate),
    Local(NaiveDateTime),
    Instant(DateTime<FixedOffset>),
}

impl Moment {
    fn of(value: &Value, position: usize) -> Result<Option<Self>, String> {
        if value.is_null() {
            return Ok(None);
        }
        let text = text(value)?;
        let text = text.trim();
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
}

/// By a pattern such as `%d.%m.%Y` (strftime).
fn format(of: Arguments<'_, '_>) -> Result<Value, String> {
    let (Some(moment), pattern) = (Moment::of(&of[0], 1)?, text(&of[1])?) else { return Ok(Value::Null) };
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
    written.map_err(|_| format!("the pattern `{pattern}` does not fit; `%d.%m.%Y` would"))?;
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
    let text = match moment {
        Moment::Date(date) => moved!(date).map(|date| date.to_string()),
        Moment::Local(local) => moved!(local).map(|local| local.format("%Y-%m-%dT%H:%M:%S%.f").to_string()),
        Moment::Instant(instant) => {
            moved!(instant).map(|instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        }
    };
    text.map(Value::String).ok_or_else(|| "no calendar reaches so far".to_owned())
}

/// The days from the second date to the first.
fn diff(of: Arguments<'_, '_>) -> Result<Value, String> {
    let (Some(later), Some(earlier)) = (Moment::of(&of[0], 1)?, Moment::of(&of[1], 2)?) else {
        return Ok(Value::Null);
    };
    Ok((later.date() - earlier.date()).num_days().into())
}
