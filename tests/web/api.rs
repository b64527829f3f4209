//! The API, where all is well.

use herald_producers::MessageId;
use herald_web::access::NewToken;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::world::World;

fn hello() -> Value {
    json!({"recipient": "ann", "message_type": "VIEW-NORMAL", "message_text": "Hello", "sender_instance": "7"})
}

#[tokio::test]
async fn c03f_c31_a_program_sends_by_http_and_reads_it_back() {
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
    let racing = (0..20).map(async |_| {
        loop {
            let answer = send(hello(), "race").await;
            // Another send with the key is under way, and takes its time.
            if !matches!(answer.status(), StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE) {
                return answer;
            }
        }
    });
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

/// What a batch is answered: a line for each of its lines.
async fn batch(world: &World, token: &str, key: Option<&str>, body: String) -> Vec<Value> {
    let request =
        world.api(Method::POST, "/messages:batch", token).header("content-type", "application/x-ndjson");
    let request = key.map_or(request.try_clone().unwrap(), |key| request.header("idempotency-key", key));
    let answer = request.body(body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    answer.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_batch_is_answered_line_by_line() {
    let world = World::start().await;
    let user = world.user("ann").await;
    let token = world.token("report_task", None).await;
    let long =
        json!({"recipient": "ann", "message_type": "VIEW-NORMAL", "message_text": "x".repeat(1_100_000)});
    let mut other = hello();
    other["recipient"] = json!("nobody");
    let body = format!("{}\n\n{other}\r\n{{\n{long}\n{}", hello(), hello());
    let answers = batch(&world, &token, None, body).await;
    let told: Vec<(u64, &str, u64, &str)> = answers
        .iter()
        .map(|answer| {
            let problem = &answer["problem"];
            let pointer = problem["errors"][0]["pointer"].as_str().unwrap_or("");
            (
                answer["line"].as_u64().unwrap(),
                answer["status"].as_str().unwrap_or(""),
                problem["status"].as_u64().unwrap_or(0),
                pointer,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, "accepted", 0, ""),
            (3, "", 422, "/recipient"),
            (4, "", 400, ""),
            (5, "", 413, ""),
            (6, "accepted", 0, "")
        ]
    );
    let count = async || herald_jobs::store::inbox::counts(&world.pool, user).await.unwrap().messages;
    eventually("both to arrive", async || count().await == 2).await;

    let lines = format!("{}\n{}\n", hello(), hello());
    let first = batch(&world, &token, Some("night"), lines.clone()).await;
    let again = batch(&world, &token, Some("night"), format!("{lines}{}", hello())).await;
    assert_eq!((&again[0]["id"], &again[0]["replayed"]), (&first[0]["id"], &json!(true)));
    assert_eq!((&again[1]["id"], &again[1]["replayed"]), (&first[1]["id"], &json!(true)));
    assert_ne!(first[0]["id"], first[1]["id"]);
    assert!(again[2].get("replayed").is_none(), "only what was missing is sent: {again:?}");
    eventually("all to arrive", async || count().await == 5).await;
}

#[tokio::test]
async fn a_batch_is_answered_while_it_comes_in_and_may_be_long() {
    let world = World::start().await;
    let user = world.user("ann").await;
    let token = world.token("report_task", None).await;
    let (lines, body) = tokio::sync::mpsc::channel::<Result<String, std::io::Error>>(1);
    let request =
        world.api(Method::POST, "/messages:batch", &token).header("content-type", "application/x-ndjson");
    lines.send(Ok(format!("{}\n", hello()))).await.unwrap();
    let stream = futures::stream::unfold(body, async |mut body| body.recv().await.map(|line| (line, body)));
    let mut answer = request.body(reqwest::Body::wrap_stream(stream)).send().await.unwrap();
    let first = answer.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"{\"line\":1,\"id\""), "{first:?}");
    let many = 2_000;
    let more = tokio::spawn(async move {
        for _ in 1..many {
            lines.send(Ok(format!("{}\n", hello()))).await.unwrap();
        }
    });
    let mut rest = 0;
    while let Some(chunk) = answer.chunk().await.unwrap() {
        rest += chunk.iter().filter(|&&byte| byte == b'\n').count();
    }
    more.await.unwrap();
    assert_eq!(rest + 1, many);
    let count = async || herald_jobs::store::inbox::counts(&world.pool, user).await.unwrap().messages;
    eventually("all to arrive", async || count().await == i64::try_from(many).unwrap()).await;
}

#[tokio::test]
async fn a_message_is_cancelled_by_its_sender() {
    let world = World::start().await;
    let ann = world.logged_in("ann").await;
    let (token, other) = (world.token("report_task", None).await, world.token("order", None).await);
    let id = world.send("ann", "VIEW-NORMAL", "Not any more").await;
    assert!(ann.get("/messages").await.body.contains("Not any more"));
    let path = format!("/messages/{id}/cancel");
    let cancel = async |token: &str| world.api(Method::POST, &path, token).send().await.unwrap();
    assert_eq!(cancel(&other).await.status(), StatusCode::NOT_FOUND);
    for _ in 0..2 {
        let answer = cancel(&token).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({"id": id, "status": "cancelled"}));
    }
    assert!(!ann.get("/messages").await.body.contains("Not any more"));
    let read = world.api(Method::GET, &format!("/messages/{id}"), &token).send().await.unwrap();
    let etag = read.headers()["etag"].clone();
    assert_eq!(read.json::<Value>().await.unwrap()["status"], "cancelled");
    let again = world.api(Method::GET, &format!("/messages/{id}"), &token).header("if-none-match", etag);
    assert_eq!(again.send().await.unwrap().status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn a_token_sends_what_it_may_and_no_more() {
    let world = World::start().await;
    world.user("ann").await;
    let token = NewToken {
        sender: "report_task".to_owned(),
        senders: vec!["order".to_owned()],
        message_types: Some(vec!["VIEW-NORMAL".to_owned()]),
        rate: Some(3),
        ..NewToken::default()
    };
    let token = world.token_of(token).await;
    let send = async |field: &str, value: &str| {
        let mut body = hello();
        body[field] = json!(value);
        let answer = world.api(Method::POST, "/messages", &token).json(&body).send().await.unwrap();
        let (status, wait) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
        let answer: Value = answer.json().await.unwrap();
        (status, wait, answer["errors"][0]["pointer"].as_str().unwrap_or_default().to_owned(), answer)
    };
    let (status, _, pointer, _) = send("message_type", "ALERT-VIEW").await;
    assert_eq!((status, pointer.as_str()), (403, "/message_type"));
    let (status, _, pointer, _) = send("sender", "payroll").await;
    assert_eq!((status, pointer.as_str()), (403, "/sender"));
    let (status, _, _, sent) = send("sender", "order").await;
    assert_eq!(status, 202);
    let read = world.api(Method::GET, &format!("/messages/{}", sent["id"].as_str().unwrap()), &token);
    let read: Value = read.send().await.unwrap().json().await.unwrap();
    assert_eq!(read["sender"], "order");
    assert!(read["sent_by"].as_str().unwrap().starts_with("token hrld_"), "{read}");
    assert_eq!(send("message_text", "two").await.0, 202);
    assert_eq!(send("message_text", "three").await.0, 202);
    let (status, waits, _, _) = send("message_text", "four").await;
    assert_eq!((status, waits), (429, true));
}

#[tokio::test]
async fn what_is_sent_again_or_refused_is_not_counted() {
    let world = World::start().await;
    world.user("ann").await;
    let token = NewToken { sender: "report_task".to_owned(), rate: Some(2), ..NewToken::default() };
    let token = world.token_of(token).await;
    let mut stranger = hello();
    stranger["recipient"] = json!("nobody");
    for key in [None, Some("refused")] {
        for _ in 0..3 {
            let refused = batch(&world, &token, key, stranger.to_string()).await;
            assert_eq!(refused[0]["problem"]["status"], 422, "{refused:?}");
        }
    }
    let lines = format!("{}\n", hello()).repeat(2);
    let first = batch(&world, &token, Some("night"), lines.clone()).await;
    assert!(first.iter().all(|it| it["status"] == "accepted"), "{first:?}");
    // Nothing is left, and what was sent before is answered nevertheless.
    let again = batch(&world, &token, Some("night"), format!("{lines}{}", hello())).await;
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((&again["id"], &again["replayed"]), (&first["id"], &json!(true)));
    }
    assert_eq!(again[2]["problem"]["status"], 429, "{again:?}");
}

#[tokio::test]
async fn a_token_for_some_types_reaches_no_others_and_copies_are_counted() {
    let world = World::start().await;
    world.user("ann").await;
    let token = NewToken {
        sender: "report_task".to_owned(),
        message_types: Some(vec!["VIEW-NORMAL".to_owned()]),
        rate: Some(2),
        ..NewToken::default()
    };
    let token = world.token_of(token).await;
    let own = world.send("ann", "VIEW-NORMAL", "Hello").await;
    let other = world.send("ann", "ALERT-VIEW", "Secret").await;
    let contact = |name: &str| json!({"contact_reference": format!("{name}@example.com")});
    let add = async |id: MessageId, body: Value| {
        let request = world.api(Method::POST, &format!("/messages/{id}/recipients"), &token);
        request.json(&body).send().await.unwrap()
    };
    for path in [format!("/messages/{other}"), format!("/messages/{other}/deliveries")] {
        let read = world.api(Method::GET, &path, &token).send().await.unwrap();
        assert_eq!(read.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let cancelled =
        world.api(Method::POST, &format!("/messages/{other}/cancel"), &token).send().await.unwrap();
    assert_eq!(cancelled.status(), StatusCode::NOT_FOUND);
    assert_eq!(add(other, contact("a")).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(world.status(other).await, "pending");

    // Refused ones are not counted.
    for _ in 0..3 {
        let refused = add(own, json!({"contact_reference": "nobody"})).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(add(own, contact("a")).await.status(), StatusCode::ACCEPTED);
    assert_eq!(add(own, contact("b")).await.status(), StatusCode::ACCEPTED);
    let third = add(own, contact("c")).await;
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(third.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn the_description_tells_of_every_request_that_can_be_made() {
    let world = World::start().await;
    let token = world.admin_token().await;
    let described: Value = crate::support::world::http()
        .get(format!("{}/api/v1/openapi.json", world.url))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(described["openapi"], "3.1.0");
    let mut many = 0;
    for (access, path) in herald_web::paths() {
        if !matches!(
            access,
            herald_web::Access::Token | herald_web::Access::Admin | herald_web::Access::Signed
        ) {
            continue;
        }
        for method in [Method::GET, Method::PUT, Method::POST, Method::DELETE] {
            let address = path
                .strip_prefix("/api/v1")
                .unwrap()
                .replace("{id}", "x")
                .replace("{code}", "x")
                .replace("{name}", "x");
            let answer = world.api(method.clone(), &address, &token).send().await.unwrap();
            let takes = answer.status() != StatusCode::METHOD_NOT_ALLOWED;
            let told = described["paths"][path].get(method.as_str().to_lowercase()).is_some();
            assert_eq!(told, takes, "{method} {path}");
            many += usize::from(takes);
        }
    }
    let all = described["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len());
    assert_eq!(all.sum::<usize>(), many, "it tells of nothing else");
    let page = world.browser().get("/api").await;
    assert!(page.body.contains("/assets/api.") && page.status == StatusCode::OK, "{}", page.body);
}
