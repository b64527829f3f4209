//! Message templates: the texts of a message, over one record of a model or over what a producer sends along.

use serde::{Deserialize, Serialize};

use crate::refusal::{Refusal, check_code};
#[cfg(feature = "render")]
pub use crate::rendering::{Compiled, Texts};
use crate::send::Syntax;

/// The texts of a message, as somebody wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageTemplate {
    /// Unique, as in `PO-AUTHORISE`.
    #[serde(default)]
    pub code: String,
    /// From 1; each save counts one up. To save, say which version was read: 0 for a new template.
    #[serde(default)]
    pub version: i32,
    /// The model whose records it reads; `None`: what a producer sends along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How the texts are written.
    #[serde(default)]
    pub syntax: Syntax,
    /// The subject; `None`: the description of the message's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What the inbox shows.
    pub message_text: String,
    /// What e-mail and SMS carry; `None`: `message_text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_message: Option<String>,
    /// What e-mail carries beside the plain text: HTML, in which every value is escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_html: Option<String>,
}

impl MessageTemplate {
    /// Checks what can be checked without models and functions.
    ///
    /// # Errors
    /// Names the field that cannot be.
    pub fn validate(&self) -> Result<(), Refusal> {
        check_code("code", &self.code)?;
        if self.version < 0 {
            return Err(Refusal::new("version", "must be that of the template that was changed, or 0"));
        }
        if self.message_text.trim().is_empty() {
            return Err(Refusal::new("message_text", "must not be empty"));
        }
        for (field, text) in self.texts() {
            if text.contains('\0') {
                return Err(Refusal::new(field, "must not hold the character U+0000"));
            }
        }
        if self.subject.as_ref().is_some_and(|subject| subject.contains(char::is_control)) {
            return Err(Refusal::new("subject", "must be one line"));
        }
        Ok(())
    }

    /// The texts there are, by field.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("subject", self.subject.as_deref()),
            ("message_text", Some(self.message_text.as_str())),
            ("external_message", self.external_message.as_deref()),
            ("external_html", self.external_html.as_deref()),
        ]
        .into_iter()
        .filter_map(|(field, text)| Some((field, text?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_its_field() {
        let good =
            MessageTemplate { code: "PO-DUE".into(), message_text: "x".into(), ..MessageTemplate::default() };
        assert_eq!(good.validate(), Ok(()));
        for (bad, field) in [
            (MessageTemplate { code: "po".into(), ..good.clone() }, "code"),
            (MessageTemplate { version: -1, ..good.clone() }, "version"),
            (MessageTemplate { message_text: " ".into(), ..good.clone() }, "message_text"),
            (MessageTemplate { subject: Some("a\nb".into()), ..good.clone() }, "subject"),
            (MessageTemplate { external_html: Some("\0".into()), ..good.clone() }, "external_html"),
        ] {
            assert_eq!(bad.validate().unwrap_err().field, field);
        }
    }
}
