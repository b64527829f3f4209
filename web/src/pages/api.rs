//! The page that shows the API, and lets one try it with a token of one's own.

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};

use crate::assets::{self, Assets};
use crate::error::PageError;

#[derive(Template)]
#[template(path = "api.html")]
struct ApiPage {
    assets: &'static Assets,
}

/// GET /api
pub(crate) async fn show() -> Result<Response, PageError> {
    Ok(Html(ApiPage { assets: assets::all() }.render()?).into_response())
}
