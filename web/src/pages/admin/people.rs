//! Users out of a CSV file, and links that let one of them in.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use axum_extra::extract::CookieJar;
use herald_jobs::address::Username;
use herald_jobs::store;
use herald_producers::people::{People, Problem};

use crate::access::form::Fields;
use crate::access::new_login_link;
use crate::access::session::Login;
use crate::app::App;
use crate::error::PageError;
use crate::pages::shell::{Place, Shell, shell};

#[derive(Template)]
#[template(path = "admin/import.html")]
struct Import<'a> {
    shell: Shell,
    typed: &'a str,
    /// What was done, or would be.
    told: Option<String>,
    problems: Vec<Problem>,
}

#[derive(Template)]
#[template(path = "admin/link_made.html")]
struct LinkMade {
    shell: Shell,
    name: String,
    link: String,
}

/// GET /admin/users/import
pub(crate) async fn ask(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
) -> Result<Response, PageError> {
    page(&app, &login, &jar, "", None, Vec::new()).await
}

/// POST /admin/users/import: takes all rows or none, or only looks at them.
pub(crate) async fn import(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    fields: Fields,
) -> Result<Response, PageError> {
    let (words, typed) = (login.words.operations, fields.get("csv"));
    let people = People::read(typed.as_bytes(), app.producer.region()).checked(&app.pool).await?;
    if !people.problems.is_empty() {
        return page(&app, &login, &jar, typed, None, people.problems).await;
    }
    if fields.get("do") == "check" {
        let told = Some((words.would_import)(&people.standing(&app.pool).await?));
        return page(&app, &login, &jar, typed, told, Vec::new()).await;
    }
    let imported = people.save(&app.pool, &login.user.username).await?;
    page(&app, &login, &jar, "", Some((words.imported)(&imported)), Vec::new()).await
}

/// POST /admin/users/link/{name}: makes a link, and shows it in this answer only.
pub(crate) async fn link(
    State(app): State<App>,
    Extension(login): Extension<Login>,
    jar: CookieJar,
    Path(name): Path<String>,
    _fields: Fields,
) -> Result<Response, PageError> {
    let name = Username::parse(&name).map_err(|_| PageError::NotFound)?;
    let user = store::users::by_name(&app.pool, &name).await?.filter(|user| user.active);
    let user = user.ok_or(PageError::NotFound)?;
    let link = new_login_link(&app.pool, &app.clock, &app.settings.public_url, user.id).await?;
    store::audit::record(&app.pool, &login.user.username, "user link", name.as_str()).await?;
    let shell = shell(&app, &login, &jar, Place::Users).await?;
    let page = LinkMade { shell, name: name.to_string(), link: link.into() };
    Ok(Html(page.render()?).into_response())
}

async fn page(
    app: &App,
    login: &Login,
    jar: &CookieJar,
    typed: &str,
    told: Option<String>,
    problems: Vec<Problem>,
) -> Result<Response, PageError> {
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let shell = shell(app, login, jar, Place::Users).await?;
    Ok((status, Html(Import { shell, typed, told, problems }.render()?)).into_response())
}
