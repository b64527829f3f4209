//! A message template compiled, and what comes of it for one record.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::message_template::MessageTemplate;
use crate::model::{Catalogue, Selection};
use crate::refusal::Refusal;
use crate::send::{MAX_SUBJECT, MAX_TEXT};
use crate::store::instances::InstanceQuery;
use crate::template::{Escape, Field, Functions, Rendering, Template, TemplateError};

/// The text in which values are escaped.
const HTML: &str = "external_html";

/// A message template that has been checked and is ready to be rendered.
#[derive(Debug)]
pub struct Compiled {
    /// As it was written.
    pub template: MessageTemplate,
    /// What loads the records that it reads; `None`: it has no model.
    pub query: Option<InstanceQuery>,
    texts: Vec<(&'static str, Template)>,
}

/// What people receive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// The subject; `None`: the description of the message's type.
    pub subject: Option<String>,
    /// What the inbox shows.
    pub message_text: String,
    /// What e-mail and SMS carry, where it differs.
    pub external_message: Option<String>,
    /// What e-mail carries beside the plain text.
    pub external_html: Option<String>,
}

impl Compiled {
    /// Checks a template: its grammar, its functions and, where it has a model, its fields.
    ///
    /// # Errors
    /// Names the text, and in it the line and column.
    pub fn new(
        template: Cow<'_, MessageTemplate>,
        catalogue: &Catalogue,
        functions: &Functions,
    ) -> Result<Self, Refusal> {
        let mut texts = Vec::new();
        let mut selection = Selection::default();
        for (name, source) in template.texts() {
            let refuse = |error: TemplateError| Refusal::new(name, error.to_string());
            let text = Template::compile(source, template.syntax, functions).map_err(refuse)?;
            if let Some(model) = &template.model {
                for Field { names, line, column, used } in text.fields() {
                    selection
                        .add(catalogue, model, names, *used)
                        .map_err(|problem| refuse(TemplateError { line: *line, column: *column, problem }))?;
                }
            }
            texts.push((name, text));
        }
        let query = match &template.model {
            None => None,
            Some(model) => Some(InstanceQuery::new(catalogue, model, &selection).ok_or_else(|| {
                Refusal::new("model", format!("there is no model `{model}` that may be read"))
            })?),
        };
        Ok(Self { template: template.into_owned(), query, texts })
    }

    /// What people receive for one record.
    ///
    /// # Errors
    /// Names the text that cannot be made, and says why.
    pub fn render(&self, instance: &Map<String, Value>, now: DateTime<Utc>) -> Result<Texts, Refusal> {
        let mut texts = Texts::default();
        for (name, template) in &self.texts {
            let refuse = |problem: String| Refusal::new(*name, problem);
            let text = template
                .render(instance, &Rendering { escape: escape(name), now })
                .map_err(|error| refuse(error.to_string()))?;
            if text.contains('\0') {
                return Err(refuse("came out with the character U+0000".to_owned()));
            }
            if *name != HTML && text.len() > MAX_TEXT && text.chars().count() > MAX_TEXT {
                return Err(refuse(format!("came out longer than {MAX_TEXT} characters")));
            }
            match *name {
                "subject" => texts.subject = Some(one_line(&text)).filter(|text| !text.is_empty()),
                "message_text" if text.trim().is_empty() => {
                    return Err(refuse("came out empty".to_owned()));
                }
                "message_text" => texts.message_text = text,
                // A blank part is no part: e-mail carries what is left.
                _ if text.trim().is_empty() => {}
                "external_message" => texts.external_message = Some(text),
                _ => texts.external_html = Some(text),
            }
        }
        Ok(texts)
    }

    /// What each token of each text comes to: the text's name, the token, and its value or what is wrong with it.
    pub fn resolved(
        &self,
        instance: &Map<String, Value>,
        now: DateTime<Utc>,
    ) -> Vec<(&'static str, String, Result<String, String>)> {
        let resolve = |(name, template): &(&'static str, Template)| {
            let how = Rendering { escape: escape(name), now };
            let name = *name;
            template.resolved(instance, &how).into_iter().map(move |(token, value)| (name, token, value))
        };
        self.texts.iter().flat_map(resolve).collect()
    }
}

fn escape(name: &str) -> Escape {
    if name == HTML { Escape::Html } else { Escape::Text }
}

/// A value may hold line breaks, and be long; a subject may not.
fn one_line(text: &str) -> String {
    let line = text.replace(char::is_control, " ");
    let line = line.trim();
    match line.char_indices().nth(MAX_SUBJECT) {
        None => line.to_owned(),
        Some(_) => line.chars().take(MAX_SUBJECT - 1).chain(['…']).collect(),
    }
}
