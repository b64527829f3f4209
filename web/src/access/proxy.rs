//! Who a proxy in front of the inbox says is there: for houses that log people in themselves. Off unless it is configured.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};
use herald_jobs::address::Username;

use crate::app::Settings;

/// The user whom the configured header names, if it comes from a trusted proxy itself: what others send is not looked at, and
/// neither is `X-Forwarded-For`.
pub(crate) fn named(settings: &Settings, request: &Request) -> Option<Username> {
    let header = settings.user_header.as_ref()?;
    let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    if !settings.trusted_proxies.contains(&peer.ip().to_canonical()) {
        return None;
    }
    let mut values = request.headers().get_all(header).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Username::parse(value.to_str().ok()?).ok(),
        // Two of them: one is not the proxy's.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn only_the_proxy_itself_names_somebody_and_only_once() {
        let settings = Settings {
            trusted_proxies: vec!["10.0.0.1".parse().unwrap()],
            user_header: Some("x-remote-user".parse().unwrap()),
            ..Settings::new("http://localhost".parse().unwrap())
        };
        let off = Settings { user_header: None, ..settings.clone() };
        let request = |peer: &str, names: &[&str]| {
            let mut request =
                Request::builder().extension(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
            for name in names {
                request = request.header("x-remote-user", *name).header("x-forwarded-for", "10.0.0.1");
            }
            request.body(Body::empty()).unwrap()
        };
        let named =
            |settings, peer, names| named(settings, &request(peer, names)).map(|name| name.to_string());
        assert_eq!(named(&settings, "10.0.0.1", &["Ann"]).as_deref(), Some("ann"));
        assert_eq!(named(&settings, "::ffff:10.0.0.1", &["ann"]).as_deref(), Some("ann"));
        assert_eq!(named(&settings, "10.0.0.2", &["ann"]), None, "not from the proxy");
        assert_eq!(named(&settings, "10.0.0.1", &["ann", "admin"]), None);
        assert_eq!(named(&settings, "10.0.0.1", &["not a name"]), None);
        assert_eq!(named(&settings, "10.0.0.1", &[]), None);
        assert_eq!(named(&off, "10.0.0.1", &["ann"]), None, "it is off");
    }
}
