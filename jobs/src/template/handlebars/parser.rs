//! Makes a tree of the pieces of a text, and finds the fields that it names.

use std::collections::VecDeque;

use serde_json::Value;

use super::compare::{TESTS, Test};
use super::lexer::{Piece, Tag, TagKind, Word, pieces};
use super::{Block, Expression, Kind, MAX_BLOCKS, MAX_PARENTHESES, Node, Source, Start, What};
use crate::template::MAX_NAMES;
use crate::template::functions::{Functions, takes};
use crate::template::{Fault, Found, Used, suggestion};

const BLOCKS: [&str; 4] = ["each", "if", "unless", "with"];

/// # Errors
/// The text is malformed, nests too deeply, or uses what is not known or not allowed.
pub(in crate::template) fn parse(
    source: &str,
    functions: &Functions,
) -> Result<(Vec<Node>, Vec<Found>), Fault> {
    let mut parser = Parser {
        pieces: pieces(source)?.into(),
        functions,
        scopes: vec![Scope { base: Some(Vec::new()), is_loop: false, value: None, key: None }],
        found: Vec::new(),
    };
    let (nodes, stop) = parser.nodes(0)?;
    match stop {
        None => Ok((nodes, parser.found)),
        Some(tag) if tag.kind == TagKind::Close => Err(fault(tag.at, "this closes a block that is not open")),
        Some(tag) => Err(fault(tag.at, "`else` stands outside of a block")),
    }
}

struct Parser<'a> {
    pieces: VecDeque<Piece<'a>>,
    functions: &'a Functions,
    /// Source the root inwards: what each block was entered with.
    scopes: Vec<Scope<'a>>,
    found: Vec<Found>,
}

struct Scope<'a> {
    /// The way from the root of the instance to what the block is about; none where a function made it.
    base: Option<Vec<String>>,
    is_loop: bool,
    /// The block's own names for the value and its key.
    value: Option<&'a str>,
    key: Option<&'a str>,
}

/// The words of a tag that are still to be read.
struct Words<'a> {
    words: VecDeque<(Word<'a>, usize)>,
    /// The place to blame when there are no more.
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<Word<'a>> {
        let (word, at) = self.words.pop_front()?;
        self.at = at;
        Some(word)
    }

    fn peek(&self) -> Option<&Word<'a>> {
        self.words.front().map(|(word, _)| word)
    }

    /// # Errors
    /// Words are left.
    fn end(&self) -> Result<(), Fault> {
        self.words.front().map_or(Ok(()), |(_, at)| Err(fault(*at, "this does not belong here")))
    }
}

