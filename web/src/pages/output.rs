//! An output, for its owner alone.

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use futures::stream;
use herald_jobs::store;
use herald_jobs::store::outputs::Output;
use uuid::Uuid;

use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;

/// What in a name may stand in a header as it is (RFC 8187, attr-char).
const PLAIN: &[u8] = b"!#$&+-.^_`|~";

/// GET /outputs/{id}: the file, or where it is. It is saved, never shown: it may hold anything.
pub(crate) async fn fetch(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let id = Uuid::try_parse(&id).map_err(|_| PageError::NotFound)?;
    let found =
        store::outputs::of_owner(&app.pool, login.user.id, (Some(id), None), app.clock.now()).await?.pop();
    let output = found.ok_or(PageError::NotFound)?;
    if let Some(url) = &output.url {
        return Ok(Redirect::to(url).into_response());
    }
    let mut response = Response::new(Body::from_stream(parts(app, id)));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_str(&output.content_type);
    headers
        .insert(header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(output.size));
    if let Ok(disposition) = HeaderValue::from_str(&disposition(&output)) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

fn parts(app: App, id: Uuid) -> impl futures::Stream<Item = Result<Bytes, store::Error>> {
    stream::try_unfold((app, 0), move |(app, number)| async move {
        let part = store::outputs::part(&app.pool, id, number).await?;
        Ok(part.map(|part| (Bytes::from(part), (app, number + 1))))
    })
}

fn disposition(output: &Output) -> String {
    let encoded: String = output
        .name
        .bytes()
        .map(|byte| {
            let plain = byte.is_ascii_alphanumeric() || PLAIN.contains(&byte);
            if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        })
        .collect();
    format!("attachment; filename*=UTF-8''{encoded}")
}
