//! Lists, a page at a time: each page begins after the last key of the one before.

use axum::extract::{FromRequestParts, OriginalUri, Query};
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::problem::{self, Problem};

/// Most entries of a page.
pub(crate) const MOST: i64 = 1_000;

/// Which page is asked for.
pub(crate) struct Page {
    /// The key that the page begins after; empty: at the beginning.
    pub(crate) after: String,
    /// Entries at most.
    pub(crate) limit: i64,
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    after: String,
    #[serde(default = "usual")]
    limit: i64,
}

fn usual() -> i64 {
    100
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let asked = Query::<Asked>::from_request_parts(parts, state).await;
        let Query(Asked { after, limit }) =
            asked.map_err(|rejection| problem::bad_query(rejection.body_text()))?;
        if !(1..=MOST).contains(&limit) {
            return Err(problem::bad_query(format!("limit: must be 1 to {MOST}")));
        }
        if after.contains('\0') {
            return Err(problem::bad_query("after: must not hold the character U+0000".to_owned()));
        }
        let path =
            parts.extensions.get::<OriginalUri>().map_or(parts.uri.path(), |uri| uri.path()).to_owned();
        Ok(Self { after, limit, path })
    }
}

impl Page {
    /// Where the next page is, when this one is full.
    pub(crate) fn next<T>(&self, entries: &[T], key: impl Fn(&T) -> &str) -> Option<String> {
        let last = entries.last().filter(|_| i64::try_from(entries.len()) == Ok(self.limit))?;
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("after", key(last))
            .append_pair("limit", &self.limit.to_string())
            .finish();
        Some(format!("{}?{query}", self.path))
    }
}

/// A page's entries, under a name of their own, and where the next page is.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "{T}List")]
pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}
