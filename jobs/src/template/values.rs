//! The values of an instance, and how they are written.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::budget::Budget;
use super::suggestion;

/// Where an object holds its own text: the label of a related record, or the value of its key.
pub const OWN_TEXT: &str = "#";
/// How much of a name an error repeats, in characters.
const LONGEST_NAMED: usize = 80;
/// What stands between the elements of a list.
const BETWEEN: &str = ", ";

/// The value at the end of a path. A null on the way is null, and a list on the way a list of what is found in its elements.
///
/// # Errors
/// There is no such field, or the budget is spent.
pub(super) fn find<'a>(
    instance: &'a Map<String, Value>,
    names: &[String],
    budget: &Budget,
) -> Result<Cow<'a, Value>, String> {
    let Some((first, rest)) = names.split_first() else { return Ok(Cow::Owned(Value::Null)) };
    budget.step()?;
    follow(field(instance, first)?, rest, budget)
}

/// As [`find`], from any value.
///
/// # Errors
/// As for [`find`].
pub(super) fn follow<'a>(
    value: &'a Value,
    names: &[String],
    budget: &Budget,
) -> Result<Cow<'a, Value>, String> {
    let Some((name, rest)) = names.split_first() else { return Ok(Cow::Borrowed(value)) };
    budget.step()?;
    match value {
        Value::Null => Ok(Cow::Borrowed(value)),
        Value::Object(fields) => follow(field(fields, name)?, rest, budget),
        Value::Array(items) => {
            let found = items.iter().map(|item| {
                let found = follow(item, names, budget)?;
                charge(&found, budget)?;
                Ok(found.into_owned())
            });
            Ok(Cow::Owned(Value::Array(found.collect::<Result<_, String>>()?)))
        }
        _ => Err(format!("there is no field `{name:.LONGEST_NAMED$}` in what is no object")),
    }
}

/// Counts a value that is about to be read through. What is owned was counted when it was made.
///
/// # Errors
/// The budget is spent.
#[expect(clippy::ptr_arg, reason = "whose value it is makes the difference")]
pub(super) fn charge(value: &Cow<'_, Value>, budget: &Budget) -> Result<(), String> {
    match value {
        Cow::Borrowed(value) => budget.charge(value),
        Cow::Owned(_) => Ok(()),
    }
}

fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a Value, String> {
    fields.get(name).ok_or_else(|| {
        let near = suggestion(name, fields.keys().map(String::as_str));
        format!("there is no field `{name:.LONGEST_NAMED$}`{near}")
    })
}

/// Writes a value: null as nothing, a list with its elements side by side (nulls left out), an object as its own text.
///
/// # Errors
/// An object has no text of its own.
pub(super) fn push(output: &mut String, value: &Value) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::Bool(value) => output.push_str(if *value { "true" } else { "false" }),
        // Writing to a string does not fail.
        Value::Number(number) => drop(write!(output, "{number}")),
        Value::String(text) => output.push_str(text),
        Value::Array(items) => {
            let mut between = "";
            for item in items.iter().filter(|item| !item.is_null()) {
                output.push_str(between);
                push(output, item)?;
                between = BETWEEN;
            }
        }
        Value::Object(fields) => match fields.get(OWN_TEXT) {
            Some(own) => push(output, own)?,
            None => {
                let example = fields.keys().min();
                let example =
                    example.map_or(String::new(), |name| format!(", such as `{name:.LONGEST_NAMED$}`"));
                return Err(format!("this is an object: name one of its fields{example}"));
            }
        },
    }
    Ok(())
}

/// The text of a value, as it is written into a template.
///
/// # Errors
/// As for [`push`].
pub(super) fn text(value: &Value) -> Result<Cow<'_, str>, String> {
    if let Value::String(text) = value {
        return Ok(Cow::Borrowed(text));
    }
    let mut text = String::new();
    push(&mut text, value)?;
    Ok(Cow::Owned(text))
}

/// What stands for a value: an object's own text, otherwise the value itself.
pub(super) fn own(value: &Value) -> &Value {
    match value {
        Value::Object(fields) => fields.get(OWN_TEXT).filter(|text| !text.is_null()).map_or(value, own),
        _ => value,
    }
}
