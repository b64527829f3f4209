//! Sessions: who is logged in.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::CookieJar;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use herald_jobs::address::Username;
use herald_jobs::store;
use herald_jobs::store::access::Session;
use herald_jobs::store::users::User;
use url::form_urlencoded::byte_serialize;

use super::{cookie, proxy, token};
use crate::app::{App, Settings};
use crate::error::PageError;
use crate::words::{self, Region, Words};

/// How often a session that is used is prolonged.
const PROLONG: TimeDelta = TimeDelta::minutes(1);

/// Who is logged in. Every handler behind a session finds it among the request's extensions.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: User,
    /// In which times are shown.
    pub(crate) zone: Tz,
    /// BCP 47.
    pub(crate) locale: String,
    /// What pages say, in the user's language.
    pub(crate) words: &'static Words,
    /// How dates are written.
    pub(crate) region: Region,
    /// What each form must send back.
    pub(crate) form_token: String,
    /// Names the session.
    pub(crate) token_hash: [u8; 32],
}

impl Login {
    /// How the user is called.
    pub(crate) fn name(&self) -> &str {
        if self.user.display_name.is_empty() { &self.user.username } else { &self.user.display_name }
    }

    /// Whether they may use the pages of the administration.
    pub(crate) fn administers(&self) -> bool {
        self.user.roles.iter().any(|role| role == "admin")
    }

    /// Whether they may see what runs and act on it. Who administers may.
    pub(crate) fn operates(&self) -> bool {
        self.administers() || self.user.roles.iter().any(|role| role == "operator")
    }

    /// Somebody called ann.
    #[cfg(test)]
    pub(crate) fn of_test(zone: &str, locale: &str) -> Self {
        let now = DateTime::UNIX_EPOCH;
        let user = User {
            id: 1,
            username: "ann".to_owned(),
            display_name: String::new(),
            email: None,
            mobile: None,
            time_zone: zone.to_owned(),
            roles: Vec::new(),
            active: true,
        };
        let (locale, form_token) = (locale.to_owned(), String::new());
        login(
            Session { user, locale, form_token, created_at: now, last_seen_at: now, expires_at: now },
            [0; 32],
        )
    }
}

/// Lets only those in who are logged in; sends the others to the log-in page, which brings them back.
pub(crate) async fn require(
    State(app): State<App>,
    jar: CookieJar,
    mut request: Request,
    next: Next,
) -> Result<Response, PageError> {
    if let Some((login, jar)) = enter(&app, jar, proxy::named(&app.settings, &request), Use::Active).await? {
        request.extensions_mut().insert(login);
        return Ok((jar, next.run(request).await).into_response());
    }
    let wanted = request.uri().path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    Ok(if request.method() == Method::GET && wanted != "/" {
        let wanted: String = byte_serialize(wanted.as_bytes()).collect();
        Redirect::to(&format!("/login?next={wanted}")).into_response()
    } else {
        Redirect::to("/login").into_response()
    })
}

/// The same for what scripts ask for: they are told, not sent elsewhere.
pub(crate) async fn require_for_script(
    State(app): State<App>,
    jar: CookieJar,
    request: Request,
    next: Next,
) -> Result<Response, PageError> {
    let entered = enter(&app, jar, proxy::named(&app.settings, &request), Use::Active).await?;
    Ok(answer_script(entered, request, next).await)
}

/// The same for what a page asks for by itself: that shows that it is open, not that somebody is there.
pub(crate) async fn require_for_page_itself(
    State(app): State<App>,
    jar: CookieJar,
    request: Request,
    next: Next,
) -> Result<Response, PageError> {
    let entered = enter(&app, jar, proxy::named(&app.settings, &request), Use::Idle).await?;
    Ok(answer_script(entered, request, next).await)
}

