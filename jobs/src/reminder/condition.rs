//! What else must be true of a record: paths, operators and values, never SQL.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message_type::names;
use crate::refusal::Refusal;

/// How deep conditions may stand in each other, and how many there may be.
const MOST: (usize, usize) = (5, 50);
/// Most values of a list, and the longest value in characters.
const MOST_VALUES: (usize, usize) = (1_000, 1_000);

/// What must be true of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "must be path, op and value (op: =, <>, <, <=, >, >=, in, not in, is null, is not null, contains, starts with), or all or any with a list of these"
)]
pub enum Condition {
    /// All of these.
    All {
        /// Without any it is true.
        all: Vec<Condition>,
    },
    /// One of these, or several.
    Any {
        /// At least one.
        any: Vec<Condition>,
    },
    /// A field compared with a value.
    Field(Comparison),
}

/// A field compared with a value. Over a relation to many it is true where it is of one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Where the field is, from the record on: `amount`, `customer.country`.
    pub path: String,
    /// How it is compared.
    pub op: Operator,
    /// With what: a number, a text or a boolean; for `in` and `not in` a list of these; for `is null` and `is not null` nothing.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub value: Value,
}

names! {
    /// How a field is compared with a value.
    Operator {
        /// The same.
        Equal = "=",
        /// There is a value, and it is another.
        NotEqual = "<>",
        /// Less, or earlier.
        Less = "<",
        /// Less or the same.
        AtMost = "<=",
        /// More, or later.
        More = ">",
        /// More or the same.
        AtLeast = ">=",
        /// One of these.
        In = "in",
        /// There is a value, and it is none of these.
        NotIn = "not in",
        /// There is no value.
        Null = "is null",
        /// There is a value.
        NotNull = "is not null",
        /// The text holds this, in any case.
        Contains = "contains",
        /// The text begins with this.
        StartsWith = "starts with",
    }
}

impl Operator {
    /// Whether the field is taken as text, whatever it is.
    pub fn is_of_text(self) -> bool {
        matches!(self, Self::Contains | Self::StartsWith)
    }
}

impl Condition {
    /// Checks form and size.
    ///
    /// # Errors
    /// Names the condition by where it stands, as in `where/all/0/value`.
    pub fn validate(&self, field: &str) -> Result<(), Refusal> {
        if self.many() > MOST.1 {
            return Err(Refusal::new(field, format!("has more than {} conditions", MOST.1)));
        }
        self.validate_within(field, 1)
    }

    fn validate_within(&self, field: &str, depth: usize) -> Result<(), Refusal> {
        let (name, inner) = match self {
            Self::Field(comparison) => return comparison.validate(field),
            Self::All { all } => ("all", all),
            Self::Any { any } if any.is_empty() => {
                return Err(Refusal::new(format!("{field}/any"), "must not be empty: nothing would match"));
            }
            Self::Any { any } => ("any", any),
        };
        if depth > MOST.0 {
            return Err(Refusal::new(field, format!("is nested more than {} deep", MOST.0)));
        }
        let mut inner = inner.iter().enumerate();
        inner.try_for_each(|(at, it)| it.validate_within(&format!("{field}/{name}/{at}"), depth + 1))
    }

    /// All comparisons with where they stand.
    pub fn comparisons(&self, field: &str) -> Vec<(String, &Comparison)> {
        let (name, inner) = match self {
            Self::Field(comparison) => return vec![(field.to_owned(), comparison)],
            Self::All { all } => ("all", all),
            Self::Any { any } => ("any", any),
        };
        let inner = inner.iter().enumerate();
        inner.flat_map(|(at, it)| it.comparisons(&format!("{field}/{name}/{at}"))).collect()
    }

    fn many(&self) -> usize {
        match self {
            Self::Field(_) => 1,
            Self::All { all: inner } | Self::Any { any: inner } => {
                1 + inner.iter().map(Self::many).sum::<usize>()
            }
        }
    }
}

