//! The functions that a template may call: package `std`.

mod date;
mod list;
mod number;
mod text;

use std::borrow::Cow;
use std::ops::RangeInclusive;

use serde_json::Value;

/// What a function is given: as many as it takes.
pub(super) type Arguments<'a, 'v> = &'a [Cow<'v, Value>];

/// A function of values. It has no effects, and makes at most [`super::MAX_BYTES`] more than it takes.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// How many arguments.
    pub(super) takes: RangeInclusive<usize>,
    pub(super) run: fn(Arguments<'_, '_>) -> Result<Value, String>,
}

/// All of them, by what they are about.
static FUNCTIONS: [&[Function]; 4] = [text::FUNCTIONS, number::FUNCTIONS, date::FUNCTIONS, list::FUNCTIONS];

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().copied().flatten().find(|function| function.name == name)
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().copied().flatten().map(|function| function.name)
}

/// A whole number from 0 to `most`, given as argument `position` (from 1).
fn count(value: &Value, position: usize, most: u32) -> Result<u32, String> {
    let number =
        value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= most);
    number.ok_or_else(|| format!("argument {position} must be a whole number from 0 to {most}"))
}
