//! The text that is being made.

use serde_json::Value;

use super::values::push;
use super::{Escape, MAX_BYTES};

pub(super) struct Output {
    text: String,
    escape: Escape,
}

impl Output {
    pub(super) fn new(capacity: usize, escape: Escape) -> Self {
        Self { text: String::with_capacity(capacity), escape }
    }

    /// Takes a part of the template as it is.
    ///
    /// # Errors
    /// The text grows longer than [`MAX_BYTES`].
    pub(super) fn literal(&mut self, text: &str) -> Result<(), String> {
        self.text.push_str(text);
        self.bounded()
    }

    /// Takes a value, escaped where that is asked for.
    ///
    /// # Errors
    /// The value has no text, or the text grows longer than [`MAX_BYTES`].
    pub(super) fn value(&mut self, value: &Value) -> Result<(), String> {
        let start = self.text.len();
        push(&mut self.text, value)?;
        self.bounded()?;
        if self.escape == Escape::Html {
            self.escape_from(start);
            self.bounded()?;
        }
        Ok(())
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn bounded(&self) -> Result<(), String> {
        if self.text.len() > MAX_BYTES {
            return Err("the text grows longer than 256 KB".to_owned());
        }
        Ok(())
    }

    fn escape_from(&mut self, start: usize) {
        let added = self.text.get(start..).unwrap_or_default();
        if !added.contains(|character| entity(character).is_some()) {
            return;
        }
        let added = self.text.split_off(start);
        for character in added.chars() {
            match entity(character) {
                Some(entity) => self.text.push_str(entity),
                None => self.text.push(character),
            }
        }
    }
}

/// As Handlebars escapes.
fn entity(character: char) -> Option<&'static str> {
    match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&#x27;"),
        '`' => Some("&#x60;"),
        '=' => Some("&#x3D;"),
        _ => None,
    }
}
