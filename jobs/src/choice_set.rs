//! Choice sets: named lists of the replies that can be chosen.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::refusal::{Refusal, check_code, check_line};

/// Most choices in a set.
const MAX_CHOICES: usize = 200;
/// Longest description, value and label, in characters.
const MAX_LINE: usize = 200;

/// The replies to choose from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChoiceSet {
    /// Unique, as in `YESNO-CHOICES`.
    pub code: String,
    /// For whoever picks a set.
    pub description: String,
    /// In the order in which they are shown.
    pub choices: Vec<Choice>,
    /// Shipped with Herald: can be adjusted, not deleted. Herald says so; what a change says of it does not count.
    pub standard: bool,
}

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What is recorded, and what programs get.
    pub value: String,
    /// What the recipient sees; empty: the value.
    #[serde(default)]
    pub label: String,
}

impl ChoiceSet {
    /// Checks the set, and gives each choice its label.
    ///
    /// # Errors
    /// Names the field that cannot be.
    pub fn validate(mut self) -> Result<Self, Refusal> {
        check_code("code", &self.code)?;
        if !self.description.is_empty() {
            check_line("description", &self.description, MAX_LINE)?;
        }
        if self.choices.is_empty() || self.choices.len() > MAX_CHOICES {
            return Err(Refusal::new("choices", format!("must be 1 to {MAX_CHOICES} choices")));
        }
        let mut seen = HashSet::new();
        for (position, choice) in self.choices.iter_mut().enumerate() {
            let field = |part: &str| format!("choices/{position}/{part}");
            choice.value = choice.value.trim().to_owned();
            check_line(&field("value"), &choice.value, MAX_LINE)?;
            if choice.label.trim().is_empty() {
                choice.label.clone_from(&choice.value);
            }
            check_line(&field("label"), &choice.label, MAX_LINE)?;
            if !seen.insert(choice.value.clone()) {
                return Err(Refusal::new(field("value"), "is there twice"));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[(&str, &str)]) -> ChoiceSet {
        let choices =
            values.iter().map(|&(value, label)| Choice { value: value.into(), label: label.into() });
        ChoiceSet { code: "SIZE".into(), choices: choices.collect(), ..ChoiceSet::default() }
    }

    #[test]
    fn c06_each_refusal_names_its_field() {
        let good = set(&[("S", "Small"), ("L", "")]).validate().unwrap();
        assert_eq!(good.choices[1].label, "L");
        for (bad, field) in [
            (ChoiceSet { code: "size".into(), ..good.clone() }, "code"),
            (ChoiceSet { description: "a\nb".into(), ..good.clone() }, "description"),
            (set(&[]), "choices"),
            (set(&vec![("x", ""); 201]), "choices"),
            (set(&[("S", ""), (" ", "x")]), "choices/1/value"),
            (set(&[("S", ""), ("S", "x")]), "choices/1/value"),
            (set(&[("S", "a\0b")]), "choices/0/label"),
        ] {
            assert_eq!(bad.validate().unwrap_err().field, field);
        }
    }
}
