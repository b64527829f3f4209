//! The metadata in `.sqlx`, by which queries are checked when they are compiled: it must say what the database says.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor as _, SqlSafeStr as _};

use crate::support::herald::Story;

#[tokio::test]
async fn the_metadata_says_what_a_migrated_database_says() {
    let story = Story::begin().await;
    let files = metadata();
    assert!(files.len() > 20);
    let mut stale = Vec::new();
    for (file, known) in files {
        let query = known["query"].as_str().unwrap().to_owned();
        match story.pool.describe(AssertSqlSafe(query.clone()).into_sql_str()).await {
            Ok(described) => {
                let described = serde_json::to_value(&described).unwrap();
                for part in ["columns", "parameters", "nullable"] {
                    if without_origins(&described[part]) != without_origins(&known["describe"][part]) {
                        stale.push(format!(
                            "{}: {part} of {query}\nnow {}\nwas {}",
                            file.display(),
                            described[part],
                            known["describe"][part]
                        ));
                    }
                }
            }
            Err(error) => stale.push(format!("{}: {error}\n{query}", file.display())),
        }
    }
    assert!(stale.is_empty(), "run `make prepare`:\n{}", stale.join("\n\n"));
}

#[test]
fn each_query_of_the_metadata_stands_in_the_sources() {
    let sources: String = files_below(&root().join("jobs/src/store"), "rs")
        .into_iter()
        .map(|file| one_line(&fs::read_to_string(file).unwrap()))
        .collect();
    for (file, known) in metadata() {
        let query = one_line(known["query"].as_str().unwrap());
        assert!(
            sources.contains(&query) || is_composed(&query, &sources),
            "{} is left over: {query}",
            file.display()
        );
    }
}

/// Whether a query is made of the fixed parts of a `"..." + $part + "..."` with literals in between.
fn is_composed(query: &str, sources: &str) -> bool {
    let templates = sources.split("query!( ").skip(1).filter_map(|rest| match rest.strip_prefix("r#\"") {
        Some(raw) => Some(raw.split("\"#, ").next()?.replace("\"#", "\"").replace("r#\"", "\"")),
        None => Some(rest.strip_prefix('"')?.split("\", ").next()?.to_owned()),
    });
    templates.filter(|template| template.contains("\" + $")).any(|template| {
        let mut rest = query;
        template.split("\" + $").enumerate().all(|(number, part)| {
            let fixed =
                if number == 0 { part } else { part.split_once(" + \"").map_or("", |(_, fixed)| fixed) };
            let Some((filled, after)) = rest.split_once(fixed.trim()) else { return false };
            rest = after;
            sources.contains(filled.trim())
        }) && rest.is_empty()
    })
}

/// Where a column comes from is told by the order in which tables were made, too.
fn without_origins(part: &Value) -> Value {
    let mut part = part.clone();
    for column in part.as_array_mut().into_iter().flatten() {
        if let Some(column) = column.as_object_mut() {
            column.remove("origin");
        }
    }
    part
}

fn metadata() -> Vec<(PathBuf, Value)> {
    let files = files_below(&root().join(".sqlx"), "json");
    let read = |file: &PathBuf| serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    files.into_iter().map(|file| (file.clone(), read(&file))).collect()
}

fn files_below(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let (dirs, mut files): (Vec<_>, Vec<_>) =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).partition(|it| it.is_dir());
    files.retain(|file| file.extension().is_some_and(|it| it == extension));
    files.extend(dirs.iter().flat_map(|dir| files_below(dir, extension)));
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
