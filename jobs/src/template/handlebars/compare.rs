//! What can be asked of values.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use serde_json::Value;

use crate::template::functions::decimal;
use crate::template::values::{OWN_TEXT, own, text};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Eq,
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
    And,
    Or,
    Not,
    Len,
}

pub(super) const TESTS: [(&str, Test); 10] = [
    ("eq", Test::Eq),
    ("ne", Test::Ne),
    ("gt", Test::Gt),
    ("gte", Test::Gte),
    ("lt", Test::Lt),
    ("lte", Test::Lte),
    ("and", Test::And),
    ("or", Test::Or),
    ("not", Test::Not),
    ("len", Test::Len),
];

impl Test {
    pub(super) fn named(name: &str) -> Option<Self> {
        TESTS.iter().find(|(known, _)| *known == name).map(|(_, test)| *test)
    }

    pub(super) fn takes(self) -> RangeInclusive<usize> {
        match self {
            Self::And | Self::Or => 2..=usize::MAX,
            Self::Not | Self::Len => 1..=1,
            _ => 2..=2,
        }
    }

    /// The answer for as many values as it takes.
    pub(super) fn answer(self, of: &[&Value]) -> Value {
        let ordering = || match of {
            [one, other] => compare(own(one), own(other)),
            _ => None,
        };
        let mut truths = of.iter().map(|value| is_true(value, false));
        match self {
            Self::Eq => (ordering() == Some(Ordering::Equal)).into(),
            Self::Ne => (ordering() != Some(Ordering::Equal)).into(),
            Self::Gt => (ordering() == Some(Ordering::Greater)).into(),
            Self::Gte => ordering().is_some_and(Ordering::is_ge).into(),
            Self::Lt => (ordering() == Some(Ordering::Less)).into(),
            Self::Lte => ordering().is_some_and(Ordering::is_le).into(),
            Self::And => truths.all(|truth| truth).into(),
            Self::Or => truths.any(|truth| truth).into(),
            Self::Not => (!truths.any(|truth| truth)).into(),
            Self::Len => of.first().map_or(0, |value| length(value)).into(),
        }
    }
}

/// Numbers by what they are, also where they are written in texts; other texts by their letters. None where there is no order, and
/// the two are not the same.
fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    if let (Some(one), Some(other)) = (decimal(one), decimal(other)) {
        return Some(one.cmp(&other));
    }
    let is_text = |value: &Value| value.is_string() || value.is_number();
    if is_text(one) && is_text(other) {
        return Some(text(one).ok()?.cmp(&text(other).ok()?));
    }
    (one == other).then_some(Ordering::Equal)
}

/// As Handlebars has it: false, null, 0, and what is empty are not.
pub(super) fn is_true(value: &Value, zero_is_true: bool) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => zero_is_true || number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// Of a list its elements, of an object its fields, of a text its characters.
fn length(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len() - usize::from(fields.contains_key(OWN_TEXT)),
        other => text(other).map_or(0, |text| text.chars().count()),
    }
}
