//! The demo's switch: one press, and one is somebody else. There is none outside of a demo.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::address::Username;
use herald_jobs::store;

use crate::access::form::Fields;
use crate::access::session::{self, Login};
use crate::app::App;
use crate::error::PageError;

/// POST /demo/switch
pub(crate) async fn switch(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    fields: Fields,
) -> Result<Response, PageError> {
    let who = fields.get("who");
    let persona = app.settings.personas.iter().find(|persona| persona.username == who);
    let name = persona.and_then(|persona| Username::parse(&persona.username).ok());
    let name = name.ok_or(PageError::NotFound)?;
    // The database has to say so too: what goes out from one that people work with is not caught.
    if !store::registry::is_caught(&app.pool).await? {
        return Err(PageError::NotFound);
    }
    let user = store::users::by_name(&app.pool, &name).await?.filter(|user| user.active);
    let user = user.ok_or(PageError::NotFound)?;
    tracing::info!("The demo's {} is {name} now", login.user.username);
    Ok((session::open(&app, jar, user.id).await?, Redirect::to("/")).into_response())
}