async fn answer_script(
    entered: Option<(Login, Option<CookieJar>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some((login, jar)) = entered else { return StatusCode::UNAUTHORIZED.into_response() };
    request.extensions_mut().insert(login);
    (jar, next.run(request).await).into_response()
}

/// Lets only those further who administer.
pub(crate) async fn require_administrator(
    Extension(login): Extension<Login>,
    request: Request,
    next: Next,
) -> Result<Response, PageError> {
    if login.administers() {
        Ok(next.run(request).await)
    } else {
        Err(PageError::Forbidden(login.words.administration.only_administrators))
    }
}

/// Lets only those further who operate or administer.
pub(crate) async fn require_operator(
    Extension(login): Extension<Login>,
    request: Request,
    next: Next,
) -> Result<Response, PageError> {
    if login.operates() {
        Ok(next.run(request).await)
    } else {
        Err(PageError::Forbidden(login.words.operations.only_operators))
    }
}

/// Who sends a request, and the cookies to set: whom a trusted proxy names gets a session of their own, whosever there was.
async fn enter(
    app: &App,
    jar: CookieJar,
    named: Option<Username>,
    by: Use,
) -> Result<Option<(Login, Option<CookieJar>)>, PageError> {
    let found = find(app, &jar, by).await?;
    let Some(name) = named else {
        return Ok(found.map(|login| (login, None)));
    };
    match found {
        Some(login) if login.user.username == name.as_str() => Ok(Some((login, None))),
        _ => {
            let user = store::users::by_name(&app.pool, &name).await?.filter(|user| user.active);
            let user = user.ok_or(PageError::Forbidden(words::default().no_account))?;
            let jar = open(app, jar, user.id).await?;
            Ok(find(app, &jar, by).await?.map(|login| (login, Some(jar))))
        }
    }
}

/// Whether a person uses a session, or a page by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Active,
    Idle,
}

/// The session of a request, prolonged where it is time to.
pub(crate) async fn find(app: &App, jar: &CookieJar, by: Use) -> Result<Option<Login>, store::Error> {
    let Some(secret) = cookie::get(&app.settings, jar, cookie::Kind::Session) else { return Ok(None) };
    let (token_hash, now) = (token::hash(secret), app.clock.now());
    let Some(session) = store::access::session(&app.pool, &token_hash, now).await? else { return Ok(None) };
    if by == Use::Active && now - session.last_seen_at > PROLONG {
        let until = expiry(&app.settings, session.created_at, now);
        store::access::prolong_session(&app.pool, &token_hash, now, until).await?;
    }
    Ok(Some(login(session, token_hash)))
}

/// Whether the session is still good.
pub(crate) async fn lasts(app: &App, login: &Login) -> Result<bool, store::Error> {
    Ok(store::access::session(&app.pool, &login.token_hash, app.clock.now()).await?.is_some())
}

fn login(session: Session, token_hash: [u8; 32]) -> Login {
    // A zone that the database knows and we do not is shown in UTC, with its name beside each time.
    let zone = session.user.time_zone.parse().unwrap_or(Tz::UTC);
    let (words, region) = words::of(&session.locale);
    let (user, locale, form_token) = (session.user, session.locale, session.form_token);
    Login { user, zone, locale, words, region, form_token, token_hash }
}

/// Opens a session under a new secret, and ends the one that the browser had.
pub(crate) async fn open(app: &App, jar: CookieJar, user: i64) -> Result<CookieJar, store::Error> {
    let (secret, now) = (token::random(), app.clock.now());
    if let Some(old) = cookie::get(&app.settings, &jar, cookie::Kind::Session) {
        store::access::close_session(&app.pool, &token::hash(old)).await?;
    }
    let times = (now, expiry(&app.settings, now, now));
    store::access::open_session(&app.pool, &token::hash(&secret), user, &token::random(), times).await?;
    let life = Some(app.settings.session_absolute);
    let jar = cookie::set(&app.settings, jar, cookie::Kind::Session, secret, life);
    let jar = cookie::remove(&app.settings, jar, cookie::Kind::Form);
    Ok(cookie::remove(&app.settings, jar, cookie::Kind::Dismissed))
}

fn expiry(settings: &Settings, opened: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    (now + settings.session_idle).min(opened + settings.session_absolute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_idle_and_in_any_case() {
        let settings = Settings {
            session_idle: TimeDelta::hours(1),
            session_absolute: TimeDelta::hours(10),
            ..Settings::new("http://localhost".parse().unwrap())
        };
        let opened = DateTime::UNIX_EPOCH;
        let at = |hours| opened + TimeDelta::hours(hours);
        assert_eq!(expiry(&settings, opened, opened), at(1));
        assert_eq!(expiry(&settings, opened, at(5)), at(6));
        assert_eq!(expiry(&settings, opened, at(9) + TimeDelta::minutes(30)), at(10));
    }
}
