//! Models and templates by the API.

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

#[tokio::test]
async fn a_template_is_saved_previewed_and_sent_by_the_api() {
    let world = World::start().await;
    world.user("ann").await;
    sqlx::raw_sql("create table public.ticket (id int primary key, title text); insert into public.ticket values (7, 'Leak')")
        .execute(&world.pool)
        .await
        .unwrap();
    let (admin, plain) = (world.admin_token().await, world.token("ticket", None).await);
    let model = json!({"table": "public.ticket", "key": ["id"]});
    let (status, made) = call(&world, Method::PUT, "/models/ticket", &admin, model.clone()).await;
    assert_eq!((status, &made["table"]), (StatusCode::OK, &json!("\"public\".\"ticket\"")));
    let (_, shown) = call(&world, Method::GET, "/models/ticket", &admin, Value::Null).await;
    assert_eq!(shown["fields"][1], json!({"name": "title", "sql_type": "text"}));

    let template = json!({"model": "ticket", "message_text": "#title# (#id#)"});
    let (status, saved) = call(&world, Method::PUT, "/templates/TICKET", &admin, template.clone()).await;
    assert_eq!((status, &saved["version"]), (StatusCode::OK, &json!(1)));
    let (_, preview) =
        call(&world, Method::POST, "/templates/TICKET/preview", &admin, json!({"model_key": 7})).await;
    assert_eq!((&preview["message_text"], &preview["sms"]["count"]), (&json!("Leak (7)"), &json!(1)));
    let draft = json!({"model_key": "7", "template": {"model": "ticket", "message_text": "Draft: #title#"}});
    let (_, preview) = call(&world, Method::POST, "/templates/TICKET/preview", &admin, draft).await;
    assert_eq!(preview["message_text"], "Draft: Leak");

    let send = json!({"recipient": "ann", "message_type": "VIEW-NORMAL", "sender_instance": "7", "template": "TICKET", "model_key": 7});
    let (status, sent) = call(&world, Method::POST, "/messages", &plain, send).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{sent}");
    let path = format!("/messages/{}", sent["id"].as_str().unwrap());
    crate::support::eventually("the message to arrive", async || {
        let (_, read) = call(&world, Method::GET, &path, &plain, Value::Null).await;
        read["status"] == "pending" && read["message_text"] == "Leak (7)" && read["template_version"] == 1
    })
    .await;

    for (method, path, body, status, pointer) in [
        (Method::PUT, "/templates/TICKET", template.clone(), 409, "/version"),
        (Method::PUT, "/templates/ticket", template.clone(), 422, "/code"),
        (
            Method::PUT,
            "/templates/T2",
            json!({"model": "ticket", "message_text": "#nme#"}),
            422,
            "/message_text",
        ),
        (Method::PUT, "/templates/T2", json!({"code": "T3", "message_text": "x"}), 422, "/code"),
        (Method::PUT, "/templates/T2", json!({"message_text": "x", "colour": 1}), 422, "/colour"),
        (Method::PUT, "/templates/T2", json!({}), 422, "/message_text"),
        (Method::POST, "/templates/TICKET/preview", json!({}), 422, "/model_key"),
        (Method::POST, "/templates/TICKET/preview", json!({"model_key": 8}), 422, "/model_key"),
        (Method::POST, "/templates/NONE/preview", json!({"model_key": 8}), 404, ""),
        (Method::GET, "/templates/NONE", Value::Null, 404, ""),
        (
            Method::PUT,
            "/models/secret",
            json!({"table": "herald.session", "key": ["token_hash"]}),
            422,
            "/table",
        ),
        (Method::PUT, "/models/m", json!({"table": "public.ticket", "key": ["id"]}), 422, "/table"),
        (Method::DELETE, "/models/ticket", Value::Null, 422, "/name"),
        (Method::DELETE, "/models/none", Value::Null, 404, ""),
    ] {
        let case = format!("{method} {path} {body}");
        let (found, problem) = call(&world, method.clone(), path, &admin, body.clone()).await;
        assert_eq!(found.as_u16(), status, "{case}: {problem}");
        assert_eq!(
            problem["errors"][0]["pointer"].as_str().unwrap_or_default(),
            pointer,
            "{case}: {problem}"
        );
        let (found, problem) = call(&world, method, path, &plain, body).await;
        assert_eq!(found, StatusCode::FORBIDDEN, "{case}: {problem}");
    }
    let (_, all) = call(&world, Method::GET, "/templates", &admin, Value::Null).await;
    assert_eq!(all["templates"].as_array().unwrap().len(), 1);
    let (_, all) = call(&world, Method::GET, "/models", &admin, Value::Null).await;
    assert_eq!(all["models"][0]["name"], "ticket");
}
