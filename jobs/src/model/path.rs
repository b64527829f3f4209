use super::catalogue::{Catalogue, Column, Relation, Table};
use crate::template::MAX_NAMES;

/// A way from a model's record to one column, over any number of relations.
#[derive(Clone, Debug)]
pub struct Path {
    /// The relations on the way, in order.
    pub steps: Vec<Step>,
    /// The column at the end.
    pub column: Column,
}

/// A relation on the way.
#[derive(Clone, Debug)]
pub struct Step {
    /// How the related record is found.
    pub relation: Relation,
    /// The related record's table: its schema and name.
    pub place: (String, String),
    /// The columns that identify the related record.
    pub key: Vec<String>,
    /// What the columns that are joined are compared by: the schema of the operator, where that is an extension's, and the type.
    pub joins: Vec<(Option<String>, String)>,
}

impl Path {
    /// Finds what `path` leads to from `model`, as templates would.
    ///
    /// # Errors
    /// There is nothing, it is hidden, or it may be several things; says what would be right.
    pub fn find(catalogue: &Catalogue, model: &str, path: &str) -> Result<Self, String> {
        let names: Vec<&str> = path.split('.').collect();
        if names.len() > MAX_NAMES {
            return Err(format!("this path has more than {MAX_NAMES} names"));
        }
        let mut table = readable(catalogue, model)?;
        let mut steps = Vec::new();
        let (last, ways) = names.split_last().ok_or("must not be empty")?;
        for name in ways {
            let relation = table.relation(name)?;
            let Some(relation) = relation else {
                return Err(match table.spoken_column(name)? {
                    Some(_) => format!("`{name}` in {} is a value: it leads nowhere", table.model.name),
                    None => table.unknown(name),
                });
            };
            table = readable(catalogue, &relation.target)?;
            let joined = relation.columns.iter().map(|(_, there)| table.column(there));
            let joins = joined.map(|column| {
                column.map_or((None, String::new()), |column| {
                    (column.equality.clone(), column.sql_type.clone())
                })
            });
            steps.push(Step {
                relation: relation.clone(),
                place: table.place.clone(),
                key: table.model.key.iter().filter(|name| table.column(name).is_some()).cloned().collect(),
                joins: joins.collect(),
            });
        }
        match table.spoken_column(last)? {
            Some(column) => Ok(Self { steps, column: column.clone() }),
            None => Err(match table.relation(last)? {
                Some(relation) => {
                    let target = catalogue.tables.get(&relation.target);
                    let example = target.and_then(|target| target.columns.first());
                    let example = example
                        .map_or_else(String::new, |column| format!(", as in {path}.{}", column.spoken()));
                    format!("`{last}` is a record of {}: name one of its fields{example}", relation.target)
                }
                None => table.unknown(last),
            }),
        }
    }

    /// Whether it leads to several values.
    pub fn is_many(&self) -> bool {
        self.steps.iter().any(|step| step.relation.many)
    }
}

fn readable<'a>(catalogue: &'a Catalogue, model: &str) -> Result<&'a Table, String> {
    let table = catalogue.tables.get(model).ok_or_else(|| format!("there is no model {model}"))?;
    if table.columns.is_empty() {
        return Err(format!(
            "{} cannot be read: the table is gone, or herald_reader may not; see `herald model show {model}`",
            table.model.table
        ));
    }
    Ok(table)
}
