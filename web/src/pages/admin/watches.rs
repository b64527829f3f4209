//! Watched tables. A watch is added and removed; it is not changed.

use askama::Template;
use herald_jobs::event_rule::On;
use herald_jobs::refusal::Refusal;
use herald_jobs::store::change::{ChangeError, Expect, Saved};
use herald_jobs::store::{self, watches};
use serde::Serialize;

use super::fields::{Field, Kind};
use super::kept::{Aside, Beside, Kept, Offered, Removal};
use super::list::Asked;
use super::watched;
use crate::access::form::Fields;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::Place;
use crate::words::{Administration, Words};

/// A watch as pages show it.
#[derive(Default, Serialize)]
pub(crate) struct Watched {
    id: String,
    table: String,
    on: String,
    #[serde(skip)]
    has_trigger: bool,
}

impl From<watches::Watch> for Watched {
    fn from(watch: watches::Watch) -> Self {
        let watches::Watch { id, table: (schema, name), on, has_trigger } = watch;
        Self { id: id.to_string(), table: format!("{schema}.{name}"), on, has_trigger }
    }
}

impl Kept for Watched {
    const PATH: &'static str = "watches";
    const PLACE: Place = Place::Watches;
    const CHANGES: bool = false;

    fn titles(words: &Administration) -> (&'static str, &'static str) {
        (words.rules.watches, words.rules.new_watch)
    }

    fn columns(words: &Administration) -> Vec<&'static str> {
        let said = words.rules;
        vec![said.watch_number.0, said.watched_table.0, said.watched_change.0, said.trigger]
    }

    fn cells(&self, words: &Administration) -> Vec<String> {
        let trigger = if self.has_trigger { words.rules.has_trigger } else { words.rules.no_trigger };
        vec![self.id.clone(), self.table.clone(), self.on.clone(), trigger.to_owned()]
    }

    fn name(&self) -> &str {
        &self.id
    }

    fn removal(&self, words: &Administration) -> Option<Removal> {
        Some(Removal::new(words.rules.watch_no_more, words.rules.seen_no_more))
    }

    fn fields(&self, words: &Administration, _: &Offered) -> Vec<Field> {
        let (said, kind) = (words.rules, || if self.id.is_empty() { Kind::Line } else { Kind::Fixed });
        vec![
            Field::new("table", said.watched_table, kind()).holding(&self.table),
            Field::new("on", said.watched_change, kind()).holding(&self.on),
        ]
    }

    fn read(fields: &Fields, _: &Administration) -> Result<Self, Refusal> {
        let text = |name: &str| fields.get(name).trim().to_owned();
        Ok(Self { table: text("table"), on: text("on"), ..Self::default() })
    }

    async fn beside(&self, beside: &Beside<'_>) -> Result<Aside, PageError> {
        let &Beside { app, login, .. } = beside;
        let Ok(id) = self.id.parse() else { return Ok(Aside::default()) };
        let html =
            Shown { words: login.words, id, events: watched::of_watch(app, login, id).await? }.render()?;
        Ok(Aside { html, ..Aside::default() })
    }

    async fn list(app: &App, asked: &Asked) -> Result<Vec<Self>, store::Error> {
        let after = asked.after.parse().unwrap_or(0);
        let watches = watches::list(&app.pool).await?.into_iter();
        Ok(watches.filter(|watch| watch.id > after).map(Self::from).collect())
    }

    async fn get(app: &App, name: &str) -> Result<Option<Self>, store::Error> {
        let watches = watches::list(&app.pool).await?;
        Ok(watches.into_iter().map(Self::from).find(|watch| watch.id == name))
    }

    async fn save(self, app: &App, _: &Expect, actor: &str) -> Result<Saved<Self>, ChangeError> {
        let on: On = self.on.parse().map_err(|problem: String| Refusal::new("on", problem))?;
        watches::add(&app.pool, &self.table, &[on], actor).await?;
        Ok(Saved { value: self, created: true })
    }

    async fn remove(app: &App, name: &str, _: &Expect, actor: &str) -> Result<bool, ChangeError> {
        let Ok(id) = name.parse() else { return Ok(false) };
        Ok(watches::remove(&app.pool, id, actor).await?)
    }
}

#[derive(Template)]
#[template(path = "admin/watch.html")]
struct Shown {
    words: &'static Words,
    id: i64,
    /// Rendered by a template of its own, which escapes.
    events: String,
}
