//! Versions of what programs maintain (RFC 9110, section 13): nobody undoes another's change unknowingly.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use herald_jobs::store::change::{Expect, Saved, version};
use serde::Serialize;

use super::problem::{self, Problem};

/// What the headers `If-Match` and `If-None-Match` of a change expect.
pub(crate) struct Expected(pub(crate) Expect);

impl<S: Sync> FromRequestParts<S> for Expected {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let matching = tags(&parts.headers, header::IF_MATCH)?;
        let none = tags(&parts.headers, header::IF_NONE_MATCH)?;
        Ok(Self(match (matching, none) {
            (None, None) => Expect::Anything,
            (Some(tags), None) if tags == ["*"] => Expect::Something,
            (Some(tags), None) => Expect::Version(tags),
            (None, Some(tags)) if tags == ["*"] => Expect::Nothing,
            _ => return Err(problem::bad_header("A change takes If-Match, or If-None-Match: *")),
        }))
    }
}

/// The entity tags that a header lists, without their quotes.
fn tags(headers: &HeaderMap, name: HeaderName) -> Result<Option<Vec<String>>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| problem::bad_header("An entity tag must be plain ASCII"))?;
    let tags = text.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned());
    Ok(Some(tags.filter(|tag| !tag.is_empty()).collect()))
}

/// A value with its entity tag; `304` where the asker has it already.
pub(crate) fn tagged(headers: &HeaderMap, value: &impl Serialize) -> Result<Response, Problem> {
    let tag = version(value);
    let etag = [(header::ETAG, format!("\"{tag}\""))];
    let known = tags(headers, header::IF_NONE_MATCH)?.unwrap_or_default();
    if known.contains(&tag) || known == ["*"] {
        return Ok((StatusCode::NOT_MODIFIED, etag).into_response());
    }
    Ok((etag, Json(value)).into_response())
}

/// What was saved, with its entity tag: `201` where it is new.
pub(crate) fn saved<T: Serialize>(saved: &Saved<T>) -> Response {
    let status = if saved.created { StatusCode::CREATED } else { StatusCode::OK };
    let etag = [(header::ETAG, format!("\"{}\"", version(&saved.value)))];
    (status, etag, Json(&saved.value)).into_response()
}

/// What was deleted, or was not there.
pub(crate) fn removed(removed: bool) -> Result<StatusCode, Problem> {
    if removed { Ok(StatusCode::NO_CONTENT) } else { Err(problem::not_found()) }
}
