//! Lists, a page at a time: each page begins after the last key of the one before.

use axum::extract::{FromRequestParts, OriginalUri, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use uuid::Uuid;

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
    /// What else the query says: the next page's says it too.
    rest: Pairs,
}

/// A page of what a filter lets pass.
pub(crate) struct Filtered<F> {
    /// What the query asks for besides the page.
    pub(crate) filter: F,
    /// The page.
    pub(crate) page: Page,
}

type Pairs = Vec<(String, String)>;

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

/// A filter that knows no fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Filtered::<Nothing>::from_request_parts(parts, state).await?.page)
    }
}

impl<S: Send + Sync, F: DeserializeOwned> FromRequestParts<S> for Filtered<F> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        let (own, rest): (Pairs, Pairs) =
            pairs.partition(|(name, _)| matches!(name.as_str(), "after" | "limit"));
        let Asked { after, limit } = read(&own)?;
        if !(1..=MOST).contains(&limit) {
            return Err(problem::bad_query(format!("limit: must be 1 to {MOST}")));
        }
        let filter = read(&rest)?;
        let path =
            parts.extensions.get::<OriginalUri>().map_or(parts.uri.path(), |uri| uri.path()).to_owned();
        Ok(Self { filter, page: Page { after, limit, path, rest } })
    }
}

fn read<T: DeserializeOwned>(pairs: &Pairs) -> Result<T, Problem> {
    if let Some((name, _)) = pairs.iter().find(|(name, value)| name.contains('\0') || value.contains('\0')) {
        return Err(problem::bad_query(format!("{name}: must not hold the character U+0000")));
    }
    let uri: Uri = format!("/?{}", written(pairs, &[]))
        .parse()
        .map_err(|_| problem::bad_query("it is too long".to_owned()))?;
    Query::try_from_uri(&uri)
        .map(|Query(read)| read)
        .map_err(|rejection| problem::bad_query(rejection.body_text()))
}

fn written(pairs: &Pairs, more: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).extend_pairs(more).finish()
}

impl Page {
    /// The key that the page begins after, of a list whose keys are ids.
    pub(crate) fn after_id(&self) -> Result<Option<Uuid>, Problem> {
        let wrong =
            |_| problem::bad_query("after: must be the id of the last entry of the page before".to_owned());
        if self.after.is_empty() { Ok(None) } else { self.after.parse().map(Some).map_err(wrong) }
    }

    /// Where the next page is, when this one is full.
    pub(crate) fn next<T>(&self, entries: &[T], key: impl Fn(&T) -> &str) -> Option<String> {
        let last = entries.last().filter(|_| i64::try_from(entries.len()) == Ok(self.limit))?;
        let query = written(&self.rest, &[("after", key(last)), ("limit", &self.limit.to_string())]);
        Some(format!("{}?{query}", self.path))
    }

    /// The same of a list whose keys are ids.
    pub(crate) fn next_by_id<T>(&self, entries: &[T], id: impl Fn(&T) -> Uuid) -> Option<String> {
        let ids: Vec<String> = entries.iter().map(|entry| id(entry).to_string()).collect();
        self.next(&ids, |id| id)
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
