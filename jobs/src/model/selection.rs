use std::collections::BTreeMap;

use super::catalogue::{Catalogue, Column, Form, Relation, Table};
use crate::template::{MAX_NAMES, Used, suggestion};

/// What one template needs of a record: nothing else is loaded.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// By the name that the template says.
    pub fields: BTreeMap<String, Selected>,
}

/// One field of a selection.
#[derive(Clone, Debug)]
pub enum Selected {
    /// A column's value.
    Column(Column),
    /// A related record, or a list of them.
    Record {
        /// How it is found.
        relation: Relation,
        /// What is needed of it.
        selection: Selection,
        /// What it prints by itself.
        own: Option<Own>,
    },
}

/// What a related record prints by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// A column of the related record: its label.
    Label(Column),
    /// The column that refers to it.
    Reference(Column),
}

impl Selection {
    /// Adds the field that `names` lead to from `model`.
    ///
    /// # Errors
    /// There is none, it is hidden, or the name may mean several; says what would be right.
    pub fn add(
        &mut self,
        catalogue: &Catalogue,
        model: &str,
        names: &[String],
        used: Used,
    ) -> Result<(), String> {
        let table = catalogue.tables.get(model).ok_or_else(|| format!("there is no model {model}"))?;
        if table.columns.is_empty() {
            return Err(format!(
                "{} cannot be read: the table is gone, or herald_reader may not; see `herald model show {model}`",
                table.model.table
            ));
        }
        let Some((name, rest)) = names.split_first() else { return Ok(()) };
        if names.len() > MAX_NAMES {
            return Err(format!("this path has more than {MAX_NAMES} names"));
        }
        if rest.is_empty() {
            return self.add_last(catalogue, table, name, used);
        }
        let document = table.spoken_column(name)?.filter(|column| is_document(column));
        match table.relation(name)? {
            // What leads here from elsewhere does not hide what is here.
            Some(relation) if !(relation.leads_here() && document.is_some()) => {
                let (selection, _) = self.record(name, relation)?;
                selection.add(catalogue, &relation.target, rest, used)
            }
            _ => match table.spoken_column(name)? {
                // What a document holds is known when it is read.
                Some(column) if is_document(column) => self.put(name, column.clone()),
                Some(_) => Err(format!("`{name}` in {model} is a value: it has no field `{}`", rest[0])),
                None => Err(table.unknown(name)),
            },
        }
    }

    fn add_last(
        &mut self,
        catalogue: &Catalogue,
        table: &Table,
        name: &str,
        used: Used,
    ) -> Result<(), String> {
        let column = table.spoken_column(name)?;
        let relation = table.relation(name)?.filter(|it| !(it.leads_here() && column.is_some()));
        let Some(relation) = relation else {
            return match column {
                Some(column) => self.put(name, column.clone()),
                None => Err(table.unknown(name)),
            };
        };
        let target = catalogue.tables.get(&relation.target);
        let label = target.and_then(|target| {
            target.model.label.as_deref().and_then(|label| target.column(label)).map(|label| (target, label))
        });
        // `customer_id` is the number, `customer` the customer.
        let is_reference = name.ends_with("_id") || label.is_none();
        let own = match (column, label) {
            (Some(column), _) if is_reference => Some(Own::Reference(column.clone())),
            (_, Some((_, label))) => Some(Own::Label(label.clone())),
            (_, None) => None,
        };
        if own.is_none() && used == Used::Text {
            let example = target.and_then(|target| target.columns.first());
            let example =
                example.map_or_else(String::new, |column| format!(", as in {name}.{}", column.spoken()));
            return Err(format!(
                "`{name}` is a record of {}, which has no label: name one of its fields{example}",
                relation.target
            ));
        }
        if let (Some(Own::Reference(column)), false) = (&own, self.fields.contains_key(name)) {
            return self.put(name, column.clone());
        }
        let (_, slot) = self.record(name, relation)?;
        if let Some(own) = own {
            *slot = Some(own);
        }
        Ok(())
    }

    fn put(&mut self, name: &str, column: Column) -> Result<(), String> {
        match self.fields.get_mut(name) {
            Some(Selected::Record { own, .. }) => *own = Some(Own::Reference(column)),
            _ => drop(self.fields.insert(name.to_owned(), Selected::Column(column))),
        }
        Ok(())
    }

    /// The related record of this name; a column of that name becomes what the record prints by itself.
    fn record(
        &mut self,
        name: &str,
        relation: &Relation,
    ) -> Result<(&mut Selection, &mut Option<Own>), String> {
        let new = |own| Selected::Record { relation: relation.clone(), selection: Self::default(), own };
        let selected = self.fields.entry(name.to_owned()).or_insert_with(|| new(None));
        if let Selected::Column(column) = selected {
            *selected = new(Some(Own::Reference(column.clone())));
        }
        match selected {
            Selected::Record { selection, own, .. } => Ok((selection, own)),
            Selected::Column(_) => Err(format!("`{name}` is a value")),
        }
    }
}

impl Table {
    /// The relation of this name.
    pub(super) fn relation(&self, name: &str) -> Result<Option<&Relation>, String> {
        let named = || self.relations.iter().filter(|relation| relation.names.iter().any(|it| it == name));
        let Some(rank) = named().map(|relation| relation.rank).min() else { return Ok(None) };
        let mut best = named().filter(|relation| relation.rank == rank);
        match (best.next(), best.next()) {
            (Some(one), Some(other)) => {
                let by = |relation: &Relation| {
                    let columns = relation.columns.iter().map(|(here, there)| {
                        if relation.many { format!("{}.{there}", relation.target) } else { here.clone() }
                    });
                    columns.collect::<Vec<_>>().join(",")
                };
                Err(format!(
                    "`{name}` in {} may go by {} or by {}: name the one that is meant with `herald model add --relation`",
                    self.model.name,
                    by(one),
                    by(other)
                ))
            }
            (found, _) => Ok(found),
        }
    }

    /// The column that a template calls by this name.
    pub(super) fn spoken_column(&self, name: &str) -> Result<Option<&Column>, String> {
        if let Some(column) = self.column(name) {
            return Ok(Some(column));
        }
        let mut spoken_so = self.columns.iter().filter(|column| column.spoken() == name);
        match (spoken_so.next(), spoken_so.next()) {
            (Some(one), Some(other)) => Err(format!(
                "`{name}` in {} may be \"{}\" or \"{}\": give one of them another name in a view",
                self.model.name, one.name, other.name
            )),
            (found, _) => Ok(found),
        }
    }

    pub(super) fn unknown(&self, name: &str) -> String {
        let columns = self.columns.iter().map(Column::spoken);
        let relations = self.relations.iter().flat_map(|relation| relation.names.iter().cloned());
        let names: Vec<String> = columns.chain(relations).collect();
        let near = suggestion(name, names.iter().map(String::as_str));
        format!("there is no field `{name:.80}` in {}{near}", self.model.name)
    }
}

fn is_document(column: &Column) -> bool {
    column.form == Form::Json && matches!(column.sql_type.as_str(), "json" | "jsonb")
}
