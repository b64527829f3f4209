//! The API, where all is well.

use herald_producers::MessageId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::world::World;
use crate::support::eventually;

fn hello() -> Value {
    json!({"recipient": "ann", "message_type": "VIEW-NORMAL", "message_text": "Hello", "sender_instance": "7"})
}

#[tokio::test]
async fn c03_c31_a_program_sends_by_http_and_reads_it_back() {
    let world = World::start().await;
    world.user("ann").await;
    let token = world.token("report_task", None).await;
    let answer = world.api(Method::POST, "/messages", &token).json(&hello()).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let accepted: Value = answer.json().await.unwrap();
    assert_eq!(accepted["status"], "accepted");
    assert_eq!(location, format!("/api/v1/messages/{}", accepted["id"].as_str().unwrap()));
    let path = location.strip_prefix("/api/v1").unwrap();
    let read = async || -> Value {
        world.api(Method::GET, path, &token).send().await.unwrap().json().await.unwrap()
    };
    assert!(["accepted", "pending"].contains(&read().await["status"].as_str().unwrap()), "at once");
    eventually("it to arrive", async || read().await["status"] == "pending").await;
    let message = read().await;
    assert_eq!((&message["recipient"], &message["sender"]), (&json!("ann"), &json!("report_task")));
    assert_eq!(message["message_text"], "Hello");
}

#[tokio::test]
async fn files_are_sent_along() {
    let world = World::start().await;
    world.user("ann").await;
    let token = world.token("report_task", None).await;
    let mut body = hello();
    body["attachments"] = json!([{"name": "a.txt", "content": "eA=="}]);
    let answer = world.api(Method::POST, "/messages", &token).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let kept = sqlx::query_as("select name, content_type, content from herald.attachment");
    let kept: (String, String, Vec<u8>) = kept.fetch_one(&world.pool).await.unwrap();
    assert_eq!(kept, ("a.txt".into(), "text/plain".into(), b"x".to_vec()));
}

#[tokio::test]
async fn an_idempotency_key_makes_one_message() {
    let world = World::start().await;
    let user = world.user("ann").await;
    let token = world.token("report_task", None).await;
    let send = async |body: Value, key: &str| {
        let request = world.api(Method::POST, "/messages", &token).header("idempotency-key", key);
        request.json(&body).send().await.unwrap()
    };
    let first = send(hello(), "order-7").await;
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    assert!(!first.headers().contains_key("idempotency-replayed"));
    let first: Value = first.json().await.unwrap();
    let again = send(hello(), "order-7").await;
    assert_eq!(
        (again.status(), &again.headers()["idempotency-replayed"]),
        (StatusCode::ACCEPTED, &"true".parse().unwrap())
    );
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    let mut other = hello();
    other["message_text"] = json!("Something else");
    let refused = send(other, "order-7").await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["type"], "urn:herald:problem:key-taken");
    assert!(problem["detail"].as_str().unwrap().contains(first["id"].as_str().unwrap()));
    for key in ["", &"k".repeat(256)] {
        assert_eq!(send(hello(), key).await.status(), StatusCode::BAD_REQUEST, "{key}");
    }
    let racing = (0..20).map(|_| send(hello(), "race"));
    let ids: Vec<Value> =
        futures::future::join_all(futures::future::join_all(racing).await.into_iter().map(async |answer| {
            assert_eq!(answer.status(), StatusCode::ACCEPTED);
            answer.json::<Value>().await.unwrap()["id"].clone()
        }))
        .await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let counts = async || herald_jobs::store::inbox::counts(&world.pool, user).await.unwrap();
    eventually("both to arrive", async || counts().await.messages == 2).await;
}

#[tokio::test]
async fn a_token_reads_only_what_its_sender_sent() {
    let world = World::start().await;
    world.user("ann").await;
    let (own, other) = (world.token("report_task", None).await, world.token("workflow", None).await);
    let id: MessageId = world.send("ann", "VIEW-NORMAL", "Hello").await;
    for path in [format!("/messages/{id}"), format!("/messages/{id}/deliveries")] {
        assert_eq!(world.api(Method::GET, &path, &own).send().await.unwrap().status(), StatusCode::OK);
        assert_eq!(
            world.api(Method::GET, &path, &other).send().await.unwrap().status(),
            StatusCode::NOT_FOUND
        );
    }
    for id in ["x", "0190a0b0-0000-7000-8000-000000000000", "..", "%00"] {
        let path = format!("/messages/{id}");
        let status = world.api(Method::GET, &path, &own).send().await.unwrap().status();
        assert!(matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED), "{id}: {status}");
    }
}

#[tokio::test]
async fn c26_outside_people_get_copies() {
    let world = World::start().await;
    world.user("ann").await;
    let (token, other) = (world.token("report_task", None).await, world.token("workflow", None).await);
    let id = world.send("ann", "VIEW-NORMAL", "Hello").await;
    let path = format!("/messages/{id}/recipients");
    let add = async |token: &str, body: Value| {
        world.api(Method::POST, &path, token).json(&body).send().await.unwrap()
    };
    let contact = json!({"contact_reference": "carl@example.com", "email_mode": "Cc"});
    assert_eq!(add(&token, contact.clone()).await.status(), StatusCode::ACCEPTED);
    assert_eq!(add(&token, contact.clone()).await.status(), StatusCode::ACCEPTED, "twice is once");
    assert_eq!(add(&other, contact).await.status(), StatusCode::NOT_FOUND);
    for (body, pointer) in [
        (json!({"contact_reference": "nobody"}), "/contact_reference"),
        (json!({"contact_reference": "a@example.com", "email_mode": "Up"}), "/email_mode"),
        (json!({"contact": "a@example.com"}), "/contact"),
        (json!({}), "/contact_reference"),
    ] {
        let refused = add(&token, body).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    let path = format!("/messages/{id}/deliveries");
    let copies: Value = world.api(Method::GET, &path, &token).send().await.unwrap().json().await.unwrap();
    let copies = copies["deliveries"].as_array().unwrap();
    assert_eq!(copies.len(), 1);
    assert_eq!(
        (&copies[0]["channel"], &copies[0]["address"], &copies[0]["email_mode"]),
        (&json!("email"), &json!("carl@example.com"), &json!("cc"))
    );
}
