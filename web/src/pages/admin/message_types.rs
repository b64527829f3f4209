//! Message types.

use herald_jobs::message_type::{
    CompleteOn, DeliveryMethod, ExternalDelivery, Lane, MessageType, OnUnknown, RequiredAction,
};
use herald_jobs::refusal::Refusal;
use herald_jobs::store::change::{ChangeError, Expect, Saved};
use herald_jobs::store::{self, message_types};

use super::fields::{Field, Kind, typed};
use super::kept::{Kept, MOST_OFFERED, Offered, Removal};
use super::list::{Asked, ONE_MORE};
use crate::access::form::Fields;
use crate::app::App;
use crate::pages::shell::Place;
use crate::words::Administration;

impl Kept for MessageType {
    const PATH: &'static str = "types";
    const PLACE: Place = Place::Types;

    fn titles(words: &Administration) -> (&'static str, &'static str) {
        (words.message_types, words.new_message_type)
    }

    fn columns(words: &Administration) -> Vec<&'static str> {
        vec![
            words.code.0,
            words.description.0,
            words.delivery_method.0,
            words.required_action.0,
            words.external_delivery.0,
        ]
    }

    fn cells(&self, words: &Administration) -> Vec<String> {
        let named = |name| (words.named)(name).to_owned();
        vec![
            self.code.clone(),
            self.description.clone(),
            named(self.delivery_method.as_str()),
            named(self.required_action.as_str()),
            named(self.external_delivery.as_str()),
        ]
    }

    fn name(&self) -> &str {
        &self.code
    }

    fn removal(&self, words: &Administration) -> Option<Removal> {
        (!self.standard).then_some(Removal::new(words.delete, words.gone_for_good))
    }

    fn fields(&self, words: &Administration, offered: &Offered) -> Vec<Field> {
        let named = |name: &'static str| (name.to_owned(), (words.named)(name).to_owned());
        macro_rules! one_of {
            ($set:ty) => {
                Kind::One(<$set>::ALL.iter().map(|one| named(one.as_str())).collect())
            };
        }
        let sets = std::iter::once((String::new(), words.free_text.to_owned()))
            .chain(offered.choice_sets.iter().map(|code| (code.clone(), code.clone())));
        let number = |number: Option<i32>| number.map(|number| number.to_string()).unwrap_or_default();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let code = if self.code.is_empty() { Kind::Line } else { Kind::Fixed };
        vec![
            Field::new("code", words.code, code).holding(&self.code),
            Field::new("description", words.description, Kind::Line).holding(&self.description),
            Field::new("delivery_method", words.delivery_method, one_of!(DeliveryMethod))
                .holding(self.delivery_method.as_str()),
            Field::new("required_action", words.required_action, one_of!(RequiredAction))
                .holding(self.required_action.as_str()),
            Field::new("expiry_days", words.expiry_days, Kind::Number).holding(number(self.expiry_days)),
            Field::new("choice_set", words.reply_choices, Kind::One(sets.collect()))
                .holding(text(&self.choice_set)),
            Field::new("action_url", words.action_url, Kind::Line).holding(text(&self.action_url)),
            Field::new("complete_on", words.complete_on, one_of!(CompleteOn))
                .holding(self.complete_on.as_str()),
            Field::new("external_delivery", words.external_delivery, one_of!(ExternalDelivery))
                .holding(self.external_delivery.as_str()),
            Field::new("on_unknown", words.on_unknown, one_of!(OnUnknown)).holding(self.on_unknown.as_str()),
            Field::new("lane", words.lane, one_of!(Lane)).holding(self.lane.as_str()),
            Field::new("retry_hours", words.retry_hours, Kind::Number).holding(self.retry_hours.to_string()),
            Field::new("fallback_text", words.fallback_text, Kind::Lines).holding(text(&self.fallback_text)),
        ]
    }

    fn read(fields: &Fields, words: &Administration) -> Result<Self, Refusal> {
        let text = |name: &str| fields.get(name).trim().to_owned();
        let number = |name: &str| match typed(fields, name) {
            Some(text) => text.parse::<i32>().map(Some).map_err(|_| Refusal::new(name, words.not_a_number)),
            None => Ok(None),
        };
        macro_rules! one {
            ($name:literal) => {
                text($name).parse().map_err(|problem: String| Refusal::new($name, problem))?
            };
        }
        Ok(Self {
            code: text("code"),
            description: text("description"),
            delivery_method: one!("delivery_method"),
            required_action: one!("required_action"),
            expiry_days: number("expiry_days")?,
            external_delivery: one!("external_delivery"),
            choice_set: typed(fields, "choice_set"),
            action_url: typed(fields, "action_url"),
            complete_on: one!("complete_on"),
            on_unknown: one!("on_unknown"),
            lane: one!("lane"),
            retry_hours: number("retry_hours")?
                .ok_or_else(|| Refusal::new("retry_hours", words.not_a_number))?,
            fallback_text: typed(fields, "fallback_text"),
            standard: false,
        })
    }

    async fn offered(app: &App) -> Result<Offered, store::Error> {
        let sets = store::choice_sets::list(&app.pool, "", MOST_OFFERED).await?;
        Ok(Offered { choice_sets: sets.into_iter().map(|set| set.code).collect(), ..Offered::default() })
    }

    async fn list(app: &App, asked: &Asked) -> Result<Vec<Self>, store::Error> {
        message_types::list(&app.pool, &asked.after, ONE_MORE).await
    }

    async fn get(app: &App, name: &str) -> Result<Option<Self>, store::Error> {
        message_types::get(&app.pool, name).await
    }

    async fn save(self, app: &App, expect: &Expect, actor: &str) -> Result<Saved<Self>, ChangeError> {
        message_types::save(&app.pool, self, expect, actor).await
    }

    async fn remove(app: &App, name: &str, expect: &Expect, actor: &str) -> Result<bool, ChangeError> {
        message_types::remove(&app.pool, name, expect, actor).await
    }
}
