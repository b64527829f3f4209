//! Forms: that each change comes from a page of ours (CSRF).
//!
//! Three things must agree: the browser says that the request comes from our own site, the cookie is one that other sites
//! cannot make it send (SameSite), and the form holds the session's form token. The token is shown under a fresh mask each
//! time, so that compressed pages do not give it away bit by bit.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use axum_extra::extract::CookieJar;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use herald_jobs::refusal::Refusal;
use url::Url;

use super::session::Login;
use super::{cookie, token};
use crate::app::App;
use crate::error::PageError;

/// The field that carries the token.
const FIELD: &str = "form_token";

/// What a form sent, once it is known to come from our own page. There is no other way to the body of a form.
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// A field's value; empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.iter().find(|(field, _)| *field == name).map_or("", |(_, value)| value)
    }

    /// Refuses what no text can have, wherever it stands.
    pub(crate) fn whole(&self) -> Result<(), Refusal> {
        let holds_nul = |(name, text): &(&str, &str)| name.contains('\0') || text.contains('\0');
        match self.iter().find(holds_nul) {
            Some((name, _)) => Err(Refusal::new(name, "must not hold the character U+0000")),
            None => Ok(()),
        }
    }

    /// All fields, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(field, value)| (field.as_str(), value.as_str()))
    }
}

impl FromRequest<App> for Fields {
    type Rejection = PageError;

    async fn from_request(request: Request, app: &App) -> Result<Self, PageError> {
        let expected = match request.extensions().get::<Login>() {
            Some(login) => Some(login.form_token.clone()),
            None => {
                let jar = CookieJar::from_headers(request.headers());
                cookie::get(&app.settings, &jar, cookie::Kind::Form).map(str::to_owned)
            }
        };
        let Form(pairs) = Form::<Vec<(String, String)>>::from_request(request, app).await.map_err(refuse)?;
        let fields = Self(pairs);
        match expected {
            Some(expected) if unmask(fields.get(FIELD)).as_deref() == Some(&expected) => Ok(fields),
            _ => Err(PageError::Forbidden(
                "This page is out of date, or it was not opened here. Go back, reload it and try again.",
            )),
        }
    }
}

fn refuse(rejection: FormRejection) -> PageError {
    match axum::response::IntoResponse::into_response(rejection).status() {
        StatusCode::PAYLOAD_TOO_LARGE => PageError::TooLarge,
        _ => PageError::Bad("The form could not be read."),
    }
}

/// The token as a page shows it, differently each time.
pub(crate) fn mask(form_token: &str) -> String {
    let mask = token::bytes();
    let mut shown = mask.to_vec();
    shown.extend(form_token.bytes().enumerate().map(|(at, byte)| byte ^ mask[at % mask.len()]));
    URL_SAFE_NO_PAD.encode(shown)
}

fn unmask(shown: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(shown).ok()?;
    let (mask, masked) = bytes.split_at_checked(32)?;
    let token = masked.iter().enumerate().map(|(at, byte)| byte ^ mask[at % mask.len()]).collect();
    String::from_utf8(token).ok()
}

/// Refuses changes that a browser sends on behalf of another site.
pub(crate) async fn same_site(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, PageError> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || is_own(request.headers(), &app.settings.public_url) {
        Ok(next.run(request).await)
    } else {
        Err(PageError::Forbidden("This came from another site, so it was not carried out."))
    }
}

/// Whether a change comes from our own pages, as far as the browser says. `Origin` is believed where it names the host that was
/// asked: no other site's page can have that origin.
pub fn is_own(headers: &HeaderMap, public_url: &Url) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return site == "same-origin";
    }
    let Some(origin) = text(header::ORIGIN) else { return true };
    let Ok(url) = Url::parse(origin) else { return false };
    let asked = text(header::HOST).and_then(|host| Url::parse(&format!("{}://{host}", url.scheme())).ok());
    url.origin() == public_url.origin() || asked.is_some_and(|asked| asked.origin() == url.origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_differs_each_time_and_comes_off() {
        let secret = token::random();
        let (one, other) = (mask(&secret), mask(&secret));
        assert_ne!(one, other);
        assert_eq!(unmask(&one), Some(secret.clone()));
        assert_eq!(unmask(&other), Some(secret));
        assert_eq!(unmask("short"), None);
        assert_eq!(unmask("not base64!"), None);
    }

    #[test]
    fn changes_from_other_sites_are_known() {
        let public = "https://herald.example".parse().unwrap();
        let own = |pairs: &[(&'static str, &str)]| {
            let headers =
                pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            is_own(&headers, &public)
        };
        assert!(own(&[("sec-fetch-site", "same-origin")]));
        assert!(!own(&[("sec-fetch-site", "same-site")]));
        assert!(!own(&[("sec-fetch-site", "cross-site"), ("origin", "https://herald.example")]));
        assert!(own(&[("origin", "https://herald.example")]));
        assert!(own(&[("origin", "http://10.0.0.5:8080"), ("host", "10.0.0.5:8080")]));
        assert!(!own(&[("origin", "https://evil.example"), ("host", "herald.example")]));
        assert!(!own(&[("origin", "null"), ("host", "herald.example")]));
        assert!(own(&[]), "not a browser: the form token decides");
    }
}
