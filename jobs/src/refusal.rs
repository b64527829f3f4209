//! Why bad input was refused.

use serde::Serialize;

/// One field of a request that cannot be accepted. Shown to whoever sent it, so it holds no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[error("{field}: {problem}")]
pub struct Refusal {
    /// The field's name, with its position where it is a list: `action_parameters/2`.
    pub field: String,
    /// What is wrong with it, as a sentence without the field's name.
    pub problem: String,
}

impl Refusal {
    /// A refusal of `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The field as a JSON pointer (RFC 6901).
    pub fn pointer(&self) -> String {
        format!("/{}", self.field)
    }
}
