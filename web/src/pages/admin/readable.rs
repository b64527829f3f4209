//! What may be read of a model: its fields, and those of what is related to it.

use herald_jobs::model::{Catalogue, Table};

/// What may be read of a model.
pub(super) struct Readable {
    /// How each field is written, and its type.
    pub(super) fields: Vec<(String, String)>,
    pub(super) related: Vec<Related>,
}

/// A way from a model to another.
pub(super) struct Related {
    /// How it is written; there may be another name for it.
    pub(super) names: Vec<String>,
    /// The model that it leads to.
    pub(super) model: String,
    /// Whether it leads to several records.
    pub(super) many: bool,
    /// Fields there, written from here on.
    pub(super) fields: Vec<(String, String)>,
    /// Where it leads on.
    pub(super) further: Vec<String>,
}

/// What may be read of `table`; `written` says how a path is written.
pub(super) fn readable(table: &Table, catalogue: &Catalogue, written: impl Fn(&str) -> String) -> Readable {
    let fields = |table: &Table, before: &str| {
        let path = |name: String| written(&format!("{before}{name}"));
        table.columns.iter().map(|it| (path(it.spoken()), it.sql_type.clone())).collect()
    };
    let related = table.relations.iter().filter_map(|relation| {
        let target = catalogue.tables.get(&relation.target)?;
        let before = format!("{}.", relation.names.first()?);
        let further = target.relations.iter().filter_map(|further| further.names.first());
        Some(Related {
            names: relation.names.iter().map(|name| written(name)).collect(),
            model: relation.target.clone(),
            many: relation.many,
            fields: fields(target, &before),
            further: further.map(|name| written(&format!("{before}{name}"))).collect(),
        })
    });
    Readable { fields: fields(table, ""), related: related.collect() }
}