impl<'a> Parser<'a> {
    /// Nodes up to an `else` or the end of the block, which is handed back.
    fn nodes(&mut self, depth: usize) -> Result<(Vec<Node>, Option<Tag<'a>>), Fault> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.pop_front() {
            let tag = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.to_owned()));
                    continue;
                }
                Piece::Tag(tag) => tag,
            };
            match tag.kind {
                TagKind::Put => nodes.push(Node::Put(self.put(tag)?)),
                TagKind::Open => {
                    nodes.push(Node::Block(Box::new(self.block(tag, depth + 1, None)?)));
                }
                TagKind::Close | TagKind::Else => return Ok((nodes, Some(tag))),
            }
        }
        Ok((nodes, None))
    }

    fn put(&mut self, tag: Tag<'a>) -> Result<Expression, Fault> {
        let mut words = Words { words: tag.words.into(), at: tag.at };
        let expression = self.call(&mut words, 0, Used::Text)?;
        words.end()?;
        Ok(expression)
    }

    /// A block from its first tag to its end. The blocks of a chain of `else` all end with the name of the first, `closes`.
    fn block(&mut self, tag: Tag<'a>, depth: usize, closes: Option<&'a str>) -> Result<Block, Fault> {
        let at = tag.at;
        if depth > MAX_BLOCKS {
            return Err(fault(at, format!("blocks are nested more than {MAX_BLOCKS} deep")));
        }
        let mut words = Words { words: tag.words.into(), at };
        let Some(Word::Name(name)) = words.next() else {
            return Err(fault(at, "a block begins with its name, such as `{{#each items}}`"));
        };
        let mut kind = match name {
            "each" => Kind::Each,
            "with" => Kind::With,
            "if" => Kind::If { zero_is_true: false },
            "unless" => Kind::Unless { zero_is_true: false },
            _ => {
                let near = suggestion(name, BLOCKS.into_iter());
                return Err(fault(at, format!("there is no block `{name:.80}`{near}")));
            }
        };
        let over = self.argument(&mut words, 0, Used::Value)?;
        let scope = match &mut kind {
            Kind::If { zero_is_true } | Kind::Unless { zero_is_true } => {
                *zero_is_true = include_zero(&mut words)?;
                None
            }
            Kind::Each | Kind::With => Some(self.scope(kind, &over, &mut words)?),
        };
        words.end()?;
        let outer = self.scopes.len();
        self.scopes.extend(scope);
        let (body, stop) = self.nodes(depth)?;
        self.scopes.truncate(outer);
        let closes = closes.unwrap_or(name);
        let otherwise = match stop {
            Some(tag) if tag.kind == TagKind::Else => self.otherwise(tag, depth, closes, at)?,
            stop => {
                closed(stop, closes, at)?;
                Vec::new()
            }
        };
        Ok(Block { kind, over, body, otherwise, at })
    }

    /// What follows an `else`, up to the end of the block.
    fn otherwise(
        &mut self,
        tag: Tag<'a>,
        depth: usize,
        closes: &'a str,
        begun: usize,
    ) -> Result<Vec<Node>, Fault> {
        if !tag.words.is_empty() {
            return Ok(vec![Node::Block(Box::new(self.block(tag, depth + 1, Some(closes))?))]);
        }
        let (nodes, stop) = self.nodes(depth)?;
        closed(stop, closes, begun)?;
        Ok(nodes)
    }

    /// What a block is entered with, and its own names for that: `as |item index|`.
    fn scope(&self, kind: Kind, over: &Expression, words: &mut Words<'a>) -> Result<Scope<'a>, Fault> {
        let base = match &over.what {
            What::Path { from, names } => self.way_to(*from, names),
            _ => None,
        };
        let mut scope = Scope { base, is_loop: kind == Kind::Each, value: None, key: None };
        if words.peek() != Some(&Word::Name("as")) {
            return Ok(scope);
        }
        words.next();
        let malformed = |at| fault(at, "names for what a block goes over are written `as |item index|`");
        if words.next() != Some(Word::Pipe) {
            return Err(malformed(words.at));
        }
        let most = if scope.is_loop { 2 } else { 1 };
        for position in 0..=most {
            match words.next() {
                Some(Word::Pipe) if position > 0 => return Ok(scope),
                Some(Word::Name(name)) if position < most && !name.contains(['.', '/', '@', '[']) => {
                    let own = if position == 0 { &mut scope.value } else { &mut scope.key };
                    *own = Some(name);
                }
                _ => break,
            }
        }
        Err(malformed(words.at))
    }

    /// A name with its arguments, or a value, up to the end of the tag or the closing parenthesis.
    fn call(&mut self, words: &mut Words<'a>, depth: usize, used: Used) -> Result<Expression, Fault> {
        let head = words.peek().cloned();
        let begun = words.words.front().map_or(words.at, |(_, at)| *at);
        let Some(Word::Name(name)) = head else { return self.argument(words, depth, used) };
        let is_alone = matches!(words.words.get(1), None | Some((Word::Close, _)));
        if is_alone && self.functions.helper(name).is_none() {
            return self.argument(words, depth, used);
        }
        words.next();
        let test = Test::named(name);
        let function = self.functions.helper(name);
        let used = if function.is_some() { Used::Text } else { Used::Value };
        if test.is_none() && function.is_none() {
            return Err(fault(begun, self.unknown(name)));
        }
        let mut arguments = Vec::new();
        while !matches!(words.peek(), None | Some(Word::Close)) {
            arguments.push(self.argument(words, depth, used)?);
        }
        let given = arguments.len();
        let (what, fits) = match (function, test) {
            (Some(function), _) => {
                let fits = function.takes(name, given);
                (What::Call { function, arguments }, fits)
            }
            (None, Some(test)) => (What::Test { test, arguments }, takes(name, &test.takes(), given)),
            (None, None) => return Err(fault(begun, self.unknown(name))),
        };
        fits.map_err(|problem| fault(begun, problem))?;
        Ok(Expression { what, at: begun })
    }

    /// Why there is nothing to call by this name.
    fn unknown(&self, name: &str) -> String {
        match name {
            "log" => "`log` is not allowed: a text is not the place for it".to_owned(),
            "lookup" => {
                "`lookup` is not allowed: name the field, or go over the list with `#each`".to_owned()
            }
            _ if BLOCKS.contains(&name) => format!("`{name}` is a block: `{{{{#{name} ...}}}}`"),
            _ => {
                let tests = TESTS.iter().map(|(name, _)| *name);
                let near = suggestion(name, self.functions.helper_names().chain(tests));
                format!("there is no function `{name:.80}`{near}")
            }
        }
    }

    /// One value: a path, a literal, or a call in parentheses.
    fn argument(&mut self, words: &mut Words<'a>, depth: usize, used: Used) -> Result<Expression, Fault> {
        let word = words.next();
        let at = words.at;
        let what = match word {
            Some(Word::Name(name)) => self.path(name, at, used)?,
            Some(Word::Literal(value)) => What::Literal(value),
            Some(Word::Open) => {
                if depth >= MAX_PARENTHESES {
                    let problem = format!("parentheses are nested more than {MAX_PARENTHESES} deep");
                    return Err(fault(at, problem));
                }
                let inner = self.call(words, depth + 1, used)?;
                if words.next() != Some(Word::Close) {
                    return Err(fault(at, "this parenthesis is not closed"));
                }
                return Ok(inner);
            }
            Some(Word::Key(_)) => return Err(fault(at, "arguments have no names here")),
            Some(Word::Close | Word::Pipe) => return Err(fault(at, "this does not belong here")),
            None => return Err(fault(at, "something is missing in this tag")),
        };
        Ok(Expression { what, at })
    }

    fn path(&mut self, written: &str, at: usize, used: Used) -> Result<What, Fault> {
        let outermost = self.scopes.len().saturating_sub(1);
        let (mut rest, mut up) = (written, 0);
        while let Some(outer) = rest.strip_prefix("../") {
            (rest, up) = (outer, up + 1);
        }
        if rest == ".." {
            (rest, up) = ("", up + 1);
        }
        let mut may_be_own = up == 0;
        if let Some(from_root) = rest.strip_prefix("@root.").or_else(|| rest.strip_prefix("@root/")) {
            (rest, up, may_be_own) = (from_root, outermost, false);
        } else if let Some(local) = rest.strip_prefix('@') {
            return self.local(local, up, at);
        } else if rest == "this" || rest == "." {
            rest = "";
        } else if let Some(here) =
            ["./", "this.", "this/"].into_iter().find_map(|prefix| rest.strip_prefix(prefix))
        {
            (rest, may_be_own) = (here, false);
        }
        if up > outermost {
            return Err(fault(at, "`../` leads out of the instance"));
        }
        let mut names = names(rest).map_err(|problem| fault(at, problem))?;
        let mut from = Source { up, what: Start::Value };
        let own = names.first().filter(|_| may_be_own).and_then(|name| self.own(name));
        if let Some(own) = own {
            from = own;
            names.remove(0);
            if from.what == Start::Key && !names.is_empty() {
                return Err(fault(at, "a key has no fields"));
            }
        }
        if let Some(names) = self.way_to(from, &names) {
            if names.is_empty() {
                return Err(fault(at, "this is the whole instance: name one of its fields"));
            }
            if names.len() > MAX_NAMES {
                return Err(fault(at, format!("this path has more than {MAX_NAMES} names")));
            }
            self.found.push(Found { names, at, used });
        }
        Ok(What::Path { from, names })
    }

    /// What a block names itself: `as |item index|`.
    fn own(&self, name: &str) -> Option<Source> {
        self.scopes.iter().rev().enumerate().find_map(|(up, scope)| {
            let is = |own: Option<&str>| own == Some(name);
            let what = if is(scope.value) { Some(Start::Value) } else { is(scope.key).then_some(Start::Key) };
            what.map(|what| Source { up, what })
        })
    }

    /// `@index` and its like, of the loop that is so many loops up.
    fn local(&self, written: &str, mut up: usize, at: usize) -> Result<What, Fault> {
        let mut name = written;
        while let Some(outer) = name.strip_prefix("../") {
            (name, up) = (outer, up + 1);
        }
        let what = match name {
            "index" => Start::Index,
            "first" => Start::First,
            "last" => Start::Last,
            "key" => Start::Key,
            _ => {
                return Err(fault(
                    at,
                    format!("there is no `@{name:.80}`; @index, @first, @last and @key are"),
                ));
            }
        };
        let mut loops = self.scopes.iter().rev().enumerate().filter(|(_, scope)| scope.is_loop);
        let (up, _) =
            loops.nth(up).ok_or_else(|| fault(at, format!("`@{name}` stands outside of `#each`")))?;
        Ok(What::Path { from: Source { up, what }, names: Vec::new() })
    }

    /// The way from the root of the instance; none where it leads over what a function made, or to no field.
    fn way_to(&self, from: Source, names: &[String]) -> Option<Vec<String>> {
        if from.what != Start::Value {
            return None;
        }
        let mut path = self.scopes.iter().rev().nth(from.up)?.base.clone()?;
        path.extend_from_slice(names);
        Some(path)
    }
}

