//! Templates: texts that are rendered over the values of one instance, a JSON object. A text is written in one of two syntaxes.
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
//! A text with tokens is read from left to right. A `#` or `@` that begins no token is itself, so `C# costs 5#` and
//! `me@example.com` stay as they are. A doubled mark before what would be a token prints the token: `##name#` is `#name#`.
//!
//! The other syntax is Handlebars, without what could take a process down: see [`Syntax::Handlebars`].
//!
//! What is put in is never read again: a value may hold `#`, `@` and `{{`. Nothing that a template or a value holds can stop a
//! worker: nesting is bounded when a text is compiled, and work when it is rendered.

mod budget;
mod functions;
mod handlebars;
mod output;
mod tokens;
mod values;

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use self::budget::Budget;
use self::handlebars::Node;
use self::output::Output;
use self::tokens::Token;
use crate::clock::Clock;
use crate::send::Syntax;

pub(crate) use self::functions::script as sandbox;
pub use self::functions::{Functions, FunctionsError};
pub use self::values::OWN_TEXT;

/// Largest template and largest text made of one, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// Most names of one path, from the root of the instance.
pub(crate) const MAX_NAMES: usize = 16;
/// The longest name that is compared with others, in bytes.
const LONGEST_SUGGESTED: usize = 64;

/// A compiled text, in either syntax.
#[derive(Debug)]
pub struct Template {
    source: String,
    body: Body,
    fields: Vec<Field>,
}

#[derive(Debug)]
enum Body {
    Tokens(Vec<Token>),
    Handlebars(Vec<Node>),
}

/// A field of the instance that a text names, and where it does so first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// From the root of the instance.
    pub names: Vec<String>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What for.
    pub used: Used,
}

/// What a text uses a field for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Used {
    /// It is printed, or given to a function.
    Text,
    /// It is only entered or tested: by each, with, if, unless or a comparison.
    Value,
}

/// How a text is rendered.
#[derive(Clone, Copy, Debug)]
pub struct Rendering {
    /// What values are put into.
    pub escape: Escape,
    /// What functions take for the present time.
    pub now: DateTime<Utc>,
}

/// What values are put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Plain text: values stand in it as they are.
    Text,
    /// HTML: in values, and in what functions make, `` & < > " ' ` = `` are escaped. The template's own text is not.
    Html,
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

/// A field as a parser finds it.
struct Found {
    names: Vec<String>,
    at: usize,
    used: Used,
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// A call is malformed or names no function, a block or tag is malformed or not allowed, or the text is longer than
    /// [`MAX_BYTES`].
    pub fn compile(source: &str, syntax: Syntax, functions: &Functions) -> Result<Self, TemplateError> {
        let compiled = if source.len() > MAX_BYTES {
            Err(Fault { at: 0, problem: "the text is longer than 256 KB".into() })
        } else {
            match syntax {
                Syntax::Token => {
                    tokens::parse(source, functions).map(|(tokens, found)| (Body::Tokens(tokens), found))
                }
                Syntax::Handlebars => handlebars::parse(source, functions)
                    .map(|(nodes, found)| (Body::Handlebars(nodes), found)),
            }
        };
        let (body, found) = compiled.map_err(|fault| fault.place(source))?;
        Ok(Self { source: source.to_owned(), body, fields: placed(source, found) })
    }

    /// The fields of the instance that the text names, in order. A field that is named again for the same use is not repeated.
    /// Within `#each`, the fields of an element are those of the list.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The text with the values of `instance`.
    ///
    /// # Errors
    /// The instance lacks a field, a function does not take what it is given, or the text grows longer than [`MAX_BYTES`], goes
    /// through more than 200,000 values or makes more than 100,000 rounds.
    pub fn render(&self, instance: &Map<String, Value>, how: &Rendering) -> Result<String, TemplateError> {
        let budget = Budget::new(how.now);
        let mut output = Output::new(self.source.len() + 64, how.escape);
        let rendered = match &self.body {
            Body::Tokens(parts) => tokens::render(parts, instance, &budget, &mut output),
            Body::Handlebars(nodes) => handlebars::render(nodes, instance, &budget, &mut output),
        };
        rendered.map_err(|fault| fault.place(&self.source))?;
        Ok(output.into_text())
    }

    /// What each token of the text comes to, as plain text, or why it does not: each once, as it stands in the source. Of a text in
    /// Handlebars, each path from the root of the instance.
    pub fn resolved(
        &self,
        instance: &Map<String, Value>,
        how: &Rendering,
    ) -> Vec<(String, Result<String, String>)> {
        let budget = Budget::new(how.now);
        match &self.body {
            Body::Tokens(parts) => tokens::resolved(parts, &self.source, instance, &budget),
            Body::Handlebars(_) => handlebars::resolved(&self.fields, instance, &budget),
        }
    }
}

/// `text` with its tokens replaced by the values of `instance`: [`Template::compile`] and [`Template::render`] in one, as plain text,
/// with the functions of package `std` and by the machine's clock.
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
    let how = Rendering { escape: Escape::Text, now: Clock::system().now() };
    Template::compile(text, Syntax::Token, &Functions::std())?.render(instance, &how)
}

impl Fault {
    fn place(self, source: &str) -> TemplateError {
        let (line, column) = Places::of(source).at(self.at);
        TemplateError { line, column, problem: self.problem }
    }
}

/// Tells lines and columns, of places that are asked for in their order.
struct Places<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    column: usize,
}

impl<'a> Places<'a> {
    fn of(source: &'a str) -> Self {
        Self { source, at: 0, line: 1, column: 1 }
    }

    fn at(&mut self, at: usize) -> (usize, usize) {
        let between = self.source.get(self.at..at).unwrap_or_default();
        let lines = between.matches('\n').count();
        let last = between.rsplit('\n').next().unwrap_or_default().chars().count();
        self.column = if lines == 0 { self.column + last } else { last + 1 };
        self.line += lines;
        self.at = at;
        (self.line, self.column)
    }
}

/// The fields with their places, each once.
fn placed(source: &str, found: Vec<Found>) -> Vec<Field> {
    let mut places = Places::of(source);
    let mut seen = HashSet::with_capacity(found.len());
    let first = found.into_iter().filter(|found| seen.insert((found.names.clone(), found.used)));
    first
        .map(|found| {
            let (line, column) = places.at(found.at);
            Field { names: found.names, line, column, used: found.used }
        })
        .collect()
}

/// `; did you mean ...?`, where one of the names comes near. To compare long names takes long.
pub(crate) fn suggestion<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> String {
    let is_short = |name: &&str| !name.is_empty() && name.len().max(wrong.len()) <= LONGEST_SUGGESTED;
    let near = names
        .filter(is_short)
        .map(|name| (strsim::jaro_winkler(wrong, name), name))
        .filter(|(near, _)| *near > 0.8);
    let best = near.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map_or_else(String::new, |(_, name)| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests;
