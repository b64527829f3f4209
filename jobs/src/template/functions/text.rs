use std::sync::Arc;

use serde_json::Value;

use super::{Arguments, Function, count};
use crate::template::values::text;

/// Longest text that padding makes, in characters.
const MOST: u32 = 1_000;

pub(super) fn functions() -> Vec<Arc<Function>> {
    vec![
        Function::std("std.text.upper", 1..=1, ("x", "x in capitals"), |of| {
            Ok(text(&of[0])?.to_uppercase().into())
        }),
        Function::std("std.text.lower", 1..=1, ("x", "x in small letters"), |of| {
            Ok(text(&of[0])?.to_lowercase().into())
        }),
        Function::std("std.text.title", 1..=1, ("x", "the first letter of each word large"), title),
        Function::std("std.text.trim", 1..=1, ("x", "x without blanks around it"), |of| {
            Ok(text(&of[0])?.trim().into())
        }),
        Function::std(
            "std.text.truncate",
            2..=2,
            ("x, n", "at most n characters, the last an ellipsis where any were cut off"),
            truncate,
        ),
        Function::std("std.text.pad", 2..=2, ("x, n", "x filled up with spaces to n characters"), pad),
        Function::std("std.text.default", 2..=2, ("x, y", "y where x is null or empty"), default),
    ]
}

/// The first letter of each word large.
fn title(of: Arguments<'_, '_>) -> Result<Value, String> {
    let mut titled = String::new();
    let mut begins = true;
    for character in text(&of[0])?.chars() {
        if begins {
            titled.extend(character.to_uppercase());
        } else {
            titled.push(character);
        }
        begins = character.is_whitespace();
    }
    Ok(titled.into())
}

/// At most so many characters, the last a `…` where any were cut off.
fn truncate(of: Arguments<'_, '_>) -> Result<Value, String> {
    let (text, most) = (text(&of[0])?, count(&of[1], 2, u32::MAX)? as usize);
    if text.chars().count() <= most {
        return Ok(text.into());
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    Ok(if most == 0 { String::new() } else { format!("{}…", kept.trim_end()) }.into())
}

/// Filled up with spaces on the right.
fn pad(of: Arguments<'_, '_>) -> Result<Value, String> {
    let width = count(&of[1], 2, MOST)? as usize;
    Ok(format!("{:<width$}", text(&of[0])?).into())
}

/// The second where the first is null or empty.
fn default(of: Arguments<'_, '_>) -> Result<Value, String> {
    let is_empty = of[0].is_null() || text(&of[0])?.is_empty();
    Ok(of[usize::from(is_empty)].clone().into_owned())
}
