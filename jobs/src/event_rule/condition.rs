//! A condition over a row before and after: one Rhai expression, in the sandbox that functions have.

use rhai::{AST, Dynamic, Scope};
use serde_json::{Map, Value};

use crate::template::sandbox;

/// A condition that was compiled.
#[derive(Debug)]
pub struct Condition(AST);

impl Condition {
    /// Compiles an expression over `old` and `new`.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub fn compile(text: &str) -> Result<Self, String> {
        let compiled = sandbox::engine(sandbox::LONGEST_CALL).compile_expression(spoken(text));
        compiled.map(Self).map_err(|error| format!("cannot be read: {error}"))
    }

    /// Whether it holds. A row that is not there has no fields; a field that is not there is `()`.
    ///
    /// # Errors
    /// It fails, or comes to something else than true or false.
    pub fn holds(
        &self,
        old: Option<&Map<String, Value>>,
        new: Option<&Map<String, Value>>,
    ) -> Result<bool, String> {
        sandbox::with_ample_stack(|| {
            let mut scope = Scope::new();
            for (name, row) in [("old", old), (NEW, new)] {
                let row =
                    row.map_or_else(|| Ok(Dynamic::from_map(rhai::Map::new())), rhai::serde::to_dynamic);
                scope.push_constant_dynamic(name, row.map_err(|error| error.to_string())?);
            }
            let engine = sandbox::engine(sandbox::LONGEST_CALL);
            let made: Dynamic =
                engine.eval_ast_with_scope(&mut scope, &self.0).map_err(|error| error.to_string())?;
            made.as_bool().map_err(|kind| format!("comes to a {kind}, not to true or false"))
        })
    }
}

/// What `new`, which is a word of Rhai's own, is called there. It is as long, so that errors name the right column.
const NEW: &str = "row";

/// The expression with `new` by that name, wherever it is a name and not part of a text.
fn spoken(text: &str) -> String {
    let mut spoken = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' | '`' | '\'' => quoted(rest, c),
            _ if c.is_alphanumeric() || c == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            _ => c.len_utf8(),
        };
        let (part, after) = rest.split_at(length);
        spoken.push_str(if part == "new" && before != '.' { NEW } else { part });
        if !c.is_whitespace() {
            before = part.chars().next_back().unwrap_or(' ');
        }
        rest = after;
    }
    spoken
}

/// How long a text is that begins here, in bytes with its quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(text: &str) -> Result<bool, String> {
        let (old, new) = (
            json!({"status": "draft", "amount": 10}),
            json!({"status": "sent", "amount": 12400.0, "note": null}),
        );
        Condition::compile(text)?.holds(old.as_object(), new.as_object())
    }

    #[test]
    fn a_condition_reads_the_row_before_and_after() {
        for (text, expected) in [
            ("new.amount > 1000", true),
            ("new.amount > 20000 || old.status == new.status", false),
            ("old.status == \"draft\" && new.status != old.status", true),
            ("new.note == () && new.missing == ()", true),
            ("new.status in [\"sent\", \"done\"]", true),
            ("\"new \\\" new\" != new.status && `new` != new.status", true),
        ] {
            assert_eq!(holds(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "new.amount",
            "new.amount + ",
            "let x = 1; true",
            "while true {}",
            "eval(\"true\")",
            "new.status > 5 + \"x\" - 1",
        ] {
            assert!(holds(bad).is_err(), "{bad}");
        }
        let long = format!("{}true", "true && ".repeat(500));
        assert!(holds(&long).is_err(), "it nests too deeply");
    }
}
