//! The URL that an action opens: the type's URL with the message's saved parameters.

use serde_json::Value;
use url::Url;
use url::form_urlencoded::byte_serialize;

/// Where actions may lead.
#[derive(Clone, Debug, Default)]
pub struct Destinations {
    /// What relative URLs resolve against.
    pub application: Option<Url>,
    /// Hosts that absolute URLs may name besides the application's own, as `host` or `host:port`.
    pub hosts: Vec<String>,
}

/// Why there is no URL to open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionUrlError {
    /// Relative, and there is nothing to resolve it against.
    #[error("The action's URL is relative and web.application_url is not set")]
    NoApplication,
    /// It is no URL.
    #[error("The action's URL is not valid: {0}")]
    Malformed(String),
    /// It leads where it may not.
    #[error("The action's URL leads to {0}, which is not among web.action_hosts")]
    NotAllowed(String),
}

/// The address that an action opens by GET.
///
/// Parameters fill the empty names of the URL's own query in order (`/po/approve?id=&level=`); any further ones become `p1`,
/// `p2` and so on. All are percent-encoded (RFC 3986). A relative URL resolves against the application's; where the result
/// leads elsewhere, its host must be allowed.
///
/// # Errors
/// [`ActionUrlError`], in words for the recipient.
pub fn action_url(
    template: &str,
    parameters: &[Value],
    destinations: &Destinations,
) -> Result<Url, ActionUrlError> {
    let text = fill(template.trim(), parameters);
    let url = match Url::parse(&text) {
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            destinations.application.as_ref().ok_or(ActionUrlError::NoApplication)?.join(&text)
        }
        parsed => parsed,
    }
    .map_err(|error| ActionUrlError::Malformed(error.to_string()))?;
    if destinations.allow(&url) { Ok(url) } else { Err(ActionUrlError::NotAllowed(place(&url))) }
}

/// Whether this can be the URL of a message type. Where it may lead is looked at when it is opened.
///
/// # Errors
/// Says what is wrong with it.
pub(crate) fn check_template(template: &str, longest: usize) -> Result<(), String> {
    if template.trim().is_empty() || template.chars().count() > longest || template.contains(char::is_control)
    {
        return Err(format!("must be one line of 1 to {longest} characters"));
    }
    match Url::parse(template.trim()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(()),
        Ok(url) => Err(format!("must begin with http:, https: or a path, not {}:", url.scheme())),
        Err(url::ParseError::RelativeUrlWithoutBase) => Ok(()),
        Err(error) => Err(format!("is no URL: {error}")),
    }
}

impl Destinations {
    fn allow(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some()
        {
            return false;
        }
        let listed = |entry: &String| match url.port() {
            Some(port) => entry.eq_ignore_ascii_case(&format!("{host}:{port}")),
            None => entry.eq_ignore_ascii_case(host),
        };
        self.application.as_ref().is_some_and(|own| own.origin() == url.origin())
            || self.hosts.iter().any(listed)
    }
}

/// A place in words: scheme, host and port, without what may be secret.
fn place(url: &Url) -> String {
    match url.origin() {
        url::Origin::Opaque(_) => format!("{}:", url.scheme()),
        origin @ url::Origin::Tuple(..) => origin.ascii_serialization(),
    }
}

fn fill(template: &str, parameters: &[Value]) -> String {
    let (rest, fragment) = template.split_once('#').map_or((template, None), |(rest, it)| (rest, Some(it)));
    let (path, query) = rest.split_once('?').map_or((rest, ""), |(path, query)| (path, query));
    let mut values = parameters.iter().map(encode);
    let mut pairs: Vec<String> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let value = if pair.ends_with('=') && pair.find('=') == Some(pair.len() - 1) {
            values.next().unwrap_or_default()
        } else {
            String::new()
        };
        pairs.push(format!("{pair}{value}"));
    }
    pairs.extend(values.enumerate().map(|(position, value)| format!("p{}={value}", position + 1)));
    let mut text = path.to_owned();
    if !pairs.is_empty() {
        text.push('?');
        text.push_str(&pairs.join("&"));
    }
    if let Some(fragment) = fragment {
        text.push('#');
        text.push_str(fragment);
    }
    text
}

fn encode(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn open(template: &str, parameters: &Value) -> Result<String, ActionUrlError> {
        let destinations = Destinations {
            application: Some("https://erp.example/app/".parse().unwrap()),
            hosts: vec!["pay.example".into(), "dev.example:8443".into()],
        };
        let parameters = parameters.as_array().unwrap().clone();
        action_url(template, &parameters, &destinations).map(|url| url.to_string())
    }

    #[test]
    fn c17_parameters_fill_empty_names_and_further_ones_are_numbered() {
        let opened = |template: &str, parameters: &Value| open(template, parameters).unwrap();
        assert_eq!(
            opened("/po/approve?id=&level=", &json!([42, "high"])),
            "https://erp.example/po/approve?id=42&level=high"
        );
        assert_eq!(
            opened("po?id=", &json!([7, true, 1.5])),
            "https://erp.example/app/po?id=7&p1=true&p2=1.5"
        );
        assert_eq!(
            opened("/po?kind=order&id=&x", &json!([1])),
            "https://erp.example/po?kind=order&id=1&x",
            "names that have a value, or no equals sign, keep as they are"
        );
        assert_eq!(opened("/po?id=&level=", &json!([1])), "https://erp.example/po?id=1&level=");
        assert_eq!(opened("/po", &json!([])), "https://erp.example/po");
        assert_eq!(opened("/po#lines", &json!(["2026-01-31"])), "https://erp.example/po?p1=2026-01-31#lines");
    }

    #[test]
    fn values_are_percent_encoded() {
        assert_eq!(
            open("/po?id=", &json!(["a b&c=d#e?f+g/ü%"])).unwrap(),
            "https://erp.example/po?id=a%20b%26c%3Dd%23e%3Ff%2Bg%2F%C3%BC%25"
        );
    }

    #[test]
    fn absolute_urls_must_be_on_the_list() {
        assert!(open("https://pay.example/x", &json!([])).is_ok());
        assert!(open("http://pay.example/x", &json!([])).is_ok());
        assert!(open("https://dev.example:8443/", &json!([])).is_ok());
        assert!(open("https://ERP.example/own", &json!([])).is_ok());
        for elsewhere in [
            "https://evil.example/",
            "//evil.example/",
            "/\\evil.example/",
            "https:evil.example",
            "https://pay.example:8443/",
            "https://dev.example/",
            "https://pay.example@evil.example/",
            "https://user@pay.example/",
            "https://sub.pay.example/",
            "ftp://pay.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            " javascript:alert(1)",
        ] {
            let answer = open(elsewhere, &json!([]));
            assert!(matches!(answer, Err(ActionUrlError::NotAllowed(_))), "{elsewhere}: {answer:?}");
        }
        assert_eq!(
            action_url("/po", &[], &Destinations::default()),
            Err(ActionUrlError::NoApplication),
            "relative to nothing"
        );
        assert!(matches!(open("https://", &json!([])), Err(ActionUrlError::Malformed(_))));
    }
}