impl Comparison {
    /// The values that it is compared with, as text.
    pub fn values(&self) -> Vec<String> {
        match &self.value {
            Value::Array(values) => values.iter().filter_map(scalar).collect(),
            one => scalar(one).into_iter().collect(),
        }
    }

    fn validate(&self, field: &str) -> Result<(), Refusal> {
        let refuse = |problem: String| Err(Refusal::new(format!("{field}/value"), problem));
        let is_list = matches!(self.op, Operator::In | Operator::NotIn);
        match &self.value {
            Value::Null if matches!(self.op, Operator::Null | Operator::NotNull) => return Ok(()),
            _ if matches!(self.op, Operator::Null | Operator::NotNull) => {
                return refuse(format!("is of no use with {}: leave it out", self.op));
            }
            Value::Array(values) if is_list => {
                if values.is_empty() || values.len() > MOST_VALUES.0 {
                    return refuse(format!("must have 1 to {} entries", MOST_VALUES.0));
                }
                if let Some(at) = values.iter().position(|value| scalar(value).is_none()) {
                    return Err(Refusal::new(
                        format!("{field}/value/{at}"),
                        "must be a number, a text or a boolean",
                    ));
                }
            }
            _ if is_list => return refuse("must be a list".to_owned()),
            one if scalar(one).is_none() => {
                return refuse("must be a number, a text or a boolean".to_owned());
            }
            _ => {}
        }
        check_values(&format!("{field}/value"), &self.values())
    }
}

/// What can be compared with, as text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether Postgres takes these as text.
pub(super) fn check_values(field: &str, values: &[String]) -> Result<(), Refusal> {
    let wrong = values.iter().find(|value| value.contains('\0') || value.chars().count() > MOST_VALUES.1);
    match wrong {
        Some(_) => {
            let problem = format!("must be at most {} characters, none of them U+0000", MOST_VALUES.1);
            Err(Refusal::new(field, problem))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Condition {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_condition_is_read_as_it_is_written() {
        let value = json!({"all": [{"path": "amount", "op": ">", "value": 1000}, {"any": [
            {"path": "customer.country", "op": "in", "value": ["DE", "FR"]}, {"path": "note", "op": "is null"}]}]});
        let condition = read(value.clone());
        assert_eq!(condition.validate("where"), Ok(()));
        assert_eq!(serde_json::to_value(&condition).unwrap(), value);
        let fields: Vec<_> = condition.comparisons("where").into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["where/all/0", "where/all/1/any/0", "where/all/1/any/1"]);
    }

    #[test]
    fn each_refusal_names_where_it_stands() {
        let deep =
            (0..6).fold(json!({"path": "a", "op": "=", "value": 1}), |inner, _| json!({"all": [inner]}));
        let many: Vec<Value> = (0..60).map(|n| json!({"path": "a", "op": "=", "value": n})).collect();
        for (value, field) in [
            (json!({"any": []}), "where/any"),
            (json!({"all": [{"path": "a", "op": "=", "value": null}]}), "where/all/0/value"),
            (json!({"path": "a", "op": "=", "value": [1]}), "where/value"),
            (json!({"path": "a", "op": "in", "value": 1}), "where/value"),
            (json!({"path": "a", "op": "in", "value": []}), "where/value"),
            (json!({"path": "a", "op": "in", "value": [1, {}]}), "where/value/1"),
            (json!({"path": "a", "op": "is null", "value": 1}), "where/value"),
            (json!({"path": "a", "op": "=", "value": "\u{0}"}), "where/value"),
            (deep, "where/all/0/all/0/all/0/all/0/all/0"),
            (json!({"all": many}), "where"),
        ] {
            assert_eq!(read(value.clone()).validate("where").unwrap_err().field, field, "{value}");
        }
        for strange in [
            json!({"all": [], "any": []}),
            json!({"path": "a", "op": "; drop table", "value": 1}),
            json!("1 = 1"),
        ] {
            assert!(serde_json::from_value::<Condition>(strange.clone()).is_err(), "{strange}");
        }
    }
}
