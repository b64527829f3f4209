//! Whether a rule can be.

use chrono::{DateTime, Utc};
use herald_jobs::refusal::Refusal;
use herald_jobs::reminder::{Plan, ReminderRule};
use herald_jobs::store;
use herald_jobs::store::change::{Expect, Saved};
use herald_jobs::store::occurrences::{self, Span};
use schemars::JsonSchema;
use serde::Serialize;

use super::{ReminderError, Reminders};

/// What there is to say of a rule that can be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Checked {
    /// Occurrences that are overdue now, however long ago they came due; those that were sent do not count.
    pub overdue: usize,
    /// There are more than were counted.
    pub more: bool,
    /// The index without which the whole table is read each time, as SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// How Postgres finds what is due.
    pub plan: Vec<String>,
}

impl Reminders {
    /// Checks a rule against models, templates and message types, and says what it comes to.
    ///
    /// # Errors
    /// Names the field that cannot be; or the database cannot be reached.
    pub async fn check(&self, rule: ReminderRule, now: DateTime<Utc>) -> Result<Checked, ReminderError> {
        let rule = rule.validate()?;
        let plan = self.resolve(&rule).await?;
        let span = Span { now, floor: rule.valid_from, until: rule.valid_to };
        let most = usize::try_from(rule.cap).unwrap_or_default();
        let mut snapshot = occurrences::snapshot(&self.reader).await?;
        let shown = occurrences::explain(&mut snapshot, &plan, &span).await?;
        let due = occurrences::due(&mut snapshot, &plan, &span, most + 1).await?.len();
        snapshot.rollback().await?;
        let index = occurrences::missing_index(self.producer.pool(), &plan).await?;
        Ok(Checked { overdue: due.min(most), more: due > most, index, plan: shown })
    }

    /// Checks a rule and saves it.
    ///
    /// # Errors
    /// [`ReminderError`]; nothing has changed then.
    pub async fn save(
        &self,
        rule: ReminderRule,
        expect: &Expect,
        actor: &str,
    ) -> Result<Saved<ReminderRule>, ReminderError> {
        let rule = rule.validate()?;
        let plan = self.resolve(&rule).await?;
        let now = self.now().await?;
        let span = Span { now, ..Span::default() };
        let mut snapshot = occurrences::snapshot(&self.reader).await?;
        // Postgres knows what compares with what.
        occurrences::explain(&mut snapshot, &plan, &span).await?;
        snapshot.rollback().await?;
        Ok(store::reminders::save(self.producer.pool(), rule, expect, actor, now).await?)
    }

    /// What the rule names, each found; and its values, each of the type of its column.
    async fn resolve(&self, rule: &ReminderRule) -> Result<Plan, ReminderError> {
        let refuse = |field: &str, problem: String| Err(Refusal::new(field, problem).into());
        store::reminders::let_read(self.producer.pool()).await?;
        let catalogue = store::catalogue::read(self.producer.pool(), &self.reader).await?;
        let plan = Plan::new(rule.clone(), &catalogue)?;
        self.producer.message_type(&rule.message_type).await.map_err(super::firing::of_send)?;
        match store::message_templates::get(self.producer.pool(), &rule.template).await? {
            None => return refuse("template", format!("there is no template \"{}\"", rule.template)),
            Some(template) if template.model.as_deref() != Some(rule.model.as_str()) => {
                let of = template
                    .model
                    .map_or_else(|| "no model".to_owned(), |model| format!("the model {model}"));
                return refuse(
                    "template",
                    format!("{} is over {of}, the rule over {}", rule.template, rule.model),
                );
            }
            Some(_) => {}
        }
        let mut snapshot = occurrences::snapshot(&self.reader).await?;
        let statuses = rule.unchanged.iter().enumerate();
        let mut values: Vec<(String, &str, String)> = statuses
            .map(|(at, value)| {
                (format!("unchanged/{at}"), plan.status.column.sql_type.as_str(), value.clone())
            })
            .collect();
        for (field, comparison, path) in plan.condition.iter().flat_map(|condition| condition.fields()) {
            let text = comparison.op.is_of_text();
            let of = if text { "text" } else { path.column.sql_type.as_str() };
            values.extend(comparison.values().into_iter().map(|value| (format!("{field}/value"), of, value)));
        }
        for (field, sql_type, value) in values {
            if let Err(said) = occurrences::cast(&mut snapshot, sql_type, &value).await? {
                return refuse(&field, format!("cannot be compared: {said}"));
            }
        }
        if !occurrences::knows_zone(&mut snapshot, &rule.zone.to_string()).await? {
            return refuse("zone", format!("the database knows no zone {}", rule.zone));
        }
        snapshot.rollback().await?;
        Ok(plan)
    }
}
