//! Writes what a rule asks of its model's table. Each identifier comes from the catalogue, each value is bound; the numbers that are written
//! out are computed here.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::model::{Column, Path};
use crate::reminder::{CatchUp, Comparison, Found, MAX_OCCURRENCES, Moment, Operator, Plan};
use crate::store::models::quoted;

/// A value that a query takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Bind {
    Text(String),
    Texts(Vec<String>),
    Time(Option<DateTime<Utc>>),
    Number(i64),
}

/// The parts that the queries of a rule are made of. The model's record is `t`, its initial date and time `i.at`.
pub(super) struct Writer<'a> {
    pub(super) plan: &'a Plan,
    pub(super) binds: Vec<Bind>,
}

impl Writer<'_> {
    pub(super) fn bind(&mut self, value: Bind) -> String {
        self.binds.push(value);
        format!("${}", self.binds.len())
    }

    pub(super) fn time(&mut self, at: Option<DateTime<Utc>>) -> String {
        let number = self.bind(Bind::Time(at));
        format!("{number}::timestamptz")
    }

    /// The table with the initial date and time beside it.
    pub(super) fn from(&self) -> String {
        let (schema, name) = &self.plan.table.place;
        let from = format!("{}.{} as t", quoted(schema), quoted(name));
        if self.plan.initial.steps.is_empty() {
            return from;
        }
        format!("{from} cross join lateral (select {} as at) as i", value(&self.plan.initial))
    }

    /// The initial date and time as the table has it. Of a column of the table itself, so that an index can be used.
    pub(super) fn at(&self) -> String {
        match &self.plan.initial {
            path if path.steps.is_empty() => column("t", &path.column),
            _ => "i.at".to_owned(),
        }
    }

    /// An instant, as it compares with [`Self::at`]: what has no zone is taken for UTC.
    pub(super) fn comparable(&self, instant: &str) -> String {
        match self.plan.moment {
            Moment::Instant => instant.to_owned(),
            Moment::Wall => format!("({instant} at time zone 'UTC')"),
            Moment::Date => format!("({instant} at time zone 'UTC')::date"),
        }
    }

    /// What tells one initial date and time from another, whatever the rule's zone.
    pub(super) fn identity(&self) -> String {
        match self.plan.moment {
            Moment::Instant => self.at(),
            Moment::Wall | Moment::Date => format!("({}::timestamp at time zone 'UTC')", self.at()),
        }
    }

    /// The record's key.
    pub(super) fn record(&self) -> String {
        let key = self.plan.table.model.key.iter().map(|name| format!("t.{}::text", quoted(name)));
        format!("array[{}]", key.collect::<Vec<_>>().join(", "))
    }

    fn instant(&self, zone: &str) -> String {
        match self.plan.moment {
            Moment::Instant => self.at(),
            Moment::Wall | Moment::Date => format!("({}::timestamp at time zone {zone})", self.at()),
        }
    }

    fn wall(&self, zone: &str) -> String {
        match self.plan.moment {
            Moment::Instant => format!("({} at time zone {zone})", self.at()),
            Moment::Wall | Moment::Date => format!("{}::timestamp", self.at()),
        }
    }

    /// When the occurrence `n` is due.
    pub(super) fn due(&self, n: &str, zone: &str) -> String {
        let rule = &self.plan.rule;
        let (first, next) = (rule.interval, rule.repeat.unwrap_or_default());
        let sum = |first: i64, next: i64| match next {
            0 => format!("{first}::bigint"),
            _ => format!("({first} + ({n} - 1) * {next})"),
        };
        let seconds = format!("make_interval(secs => {}::float8)", sum(first.seconds, next.seconds));
        let exact = format!("{} + {seconds}", self.instant(zone));
        if first.is_exact() && next.is_exact() {
            return format!("({exact})");
        }
        let (months, days) =
            (sum(first.months.into(), next.months.into()), sum(first.days.into(), next.days.into()));
        let by_calendar = format!(
            "(({} + make_interval(months => {months}::int, days => {days}::int)) at time zone {zone}) + {seconds}",
            self.wall(zone)
        );
        if first.is_exact() {
            format!("(case when {n} = 1 then {exact} else {by_calendar} end)")
        } else {
            format!("({by_calendar})")
        }
    }

    /// The occurrences `n` with their times `due` that are due at `now` and came due after `floor` and before `until`.
    pub(super) fn occurrences(&self, zone: &str, now: &str, floor: &str, until: &str) -> String {
        let rule = &self.plan.rule;
        let (least, most) = self.plan.spread();
        let (mut from, mut to) = ("1::bigint".to_owned(), "1::bigint".to_owned());
        if let Some(repeat) = rule.repeat {
            // Between these numbers lies all that can be due; which of them are is computed of each.
            let passed = |until: &str| format!("extract(epoch from {until} - {})", self.instant(zone));
            let limit = rule.maximum.unwrap_or(MAX_OCCURRENCES.0);
            let each = (repeat.least().num_seconds().max(60), repeat.most().num_seconds().max(60));
            to = format!(
                "least({limit}, greatest(0, floor(({} - {}) / {}) + 2))::bigint",
                passed(now),
                least.num_seconds(),
                each.0
            );
            let begin = if rule.catch_up == CatchUp::Latest { now } else { floor };
            let low = format!("floor(({} - {}) / {}) - 2", passed(begin), most.num_seconds(), each.1);
            from = format!("greatest(1, least({limit}, coalesce({low}, 1)))::bigint");
        }
        let latest = if rule.catch_up == CatchUp::Latest { " order by n desc limit 1" } else { "" };
        format!(
            "(select n, due from (select n, {} as due from generate_series({from}, {to}) as s(n)) as o
              where due <= {now} and ({floor} is null or due > {floor}) and ({until} is null or due < {until}){latest})",
            self.due("n", zone)
        )
    }

    /// Whether the status counts as unchanged.
    pub(super) fn unchanged(&mut self) -> String {
        let plan = self.plan;
        let path = &plan.status;
        let values = self.list(plan.rule.unchanged.clone(), &path.column);
        over(path, |it| format!("{it} {} any({})", operator(&path.column, "="), values))
    }

    /// Values of a column's type. Each by itself: what Postgres can compute beforehand it can look up in its statistics, and so choose the index.
    fn list(&mut self, values: Vec<String>, column: &Column) -> String {
        let each = values
            .into_iter()
            .map(|value| format!("({}::text)::{}", self.bind(Bind::Text(value)), column.sql_type));
        format!("array[{}]", each.collect::<Vec<_>>().join(", "))
    }

    /// Whether the other conditions are true.
    pub(super) fn holds(&mut self) -> String {
        let plan = self.plan;
        plan.condition.as_ref().map_or_else(|| "true".to_owned(), |condition| self.condition(condition))
    }

    fn condition(&mut self, condition: &Found) -> String {
        let (inner, between, none) = match condition {
            Found::All(inner) => (inner, " and ", "true"),
            Found::Any(inner) => (inner, " or ", "false"),
            Found::Field { comparison, path, .. } => return self.comparison(comparison, path),
        };
        let inner: Vec<String> = inner.iter().map(|condition| self.condition(condition)).collect();
        if inner.is_empty() { none.to_owned() } else { format!("({})", inner.join(between)) }
    }

    fn comparison(&mut self, comparison: &Comparison, path: &Path) -> String {
        let end = &path.column;
        let mut one = || self.bind(Bind::Text(comparison.values().into_iter().next().unwrap_or_default()));
        match comparison.op {
            Operator::Null => return format!("not {}", over(path, |it| format!("{it} is not null"))),
            Operator::NotNull => return over(path, |it| format!("{it} is not null")),
            Operator::Contains => {
                let text = one();
                return over(path, |it| format!("position(lower({text}::text) in lower({it}::text)) > 0"));
            }
            Operator::StartsWith => {
                let text = one();
                return over(path, |it| format!("starts_with({it}::text, {text}::text)"));
            }
            Operator::In | Operator::NotIn => {
                let values = self.list(comparison.values(), end);
                let (sign, which) = if comparison.op == Operator::In { ("=", "any") } else { ("<>", "all") };
                return over(path, |it| format!("{it} {} {which}({})", operator(end, sign), values));
            }
            Operator::Equal
            | Operator::NotEqual
            | Operator::Less
            | Operator::AtMost
            | Operator::More
            | Operator::AtLeast => {}
        }
        let text = one();
        let sign = operator(end, comparison.op.as_str());
        over(path, |it| format!("{it} {sign} ({text}::text)::{}", end.sql_type))
    }
}

