//! The API, where something is wrong: always a problem document that names what, never a 500.

use chrono::TimeDelta;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::world::World;

#[tokio::test]
async fn bad_input_is_named_and_never_our_fault() {
    let world = World::start().await;
    world.user("ann").await;
    world.message_type("OPEN", herald_jobs::message_type::RequiredAction::Action, Some("/open?id=")).await;
    let token = world.token("report_task", None).await;
    let good = json!({"recipient": "ann", "message_type": "VIEW-NORMAL", "message_text": "x", "sender_instance": "7"});
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body.to_string()
    };
    let without = |field: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        body.to_string()
    };
    let cases = [
        (String::new(), 400, ""),
        ("{".to_owned(), 400, ""),
        ("not json".to_owned(), 400, ""),
        (format!("{good}{good}"), 400, ""),
        ("\u{feff}{}".to_owned(), 400, ""),
        ("[]".to_owned(), 422, ""),
        ("null".to_owned(), 422, ""),
        (without("recipient"), 422, "/recipient"),
        (without("message_text"), 422, "/message_text"),
        (without("sender_instance"), 422, "/sender"),
        (with("recipient", json!(7)), 422, "/recipient"),
        (with("recipient", json!("nobody")), 422, "/recipient"),
        (with("recipient", json!("a b")), 422, "/recipient"),
        (with("recipient", json!("")), 422, "/recipient"),
        (with("message_type", json!("NONE")), 422, "/message_type"),
        (with("message_type", json!("a\u{0}")), 422, "/message_type"),
        (with("message_text", json!("")), 422, "/message_text"),
        (with("message_text", json!(["x"])), 422, "/message_text"),
        (with("message_text", json!("a\u{0}b")), 422, "/message_text"),
        (with("message_text", json!("x".repeat(100_001))), 422, "/message_text"),
        (with("subject", json!("a\nb")), 422, "/subject"),
        (with("subject", json!("x".repeat(501))), 422, "/subject"),
        (with("sender", json!("somebody_else")), 403, "/sender"),
        (with("sender_instance", json!("")), 422, "/sender_instance"),
        (with("colour", json!("red")), 422, "/colour"),
        (with("lane", json!("fast")), 422, "/lane"),
        (with("deliver_at", json!("tomorrow")), 422, "/deliver_at"),
        (with("deliver_at", json!(5)), 422, "/deliver_at"),
        (with("action_parameters", json!([1])), 422, "/action_parameters"),
        (with("action_parameters", json!({"a": 1})), 422, "/action_parameters"),
        (with("recipients", json!([{"contact_reference": "x"}])), 422, "/recipients/0/contact_reference"),
        (with("recipients", json!([{"contact_reference": "a@example.com", "x": 1}])), 422, "/recipients/0/x"),
        (with("attachments", json!([{"name": "a"}])), 422, "/attachments/0/content"),
        (with("attachments", json!([{"name": "a/b", "content": ""}])), 422, "/attachments/0/name"),
        (with("attachments", json!([{"name": "a", "path": "/etc/passwd"}])), 422, "/attachments/0/path"),
        (with("instance", json!({"a": ["\u{0}"]})), 422, "/instance/a/0"),
        (with("instance", json!([1])), 422, "/instance"),
        (
            json!({"recipient": "ann", "message_type": "OPEN", "message_text": "x", "sender_instance": "7",
                   "action_parameters": [1, [2]]})
            .to_string(),
            422,
            "/action_parameters/1",
        ),
        (format!(r#"{{"instance":{{"a":{}{}}}}}"#, "[".repeat(10_000), "]".repeat(10_000)), 422, "/instance"),
        (r#"{"message_text": 1e999}"#.to_owned(), 422, "/message_text"),
        (r#"{"message_text": "\ud800"}"#.to_owned(), 422, "/message_text"),
    ];
    for (body, status, pointer) in cases {
        let case = body.chars().take(120).collect::<String>();
        for key in [None, Some("key")] {
            let mut request = world.api(Method::POST, "/messages", &token);
            request = request.header("content-type", "application/json").body(body.clone());
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{case}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json", "{case}");
            let problem: Value = answer.json().await.unwrap();
            assert_eq!(problem["status"], status, "{case}");
            assert_eq!(
                problem["errors"][0]["pointer"].as_str().unwrap_or_default(),
                pointer,
                "{case}: {problem}"
            );
            assert!(!problem["detail"].as_str().unwrap_or_default().is_empty(), "{case}: {problem}");
        }
    }
    let sent: i64 = sqlx::query_scalar(
        "select (select count(*) from herald.outbox) + (select count(*) from herald.message)",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(sent, 0, "nothing was sent");
}

#[tokio::test]
async fn bodies_of_the_wrong_size_or_kind_are_refused() {
    let world = World::start().await;
    let token = world.token("report_task", None).await;
    let send = async |kind: &str, body: Vec<u8>| {
        let request = world.api(Method::POST, "/messages", &token).header("content-type", kind).body(body);
        request.send().await.unwrap().status()
    };
    assert_eq!(send("text/plain", b"{}".to_vec()).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(send("application/json", vec![b' '; 1024 * 1024 + 1]).await, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(send("application/json; charset=utf-8", b"\xff{}".to_vec()).await, StatusCode::BAD_REQUEST);
    let answer = world.api(Method::PATCH, "/messages", &token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn tokens_that_are_not_good_are_refused() {
    let world = World::start().await;
    let token = world.token("report_task", Some(TimeDelta::days(1))).await;
    assert!(token.starts_with("hrld_"), "{token}");
    let path = "/messages/0190a0b0-0000-7000-8000-000000000000";
    let status = async |token: &str| world.api(Method::GET, path, token).send().await.unwrap().status();
    assert_eq!(status(&token).await, StatusCode::NOT_FOUND);
    for bad in ["", "hrld_x", &token[..token.len() - 1], &token.to_uppercase()] {
        assert_eq!(status(bad).await, StatusCode::UNAUTHORIZED, "{bad}");
    }
    world.clock.advance(TimeDelta::hours(25));
    assert_eq!(status(&token).await, StatusCode::UNAUTHORIZED, "its time is over");
    let token = world.token("report_task", None).await;
    let prefix = token.rsplit_once('_').map_or("", |(prefix, _)| prefix);
    let prefix = if token.matches('_').count() == 2 { prefix } else { &token[..13] };
    let now = world.clock.now();
    assert!(herald_jobs::store::access::revoke_api_token(&world.pool, prefix, now, "test").await.unwrap());
    assert_eq!(status(&token).await, StatusCode::UNAUTHORIZED, "revoked");
}

#[tokio::test]
async fn an_outage_is_a_503_that_says_when_to_come_back() {
    let world = World::start().await;
    world.user("ann").await;
    let token = world.token("report_task", None).await;
    sqlx::query("alter schema herald rename to gone").execute(&world.pool).await.unwrap();
    let browser = world.browser();
    browser.get("/login").await;
    let page = browser.post("/login", &[("username", "ann"), ("password", "x")]).await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR, "a missing table is no outage");
    assert!(page.body.contains("<h1>Something went wrong</h1>") && !page.body.contains("herald.app_user"));
    world.pool.close().await;
    let answer = world.api(Method::POST, "/messages", &token).json(&json!({})).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "2");
    let page = browser.post("/login", &[("username", "ann"), ("password", "x")]).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.body.contains("Nothing was changed"), "{}", page.body);
}
