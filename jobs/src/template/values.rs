//! The values of an instance, and how they are written.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::tokens::Path;
use super::{Fault, MAX_VALUES, suggestion};

/// How much of a name an error repeats, in characters.
const LONGEST_NAMED: usize = 80;
/// What stands between the elements of a list.
const BETWEEN: &str = ", ";

/// How many values may still be gone through.
pub(super) struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(MAX_VALUES))
    }
}

impl Budget {
    /// Counts a value and all in it.
    fn charge(&self, value: &Value, path: &Path) -> Result<(), Fault> {
        self.0.set(
            self.0
                .get()
                .checked_sub(1)
                .ok_or_else(|| path.fault(format!("the text goes through more than {MAX_VALUES} values")))?,
        );
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.charge(item, path)),
            Value::Object(fields) => fields.values().try_for_each(|item| self.charge(item, path)),
            _ => Ok(()),
        }
    }
}

/// The value at the end of a path. A null on the way is null, and a list on the way a list of what is found in its elements.
pub(super) fn find<'a>(
    instance: &'a Map<String, Value>,
    path: &Path,
    budget: &Budget,
) -> Result<Cow<'a, Value>, Fault> {
    let Some((first, rest)) = path.names.split_first() else { return Ok(Cow::Owned(Value::Null)) };
    let value = field(instance, first, path)?;
    budget.charge(value, path)?;
    follow(value, rest, path)
}

fn follow<'a>(value: &'a Value, names: &[String], path: &Path) -> Result<Cow<'a, Value>, Fault> {
    let Some((name, rest)) = names.split_first() else { return Ok(Cow::Borrowed(value)) };
    match value {
        Value::Null => Ok(Cow::Borrowed(value)),
        Value::Object(fields) => follow(field(fields, name, path)?, rest, path),
        Value::Array(items) => {
            let found = items.iter().map(|item| follow(item, names, path).map(Cow::into_owned));
            Ok(Cow::Owned(Value::Array(found.collect::<Result<_, _>>()?)))
        }
        _ => Err(path.fault(format!("there is no field `{name:.LONGEST_NAMED$}` in what is no object"))),
    }
}

fn field<'a>(fields: &'a Map<String, Value>, name: &str, path: &Path) -> Result<&'a Value, Fault> {
    fields.get(name).ok_or_else(|| {
        let near = suggestion(name, fields.keys().map(String::as_str));
        path.fault(format!("there is no field `{name:.LONGEST_NAMED$}`{near}"))
    })
}

/// Writes a value: null as nothing, a list with its elements side by side (nulls left out).
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
        Value::Object(fields) => {
            let example = fields.keys().min().map_or(String::new(), |name| format!(", such as `{name}`"));
            return Err(format!("this is an object: name one of its fields{example}"));
        }
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
