//! Texts with tokens.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::budget::Budget;
use super::functions::{Function, Functions};
use super::output::Output;
use super::{Fault, Found, MAX_NAMES, Used, suggestion, values};

/// A part of a text.
#[derive(Debug)]
pub(super) enum Token {
    /// What stands between tokens.
    Text(String),
    Put(Put),
}

/// A token, and where it begins and ends in the source.
#[derive(Debug)]
pub(super) struct Put {
    what: What,
    at: usize,
    end: usize,
}

#[derive(Debug)]
enum What {
    Field(Path),
    Call(Call),
}

/// The way to a value, and where it stands in the source.
#[derive(Debug)]
struct Path {
    names: Vec<String>,
    at: usize,
}

#[derive(Debug)]
struct Call {
    function: Arc<Function>,
    arguments: Vec<Argument>,
}

#[derive(Debug)]
enum Argument {
    Field(Path),
    Literal(Value),
}

const MARKS: [char; 2] = ['#', '@'];

/// Puts the values in.
pub(super) fn render(
    tokens: &[Token],
    instance: &Map<String, Value>,
    budget: &Budget,
    output: &mut Output,
) -> Result<(), Fault> {
    for token in tokens {
        match token {
            Token::Text(text) => output.literal(text).map_err(|problem| Fault { at: 0, problem })?,
            Token::Put(put) => {
                let value = put.value(instance, budget)?;
                let written = values::charge(&value, budget).and_then(|()| output.value(&value));
                written.map_err(|problem| Fault { at: put.at, problem })?;
            }
        }
    }
    Ok(())
}

/// What each token comes to, each once.
pub(super) fn resolved(
    tokens: &[Token],
    source: &str,
    instance: &Map<String, Value>,
    budget: &Budget,
) -> Vec<(String, Result<String, String>)> {
    let mut seen = HashSet::new();
    let mut resolved = Vec::new();
    for token in tokens {
        let Token::Put(put) = token else { continue };
        let written = source.get(put.at..put.end).unwrap_or_default();
        if !seen.insert(written) {
            continue;
        }
        let text = put.value(instance, budget).map_err(|fault| fault.problem).and_then(|value| {
            values::charge(&value, budget)?;
            values::text(&value).map(Cow::into_owned)
        });
        resolved.push((written.to_owned(), text));
    }
    resolved
}

impl Put {
    /// What it stands for.
    fn value<'a>(
        &'a self,
        instance: &'a Map<String, Value>,
        budget: &Budget,
    ) -> Result<Cow<'a, Value>, Fault> {
        let call = match &self.what {
            What::Field(path) => return path.value(instance, budget),
            What::Call(call) => call,
        };
        let arguments = call.arguments.iter().map(|argument| match argument {
            Argument::Field(path) => path.value(instance, budget),
            Argument::Literal(value) => Ok(Cow::Borrowed(value)),
        });
        let arguments: Vec<Cow<'_, Value>> = arguments.collect::<Result<_, _>>()?;
        let value = call.function.call(&arguments, budget);
        value.map(Cow::Owned).map_err(|problem| Fault { at: self.at, problem })
    }
}

impl Path {
    fn value<'a>(&self, instance: &'a Map<String, Value>, budget: &Budget) -> Result<Cow<'a, Value>, Fault> {
        values::find(instance, &self.names, budget).map_err(|problem| Fault { at: self.at, problem })
    }
}

/// Finds the tokens of a text, and the fields these name.
pub(super) fn parse(source: &str, functions: &Functions) -> Result<(Vec<Token>, Vec<Found>), Fault> {
    let last_close = source.rfind(")@").unwrap_or(0);
    let mut reader = Reader { source, functions, at: 0, last_close };
    let mut tokens = Vec::new();
    let mut text = String::new();
    while let Some(offset) = reader.rest().find(MARKS) {
        text.push_str(&reader.rest()[..offset]);
        reader.at += offset;
        let mark = reader.at;
        if let Some(what) = reader.token()? {
            if !text.is_empty() {
                tokens.push(Token::Text(std::mem::take(&mut text)));
            }
            tokens.push(Token::Put(Put { what, at: mark, end: reader.at }));
            continue;
        }
        // No token: the mark is itself, or doubles that of a token, which is then printed.
        reader.at = mark + 1;
        let doubled = reader.rest().starts_with(&source[mark..=mark]);
        let doubles = if doubled { reader.token() } else { Ok(None) };
        match doubles {
            Ok(Some(_)) => text.push_str(&source[mark + 1..reader.at]),
            Ok(None) => {
                reader.at = mark + 1;
                text.push_str(&source[mark..=mark]);
            }
            // What begins like a call, and is none that could be made.
            Err(_) => {
                reader.at = mark + 2;
                text.push_str(&source[mark..=mark]);
            }
        }
    }
    text.push_str(reader.rest());
    if !text.is_empty() {
        tokens.push(Token::Text(text));
    }
    let found = tokens.iter().flat_map(named).collect();
    Ok((tokens, found))
}

