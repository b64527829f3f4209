//! What was just done, as the address says that a change leads back to.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;

/// What was just done; empty: nothing that is to be told.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Done {
    /// What.
    pub(super) done: String,
    /// To which of those on the page.
    pub(super) to: String,
}

impl<S: Sync> FromRequestParts<S> for Done {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Query::try_from_uri(&parts.uri).map_or_else(|_| Self::default(), |Query(done)| done))
    }
}
