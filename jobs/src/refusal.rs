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

/// Longest code of a message type, a choice set or a template, in characters.
const MAX_CODE: usize = 60;

/// Whether a message type, a choice set or a template may have this code.
pub(crate) fn check_code(field: &str, code: &str) -> Result<(), Refusal> {
    let is_code = code.len() <= MAX_CODE
        && code.starts_with(|c: char| c.is_ascii_uppercase() || c.is_ascii_digit())
        && code.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || "_.-".contains(c));
    if is_code {
        return Ok(());
    }
    let problem = format!(
        "must begin with a letter or digit and be of A to Z, 0 to 9, _ . and -, at most {MAX_CODE} together"
    );
    Err(Refusal::new(field, problem))
}

/// Whether this is one line with something in it.
///
/// # Errors
/// It is not, or is longer than `longest` characters.
pub fn check_line(field: &str, text: &str, longest: usize) -> Result<(), Refusal> {
    if text.trim().is_empty() || text.chars().count() > longest || text.contains(char::is_control) {
        return Err(Refusal::new(field, format!("must be one line of 1 to {longest} characters")));
    }
    Ok(())
}
