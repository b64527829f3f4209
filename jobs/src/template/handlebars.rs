//! Texts over an instance, by Handlebars in strict mode: nothing that a text or a value holds can stop a worker.

use std::io::{self, Write};

use handlebars::Handlebars;
use serde_json::{Map, Value};

use super::MAX_BYTES;

/// Deepest nesting of blocks.
const MAX_BLOCKS: usize = 16;
/// Deepest nesting of subexpressions.
const MAX_PARENTHESES: usize = 8;
/// Most rounds that all loops of one text may make together.
const MAX_ROUNDS: usize = 100_000;

/// Why a text could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RenderError(String);

/// Renders `template` over `instance` as plain text: values are put in as they are, and never parsed again.
///
/// # Errors
/// The template is malformed, uses what is not allowed (partials, decorators, raw blocks), names a field that the instance
/// does not have, or its loops or its output grow too large.
pub fn text(template: &str, instance: &Map<String, Value>) -> Result<String, RenderError> {
    if !template.contains("{{") {
        return Ok(template.to_owned());
    }
    let loops = check(template)?;
    let longest = instance.values().map(longest_list).max().unwrap_or(0);
    let rounds = u32::try_from(loops).ok().and_then(|loops| longest.checked_pow(loops));
    if rounds.is_none_or(|rounds| rounds > MAX_ROUNDS) {
        return Err(RenderError(format!("its loops could make more than {MAX_ROUNDS} rounds")));
    }
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    engine.unregister_helper("log");
    let mut output = Bounded(Vec::new());
    engine
        .render_template_to_write(template, instance, &mut output)
        .map_err(|error| RenderError(error.to_string()))?;
    String::from_utf8(output.0).map_err(|error| RenderError(error.to_string()))
}

/// Refuses what could overflow the stack while compiling (nothing catches that). Answers how deep loops are nested.
fn check(template: &str) -> Result<usize, RenderError> {
    let refuse = |problem: &str| Err(RenderError(problem.to_owned()));
    if template.len() > MAX_BYTES {
        return refuse("is longer than 256 KB");
    }
    let (mut blocks, mut loops, mut deepest) = (0_usize, 0_usize, 0_usize);
    for tag in template.split("{{").skip(1) {
        let tag = tag.trim_start_matches(['~', ' ', '\t', '\r', '\n']);
        match tag.chars().next() {
            None | Some('{') => return refuse("raw blocks and triple braces are not allowed"),
            Some('>' | '*') => return refuse("partials and decorators are not allowed"),
            Some('#' | '^') => {
                let name = tag[1..].trim_start();
                if name.starts_with(['>', '*']) {
                    return refuse("partials and decorators are not allowed");
                }
                blocks += 1;
                if name.starts_with("each") {
                    loops += 1;
                    deepest = deepest.max(loops);
                }
            }
            Some('/') => {
                blocks = blocks.saturating_sub(1);
                if tag[1..].trim_start().starts_with("each") {
                    loops = loops.saturating_sub(1);
                }
            }
            _ => {}
        }
        if blocks > MAX_BLOCKS {
            return refuse("blocks are nested too deeply");
        }
        let (mut parentheses, mut most) = (0_usize, 0_usize);
        for character in tag.split("}}").next().unwrap_or_default().chars() {
            match character {
                '(' | '[' => parentheses += 1,
                ')' | ']' => parentheses = parentheses.saturating_sub(1),
                _ => {}
            }
            most = most.max(parentheses);
        }
        if most > MAX_PARENTHESES {
            return refuse("subexpressions are nested too deeply");
        }
    }
    Ok(deepest)
}

fn longest_list(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(longest_list).max().unwrap_or(0).max(items.len()),
        Value::Object(fields) => fields.values().map(longest_list).max().unwrap_or(0).max(fields.len()),
        _ => 1,
    }
}

/// Takes at most [`MAX_BYTES`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_BYTES {
            return Err(io::Error::other("the text grows longer than 256 KB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: &str, instance: &Value) -> Result<String, RenderError> {
        text(template, instance.as_object().unwrap())
    }

    #[test]
    fn fields_lists_and_conditions_are_rendered_and_values_stay_as_they_are() {
        let instance = json!({"name": "<Ann> {{x}}", "items": [{"n": 1}, {"n": 2}], "late": true});
        let template = "{{name}}:{{#each items}} {{n}}{{/each}}{{#if late}} late{{/if}}";
        assert_eq!(render(template, &instance).unwrap(), "<Ann> {{x}}: 1 2 late");
        assert_eq!(render("C# costs 5# {", &instance).unwrap(), "C# costs 5# {");
    }

    #[test]
    fn a_missing_field_is_an_error() {
        assert!(render("{{nme}}", &json!({"name": 1})).is_err());
    }

    #[test]
    fn what_could_abort_or_exhaust_the_process_is_refused() {
        let big: Vec<u32> = (0..1_000).collect();
        let instance = json!({"a": big, "t": "x".repeat(1_000)});
        let nested = format!("{{{{{}a{}}}}}", "(lookup a ".repeat(2_000), ")".repeat(2_000));
        let deep = format!("{}{}", "{{#if a}}".repeat(5_000), "{{/if}}".repeat(5_000));
        for killer in [
            "{{#*inline \"p\"}}{{> p}}{{/inline}}{{> p}}",
            "{{> p}}",
            "{{~> p}}",
            "{{{{raw}}}}{{{{/raw}}}}",
            "{{log a}}",
            "{{#each a}}{{#each ../a}}{{#each ../../a}}{{#each ../../../a}}{{/each}}{{/each}}{{/each}}{{/each}}",
            "{{#each a}}{{../t}}{{/each}}",
            &nested,
            &deep,
        ] {
            assert!(render(killer, &instance).is_err(), "{killer:.60}");
        }
    }
}
