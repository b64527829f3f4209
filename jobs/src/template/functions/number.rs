use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value;

use super::{Arguments, Function, count};
use crate::template::values::text;

/// Most decimal places.
const MOST: u32 = 20;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "std.number.round", takes: 1..=2, run: |of| each(of, plain) },
    Function { name: "std.number.thousands", takes: 1..=2, run: |of| each(of, grouped) },
    Function { name: "std.number.percent", takes: 1..=2, run: percent },
    Function { name: "std.number.currency", takes: 2..=2, run: currency },
];

/// Null stays null. Halves are rounded away from zero; the places are the second argument, or none.
fn each(of: Arguments<'_, '_>, write: fn(Decimal, u32) -> String) -> Result<Value, String> {
    let places = of.get(1).map_or(Ok(0), |places| count(places, 2, MOST))?;
    Ok(number(&of[0])?.map(|number| write(number, places)).into())
}

/// A share as a percentage: 0.125 is `12.5 %` with one place.
fn percent(of: Arguments<'_, '_>) -> Result<Value, String> {
    let places = of.get(1).map_or(Ok(0), |places| count(places, 2, MOST))?;
    let share =
        number(&of[0])?.map(|share| share.checked_mul(Decimal::ONE_HUNDRED).ok_or("the number is too large"));
    Ok(share.transpose()?.map(|number| format!("{} %", plain(number, places))).into())
}

/// An amount with two places and its currency: `1,234.50 EUR`.
fn currency(of: Arguments<'_, '_>) -> Result<Value, String> {
    let code = text(&of[1])?;
    Ok(number(&of[0])?.map(|amount| format!("{} {code}", grouped(amount, 2))).into())
}

/// A number, also one that is written in a string.
fn number(value: &Value) -> Result<Option<Decimal>, String> {
    let written = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => String::new(),
    };
    let number = written.parse().or_else(|_| Decimal::from_scientific(&written));
    number.map(Some).map_err(|_| "argument 1 must be a number of at most 28 digits".to_owned())
}

fn plain(number: Decimal, places: u32) -> String {
    let rounded = number.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero);
    // `{:.n}` panics where all digits together are more than 31.
    let mut text = rounded.to_string();
    let there = text.find('.').map_or(0, |point| text.len() - point - 1);
    if there == 0 && places > 0 {
        text.push('.');
    }
    text.extend(std::iter::repeat_n('0', (places as usize).saturating_sub(there)));
    text
}

fn grouped(number: Decimal, places: u32) -> String {
    let plain = plain(number, places);
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.find('.').map_or((digits, ""), |point| digits.split_at(point));
    let mut grouped = String::from(sign);
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && (whole.len() - position) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}