/// The first value of a path, as it is.
pub(super) fn value(path: &Path) -> String {
    match joined(path) {
        None => column("t", &path.column),
        Some((from, end)) => format!("(select {} from {from} limit 1)", column(&end, &path.column)),
    }
}

/// All values of a path as text, at most so many.
pub(super) fn values(path: &Path, most: usize) -> String {
    let Some((from, end)) = joined(path) else {
        return format!("array_remove(array[{}::text], null)", column("t", &path.column));
    };
    let it = column(&end, &path.column);
    let steps = path.steps.iter().enumerate();
    let order =
        steps.flat_map(|(at, step)| step.key.iter().map(move |name| format!("p{at}.{}", quoted(name))));
    let order = order.collect::<Vec<_>>().join(", ");
    let order = if order.is_empty() { String::new() } else { format!(" order by {order}") };
    format!("array(select {it}::text from {from} and {it} is not null{order} limit {most})")
}

/// A condition on the column at the end of a path; over relations it is true where it is of one record.
fn over(path: &Path, condition: impl Fn(&str) -> String) -> String {
    match joined(path) {
        None => format!("({})", condition(&column("t", &path.column))),
        Some((from, end)) => {
            format!("exists (select from {from} and {})", condition(&column(&end, &path.column)))
        }
    }
}

/// The tables on a path's way, joined, with what joins them to `t` last; and how the last one is called. `None`: the way is empty.
fn joined(path: &Path) -> Option<(String, String)> {
    let mut from = String::new();
    let mut on_record = String::new();
    for (at, step) in path.steps.iter().enumerate() {
        let (alias, before) =
            (format!("p{at}"), if at == 0 { "t".to_owned() } else { format!("p{}", at - 1) });
        let on = step.relation.columns.iter().zip(&step.joins).map(|((here, there), (schema, sql_type))| {
            let (here, there) = (format!("{before}.{}", quoted(here)), format!("{alias}.{}", quoted(there)));
            match schema {
                None => format!("{there} = {here}"),
                Some(schema) => format!("{there} operator({}.=) ({here})::{sql_type}", quoted(schema)),
            }
        });
        let on = on.collect::<Vec<_>>().join(" and ");
        let (schema, name) = &step.place;
        let table = format!("{}.{} as {alias}", quoted(schema), quoted(name));
        // Writing to a string does not fail.
        if at == 0 {
            from = table;
            on_record = on;
        } else {
            let _ = write!(from, " join {table} on {on}");
        }
    }
    let last = path.steps.len().checked_sub(1)?;
    Some((format!("{from} where {on_record}"), format!("p{last}")))
}

fn column(alias: &str, column: &Column) -> String {
    format!("{alias}.{}", quoted(&column.name))
}

fn operator(column: &Column, sign: &str) -> String {
    match &column.equality {
        None => sign.to_owned(),
        Some(schema) => format!("operator({}.{sign})", quoted(schema)),
    }
}
