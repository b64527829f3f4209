//! JSON bodies, refused with the field or the position that is at fault.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::problem::{self, Problem};
use super::sentence;
use crate::app::App;

/// A JSON body.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(problem::not_json());
        }
        let body = Bytes::from_request(request, app).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => problem::too_large("The body is larger than 1 MiB"),
            _ => problem::unreadable("the body ended early".to_owned()),
        })?;
        read(&body).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads JSON, refused as a body is.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // Serde would read a list as the fields of an object, in their order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(problem::invalid(String::new(), "must be an object, not a list".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let at = pointer(error.path());
        let inner = error.into_inner();
        let said = without_place(&inner.to_string());
        if !inner.is_data() {
            return match sentence::of_values(&said) {
                // The whole field is too deep, not what stands at its bottom.
                Some(problem) if said.starts_with("recursion") => {
                    problem::invalid(first_step(&at), problem.to_owned())
                }
                Some(problem) if !at.is_empty() => problem::invalid(at, problem.to_owned()),
                _ => problem::unreadable(inner.to_string()),
            };
        }
        let missing = named(&said).filter(|name| !at.ends_with(name.as_str())).unwrap_or_default();
        problem::invalid(format!("{at}{missing}"), sentence::of_types(&said))
    })?;
    reader.end().map_err(|error| problem::unreadable(error.to_string()))?;
    refuse_nul(body)?;
    Ok(read)
}

/// The path of a value as a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(step(key)),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

fn step(key: &str) -> String {
    format!("/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// What the parser says, without the line and column where it says it.
fn without_place(said: &str) -> String {
    said.rsplit_once(" at line ").map_or(said, |(said, _)| said).to_owned()
}

fn first_step(pointer: &str) -> String {
    pointer.split('/').take(2).collect::<Vec<_>>().join("/")
}

/// The field that serde names for being absent, unknown or twice there.
fn named(said: &str) -> Option<String> {
    let rest = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|beginning| said.strip_prefix(beginning))?;
    rest.split_once('`').map(|(name, _)| step(name))
}

/// Postgres cannot keep U+0000. It can only come in as an escape, so most bodies are not read twice.
fn refuse_nul(body: &[u8]) -> Result<(), Problem> {
    if !body.windows(6).any(|bytes| bytes == b"\\u0000") {
        return Ok(());
    }
    let value: Value =
        serde_json::from_slice(body).map_err(|error| problem::unreadable(error.to_string()))?;
    match nul(&value) {
        Some(pointer) => Err(problem::invalid(pointer, "must not hold the character U+0000".to_owned())),
        None => Ok(()),
    }
}

/// Where the first U+0000 is. As deep as the parser went, which is bounded.
fn nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(at, item)| nul(item).map(|rest| format!("/{at}{rest}")))
        }
        Value::Object(fields) => fields.iter().find_map(|(key, item)| {
            if key.contains('\0') {
                Some(String::new())
            } else {
                nul(item).map(|rest| format!("{}{rest}", step(key)))
            }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use herald_producers::NewMessage;

    use super::*;

    fn refusal(body: &str) -> (u64, String) {
        let problem = read::<NewMessage>(body.as_bytes()).unwrap_err();
        let value = serde_json::to_value(&problem).unwrap();
        let pointer = value["errors"][0]["pointer"].as_str().unwrap_or("none").to_owned();
        (value["status"].as_u64().unwrap(), pointer)
    }

    #[test]
    fn bad_bodies_name_their_field() {
        let whole = r#""recipient":"ann","message_type":"VIEW-NORMAL","message_text":"x""#;
        for (body, status, pointer) in [
            ("", 400, "none"),
            ("{", 400, "none"),
            ("nonsense", 400, "none"),
            ("{}", 422, "/recipient"),
            ("[]", 422, ""),
            ("7", 422, ""),
            (r#"{"recipient":7}"#, 422, "/recipient"),
            (&format!("{{{whole},\"colour\":1}}"), 422, "/colour"),
            (&format!("{{{whole},\"recipient\":\"bob\"}}"), 422, "/recipient"),
            (
                &format!("{{{whole},\"recipients\":[{{\"contact_reference\":1}}]}}"),
                422,
                "/recipients/0/contact_reference",
            ),
            (&format!("{{{whole},\"deliver_at\":\"tomorrow\"}}"), 422, "/deliver_at"),
            (&format!("{{{whole},\"lane\":\"fast\"}}"), 422, "/lane"),
            (&format!("{{{whole}}} trailing"), 400, "none"),
            (
                r#"{"recipient":"ann","message_type":"VIEW-NORMAL","message_text":"a\u0000b"}"#,
                422,
                "/message_text",
            ),
            (&format!("{{{whole},\"instance\":{{\"a\":[1,\"\\u0000\"]}}}}"), 422, "/instance/a/1"),
            (
                &format!("{{{whole},\"instance\":{{\"a\":{}1{}}}}}", "[".repeat(5_000), "]".repeat(5_000)),
                422,
                "/instance",
            ),
            (&format!("{{{whole},\"instance\":{{\"a\":1e999}}}}"), 422, "/instance/a"),
            (r#"{"recipient":"\ud800"}"#, 422, "/recipient"),
            (r#"{"recipient":"ann"#, 400, "none"),
        ] {
            assert_eq!(refusal(body), (status, pointer.to_owned()), "{}", &body[..body.len().min(150)]);
        }
        assert!(read::<NewMessage>(format!("{{{whole}}}").as_bytes()).is_ok());
    }
}
