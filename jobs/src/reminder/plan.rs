//! A rule found in the models: every path that it names, resolved.

use chrono::TimeDelta;

use super::{Comparison, Condition, ReminderRule};
use crate::model::{Catalogue, Path, Table};
use crate::refusal::Refusal;

/// A rule with the paths that it names.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The rule.
    pub rule: ReminderRule,
    /// Its model's table.
    pub table: Table,
    /// See [`ReminderRule::initial`].
    pub initial: Path,
    /// What the initial date and time is.
    pub moment: Moment,
    /// See [`ReminderRule::status`].
    pub status: Path,
    /// What else must be true.
    pub condition: Option<Found>,
    /// See [`ReminderRule::recipient`].
    pub recipient: Path,
    /// See [`ReminderRule::otherwise`].
    pub otherwise: Option<Path>,
    /// See [`ReminderRule::contacts`], in their order.
    pub contacts: Vec<Path>,
}

/// How an initial date and time is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// An instant.
    Instant,
    /// What a clock on the wall shows, in the rule's zone.
    Wall,
    /// A day, from its midnight on.
    Date,
}

/// A condition with its paths.
#[derive(Clone, Debug)]
pub enum Found {
    /// All of these.
    All(Vec<Found>),
    /// One of these.
    Any(Vec<Found>),
    /// A field compared with a value.
    Field {
        /// Where it stands in the rule, as in `where/all/0`.
        field: String,
        /// How, and with what.
        comparison: Comparison,
        /// Where the field is.
        path: Path,
    },
}

impl Plan {
    /// Finds what a valid rule names.
    ///
    /// # Errors
    /// Names the field whose path leads nowhere, or not to what is needed.
    pub fn new(rule: ReminderRule, catalogue: &Catalogue) -> Result<Self, Refusal> {
        let Some(table) = catalogue.tables.get(&rule.model) else {
            return Err(Refusal::new("model", format!("there is no model {}", rule.model)));
        };
        let find = |field: &str, path: &str| {
            Path::find(catalogue, &rule.model, path).map_err(|problem| Refusal::new(field, problem))
        };
        let one = |field: &str, path: &str| {
            let found = find(field, path)?;
            if found.is_many() {
                return Err(Refusal::new(field, format!("`{path}` leads to several records: one is needed")));
            }
            Ok(found)
        };
        let initial = one("initial", &rule.initial)?;
        let moment = match initial.column.sql_type.as_str() {
            "timestamp with time zone" => Moment::Instant,
            "timestamp without time zone" => Moment::Wall,
            "date" => Moment::Date,
            other => {
                let problem = format!("`{}` is {other}: a date, or a date and time, is needed", rule.initial);
                return Err(Refusal::new("initial", problem));
            }
        };
        if table.model.key.iter().any(|name| table.column(name).is_none()) {
            return Err(Refusal::new("model", format!("{} cannot be read by its key", rule.model)));
        }
        let condition = rule.condition.as_ref().map(|it| Found::new(it, "where", &find)).transpose()?;
        let contacts = rule.contacts.iter().enumerate();
        let contacts = contacts.map(|(at, contact)| find(&format!("contacts/{at}/path"), &contact.path));
        Ok(Self {
            table: table.clone(),
            moment,
            status: one("status", &rule.status)?,
            condition,
            recipient: one("recipient", &rule.recipient)?,
            otherwise: rule.otherwise.as_deref().map(|path| one("otherwise", path)).transpose()?,
            contacts: contacts.collect::<Result<_, _>>()?,
            initial,
            rule,
        })
    }

    /// The shortest and the longest time from the value of the initial date and time, taken for UTC, to the first occurrence.
    pub(crate) fn spread(&self) -> (TimeDelta, TimeDelta) {
        let interval = self.rule.interval;
        // What a clock on the wall shows may be of any zone; days allow for that already.
        let zones = match self.moment {
            Moment::Wall | Moment::Date if interval.is_exact() => TimeDelta::hours(26),
            _ => TimeDelta::zero(),
        };
        (interval.least() - zones, interval.most() + zones)
    }
}

impl Found {
    fn new(
        condition: &Condition,
        field: &str,
        find: &impl Fn(&str, &str) -> Result<Path, Refusal>,
    ) -> Result<Self, Refusal> {
        let all = |name: &str, inner: &[Condition]| {
            let inner = inner.iter().enumerate();
            inner
                .map(|(at, it)| Self::new(it, &format!("{field}/{name}/{at}"), find))
                .collect::<Result<_, _>>()
        };
        Ok(match condition {
            Condition::All { all: inner } => Self::All(all("all", inner)?),
            Condition::Any { any: inner } => Self::Any(all("any", inner)?),
            Condition::Field(comparison) => Self::Field {
                field: field.to_owned(),
                comparison: comparison.clone(),
                path: find(&format!("{field}/path"), &comparison.path)?,
            },
        })
    }

    /// All comparisons.
    pub fn fields(&self) -> Vec<(&str, &Comparison, &Path)> {
        match self {
            Self::All(inner) | Self::Any(inner) => inner.iter().flat_map(Self::fields).collect(),
            Self::Field { field, comparison, path } => vec![(field, comparison, path)],
        }
    }
}
