//! Pages that say what went wrong. They look like the rest and tell nothing of the inside.

use std::any::Any;

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use herald_jobs::group_commit::is_outage;
use herald_jobs::store;

use crate::assets::{self, Assets};
use crate::words::{self, Words};

/// Why a page cannot be shown or a form not be carried out.
#[derive(Clone, Debug)]
pub(crate) enum PageError {
    /// There is no such page, or it is not this user's.
    NotFound,
    /// The request cannot be understood; a sentence for the user.
    Bad(&'static str),
    /// It was not carried out; a sentence for the user.
    Forbidden(&'static str),
    /// This page does not take that method.
    Method,
    /// What was sent is larger than any page sends.
    TooLarge,
    /// The database does not answer.
    Unavailable,
    /// Our fault.
    Internal,
}

impl From<store::Error> for PageError {
    fn from(error: store::Error) -> Self {
        if is_outage(&error) {
            tracing::warn!("The database did not answer a page: {error}");
            Self::Unavailable
        } else if store::holds_nul(&error) {
            Self::Bad(
                "What was typed holds the character U+0000, which no text can have. Nothing was changed.",
            )
        } else {
            tracing::error!("The database refused a page's query: {error}");
            Self::Internal
        }
    }
}

impl From<askama::Error> for PageError {
    fn from(error: askama::Error) -> Self {
        tracing::error!("A page could not be rendered: {error}");
        Self::Internal
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    assets: &'static Assets,
    words: &'static Words,
    number: String,
    title: &'static str,
    detail: &'static str,
}

impl PageError {
    fn words(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "Not found", "There is no such page, or it is not yours to see.")
            }
            Self::Bad(detail) => (StatusCode::BAD_REQUEST, "Not understood", detail),
            Self::Forbidden(detail) => (StatusCode::FORBIDDEN, "Not carried out", detail),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Not understood",
                "This page cannot be asked for in that way.",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "Too large",
                "What was sent is larger than this page accepts.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Back in a moment",
                "The database does not answer right now. Nothing was changed; please try again.",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "It was our fault, and it has been written down. Please try again.",
            ),
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let (status, title, detail) = self.words();
        let page = {
            let words = words::default();
            ErrorPage {
                assets: assets::all(),
                words,
                number: (words.error_number)(status.as_u16()),
                title,
                detail,
            }
        };
        let mut response = match page.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => (status, detail).into_response(),
        };
        if matches!(self, Self::Unavailable) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

/// A handler that panicked: a page, and a line in the log.
#[expect(clippy::needless_pass_by_value, reason = "tower-http hands it over so")]
pub(crate) fn page_for_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    log_panic(panic.as_ref());
    PageError::Internal.into_response()
}

/// Writes down what a handler that panicked said.
pub(crate) fn log_panic(panic: &(dyn Any + Send)) {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no words");
    tracing::error!("A handler panicked: {said}");
}
