//! Values at a path on a record, such as who is to be asked: `customer.account_manager`.

use serde_json::{Map, Value};
use sqlx::PgPool;

use crate::model::Selection;
use crate::store;
use crate::store::instances::{InstanceQuery, Loaded};
use crate::template::{OWN_TEXT, Used};

/// Why a path led nowhere.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// It cannot be followed, or not from this record.
    #[error("{0}")]
    Problem(String),
    /// The database cannot be reached, or the record cannot be read right now.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The texts at each of `paths` on the record of `model` with this key: several where a path leads over many records, none where a value
/// is missing. Records are read over `reader`.
///
/// # Errors
/// [`PathError`].
pub async fn follow(
    pool: &PgPool,
    reader: &PgPool,
    (model, key): (&str, &Value),
    paths: &[&str],
) -> Result<Vec<Vec<String>>, PathError> {
    let catalogue = store::catalogue::read(pool, reader).await?;
    let mut selection = Selection::default();
    let paths: Vec<Vec<String>> =
        paths.iter().map(|path| path.split('.').map(str::to_owned).collect()).collect();
    for names in &paths {
        selection.add(&catalogue, model, names, Used::Text).map_err(PathError::Problem)?;
    }
    let query = InstanceQuery::new(&catalogue, model, &selection);
    let query = query.ok_or_else(|| PathError::Problem(format!("{model} cannot be read by its key")))?;
    let key = query.key(key).map_err(|problem| PathError::Problem(format!("model_key: {problem}")))?;
    match query.load_one(reader, key).await? {
        Loaded::Found(record) => Ok(paths.iter().map(|names| texts(&record, names)).collect()),
        Loaded::Failed(why) => Err(PathError::Problem(why)),
        Loaded::Missing | Loaded::NotTried => Err(PathError::Problem("there is no such record".to_owned())),
    }
}

/// The texts at a path of a document.
pub fn texts(record: &Map<String, Value>, names: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some((name, rest)) = names.split_first()
        && let Some(value) = record.get(name)
    {
        collect(value, rest, &mut found);
    }
    found
}

fn collect(value: &Value, names: &[String], found: &mut Vec<String>) {
    match (value, names.split_first()) {
        (Value::Array(items), _) => items.iter().for_each(|item| collect(item, names, found)),
        (Value::Object(fields), Some((name, rest))) => {
            if let Some(value) = fields.get(name) {
                collect(value, rest, found);
            }
        }
        (Value::Object(fields), None) => {
            if let Some(own) = fields.get(OWN_TEXT) {
                collect(own, &[], found);
            }
        }
        (Value::String(text), None) if !text.trim().is_empty() => found.push(text.trim().to_owned()),
        (Value::Number(number), None) => found.push(number.to_string()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_over_records_and_lists() {
        let record = json!({"owner": "ann", "none": null, "customer": {"manager": " bob ", "contact": [{"email": "a@x"}, {"email": null},
            {"email": "b@x"}]}, "level": 3});
        let at = |path: &str| {
            let names: Vec<String> = path.split('.').map(str::to_owned).collect();
            texts(record.as_object().unwrap(), &names)
        };
        assert_eq!(at("owner"), ["ann"]);
        assert_eq!(at("customer.manager"), ["bob"]);
        assert_eq!(at("customer.contact.email"), ["a@x", "b@x"]);
        assert_eq!(at("level"), ["3"]);
        for nowhere in ["none", "missing", "owner.x", "customer"] {
            assert!(at(nowhere).is_empty(), "{nowhere}");
        }
    }
}
