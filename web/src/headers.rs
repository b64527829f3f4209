//! What every answer tells the browser to refuse.

use axum::extract::Request;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use url::Url;

use crate::app::Settings;

/// The headers that each answer gets where it has none of its own.
#[derive(Clone)]
pub(crate) struct SecurityHeaders {
    all: Vec<(HeaderName, HeaderValue)>,
    /// The policy of a page that shows a mail.
    with_mail: Option<HeaderValue>,
}

/// Marks an answer that shows a mail in a sandboxed frame: the mail may bring its own styles. It can load nothing from elsewhere, so
/// they can tell nobody anything, and run no script.
#[derive(Clone, Copy)]
pub(crate) struct OwnStyles;

impl SecurityHeaders {
    pub(crate) fn new(settings: &Settings) -> Self {
        let fixed = |name, value| (name, HeaderValue::from_static(value));
        let mut headers = vec![
            fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // "no-referrer" would turn the Origin of our own forms into "null".
            fixed(header::REFERRER_POLICY, "same-origin"),
            fixed(header::CACHE_CONTROL, "no-store"),
            fixed(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            fixed(HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            fixed(
                HeaderName::from_static("permissions-policy"),
                "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
            ),
        ];
        // It knows all or nothing; the policy below knows who.
        if settings.frame_ancestors.is_empty() {
            headers.push(fixed(header::X_FRAME_OPTIONS, "DENY"));
        }
        let policy = content_policy(settings);
        let with_mail = policy.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'");
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.push((header::CONTENT_SECURITY_POLICY, policy));
        }
        if settings.is_https() {
            headers.push(fixed(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"));
        }
        Self { all: headers, with_mail: HeaderValue::from_str(&with_mail).ok() }
    }
}

/// Nothing but our own files. Forms may lead where actions may: browsers hold a form to `form-action` through redirects too.
fn content_policy(settings: &Settings) -> String {
    let mut destinations = String::from("'self'");
    if let Some(origin) = settings.application_url.as_ref().map(Url::origin) {
        destinations.push_str(&format!(" {}", origin.ascii_serialization()));
    }
    for host in &settings.action_hosts {
        destinations.push_str(&format!(" https://{host} http://{host}"));
    }
    let or_none = |origins: Vec<String>| {
        if origins.is_empty() { "'none'".to_owned() } else { origins.join(" ") }
    };
    let ancestors = or_none(settings.frame_ancestors.clone());
    let panels = settings.panels.iter().map(|panel| panel.url.origin().ascii_serialization());
    let panels = or_none(panels.collect());
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src {panels}; \
         form-action {destinations}; frame-ancestors {ancestors}; base-uri 'none'"
    )
}

/// Adds the headers.
pub(crate) async fn add(
    axum::extract::State(SecurityHeaders { all, with_mail }): axum::extract::State<SecurityHeaders>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if let Some(policy) = with_mail.filter(|_| response.extensions().get::<OwnStyles>().is_some()) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in &all {
        response.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_may_lead_where_actions_may() {
        let settings = Settings {
            application_url: Some("https://erp.example/app/".parse().unwrap()),
            action_hosts: vec!["pay.example".into()],
            ..Settings::new("https://herald.example".parse().unwrap())
        };
        let policy = content_policy(&settings);
        assert!(
            policy.contains("form-action 'self' https://erp.example https://pay.example http://pay.example;"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    }

    #[test]
    fn frames_are_as_configured_both_ways() {
        let panel = crate::app::Panel {
            title: "Orders".into(),
            url: "https://erp.example/orders?open".parse().unwrap(),
        };
        let settings = Settings {
            frame_ancestors: vec!["https://erp.example".into(), "https://crm.example".into()],
            panels: vec![panel],
            ..Settings::new("https://herald.example".parse().unwrap())
        };
        let policy = content_policy(&settings);
        assert!(policy.contains("frame-ancestors https://erp.example https://crm.example;"), "{policy}");
        assert!(policy.contains("frame-src https://erp.example;"), "{policy}");
        let names = |settings| {
            SecurityHeaders::new(settings).all.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert!(!names(&settings).contains(&header::X_FRAME_OPTIONS));
        assert!(
            names(&Settings::new("https://herald.example".parse().unwrap()))
                .contains(&header::X_FRAME_OPTIONS)
        );
    }
}
