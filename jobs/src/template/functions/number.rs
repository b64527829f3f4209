use std::borrow::Cow;
use std::sync::Arc;

use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value;

use super::{Arguments, Function, count};
use crate::template::values::{own, text};

/// Most decimal places.
const MOST: u32 = 20;
/// Longest text that is read as a number, in bytes.
const LONGEST: usize = 64;
/// Longest mark between thousands, or before the decimals, in characters.
const LONGEST_MARK: usize = 4;

pub(super) fn functions() -> Vec<Arc<Function>> {
    vec![
        Function::std(
            "std.number.format",
            1..=4,
            ("x, places, thousands, decimal", "1,234.50; all but x may be left out"),
            format,
        ),
        Function::std(
            "std.number.round",
            1..=2,
            ("x, places", "x rounded; without places to a whole number"),
            round,
        ),
        Function::std(
            "std.number.percent",
            1..=2,
            ("x, places", "0.125 as 12.5 %; places may be left out"),
            percent,
        ),
        Function::std("std.number.currency", 2..=2, ("x, code", "1,234.50 EUR"), currency),
    ]
}

/// With as many places as it has, or rounded to those that are given. The marks are `,` and `.`, or those that are given.
fn format(of: Arguments<'_, '_>) -> Result<Value, String> {
    let places = of.get(1).map(|places| count(places, 2, MOST)).transpose()?;
    let (thousands, decimal) = (mark(of, 2, ",")?, mark(of, 3, ".")?);
    Ok(number(&of[0])?.map(|number| grouped(number, places, &thousands, &decimal)).into())
}

/// Halves are rounded away from zero.
fn round(of: Arguments<'_, '_>) -> Result<Value, String> {
    let places = of.get(1).map_or(Ok(0), |places| count(places, 2, MOST))?;
    Ok(number(&of[0])?.map(|number| plain(number, places)).into())
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
    Ok(number(&of[0])?.map(|amount| format!("{} {code}", grouped(amount, Some(2), ",", "."))).into())
}

/// A number, also one that is written in a string.
pub(in crate::template) fn decimal(value: &Value) -> Option<Decimal> {
    let written: Cow<'_, str> = match own(value) {
        Value::Number(number) => number.to_string().into(),
        Value::String(text) if text.len() <= LONGEST => text.trim().into(),
        _ => return None,
    };
    written.parse().or_else(|_| Decimal::from_scientific(&written)).ok()
}

/// Null stays null.
fn number(value: &Value) -> Result<Option<Decimal>, String> {
    match own(value) {
        Value::Null => Ok(None),
        value => decimal(value)
            .map(Some)
            .ok_or_else(|| "argument 1 must be a number of at most 28 digits".to_owned()),
    }
}

/// The mark that is given as the argument at `index`.
fn mark<'a>(of: Arguments<'a, '_>, index: usize, otherwise: &'static str) -> Result<Cow<'a, str>, String> {
    let Some(mark) = of.get(index) else { return Ok(otherwise.into()) };
    let mark = text(mark)?;
    if mark.chars().count() > LONGEST_MARK {
        return Err(format!("argument {} must be a mark of at most {LONGEST_MARK} characters", index + 1));
    }
    Ok(mark)
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

fn grouped(number: Decimal, places: Option<u32>, thousands: &str, decimal: &str) -> String {
    let plain = places.map_or_else(|| number.to_string(), |places| plain(number, places));
    let (sign, digits) = plain.strip_prefix('-').map_or(("", plain.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut grouped = String::from(sign);
    for (position, digit) in whole.chars().enumerate() {
        if position > 0 && (whole.len() - position) % 3 == 0 {
            grouped.push_str(thousands);
        }
        grouped.push(digit);
    }
    if !fraction.is_empty() {
        grouped.push_str(decimal);
        grouped.push_str(fraction);
    }
    grouped
}
