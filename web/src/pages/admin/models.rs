//! Models: which tables templates and rules may read, and what of them.

use askama::Template;
use herald_jobs::authoring::AuthoringError;
use herald_jobs::model::{Model, NamedRelation};
use herald_jobs::refusal::Refusal;
use herald_jobs::store::change::{ChangeError, Expect, Saved};
use herald_jobs::store::{self, message_templates, models};

use super::fields::{Field, Kind, lines, typed};
use super::kept::{Aside, Beside, Kept, Offered, Removal};
use super::list::{Asked, ONE_MORE};
use super::readable::{Readable, readable};
use crate::access::form::Fields;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::Place;
use crate::words::{Administration, Words};

impl Kept for Model {
    const PATH: &'static str = "models";
    const PLACE: Place = Place::Models;

    fn titles(words: &Administration) -> (&'static str, &'static str) {
        (words.authoring.models, words.authoring.new_model)
    }

    fn columns(words: &Administration) -> Vec<&'static str> {
        let said = words.authoring;
        vec![said.model_name.0, said.table.0, said.key.0, said.label.0, said.hidden.0]
    }

    fn cells(&self, _: &Administration) -> Vec<String> {
        vec![
            self.name.clone(),
            self.table.clone(),
            self.key.join(", "),
            self.label.clone().unwrap_or_default(),
            self.hidden.join(", "),
        ]
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn removal(&self, words: &Administration) -> Option<Removal> {
        Some(Removal::new(words.delete, words.authoring.reads_no_more))
    }

    fn fields(&self, words: &Administration, _: &Offered) -> Vec<Field> {
        let said = words.authoring;
        let relations: Vec<String> = self.relations.iter().map(ToString::to_string).collect();
        let name = if self.name.is_empty() { Kind::Line } else { Kind::Fixed };
        vec![
            Field::new("name", said.model_name, name).holding(&self.name),
            Field::new("table", said.table, Kind::Line).holding(&self.table),
            Field::new("key", said.key, Kind::Lines).holding(self.key.join("\n")),
            Field::new("label", said.label, Kind::Line).holding(self.label.clone().unwrap_or_default()),
            Field::new("hidden", said.hidden, Kind::Lines).holding(self.hidden.join("\n")),
            Field::new("relations", said.named_relations, Kind::Lines).holding(relations.join("\n")),
        ]
    }

    fn read(fields: &Fields, _: &Administration) -> Result<Self, Refusal> {
        let relation = |(at, line): (usize, &String)| {
            NamedRelation::parse(line).map_err(|problem| Refusal::new(format!("relations/{at}"), problem))
        };
        Ok(Self {
            name: fields.get("name").trim().to_owned(),
            table: fields.get("table").trim().to_owned(),
            key: lines(fields, "key"),
            label: typed(fields, "label"),
            hidden: lines(fields, "hidden"),
            relations: lines(fields, "relations")
                .iter()
                .enumerate()
                .map(relation)
                .collect::<Result<_, _>>()?,
        })
    }

    async fn beside(&self, beside: &Beside<'_>) -> Result<Aside, PageError> {
        let &Beside { app, login, .. } = beside;
        let catalogue = app.authoring.catalogue().await?;
        let Some(table) = catalogue.tables.get(&self.name) else { return Ok(Aside::default()) };
        let shown = Shown {
            words: login.words,
            readable: readable(table, &catalogue, |path| format!("#{path}#")),
            is_gone: table.columns.is_empty(),
            templates: templates(app, &self.name).await?,
        };
        Ok(Aside { html: shown.render()?, ..Aside::default() })
    }

    async fn list(app: &App, asked: &Asked) -> Result<Vec<Self>, store::Error> {
        models::list(&app.pool, &asked.after, ONE_MORE).await
    }

    async fn get(app: &App, name: &str) -> Result<Option<Self>, store::Error> {
        models::get(&app.pool, name).await
    }

    async fn save(self, app: &App, expect: &Expect, actor: &str) -> Result<Saved<Self>, ChangeError> {
        models::save(&app.pool, &self, expect, actor).await
    }

    async fn remove(app: &App, name: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
        models::remove(&app.pool, name, expect, actor).await
    }
}

#[derive(Template)]
#[template(path = "admin/model.html")]
struct Shown {
    words: &'static Words,
    readable: Readable,
    /// The table is gone, or may not be read.
    is_gone: bool,
    /// Templates over the model, and why those cannot be used that cannot.
    templates: Vec<(String, Option<String>)>,
}

/// The templates over a model; what the host changed may have made some of them useless.
async fn templates(app: &App, model: &str) -> Result<Vec<(String, Option<String>)>, PageError> {
    let (environment, mut found) = (app.authoring.environment().await?, Vec::new());
    for template in message_templates::all(&app.pool).await? {
        if template.model.as_deref() != Some(model) {
            continue;
        }
        let problem = match environment.check(&template).await {
            Ok(()) => None,
            Err(AuthoringError::Refused { refusal, .. }) => Some(refusal.to_string()),
            Err(AuthoringError::Database(error)) => return Err(error.into()),
            Err(other) => Some(other.to_string()),
        };
        found.push((template.code, problem));
    }
    Ok(found)
}
