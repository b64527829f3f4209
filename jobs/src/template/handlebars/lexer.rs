//! Takes a text apart into what stands between tags and the words of each tag. The blanks that a tag removes are gone then.

use serde_json::Value;

use crate::template::Fault;
use crate::template::tokens::number;

#[derive(Debug)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Tag(Tag<'a>),
}

#[derive(Debug)]
pub(super) struct Tag<'a> {
    pub(super) kind: TagKind,
    pub(super) words: Vec<(Word<'a>, usize)>,
    /// Where it begins in the source.
    pub(super) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagKind {
    /// `{{name}}`
    Put,
    /// `{{#name}}`
    Open,
    /// `{{/name}}`
    Close,
    /// `{{else}}`, `{{^}}`
    Else,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word<'a> {
    /// A path, or the name of a helper.
    Name(&'a str),
    /// `name=`
    Key(&'a str),
    Literal(Value),
    Open,
    Close,
    Pipe,
}

/// What the text behind a tag loses.
#[derive(Clone, Copy)]
enum Trim {
    Nothing,
    /// The rest of a line on which nothing but the tag stands.
    Line,
    Blanks,
}

/// # Errors
/// A tag does not end, or is of a kind that is not allowed.
pub(super) fn pieces(source: &str) -> Result<Vec<Piece<'_>>, Fault> {
    let mut lexer = Lexer { source, at: 0 };
    let mut pieces = Vec::new();
    let mut trim = Trim::Nothing;
    loop {
        let start = lexer.at;
        let open = source.get(start..).and_then(|rest| rest.find("{{")).map(|offset| start + offset);
        let mut text = source.get(start..open.unwrap_or(source.len())).unwrap_or_default();
        if open.is_some() && text.ends_with('\\') {
            return Err(fault(
                start + text.len() - 1,
                "`\\{{` is not allowed: write the braces as a text in a tag",
            ));
        }
        text = match trim {
            Trim::Nothing => text,
            Trim::Line => {
                let rest = text.trim_start_matches(is_blank);
                rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')).unwrap_or(rest)
            }
            Trim::Blanks => text.trim_start(),
        };
        let Some(open) = open else {
            pieces.extend((!text.is_empty()).then_some(Piece::Text(text)));
            return Ok(pieces);
        };
        lexer.at = open + 2;
        let trims_before = lexer.takes("~");
        let (tag, trims_after) = lexer.tag(open)?;
        let stands_alone = tag.as_ref().is_none_or(|tag| tag.kind != TagKind::Put)
            && ends_with_empty_line(source.get(..open).unwrap_or_default())
            && starts_with_empty_line(lexer.rest());
        text = match (trims_before, stands_alone) {
            (true, _) => text.trim_end(),
            (false, true) => text.trim_end_matches(is_blank),
            (false, false) => text,
        };
        trim = match (trims_after, stands_alone) {
            (true, _) => Trim::Blanks,
            (false, true) => Trim::Line,
            (false, false) => Trim::Nothing,
        };
        pieces.extend((!text.is_empty()).then_some(Piece::Text(text)));
        pieces.extend(tag.map(Piece::Tag));
    }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
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

    /// The tag that began at `open`, none for a comment, and whether it removes the blanks behind it.
    fn tag(&mut self, open: usize) -> Result<(Option<Tag<'a>>, bool), Fault> {
        if self.takes("!") {
            return self.comment(open);
        }
        self.skip_spaces();
        let refused = match self.rest().chars().next() {
            Some('{') => Some("triple braces and raw blocks are not allowed"),
            Some('&') => Some("`{{&` is not allowed: the message says whether values are escaped"),
            Some('>') => Some("partials are not allowed"),
            Some('*') => Some("decorators are not allowed"),
            _ => None,
        };
        if let Some(problem) = refused {
            return Err(fault(open, problem));
        }
        let mut kind = TagKind::Put;
        for (mark, marked) in [("#", TagKind::Open), ("/", TagKind::Close), ("^", TagKind::Else)] {
            if self.takes(mark) {
                kind = marked;
                break;
            }
        }
        self.skip_spaces();
        if kind == TagKind::Open && self.rest().starts_with(['>', '*']) {
            return Err(fault(open, "partials and decorators are not allowed"));
        }
        let (mut words, trims_after) = self.words(open)?;
        if kind == TagKind::Put && matches!(words.first(), Some((Word::Name("else"), _))) {
            words.remove(0);
            kind = TagKind::Else;
        }
        Ok((Some(Tag { kind, words, at: open }), trims_after))
    }

    fn comment(&mut self, open: usize) -> Result<(Option<Tag<'a>>, bool), Fault> {
        let long = self.rest().starts_with("--").then(|| self.rest().find("--}}")).flatten();
        let end = match long {
            Some(end) => end + 4,
            None => self.rest().find("}}").ok_or_else(|| unclosed(open))? + 2,
        };
        self.at += end;
        Ok((None, false))
    }

    /// The words up to the end of the tag, and whether it removes the blanks behind it.
    fn words(&mut self, open: usize) -> Result<(Vec<(Word<'a>, usize)>, bool), Fault> {
        let mut words = Vec::new();
        loop {
            self.skip_spaces();
            if self.takes("}}") {
                return Ok((words, false));
            }
            if self.takes("~}}") {
                return Ok((words, true));
            }
            let at = self.at;
            let Some(next) = self.rest().chars().next() else { return Err(unclosed(open)) };
            let word = match next {
                '(' => self.mark(Word::Open),
                ')' => self.mark(Word::Close),
                '|' => self.mark(Word::Pipe),
                '"' | '\'' => self.string(next)?,
                _ => self.name()?,
            };
            words.push((word, at));
        }
    }

    fn mark(&mut self, word: Word<'a>) -> Word<'a> {
        self.at += 1;
        word
    }

    fn name(&mut self) -> Result<Word<'a>, Fault> {
        let start = self.at;
        loop {
            let rest = self.rest();
            let part = rest.find(|character| !is_path(character)).unwrap_or(rest.len());
            self.at += part;
            if !self.takes("[") {
                break;
            }
            let rest = self.rest();
            let inner = rest.find(|character| !is_bracketed(character)).unwrap_or(rest.len());
            self.at += inner;
            if inner == 0 || !self.takes("]") {
                let problem = "between `[` and `]` stands a name of letters, digits, `_`, `-` and spaces";
                return Err(fault(start, problem));
            }
        }
        let word = self.source.get(start..self.at).unwrap_or_default();
        if word.is_empty() {
            let found = self.rest().chars().next().unwrap_or_default().escape_debug();
            return Err(fault(start, format!("`{found}` does not belong here")));
        }
        if self.takes("=") {
            return Ok(Word::Key(word));
        }
        Ok(match word {
            "true" => Word::Literal(true.into()),
            "false" => Word::Literal(false.into()),
            "null" => Word::Literal(Value::Null),
            _ => number(word).map_or(Word::Name(word), Word::Literal),
        })
    }

    /// A text with the escapes of JSON.
    fn string(&mut self, quote: char) -> Result<Word<'a>, Fault> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        while let Some(next) = self.rest().chars().next() {
            self.at += next.len_utf8();
            match next {
                _ if next == quote => return Ok(Word::Literal(text.into())),
                '\\' => {
                    let escape = self.escape();
                    text.push(
                        escape.ok_or_else(|| fault(start, "this text has an escape that is not known"))?,
                    );
                }
                _ => text.push(next),
            }
        }
        Err(fault(start, "this text has no closing quote"))
    }

    fn escape(&mut self) -> Option<char> {
        let escaped = self.rest().chars().next()?;
        self.at += escaped.len_utf8();
        match escaped {
            '"' | '\'' | '\\' | '/' => Some(escaped),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'u' => {
                let digits = self.rest().get(..4)?;
                self.at += 4;
                let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                is_hex.then(|| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)).flatten()
            }
            _ => None,
        }
    }
}

fn fault(at: usize, problem: impl Into<String>) -> Fault {
    Fault { at, problem: problem.into() }
}

fn unclosed(open: usize) -> Fault {
    fault(open, "this tag has no end, `}}`")
}

/// What a path is written with, between brackets aside.
fn is_path(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_$:./@".contains(character) || !character.is_ascii()
}

fn is_bracketed(character: char) -> bool {
    character.is_alphanumeric() || "_- ".contains(character)
}

fn is_blank(character: char) -> bool {
    character == ' ' || character == '\t'
}

fn ends_with_empty_line(text: &str) -> bool {
    let text = text.trim_end_matches(is_blank);
    text.is_empty() || text.ends_with(['\n', '\r'])
}

fn starts_with_empty_line(text: &str) -> bool {
    text.is_empty() || text.trim_start_matches(is_blank).starts_with(['\n', '\r'])
}
