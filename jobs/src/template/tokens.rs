//! Finds the tokens of a text.

use serde_json::Value;

use super::functions::{self, Function};
use super::{Fault, suggestion};

#[derive(Debug)]
pub(super) enum Part {
    Text(String),
    Field(Path),
    Call(Call),
}

/// The way to a value, and where it stands in the source.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) names: Vec<String>,
    pub(super) at: usize,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) function: &'static Function,
    pub(super) arguments: Vec<Argument>,
    pub(super) at: usize,
}

#[derive(Debug)]
pub(super) enum Argument {
    Field(Path),
    Literal(Value),
}

impl Path {
    pub(super) fn fault(&self, problem: String) -> Fault {
        Fault { at: self.at, problem }
    }
}

const MARKS: [char; 2] = ['#', '@'];

pub(super) fn parse(source: &str) -> Result<Vec<Part>, Fault> {
    let mut reader = Reader { source, at: 0, last_close: source.rfind(")@").unwrap_or(0) };
    let mut parts = Vec::new();
    let mut text = String::new();
    while let Some(offset) = reader.rest().find(MARKS) {
        text.push_str(&reader.rest()[..offset]);
        reader.at += offset;
        let mark = reader.at;
        if let Some(part) = reader.token()? {
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(part);
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
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

struct Reader<'a> {
    source: &'a str,
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
    fn token(&mut self) -> Result<Option<Part>, Fault> {
        let at = self.at;
        if let Some(path) = self.field() {
            return Ok(Some(Part::Field(path)));
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
        let function = functions::find(&name).ok_or_else(|| Fault {
            at,
            problem: format!("there is no function `{name}`{}", suggestion(&name, functions::names())),
        })?;
        if !function.takes.contains(&arguments.len()) {
            let (least, most) = function.takes.clone().into_inner();
            let takes = match (least, most) {
                (1, 1) => "1 argument".to_owned(),
                (least, most) if least == most => format!("{least} arguments"),
                (least, most) => format!("{least} to {most} arguments"),
            };
            let problem = format!("{name} takes {takes}, not {}", arguments.len());
            return Err(Fault { at, problem });
        }
        Ok(Some(Part::Call(Call { function, arguments, at })))
    }

    fn field(&mut self) -> Option<Path> {
        let at = self.at;
        if !self.takes("#") {
            return None;
        }
        let names = self.names();
        (!names.is_empty() && self.takes("#")).then_some(Path { names, at })
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
        if let Some(path) = self.field() {
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
fn number(word: &str) -> Option<Value> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = word.split_once('.').unwrap_or((word, "0"));
    if !digits(whole.strip_prefix('-').unwrap_or(whole)) || !digits(fraction) {
        return None;
    }
    Some(word.parse::<i64>().map_or_else(|_| Value::String(word.to_owned()), Value::from))
}