/// The fields that a token names.
fn named(token: &Token) -> Vec<Found> {
    let paths = match token {
        Token::Text(_) => Vec::new(),
        Token::Put(Put { what: What::Field(path), .. }) => vec![path],
        Token::Put(Put { what: What::Call(call), .. }) => {
            call.arguments.iter().filter_map(Argument::path).collect()
        }
    };
    let found = |path: &Path| Found { names: path.names.clone(), at: path.at, used: Used::Text };
    paths.into_iter().map(found).collect()
}

impl Argument {
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Field(path) => Some(path),
            Self::Literal(_) => None,
        }
    }
}

struct Reader<'a> {
    source: &'a str,
    functions: &'a Functions,
    at: usize,
    /// Where the last `)@` stands: nothing behind it is a call.
    last_close: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn takes(&mut self, word: &str) -> bool {
        let there = self.rest().starts_with(word);
        if there {
            self.at += word.len();
        }
        there
    }

    fn skip_spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// The token that begins here. Without one it is undefined how far this has read.
    fn token(&mut self) -> Result<Option<What>, Fault> {
        let at = self.at;
        if let Some(path) = self.field()? {
            return Ok(Some(What::Field(path)));
        }
        self.at = at;
        if !self.takes("@") {
            return Ok(None);
        }
        let names = self.names();
        if names.len() < 3 || !self.takes("(") || self.at > self.last_close {
            return Ok(None);
        }
        let arguments = self.arguments()?;
        let name = names.join(".");
        let function = self.functions.called(&name).ok_or_else(|| Fault {
            at,
            problem: format!(
                "there is no function `{name:.80}`{}",
                suggestion(&name, self.functions.names())
            ),
        })?;
        function.takes(&name, arguments.len()).map_err(|problem| Fault { at, problem })?;
        Ok(Some(What::Call(Call { function, arguments })))
    }

    fn field(&mut self) -> Result<Option<Path>, Fault> {
        let at = self.at;
        if !self.takes("#") {
            return Ok(None);
        }
        let names = self.names();
        if names.is_empty() || !self.takes("#") {
            return Ok(None);
        }
        if names.len() > MAX_NAMES {
            return Err(Fault { at, problem: format!("this path has more than {MAX_NAMES} names") });
        }
        Ok(Some(Path { names, at }))
    }

    /// Names with full stops between them; none where the first is missing, or one after a full stop.
    fn names(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let name = self.rest().split(|c| !is_part(c)).next().unwrap_or_default();
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                return Vec::new();
            }
            self.at += name.len();
            names.push(name.to_owned());
            if !self.takes(".") {
                return names;
            }
        }
    }

    /// What stands behind the opening parenthesis, the end of the call included.
    fn arguments(&mut self) -> Result<Vec<Argument>, Fault> {
        let mut arguments = Vec::new();
        self.skip_spaces();
        if self.takes(")@") {
            return Ok(arguments);
        }
        loop {
            self.skip_spaces();
            arguments.push(self.argument()?);
            self.skip_spaces();
            if self.takes(")@") {
                return Ok(arguments);
            }
            if !self.takes(",") {
                return Err(self.unexpected("`,` or the end of the call, `)@`"));
            }
        }
    }

    fn argument(&mut self) -> Result<Argument, Fault> {
        let at = self.at;
        if let Some(path) = self.field()? {
            return Ok(Argument::Field(path));
        }
        self.at = at;
        if self.takes("'") {
            return self.string(at).map(|text| Argument::Literal(Value::String(text)));
        }
        let word = self.rest().split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.')).next();
        let word = word.unwrap_or_default();
        self.at += word.len();
        let literal = match word {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => number(word),
        };
        literal.map(Argument::Literal).ok_or_else(|| {
            self.at = at;
            self.unexpected("a field such as #name#, a text in single quotes, a number, true or false")
        })
    }

    /// The rest of a string that began at `start`.
    fn string(&mut self, start: usize) -> Result<String, Fault> {
        let mut text = String::new();
        loop {
            let Some(quote) = self.rest().find('\'') else {
                return Err(Fault { at: start, problem: "this text has no closing quote".into() });
            };
            text.push_str(&self.rest()[..quote]);
            self.at += quote + 1;
            if !self.takes("'") {
                return Ok(text);
            }
            text.push('\'');
        }
    }

    fn unexpected(&self, wanted: &str) -> Fault {
        let found = match self.rest().chars().next() {
            Some(found) => format!("found `{}`", found.escape_debug()),
            None => "found the end of the text".to_owned(),
        };
        Fault { at: self.at, problem: format!("{found}, where there should be {wanted}") }
    }
}

/// `-12` or `3.50`: a fraction as it is written, since a JSON number would not keep each digit.
pub(super) fn number(word: &str) -> Option<Value> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = word.split_once('.').unwrap_or((word, "0"));
    if !digits(whole.strip_prefix('-').unwrap_or(whole)) || !digits(fraction) {
        return None;
    }
    Some(word.parse::<i64>().map_or_else(|_| Value::String(word.to_owned()), Value::from))
}
