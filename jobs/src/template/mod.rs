//! Templates: texts with tokens that stand for the values of one instance, a JSON object.
//!
//! ```text
//! field    = "#" path "#"                                     #name#   #customer.name#
//! path     = name { "." name }
//! name     = ( letter | "_" ) { letter | digit | "_" }        ASCII
//! call     = "@" name "." name { "." name } "(" [ argument { "," argument } ] ")@"     three names or more
//! argument = field | string | number | "true" | "false"       spaces around it do not count
//! string   = "'" { character | "''" } "'"
//! number   = [ "-" ] digits [ "." digits ]
//! ```
//!
//! A text is read from left to right. A `#` or `@` that begins no token is itself, so `C# costs 5#` and `me@example.com` stay as
//! they are. A doubled mark before what would be a token prints the token: `##name#` is `#name#`.
//!
//! What a token stands for is never read again: a value may hold `#` and `@`.

mod functions;
pub mod handlebars;
mod tokens;
mod values;

use std::borrow::Cow;

use serde_json::{Map, Value};

use self::tokens::{Argument, Part};
use self::values::Budget;

/// Largest template and largest text made of one, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// Most values that one rendering may go through, the elements of lists and objects counted.
const MAX_VALUES: usize = 200_000;
/// The longest name that is compared with others, in bytes.
const LONGEST_SUGGESTED: usize = 64;

/// A compiled text.
#[derive(Debug)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

/// What is wrong with a template, or with an instance for it, and where in the template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {problem}")]
pub struct TemplateError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// A sentence without its full stop.
    pub problem: String,
}

/// A problem at a byte of the source.
#[derive(Debug)]
struct Fault {
    at: usize,
    problem: String,
}

impl Template {
    /// Reads a text with tokens.
    ///
    /// # Errors
    /// A call is malformed or names no function, or the text is longer than [`MAX_BYTES`].
    pub fn compile(source: &str) -> Result<Self, TemplateError> {
        let parts = if source.len() > MAX_BYTES {
            Err(Fault { at: 0, problem: "the text is longer than 256 KB".into() })
        } else {
            tokens::parse(source)
        };
        let parts = parts.map_err(|fault| fault.place(source))?;
        Ok(Self { source: source.to_owned(), parts })
    }

    /// The text with the values of `instance`.
    ///
    /// # Errors
    /// The instance lacks a field, a function does not take what it is given, or the text grows longer than [`MAX_BYTES`] or goes
    /// through more than 200,000 values.
    pub fn render(&self, instance: &Map<String, Value>) -> Result<String, TemplateError> {
        self.write(instance).map_err(|fault| fault.place(&self.source))
    }

    fn write(&self, instance: &Map<String, Value>) -> Result<String, Fault> {
        let mut output = String::with_capacity(self.source.len() + 64);
        let budget = Budget::default();
        for part in &self.parts {
            let at = match part {
                Part::Text(text) => {
                    output.push_str(text);
                    continue;
                }
                Part::Field(path) => {
                    let value = values::find(instance, path, &budget)?;
                    values::push(&mut output, &value).map_err(|problem| path.fault(problem))?;
                    path.at
                }
                Part::Call(call) => {
                    let fault = |problem| Fault { at: call.at, problem };
                    let arguments: Vec<Cow<'_, Value>> = call
                        .arguments
                        .iter()
                        .map(|argument| match argument {
                            Argument::Field(path) => values::find(instance, path, &budget),
                            Argument::Literal(value) => Ok(Cow::Borrowed(value)),
                        })
                        .collect::<Result<_, _>>()?;
                    let value = (call.function.run)(&arguments)
                        .map_err(|problem| fault(format!("{}: {problem}", call.function.name)))?;
                    values::push(&mut output, &value).map_err(fault)?;
                    call.at
                }
            };
            if output.len() > MAX_BYTES {
                return Err(Fault { at, problem: "the text grows longer than 256 KB".into() });
            }
        }
        Ok(output)
    }
}

/// `text` with its tokens replaced by the values of `instance`: [`Template::compile`] and [`Template::render`] in one.
///
/// ```
/// # use herald_jobs::template::replace_token_values;
/// # use serde_json::json;
/// let order = json!({"id": 42, "customer": {"name": "Shwe & Co"}, "approved_at": null});
/// let order = order.as_object().unwrap();
/// let text = "Order #id# of #customer.name##approved_at#: @std.text.upper(#customer.name#)@";
/// assert_eq!(replace_token_values(order, text).unwrap(), "Order 42 of Shwe & Co: SHWE & CO");
///
/// let error = replace_token_values(order, "Order #id# of #custmer.name#").unwrap_err();
/// assert_eq!(error.to_string(), "line 1, column 15: there is no field `custmer`; did you mean `customer`?");
/// ```
///
/// # Errors
/// As for [`Template::compile`] and [`Template::render`].
pub fn replace_token_values(instance: &Map<String, Value>, text: &str) -> Result<String, TemplateError> {
    Template::compile(text)?.render(instance)
}

impl Fault {
    fn place(self, source: &str) -> TemplateError {
        let before = source.get(..self.at).unwrap_or(source);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        TemplateError { line, column, problem: self.problem }
    }
}

/// `; did you mean ...?`, where one of the names comes near. To compare long names takes long.
fn suggestion<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    let is_short = |name: &&str| name.len().max(wrong.len()) <= LONGEST_SUGGESTED;
    let near = names
        .filter(is_short)
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(near, _)| *near > 0.8);
    let best = near.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map_or_else(String::new, |(_, name)| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests;
