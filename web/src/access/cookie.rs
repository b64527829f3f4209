//! The two cookies: the session, and the form token of who is not logged in yet.

use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use chrono::TimeDelta;

use crate::app::Settings;

/// Which cookie.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// The session's secret.
    Session,
    /// What forms must send back before there is a session.
    Form,
    /// The alerts whose notices were dismissed.
    Dismissed,
}

/// `__Host-` keeps a cookie to this host and to secure connections; without https it is the port that tells several
/// Heralds on one machine apart, since cookies do not.
fn name(settings: &Settings, kind: Kind) -> String {
    let kind = match kind {
        Kind::Session => "herald",
        Kind::Form => "herald-form",
        Kind::Dismissed => "herald-dismissed",
    };
    if settings.is_https() {
        format!("__Host-{kind}")
    } else {
        format!("{kind}-{}", settings.public_url.port_or_known_default().unwrap_or(80))
    }
}

/// The cookie's value, where the request has one.
pub(crate) fn get<'a>(settings: &Settings, jar: &'a CookieJar, kind: Kind) -> Option<&'a str> {
    jar.get(&name(settings, kind)).map(Cookie::value)
}

/// Sets a cookie; with no `life` until the browser ends.
pub(crate) fn set(
    settings: &Settings,
    jar: CookieJar,
    kind: Kind,
    value: String,
    life: Option<TimeDelta>,
) -> CookieJar {
    let mut cookie = plain(settings, kind, value);
    cookie.set_max_age(life.and_then(|life| life.to_std().ok()).and_then(|life| life.try_into().ok()));
    jar.add(cookie)
}

/// Removes a cookie.
pub(crate) fn remove(settings: &Settings, jar: CookieJar, kind: Kind) -> CookieJar {
    jar.remove(plain(settings, kind, String::new()))
}

fn plain(settings: &Settings, kind: Kind, value: String) -> Cookie<'static> {
    Cookie::build((name(settings, kind), value))
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(settings.is_https())
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(url: &str) -> String {
        let settings = Settings::new(url.parse().unwrap());
        let jar = set(&settings, CookieJar::new(), Kind::Session, "secret".into(), Some(TimeDelta::hours(1)));
        assert_eq!(get(&settings, &jar, Kind::Session), Some("secret"));
        jar.iter().next().unwrap().to_string()
    }

    #[test]
    fn cookies_are_out_of_reach_for_scripts_and_other_sites() {
        let secure = session("https://herald.example");
        assert!(secure.starts_with("__Host-herald=secret;"), "{secure}");
        for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/", "Max-Age=3600"] {
            assert!(secure.contains(part), "{part} is missing in {secure}");
        }
        assert!(!secure.contains("Domain"), "{secure}");
        let plain = session("http://127.0.0.1:8080");
        assert!(plain.starts_with("herald-8080=secret;") && !plain.contains("Secure"), "{plain}");
    }
}
