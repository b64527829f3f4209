//! Texts in Handlebars: `{{field}}`, `#each`, `#if`, `#unless`, `#with`, comparisons and functions.
//!
//! A text is read into a tree, in which each path knows the block it starts from. So the fields of a text are known without an
//! instance, and nothing is looked up by a name that a value brought.

mod compare;
mod lexer;
mod parser;
mod render;

use std::sync::Arc;

use serde_json::Value;

use self::compare::Test;
use super::functions::Function;

pub(super) use self::parser::parse;
pub(super) use self::render::{render, resolved};

/// Deepest nesting of blocks; each `{{else if}}` is one level, too.
const MAX_BLOCKS: usize = 16;
/// Deepest nesting of subexpressions.
const MAX_PARENTHESES: usize = 8;

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Put(Expression),
    Block(Box<Block>),
}

#[derive(Debug)]
pub(super) struct Block {
    kind: Kind,
    over: Expression,
    body: Vec<Node>,
    otherwise: Vec<Node>,
    at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Each,
    With,
    If { zero_is_true: bool },
    Unless { zero_is_true: bool },
}

#[derive(Debug)]
pub(super) struct Expression {
    what: What,
    at: usize,
}

#[derive(Debug)]
enum What {
    Path { from: Source, names: Vec<String> },
    Literal(Value),
    Call { function: Arc<Function>, arguments: Vec<Expression> },
    Test { test: Test, arguments: Vec<Expression> },
}

/// Where a path starts: so many scopes up from the block it stands in.
#[derive(Clone, Copy, Debug)]
struct Source {
    up: usize,
    what: Start,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// What the block was entered with: an element, or what `#with` names.
    Value,
    Index,
    First,
    Last,
    /// The key of an element of an object, or the index of one of a list.
    Key,
}

#[cfg(test)]
mod tests;
