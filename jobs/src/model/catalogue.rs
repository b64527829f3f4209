use std::collections::BTreeMap;

use super::{Model, spoken};

/// Which relations hide others of their name: those that were named, then foreign keys, then those of other models.
const NAMED: u8 = 0;
const FORWARD: u8 = 1;
const REVERSE: u8 = 2;

/// All models with what the database says about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// By model name.
    pub tables: BTreeMap<String, Table>,
}

/// A model's table or view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What was registered.
    pub model: Model,
    /// Its schema and name in the database.
    pub place: (String, String),
    /// What may be read, in the table's order; none where the table is gone.
    pub columns: Vec<Column>,
    /// Ways to other models: named ones first, then foreign keys, then those that lead here.
    pub relations: Vec<Relation>,
}

/// A column that may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// As in the database.
    pub name: String,
    /// Its type, as in SQL.
    pub sql_type: String,
    /// How its values arrive.
    pub form: Form,
    /// The schema of the operator by which its values are equal, where that is an extension's.
    pub equality: Option<String>,
}

/// How a column's values become JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As Postgres writes them: integers and booleans unquoted, dates and times in ISO 8601, `json` as it is.
    Json,
    /// As text, with every digit.
    Text,
    /// Each element as text.
    TextList,
    /// Only how many bytes there are.
    Size,
}

/// A way from one model to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The names it goes by.
    pub names: Vec<String>,
    /// The model it leads to.
    pub target: String,
    /// Columns here and there that are equal.
    pub columns: Vec<(String, String)>,
    /// Whether it may lead to several records.
    pub many: bool,
    /// Which of those with the same name counts: lower ones hide higher ones.
    pub rank: u8,
}

/// A foreign key between two models' tables.
#[derive(Clone, Debug)]
pub(crate) struct ForeignKey {
    /// The model whose table has it.
    pub(crate) from: String,
    pub(crate) columns: Vec<String>,
    pub(crate) to: String,
    pub(crate) references: Vec<String>,
}

impl Catalogue {
    /// Puts together what was registered and what the database says.
    pub(crate) fn new(tables: Vec<Table>, foreign_keys: &[ForeignKey]) -> Self {
        let mut tables: BTreeMap<String, Table> =
            tables.into_iter().map(|table| (table.model.name.clone(), table)).collect();
        let known = tables.clone();
        let visible = |model: &str, columns: &[String]| {
            known.get(model).is_some_and(|table| columns.iter().all(|name| table.column(name).is_some()))
        };
        for table in tables.values_mut() {
            let named = table.model.relations.iter().filter(|relation| {
                visible(&table.model.name, &relation.columns)
                    && visible(&relation.model, &relation.references)
            });
            let named = named.map(|relation| Relation {
                names: vec![relation.name.clone()],
                target: relation.model.clone(),
                columns: pairs(&relation.columns, &relation.references),
                many: known
                    .get(&relation.model)
                    .is_none_or(|target| !same_columns(&target.model.key, &relation.references)),
                rank: NAMED,
            });
            table.relations = named.collect();
            let keys = foreign_keys
                .iter()
                .filter(|key| visible(&key.from, &key.columns) && visible(&key.to, &key.references));
            for key in keys {
                if key.from == table.model.name {
                    table.relations.push(Relation {
                        names: forward_names(key),
                        target: key.to.clone(),
                        columns: pairs(&key.columns, &key.references),
                        many: false,
                        rank: FORWARD,
                    });
                }
                if key.to == table.model.name
                    && let Some(from) = known.get(&key.from)
                {
                    let mut names = vec![key.from.clone(), spoken(&from.place.1)];
                    names.dedup();
                    table.relations.push(Relation {
                        names,
                        target: key.from.clone(),
                        columns: pairs(&key.references, &key.columns),
                        many: true,
                        rank: REVERSE,
                    });
                }
            }
        }
        Self { tables }
    }
}

impl Relation {
    /// Whether it is a foreign key of another model, called by that model's name.
    pub fn leads_here(&self) -> bool {
        self.rank == REVERSE
    }
}

impl Column {
    /// What a template calls it.
    pub fn spoken(&self) -> String {
        spoken(&self.name)
    }
}

impl Table {
    /// The column of this name in the database.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A foreign key is called by its column, with and without `_id`; one of several columns by the model it leads to.
fn forward_names(key: &ForeignKey) -> Vec<String> {
    let [column] = key.columns.as_slice() else { return vec![key.to.clone()] };
    let name = spoken(column);
    match name.strip_suffix("_id") {
        Some(bare) if !bare.is_empty() => vec![bare.to_owned(), name],
        _ => vec![name],
    }
}

fn pairs(here: &[String], there: &[String]) -> Vec<(String, String)> {
    here.iter().cloned().zip(there.iter().cloned()).collect()
}

fn same_columns(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().all(|name| other.contains(name))
}
