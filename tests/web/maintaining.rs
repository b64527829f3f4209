//! Message types, choice sets and users, maintained by the API.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::world::World;

async fn call(world: &World, method: Method, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
    let request = world.api(method, path, token);
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap_or(Value::Null))
}

/// Each request with the status and the pointer of its answer.
async fn refused(world: &World, token: &str, cases: Vec<(Method, &str, Value, u16, &str)>) {
    for (method, path, body, status, pointer) in cases {
        let case = format!("{method} {path} {body}");
        let (found, problem) = call(world, method, path, token, body).await;
        assert_eq!(found.as_u16(), status, "{case}: {problem}");
        assert_eq!(
            problem["errors"][0]["pointer"].as_str().unwrap_or_default(),
            pointer,
            "{case}: {problem}"
        );
    }
}

#[tokio::test]
async fn c04_message_types_are_maintained_by_the_api() {
    let world = World::start().await;
    world.user("ann").await;
    let (admin, plain) = (world.admin_token().await, world.token("erp", None).await);
    assert_eq!(
        call(&world, Method::GET, "/message-types", &plain, Value::Null).await.0,
        StatusCode::FORBIDDEN
    );
    let kind = json!({"description": "To approve", "delivery_method": "alert", "required_action": "action",
                      "action_url": "/po?id=", "external_delivery": "both", "lane": "alert", "fallback_text": "Look."});
    let (status, made) = call(&world, Method::PUT, "/message-types/PO-AUTH", &admin, kind.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    for (field, value) in kind.as_object().unwrap() {
        assert_eq!(&made[field], value, "{field}");
    }
    assert_eq!(
        (&made["code"], &made["complete_on"], &made["standard"]),
        (&json!("PO-AUTH"), &json!("click"), &json!(false))
    );
    // What was read can be put back as it is.
    let (status, again) = call(&world, Method::PUT, "/message-types/PO-AUTH", &admin, made.clone()).await;
    assert_eq!((status, &again), (StatusCode::OK, &made));
    let send = json!({"recipient": "ann", "message_type": "PO-AUTH", "message_text": "x", "sender_instance": "7",
                      "action_parameters": [7]});
    assert_eq!(call(&world, Method::POST, "/messages", &plain, send).await.0, StatusCode::ACCEPTED);

    let (_, first) = call(&world, Method::GET, "/message-types?limit=3", &admin, Value::Null).await;
    let codes = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(codes(&first), ["ALERT-BOTH", "ALERT-EMAIL", "ALERT-SMS"]);
    let next = first["next"].as_str().unwrap().strip_prefix("/api/v1").unwrap();
    let (_, second) = call(&world, Method::GET, next, &admin, Value::Null).await;
    assert_eq!(codes(&second), ["ALERT-VIEW", "ALERT-YESNO", "PO-AUTH"]);

    let view = |more: Value| {
        let mut kind = json!({"description": "A note"});
        kind.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        kind
    };
    refused(
        &world,
        &admin,
        vec![
            (Method::PUT, "/message-types/NOTE", json!({}), 422, "/description"),
            (Method::PUT, "/message-types/note", view(json!({})), 422, "/code"),
            (Method::PUT, "/message-types/NOTE", view(json!({"code": "OTHER"})), 422, "/code"),
            (Method::PUT, "/message-types/NOTE", view(json!({"expiry_days": 0})), 422, "/expiry_days"),
            (Method::PUT, "/message-types/NOTE", view(json!({"expiry_days": "ten"})), 422, "/expiry_days"),
            (
                Method::PUT,
                "/message-types/NOTE",
                view(json!({"required_action": "reply", "expiry_days": 9})),
                422,
                "/expiry_days",
            ),
            (
                Method::PUT,
                "/message-types/NOTE",
                view(json!({"choice_set": "YESNO-CHOICES"})),
                422,
                "/choice_set",
            ),
            (
                Method::PUT,
                "/message-types/NOTE",
                view(json!({"required_action": "reply", "choice_set": "NONE"})),
                422,
                "/choice_set",
            ),
            (
                Method::PUT,
                "/message-types/NOTE",
                view(json!({"required_action": "action"})),
                422,
                "/action_url",
            ),
            (Method::PUT, "/message-types/NOTE", view(json!({"action_url": "/x"})), 422, "/action_url"),
            (Method::PUT, "/message-types/NOTE", view(json!({"lane": "fast"})), 422, "/lane"),
            (Method::PUT, "/message-types/NOTE", view(json!({"colour": 1})), 422, "/colour"),
            (
                Method::PUT,
                "/message-types/NOTE",
                view(json!({"fallback_text": "a\u{0}b"})),
                422,
                "/fallback_text",
            ),
            (Method::GET, "/message-types/NOTE", Value::Null, 404, ""),
            (Method::GET, "/message-types/%00", Value::Null, 404, ""),
            (Method::GET, "/message-types?limit=0", Value::Null, 400, ""),
            (Method::GET, "/message-types?from=x", Value::Null, 400, ""),
            (Method::DELETE, "/message-types/NOTE", Value::Null, 404, ""),
            (Method::DELETE, "/message-types/VIEW-NORMAL", Value::Null, 409, ""),
        ],
    )
    .await;
    // A standard type is adjusted, and stays one.
    let (_, mut standard) =
        call(&world, Method::GET, "/message-types/VIEW-NORMAL", &admin, Value::Null).await;
    standard["expiry_days"] = json!(30);
    let (status, adjusted) = call(&world, Method::PUT, "/message-types/VIEW-NORMAL", &admin, standard).await;
    assert_eq!(
        (status, &adjusted["expiry_days"], &adjusted["standard"]),
        (StatusCode::OK, &json!(30), &json!(true))
    );

    let delete = || call(&world, Method::DELETE, "/message-types/PO-AUTH", &admin, Value::Null);
    crate::support::eventually("no send to need the type", async || {
        delete().await.0 == StatusCode::NO_CONTENT
    })
    .await;
    assert_eq!(delete().await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn c04_nobody_undoes_anothers_change_unknowingly() {
    let world = World::start().await;
    let admin = world.admin_token().await;
    let kind = json!({"description": "A note"});
    let put = async |header: &str, value: &str| {
        let request = world.api(Method::PUT, "/message-types/NOTE", &admin).json(&kind);
        request.header(header, value).send().await.unwrap()
    };
    assert_eq!(put("if-match", "*").await.status(), StatusCode::PRECONDITION_FAILED);
    let made = put("if-none-match", "*").await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let etag = made.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(put("if-none-match", "*").await.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(put("if-none-match", &etag).await.status(), StatusCode::BAD_REQUEST);
    let read = async |tag: &str| {
        let request = world.api(Method::GET, "/message-types/NOTE", &admin).header("if-none-match", tag);
        request.send().await.unwrap()
    };
    assert_eq!(read(&etag).await.status(), StatusCode::NOT_MODIFIED);
    let other = json!({"description": "Another note"});
    let changed =
        world.api(Method::PUT, "/message-types/NOTE", &admin).json(&other).header("if-match", &etag);
    assert_eq!(changed.send().await.unwrap().status(), StatusCode::OK);
    let again = read(&etag).await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(put("if-match", &etag).await.status(), StatusCode::PRECONDITION_FAILED);
    let now = again.headers()["etag"].to_str().unwrap();
    let delete = async |tag: &str| {
        let request = world.api(Method::DELETE, "/message-types/NOTE", &admin).header("if-match", tag);
        request.send().await.unwrap().status()
    };
    assert_eq!(delete(&etag).await, StatusCode::PRECONDITION_FAILED);
    assert_eq!(delete(now).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn c06_choice_sets_are_maintained_by_the_api() {
    let world = World::start().await;
    let ann = world.logged_in("ann").await;
    let admin = world.admin_token().await;
    let set = json!({"choices": [{"value": "S", "label": "Small"}, {"value": "L"}]});
    let (status, made) = call(&world, Method::PUT, "/choices/SIZE", &admin, set.clone()).await;
    assert_eq!((status, &made["choices"][1]), (StatusCode::CREATED, &json!({"value": "L", "label": "L"})));
    assert_eq!(call(&world, Method::GET, "/choices/SIZE", &admin, Value::Null).await.1, made);
    let kind = json!({"description": "Which size?", "required_action": "reply", "choice_set": "SIZE"});
    assert_eq!(call(&world, Method::PUT, "/message-types/ASK", &admin, kind).await.0, StatusCode::CREATED);
    world.send("ann", "ASK", "Which?").await;
    let page = ann.get("/messages").await.body;
    assert!(page.contains("Small"), "the recipient chooses from the set");

    refused(
        &world,
        &admin,
        vec![
            (Method::PUT, "/choices/size", set.clone(), 422, "/code"),
            (Method::PUT, "/choices/S2", json!({}), 422, "/choices"),
            (Method::PUT, "/choices/S2", json!({"choices": [{"label": "x"}]}), 422, "/choices/0/value"),
            (
                Method::PUT,
                "/choices/S2",
                json!({"choices": [{"value": "x"}, {"value": "x"}]}),
                422,
                "/choices/1/value",
            ),
            (Method::PUT, "/choices/S2", json!({"choices": ["x"]}), 422, "/choices/0"),
            (Method::DELETE, "/choices/SIZE", Value::Null, 409, ""),
            (Method::DELETE, "/choices/YESNO-CHOICES", Value::Null, 409, ""),
            (Method::DELETE, "/choices/NONE", Value::Null, 404, ""),
        ],
    )
    .await;
    // The message that waits needs the set, when its type is gone too.
    assert_eq!(
        call(&world, Method::DELETE, "/message-types/ASK", &admin, Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    let (status, problem) = call(&world, Method::DELETE, "/choices/SIZE", &admin, Value::Null).await;
    assert_eq!((status, &problem["detail"]), (StatusCode::CONFLICT, &json!("a pending message needs SIZE")));
}

#[tokio::test]
async fn users_are_maintained_by_the_api() {
    let world = World::start().await;
    let (admin, plain) = (world.admin_token().await, world.token("erp", None).await);
    let zoe = json!({"display_name": "Zoe Z.", "email": "zoe@example.com", "mobile": "+49 170 1234567", "roles": ["operator"]});
    let (status, made) = call(&world, Method::PUT, "/users/Zoe", &admin, zoe).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(
        (&made["username"], &made["mobile"], &made["active"]),
        (&json!("zoe"), &json!("+491701234567"), &json!(true))
    );
    let send = async || {
        let body = json!({"recipient": "zoe", "message_type": "VIEW-NORMAL", "message_text": "x", "sender_instance": "7"});
        call(&world, Method::POST, "/messages", &plain, body).await
    };
    assert_eq!(send().await.0, StatusCode::ACCEPTED);
    assert_eq!(
        call(&world, Method::DELETE, "/users/zoe", &admin, Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    let (_, gone) = call(&world, Method::GET, "/users/zoe", &admin, Value::Null).await;
    assert_eq!(gone["active"], json!(false), "users are never deleted");
    assert_eq!(send().await.0, StatusCode::UNPROCESSABLE_ENTITY);
    refused(
        &world,
        &admin,
        vec![
            (Method::PUT, "/users/a%20b", json!({}), 422, "/username"),
            (Method::PUT, "/users/zoe", json!({"username": "ann"}), 422, "/username"),
            (Method::PUT, "/users/zoe", json!({"email": "zoe"}), 422, "/email"),
            (Method::PUT, "/users/zoe", json!({"mobile": "zoe@example.com"}), 422, "/mobile"),
            (Method::PUT, "/users/zoe", json!({"time_zone": "Nowhere/Town"}), 422, "/time_zone"),
            (Method::PUT, "/users/zoe", json!({"locale": "?"}), 422, "/locale"),
            (Method::PUT, "/users/zoe", json!({"roles": ["Root"]}), 422, "/roles/0"),
            (Method::PUT, "/users/zoe", json!({"password": "x"}), 422, "/password"),
            (Method::GET, "/users/nobody", Value::Null, 404, ""),
            (Method::DELETE, "/users/nobody", Value::Null, 404, ""),
        ],
    )
    .await;
    assert_eq!(call(&world, Method::GET, "/users", &plain, Value::Null).await.0, StatusCode::FORBIDDEN);
}
