//! Models: tables and views of the host application that templates may read, and how their records are related.
//!
//! A [`Model`] is what was registered; a [`Catalogue`] is all of them together with what the database says about their columns and
//! foreign keys; a [`Selection`] is what one template needs of one record.

mod catalogue;
#[cfg(feature = "render")]
mod path;
#[cfg(feature = "render")]
mod selection;

use serde::{Deserialize, Serialize};

pub(crate) use self::catalogue::ForeignKey;
pub use self::catalogue::{Catalogue, Column, Form, Relation, Table};
#[cfg(feature = "render")]
pub use self::path::{Path, Step};
#[cfg(feature = "render")]
pub use self::selection::{Own, Selected, Selection};
use crate::refusal::Refusal;

/// Most key columns, and most columns that a relation joins.
const MAX_COLUMNS: usize = 8;
/// Longest name of a model or relation, in bytes.
const MAX_NAME: usize = 60;

/// A table or view that templates may read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What templates and rules call it.
    #[serde(default)]
    pub name: String,
    /// As in SQL: `public.purchase_order`, `"Sales"."Order"`.
    pub table: String,
    /// The columns that identify a record.
    pub key: Vec<String>,
    /// The column that a relation to this model prints by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Columns that nothing may reach.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<String>,
    /// Relations that no foreign key tells, as for views, or that several tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<NamedRelation>,
}

/// A relation from one model to another by columns of equal values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedRelation {
    /// What templates call it.
    pub name: String,
    /// Columns of this model.
    pub columns: Vec<String>,
    /// The other model.
    pub model: String,
    /// The columns of the other model that equal them, in the same order.
    pub references: Vec<String>,
}

impl NamedRelation {
    /// Reads `approver=approver_name>app_user.username`; several columns are separated by commas.
    ///
    /// # Errors
    /// Says how a relation is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read = || {
            let (name, rest) = text.split_once('=')?;
            let (columns, target) = rest.split_once('>')?;
            let (model, references) = target.split_once('.')?;
            let list = |text: &str| text.split(',').map(|name| name.trim().to_owned()).collect();
            Some(Self {
                name: name.trim().to_owned(),
                columns: list(columns),
                model: model.trim().to_owned(),
                references: list(references),
            })
        };
        read()
            .ok_or_else(|| "is written name=column>model.column, with commas between several columns".into())
    }
}

impl std::fmt::Display for NamedRelation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}>{}.{}", self.name, self.columns.join(","), self.model, self.references.join(","))
    }
}

impl Model {
    /// Checks what can be checked without the database.
    ///
    /// # Errors
    /// Names the field that cannot be.
    pub fn validate(&self) -> Result<(), Refusal> {
        let refuse = |field: &str, problem: String| Err(Refusal::new(field, problem));
        let form = |field: String, name: &str| {
            is_name(name).then_some(()).ok_or_else(|| {
                Refusal::new(field, "must be a letter or _, then letters, digits or _, at most 60 together")
            })
        };
        form("name".into(), &self.name)?;
        if self.key.is_empty() || self.key.len() > MAX_COLUMNS {
            return refuse("key", format!("must be 1 to {MAX_COLUMNS} columns"));
        }
        let hides = |name: &String| self.hidden.contains(name);
        if let Some(column) = self.key.iter().chain(&self.label).find(|column| hides(column)) {
            return refuse("hidden", format!("`{column}` is the key or the label, which cannot be hidden"));
        }
        for (position, relation) in self.relations.iter().enumerate() {
            let field = |part: &str| format!("relations/{position}/{part}");
            form(field("name"), &relation.name)?;
            if relation.columns.is_empty()
                || relation.columns.len() > MAX_COLUMNS
                || relation.columns.len() != relation.references.len()
            {
                return refuse(
                    &field("columns"),
                    format!("must be 1 to {MAX_COLUMNS} columns, as many as in references"),
                );
            }
            if let Some(column) = relation.columns.iter().find(|column| hides(column)) {
                return refuse(&field("columns"), format!("`{column}` is hidden"));
            }
            if self.relations.iter().take(position).any(|other| other.name == relation.name) {
                return refuse(&field("name"), format!("`{}` is there twice", relation.name));
            }
        }
        Ok(())
    }
}

/// Whether a template can say this name.
fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// How a template says the name of a column: what is no ASCII letter, digit or `_` is a `_`.
pub(crate) fn spoken(name: &str) -> String {
    let spoken: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if spoken.starts_with(|c: char| c.is_ascii_digit()) { format!("_{spoken}") } else { spoken }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Model {
        Model {
            name: "purchase_order".into(),
            table: "public.purchase_order".into(),
            key: vec!["id".into()],
            ..Model::default()
        }
    }

    #[test]
    fn each_refusal_names_its_field() {
        let relation = |text: &str| NamedRelation::parse(text).unwrap();
        for (model, field) in [
            (Model { name: "1st".into(), ..order() }, "name"),
            (Model { name: "a-b".into(), ..order() }, "name"),
            (Model { key: vec![], ..order() }, "key"),
            (Model { hidden: vec!["id".into()], ..order() }, "hidden"),
            (Model { label: Some("x".into()), hidden: vec!["x".into()], ..order() }, "hidden"),
            (Model { relations: vec![relation("a b=x>y.z")], ..order() }, "relations/0/name"),
            (Model { relations: vec![relation("a=x,y>b.z")], ..order() }, "relations/0/columns"),
            (
                Model { relations: vec![relation("a=x>b.y"), relation("a=z>b.y")], ..order() },
                "relations/1/name",
            ),
            (
                Model { hidden: vec!["x".into()], relations: vec![relation("a=x>b.y")], ..order() },
                "relations/0/columns",
            ),
        ] {
            assert_eq!(model.validate().unwrap_err().field, field, "{model:?}");
        }
        assert_eq!(order().validate(), Ok(()));
    }

    #[test]
    fn a_relation_is_read_as_it_is_shown() {
        let text = "line=company,number>order_line.company,order_number";
        assert_eq!(NamedRelation::parse(text).unwrap().to_string(), text);
        for bad in ["", "a", "a=b", "a=b>c", "a>b.c"] {
            assert!(NamedRelation::parse(bad).is_err(), "{bad}");
        }
    }
}
