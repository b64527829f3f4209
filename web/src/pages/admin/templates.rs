//! Message templates.

use herald_jobs::authoring::AuthoringError;
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::refusal::Refusal;
use herald_jobs::store::change::{ChangeError, Expect, Saved};
use herald_jobs::store::{self, message_templates};

use super::fields::{Field, Kind, composed, one_of, syntaxes, typed};
use super::kept::{Aside, Beside, Kept, Offered, Removal};
use super::list::{Asked, ONE_MORE};
use super::template_preview;
use crate::access::form::Fields;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::Place;
use crate::words::Administration;

/// Characters of a text that a list shows.
const SHOWN: usize = 80;

impl Kept for MessageTemplate {
    const PATH: &'static str = "templates";
    const PLACE: Place = Place::Templates;
    const SEARCHED: bool = true;
    const LIVE: bool = true;

    fn titles(words: &Administration) -> (&'static str, &'static str) {
        (words.authoring.templates, words.authoring.new_template)
    }

    fn columns(words: &Administration) -> Vec<&'static str> {
        let authoring = words.authoring;
        vec![words.code.0, authoring.subject.0, authoring.model.0, authoring.version]
    }

    fn cells(&self, _: &Administration) -> Vec<String> {
        let text = self.subject.as_ref().unwrap_or(&self.message_text);
        vec![
            self.code.clone(),
            text.chars().take(SHOWN).collect(),
            self.model.clone().unwrap_or_default(),
            self.version.to_string(),
        ]
    }

    fn name(&self) -> &str {
        &self.code
    }

    fn removal(&self, words: &Administration) -> Option<Removal> {
        Some(Removal::new(words.delete, words.authoring.sends_no_more))
    }

    fn trial(words: &Administration) -> Option<&'static str> {
        Some(words.authoring.preview)
    }

    fn fields(&self, words: &Administration, offered: &Offered) -> Vec<Field> {
        let authoring = words.authoring;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let code = if self.code.is_empty() { Kind::Line } else { Kind::Fixed };
        vec![
            Field::new("code", words.code, code).holding(&self.code),
            Field::new("model", authoring.model, one_of(Some(authoring.no_model), &offered.models))
                .holding(text(&self.model)),
            Field::new("syntax", authoring.syntax, syntaxes(words)).holding(self.syntax.as_str()),
            Field::new("subject", authoring.subject, Kind::Line).holding(text(&self.subject)),
            Field::new("message_text", authoring.message_text, Kind::Source).holding(&self.message_text),
            Field::new("external_message", authoring.external_message, Kind::Source)
                .holding(text(&self.external_message)),
            Field::new("external_html", authoring.external_html, Kind::Source)
                .holding(text(&self.external_html)),
            Field::new("sample", authoring.sample, Kind::Suggested).of_trial(),
        ]
    }

    fn read(fields: &Fields, _: &Administration) -> Result<Self, Refusal> {
        let syntax =
            fields.get("syntax").parse().map_err(|problem: String| Refusal::new("syntax", problem))?;
        Ok(Self {
            code: fields.get("code").trim().to_owned(),
            version: 0,
            model: typed(fields, "model"),
            syntax,
            subject: typed(fields, "subject"),
            message_text: composed(fields, "message_text").unwrap_or_default(),
            external_message: composed(fields, "external_message"),
            external_html: composed(fields, "external_html"),
        })
    }

    async fn offered(app: &App) -> Result<Offered, store::Error> {
        let models = store::models::all(&app.pool).await?;
        let models = models.into_iter().map(|(model, _)| model.name).collect();
        Ok(Offered { models, ..Offered::default() })
    }

    async fn beside(&self, beside: &Beside<'_>) -> Result<Aside, PageError> {
        template_preview::beside(self, beside).await
    }

    async fn list(app: &App, asked: &Asked) -> Result<Vec<Self>, store::Error> {
        message_templates::list(&app.pool, &asked.q, &asked.after, ONE_MORE).await
    }

    async fn get(app: &App, name: &str) -> Result<Option<Self>, store::Error> {
        message_templates::get(&app.pool, name).await
    }

    async fn save(self, app: &App, expect: &Expect, actor: &str) -> Result<Saved<Self>, ChangeError> {
        self.validate()?;
        let current = message_templates::get(&app.pool, &self.code).await?;
        expect.check(current.as_ref())?;
        let mut template = Self { version: current.as_ref().map_or(0, |it| it.version), ..self };
        let versions = app.authoring.save(std::slice::from_ref(&template), actor).await.map_err(refused)?;
        template.version = versions.first().copied().unwrap_or(template.version);
        Ok(Saved { value: template, created: current.is_none() })
    }

    async fn remove(app: &App, name: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
        message_templates::retire(&app.pool, name, expect, actor).await
    }
}

/// Why a template was not saved, as for all that is maintained.
fn refused(error: AuthoringError) -> ChangeError {
    match error {
        AuthoringError::Refused { refusal, .. } => refusal.into(),
        AuthoringError::Conflict { .. } => ChangeError::Unexpected("it was changed after it was read"),
        error @ AuthoringError::Functions(_) => ChangeError::Kept(error.to_string()),
        AuthoringError::Database(error) => error.into(),
    }
}
