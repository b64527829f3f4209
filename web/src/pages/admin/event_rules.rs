//! Event rules: which event becomes which message.

use askama::Template;
use herald_jobs::event_rule::EventRule;
use herald_jobs::refusal::Refusal;
use herald_jobs::send::Syntax;
use herald_jobs::store::change::{ChangeError, Expect, Saved};
use herald_jobs::store::{self, event_rules, message_templates, message_types, watches};
use herald_producers::event_trial::{Made, Tried, try_on_last};

use super::fields::{Field, Kind, composed, lines, one_of, syntaxes, typed};
use super::kept::{Aside, Beside, Kept, MOST_OFFERED, Offered, Removal};
use super::list::{Asked, ONE_MORE};
use crate::access::form::Fields;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::Place;
use crate::pages::when::{When, when};
use crate::words::{Administration, Words};

/// On how many events a rule is tried.
const TRIED: i64 = 20;

impl Kept for EventRule {
    const PATH: &'static str = "events";
    const PLACE: Place = Place::EventRules;

    fn titles(words: &Administration) -> (&'static str, &'static str) {
        (words.rules.event_rules, words.rules.new_event_rule)
    }

    fn columns(words: &Administration) -> Vec<&'static str> {
        let said = words.rules;
        vec![words.code.0, said.watch.0, said.when.0, said.message_type.0, said.state]
    }

    fn cells(&self, words: &Administration) -> Vec<String> {
        let state = if self.enabled { words.rules.fires } else { words.rules.disabled };
        vec![
            self.code.clone(),
            self.watch.to_string(),
            self.condition.clone().unwrap_or_default(),
            self.message_type.clone(),
            state.to_owned(),
        ]
    }

    fn name(&self) -> &str {
        &self.code
    }

    fn removal(&self, words: &Administration) -> Option<Removal> {
        Some(Removal::new(words.delete, words.gone_for_good))
    }

    fn trial(words: &Administration) -> Option<&'static str> {
        Some(words.rules.dry_run)
    }

    fn fields(&self, words: &Administration, offered: &Offered) -> Vec<Field> {
        let (said, is_new) = (words.rules, self.code.is_empty());
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let on = self.enabled || is_new;
        let choose = (String::new(), said.choose.to_owned());
        let watches = std::iter::once(choose).chain(offered.watches.iter().cloned()).collect();
        vec![
            Field::new("code", words.code, if is_new { Kind::Line } else { Kind::Fixed }).holding(&self.code),
            Field::new("watch", said.watch, Kind::One(watches)).holding(self.watch.to_string()),
            Field::new("condition", said.when, Kind::Source).holding(text(&self.condition)),
            Field::new("message_type", said.message_type, one_of(Some(said.choose), &offered.message_types))
                .holding(&self.message_type),
            Field::new("template", said.event_template, one_of(Some(said.own_texts), &offered.templates))
                .holding(text(&self.template)),
            Field::new("subject", said.event_subject, Kind::Line).holding(text(&self.subject)),
            Field::new("message_text", said.event_text, Kind::Source).holding(text(&self.message_text)),
            Field::new("syntax", words.authoring.syntax, syntaxes(words)).holding(self.syntax.as_str()),
            Field::new("recipient", said.named_recipient, Kind::Line).holding(text(&self.recipient)),
            Field::new("recipient_path", said.recipient_path, Kind::Line).holding(text(&self.recipient_path)),
            Field::new("contacts", said.event_contacts, Kind::Lines).holding(self.contacts.join("\n")),
            Field::new("sender", said.sender, Kind::Line).holding(text(&self.sender)),
            Field::new("enabled", said.enabled, Kind::Tick).holding(if on { "on" } else { "" }),
        ]
    }

    fn read(fields: &Fields, words: &Administration) -> Result<Self, Refusal> {
        let text = |name: &str| fields.get(name).trim().to_owned();
        let syntax: Result<Syntax, String> = text("syntax").parse();
        let one_line = |text: String| text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        Ok(Self {
            code: text("code"),
            watch: text("watch").parse().map_err(|_| Refusal::new("watch", words.rules.no_watch))?,
            condition: typed(fields, "condition").map(one_line),
            message_type: text("message_type"),
            template: typed(fields, "template"),
            message_text: composed(fields, "message_text"),
            subject: typed(fields, "subject"),
            syntax: syntax.map_err(|problem| Refusal::new("syntax", problem))?,
            recipient: typed(fields, "recipient"),
            recipient_path: typed(fields, "recipient_path"),
            contacts: lines(fields, "contacts"),
            sender: typed(fields, "sender"),
            enabled: fields.get("enabled") == "on",
        })
    }

    async fn offered(app: &App) -> Result<Offered, store::Error> {
        let watches = watches::list(&app.pool).await?.into_iter();
        let kinds = message_types::list(&app.pool, "", MOST_OFFERED).await?;
        let templates = message_templates::list(&app.pool, "", "", MOST_OFFERED).await?;
        let shown = |it: watches::Watch| {
            (it.id.to_string(), format!("{}: {}.{} {}", it.id, it.table.0, it.table.1, it.on))
        };
        Ok(Offered {
            watches: watches.map(shown).collect(),
            message_types: kinds.into_iter().map(|kind| kind.code).collect(),
            templates: templates.into_iter().map(|template| template.code).collect(),
            ..Offered::default()
        })
    }

    async fn beside(&self, beside: &Beside<'_>) -> Result<Aside, PageError> {
        let &Beside { app, login, typed, tried } = beside;
        let (mut found, mut refused) = (None, None);
        if let Some(fields) = typed.filter(|_| tried) {
            let read = Self::read(fields, login.words.administration);
            match read.and_then(|rule| rule.validate().map(|()| rule)) {
                Ok(rule) => {
                    let now = app.clock.now();
                    let tried = try_on_last(&app.producer, &app.authoring, &rule, TRIED, now).await?;
                    let dated = tried.into_iter().map(|tried| {
                        let at = when(login, tried.at, now);
                        (tried, at)
                    });
                    found = Some(dated.collect());
                }
                Err(refusal) => refused = Some(refusal),
            }
        }
        let watches = watches::list(&app.pool).await?;
        let html = Shown { words: login.words, found, watches }.render()?;
        Ok(Aside { html, refused, shows_mail: false })
    }

    async fn list(app: &App, asked: &Asked) -> Result<Vec<Self>, store::Error> {
        event_rules::list(&app.pool, &asked.after, ONE_MORE).await
    }

    async fn get(app: &App, name: &str) -> Result<Option<Self>, store::Error> {
        event_rules::get(&app.pool, name).await
    }

    async fn save(self, app: &App, expect: &Expect, actor: &str) -> Result<Saved<Self>, ChangeError> {
        event_rules::save(&app.pool, self, expect, actor).await
    }

    async fn remove(app: &App, name: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
        event_rules::remove(&app.pool, name, expect, actor).await
    }
}

#[derive(Template)]
#[template(path = "admin/event_rule.html")]
struct Shown {
    words: &'static Words,
    /// What the rule makes of the last events, and when each was.
    found: Option<Vec<(Tried, When)>>,
    watches: Vec<watches::Watch>,
}
