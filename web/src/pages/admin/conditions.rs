//! Conditions of reminder rules as people write them: one comparison a line, all of which must be true; or, where they stand in each
//! other, the JSON of the API.

use herald_jobs::refusal::Refusal;
use herald_jobs::reminder::{Comparison, Condition, Operator};
use serde_json::Value;

const FORM: &str = "must be written path operator value, as in amount > 1000; the operators are";

/// A condition as a form shows it.
pub(super) fn written(condition: Option<&Condition>) -> String {
    let json = |condition| serde_json::to_string_pretty(condition).unwrap_or_default();
    match condition {
        None => String::new(),
        Some(condition) => match listed(condition) {
            Some(comparisons) => comparisons.into_iter().map(line).collect::<Vec<_>>().join("\n"),
            None => json(condition),
        },
    }
}

/// A condition as it was typed; `None`: nothing was.
pub(super) fn read(field: &str, text: &str) -> Result<Option<Condition>, Refusal> {
    if text.trim_start().starts_with('{') {
        let read = serde_json::from_str(text).map(Some);
        return read.map_err(|error| Refusal::new(field, error.to_string()));
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let comparisons = lines.enumerate().map(|(at, line)| {
        let refuse = || {
            let operators: Vec<&str> = Operator::ALL.iter().map(|it| it.as_str()).collect();
            Refusal::new(format!("{field}/{at}"), format!("{FORM} {}", operators.join(", ")))
        };
        comparison(line).map(Condition::Field).ok_or_else(refuse)
    });
    let mut all = comparisons.collect::<Result<Vec<_>, _>>()?;
    Ok(if all.len() > 1 { Some(Condition::All { all }) } else { all.pop() })
}

/// A refusal of the condition, named by which of the comparisons it is about where they were typed one a line.
pub(super) fn placed(refusal: Refusal, condition: Option<&Condition>) -> Refusal {
    let Some(rest) = refusal.field.strip_prefix("where/") else { return refusal };
    match condition {
        Some(Condition::Field(_)) => Refusal::new("where/0", refusal.problem),
        Some(condition) if listed(condition).is_some() => {
            Refusal::new(format!("where/{}", rest.trim_start_matches("all/")), refusal.problem)
        }
        _ => refusal,
    }
}

/// The comparisons that all must be true; `None`: it is more than a list of these.
fn listed(condition: &Condition) -> Option<Vec<&Comparison>> {
    match condition {
        Condition::Field(comparison) => Some(vec![comparison]),
        Condition::All { all } if all.len() > 1 => all.iter().map(alone).collect(),
        _ => None,
    }
}

fn alone(condition: &Condition) -> Option<&Comparison> {
    match condition {
        Condition::Field(comparison) => Some(comparison),
        Condition::All { .. } | Condition::Any { .. } => None,
    }
}

fn line(comparison: &Comparison) -> String {
    let Comparison { path, op, value } = comparison;
    match value {
        Value::Null => format!("{path} {op}"),
        Value::String(text) if self::value(*op, text).as_ref() == Some(value) => {
            format!("{path} {op} {text}")
        }
        other => format!("{path} {op} {other}"),
    }
}

fn comparison(line: &str) -> Option<Comparison> {
    let (path, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    // The longest first: `is not null`, not `is`; `<=`, not `<`.
    let mut operators = Operator::ALL.to_vec();
    operators.sort_by_key(|op| std::cmp::Reverse(op.as_str().len()));
    let (op, text) = operators.into_iter().find_map(|op| {
        let text = rest.strip_prefix(op.as_str())?;
        let apart = text.is_empty()
            || text.starts_with(char::is_whitespace)
            || !op.as_str().ends_with(char::is_alphabetic);
        apart.then_some((op, text.trim()))
    })?;
    let value = if text.is_empty() { Value::Null } else { value(op, text)? };
    Some(Comparison { path: path.to_owned(), op, value })
}

/// A value as it was typed: as JSON, or as plain text.
fn value(op: Operator, text: &str) -> Option<Value> {
    let is_list = matches!(op, Operator::In | Operator::NotIn);
    let one = |text: &str| match serde_json::from_str(text) {
        Ok(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::from(text),
    };
    if is_list {
        return match serde_json::from_str(text) {
            Ok(list @ Value::Array(_)) => Some(list),
            _ if text.starts_with('[') => None,
            _ => Some(text.split(',').map(|part| one(part.trim())).collect()),
        };
    }
    (text.trim() == text && !text.is_empty()).then(|| one(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> String {
        written(read("where", text).unwrap().as_ref())
    }

    #[test]
    fn a_line_is_a_comparison_and_reads_as_it_was_written() {
        for text in [
            "",
            "amount > 1000",
            "status = submitted\ncustomer.country in [\"DE\",\"FR\"]\nclosed_at is null",
            "a <= 5\nb <> \"5\"\nc not in [1]\nd starts with  x",
            "name contains a > b",
            "urgent = true",
        ] {
            assert_eq!(round(&round(text)), round(text), "{text}");
        }
        assert_eq!(round("amount > 1000"), "amount > 1000");
        assert_eq!(round("country in DE, FR"), "country in [\"DE\",\"FR\"]");
        assert_eq!(round("b = \"5\""), "b = \"5\"");
        let nested =
            "{\"any\":[{\"path\":\"a\",\"op\":\"=\",\"value\":1},{\"path\":\"b\",\"op\":\"is null\"}]}";
        assert_eq!(round(&round(nested)), round(nested));
        let single = Condition::All { all: vec![read("where", "a = 1").unwrap().unwrap()] };
        assert_eq!(read("where", &written(Some(&single))).unwrap(), Some(single));
    }

    #[test]
    fn what_is_none_is_refused_by_its_place() {
        for text in ["a = 1\n\nno", "a = 1\n\nb ~ c", "a = 1\n\nb in [1"] {
            assert_eq!(read("where", text).unwrap_err().field, "where/1", "{text}");
        }
        assert_eq!(read("where", "{\"path\"").unwrap_err().field, "where");
        let all = read("where", "a = 1\nb = 2").unwrap();
        let refusal = Refusal::new("where/all/1/value", "cannot be compared");
        assert_eq!(placed(refusal, all.as_ref()).field, "where/1/value");
    }
}
