//! Walks the tree of a text over an instance.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Value};

use super::compare::is_true;
use super::{Block, Expression, Kind, Node, Source, Start, What};
use crate::template::budget::Budget;
use crate::template::output::Output;
use crate::template::values::{self, OWN_TEXT};
use crate::template::{Fault, Field};

/// What a block was entered with, and the block around it.
#[derive(Clone, Copy)]
struct Scope<'s> {
    outer: Option<&'s Scope<'s>>,
    here: Here<'s>,
    turn: Turn<'s>,
}

#[derive(Clone, Copy)]
enum Here<'s> {
    Root(&'s Map<String, Value>),
    Value(&'s Value),
}

/// Which round of a loop this is.
#[derive(Clone, Copy, Default)]
struct Turn<'s> {
    index: usize,
    is_last: bool,
    key: Option<&'s str>,
}

/// What a text is rendered with.
struct Walk<'w> {
    budget: &'w Budget,
    output: &'w mut Output,
}

/// Puts the values in.
///
/// # Errors
/// A field is not there, a function fails, or a bound is reached.
pub(in crate::template) fn render(
    nodes: &[Node],
    instance: &Map<String, Value>,
    budget: &Budget,
    output: &mut Output,
) -> Result<(), Fault> {
    let root = Scope { outer: None, here: Here::Root(instance), turn: Turn::default() };
    Walk { budget, output }.nodes(nodes, &root)
}

/// What each field comes to. One that is only entered tells what it is.
pub(in crate::template) fn resolved(
    fields: &[Field],
    instance: &Map<String, Value>,
    budget: &Budget,
) -> Vec<(String, Result<String, String>)> {
    let mut seen = HashSet::new();
    let mut resolved = Vec::new();
    for field in fields {
        if !seen.insert(&field.names) {
            continue;
        }
        let text = values::find(instance, &field.names, budget).and_then(|value| {
            values::charge(&value, budget)?;
            match value.as_ref() {
                Value::Array(items) if holds_objects(items) => Ok(format!("a list of {}", items.len())),
                Value::Object(fields) if !fields.contains_key(OWN_TEXT) => Ok("an object".to_owned()),
                value => values::text(value).map(Cow::into_owned),
            }
        });
        resolved.push((field.names.join("."), text));
    }
    resolved
}

/// Whether a list cannot be printed.
fn holds_objects(items: &[Value]) -> bool {
    items.iter().any(|item| match item {
        Value::Object(fields) => !fields.contains_key(OWN_TEXT),
        Value::Array(items) => holds_objects(items),
        _ => false,
    })
}

impl Walk<'_> {
    fn nodes(&mut self, nodes: &[Node], scope: &Scope<'_>) -> Result<(), Fault> {
        for node in nodes {
            match node {
                Node::Text(text) => self.output.literal(text).map_err(|problem| Fault { at: 0, problem })?,
                Node::Put(expression) => {
                    let value = self.value(expression, scope)?;
                    let put = values::charge(&value, self.budget).and_then(|()| self.output.value(&value));
                    put.map_err(|problem| Fault { at: expression.at, problem })?;
                }
                Node::Block(block) => self.block(block, scope)?,
            }
        }
        Ok(())
    }

    fn block(&mut self, block: &Block, scope: &Scope<'_>) -> Result<(), Fault> {
        let fault = |problem| Fault { at: block.at, problem };
        self.budget.step().map_err(fault)?;
        let over = self.value(&block.over, scope)?;
        let inside = |here, turn| Scope { outer: Some(scope), here, turn };
        match block.kind {
            Kind::If { zero_is_true } if is_true(&over, zero_is_true) => self.nodes(&block.body, scope),
            Kind::Unless { zero_is_true } if !is_true(&over, zero_is_true) => self.nodes(&block.body, scope),
            Kind::With if is_true(&over, false) => {
                self.nodes(&block.body, &inside(Here::Value(&over), Turn::default()))
            }
            Kind::If { .. } | Kind::Unless { .. } | Kind::With => self.nodes(&block.otherwise, scope),
            Kind::Each => {
                let elements = elements(&over).map_err(|problem| Fault { at: block.over.at, problem })?;
                let last = elements.len().saturating_sub(1);
                if elements.is_empty() {
                    return self.nodes(&block.otherwise, scope);
                }
                for (index, (key, element)) in elements.into_iter().enumerate() {
                    self.budget.round().map_err(fault)?;
                    let turn = Turn { index, is_last: index == last, key };
                    self.nodes(&block.body, &inside(Here::Value(element), turn))?;
                }
                Ok(())
            }
        }
    }

    fn value<'s>(&self, expression: &'s Expression, scope: &Scope<'s>) -> Result<Cow<'s, Value>, Fault> {
        let fault = |problem| Fault { at: expression.at, problem };
        self.budget.step().map_err(fault)?;
        let values = |arguments: &'s [Expression]| -> Result<Vec<Cow<'s, Value>>, Fault> {
            arguments.iter().map(|argument| self.value(argument, scope)).collect()
        };
        match &expression.what {
            What::Path { from, names } => scope.find(*from, names, self.budget).map_err(fault),
            What::Literal(value) => Ok(Cow::Borrowed(value)),
            What::Call { function, arguments } => {
                let made = function.call(&values(arguments)?, self.budget);
                made.map(Cow::Owned).map_err(fault)
            }
            What::Test { test, arguments } => {
                let arguments = values(arguments)?;
                let arguments: Vec<&Value> = arguments.iter().map(Cow::as_ref).collect();
                Ok(Cow::Owned(test.answer(&arguments)))
            }
        }
    }
}

impl<'s> Scope<'s> {
    fn find(&self, from: Source, names: &[String], budget: &Budget) -> Result<Cow<'s, Value>, String> {
        let mut scope = *self;
        for _ in 0..from.up {
            scope = *scope.outer.ok_or("this leads out of the instance")?;
        }
        let turn = scope.turn;
        Ok(match (from.what, scope.here) {
            (Start::Value, Here::Root(instance)) => values::find(instance, names, budget)?,
            (Start::Value, Here::Value(value)) => values::follow(value, names, budget)?,
            (Start::Index, _) => Cow::Owned(turn.index.into()),
            (Start::First, _) => Cow::Owned((turn.index == 0).into()),
            (Start::Last, _) => Cow::Owned(turn.is_last.into()),
            (Start::Key, _) => Cow::Owned(turn.key.map_or_else(|| turn.index.into(), Value::from)),
        })
    }
}

/// What a loop goes over: the elements of a list, or the fields of an object with their keys.
fn elements(over: &Value) -> Result<Vec<(Option<&str>, &Value)>, String> {
    match over {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => Ok(items.iter().map(|item| (None, item)).collect()),
        Value::Object(fields) => {
            let named = fields.iter().filter(|(name, _)| *name != OWN_TEXT);
            Ok(named.map(|(name, value)| (Some(name.as_str()), value)).collect())
        }
        _ => Err("`#each` goes over a list or an object".to_owned()),
    }
}