/// # Errors
/// The tag is not the end of the block that begun there.
fn closed(tag: Option<Tag<'_>>, closes: &str, begun: usize) -> Result<(), Fault> {
    let Some(tag) = tag else {
        return Err(fault(begun, format!("this block has no end, `{{{{/{closes}}}}}`")));
    };
    if tag.kind == TagKind::Else {
        return Err(fault(tag.at, "this block has an `else` already"));
    }
    match tag.words.as_slice() {
        [(Word::Name(name), _)] if *name == closes => Ok(()),
        _ => Err(fault(tag.at, format!("this should be the end of the block, `{{{{/{closes}}}}}`"))),
    }
}

/// `includeZero=true`
fn include_zero(words: &mut Words<'_>) -> Result<bool, Fault> {
    if words.peek() != Some(&Word::Key("includeZero")) {
        return Ok(false);
    }
    words.next();
    match words.next() {
        Some(Word::Literal(Value::Bool(value))) => Ok(value),
        _ => Err(fault(words.at, "includeZero is `true` or `false`")),
    }
}

/// The names of a path, with `.` or `/` between them.
fn names(path: &str) -> Result<Vec<String>, &'static str> {
    let mut names = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (name, behind) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']').ok_or("this bracket is not closed")?,
            None => rest.split_at(rest.find(['.', '/', '[']).unwrap_or(rest.len())),
        };
        if name.is_empty() || name.contains('@') {
            return Err("a name is missing in this path");
        }
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(
                "an element of a list has no name: go over the list with `#each`, or take `std_list_first`",
            );
        }
        names.push(name.to_owned());
        rest = match behind.strip_prefix(['.', '/']) {
            Some("") => return Err("a name is missing in this path"),
            Some(more) => more,
            None if behind.is_empty() => behind,
            None => return Err("there is no `.` before this bracket"),
        };
    }
    Ok(names)
}

fn fault(at: usize, problem: impl Into<String>) -> Fault {
    Fault { at, problem: problem.into() }
}
