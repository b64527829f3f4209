//! Reminder rules and periodic jobs, over HTTP.

use herald_jobs::message_template::MessageTemplate;
use herald_jobs::model::Model;
use herald_jobs::store;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::world::World;

async fn call(world: &World, method: Method, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
    let request = world.api(method, path, token);
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = request.send().await.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap_or(Value::Null))
}

/// A world with tasks that have owners.
async fn with_tasks() -> (World, String) {
    let world = World::start().await;
    world.user("ann").await;
    sqlx::raw_sql(
        "create table public.task (id int primary key, owner text, state text, since timestamptz);
         insert into public.task values (1, 'ann', 'open', now() - interval '9 days'), (2, 'ann', 'done', now() - interval '9 days'),
             (3, 'ann', 'open', now())",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let model = Model {
        name: "task".into(),
        table: "public.task".into(),
        key: vec!["id".into()],
        ..Model::default()
    };
    store::models::register(&world.pool, &model, "test").await.unwrap();
    let template = MessageTemplate {
        code: "TASK".into(),
        model: Some("task".into()),
        message_text: "Task #id# waits.".into(),
        ..MessageTemplate::default()
    };
    store::message_templates::put(&world.pool, &[template], "test").await.unwrap();
    let token = world.admin_token().await;
    (world, token)
}

fn rule() -> Value {
    json!({"model": "task", "initial": "since", "status": "state", "unchanged": ["open"], "interval": "1 week",
        "recipient": "owner", "message_type": "VIEW-NORMAL", "template": "TASK", "from": "all"})
}

#[tokio::test]
async fn c34_rules_are_maintained_tried_and_run_by_the_api() {
    let (world, admin) = with_tasks().await;
    let (status, made) = call(&world, Method::PUT, "/reminder-rules/TASKS", &admin, rule()).await;
    assert_eq!(
        (status, &made["interval"], &made["cap"]),
        (StatusCode::CREATED, &json!("P7D"), &json!(1000)),
        "{made}"
    );
    let (status, again) = call(&world, Method::PUT, "/reminder-rules/TASKS", &admin, made.clone()).await;
    assert_eq!((status, again), (StatusCode::OK, made.clone()));
    let (_, shown) = call(&world, Method::GET, "/reminder-rules/TASKS", &admin, Value::Null).await;
    assert_eq!(shown, made);
    let (_, checked) = call(&world, Method::POST, "/reminder-rules/TASKS/check", &admin, Value::Null).await;
    assert_eq!((&checked["overdue"], &checked["more"]), (&json!(1), &json!(false)), "{checked}");
    let (_, dry) =
        call(&world, Method::POST, "/reminder-rules/TASKS/dry-run", &admin, json!({"texts": 1})).await;
    assert_eq!(dry["reminders"][0]["record"], json!(["1"]), "{dry}");
    assert_eq!(dry["reminders"][0]["texts"]["message_text"], "Task 1 waits.");
    assert_eq!(dry["misses"].as_array().unwrap().len(), 2);
    let trial = json!({"rule": rule(), "at": "2100-01-01T00:00:00Z", "record": ["3"]});
    let (_, dry) = call(&world, Method::POST, "/reminder-rules/OTHER/dry-run", &admin, trial).await;
    assert_eq!(dry["reminders"].as_array().unwrap().len(), 1, "{dry}");

    let (_, ran) = call(&world, Method::POST, "/reminder-rules/TASKS/run", &admin, Value::Null).await;
    assert_eq!(ran, json!({"sent": 1, "result": "sent 1"}));
    let (_, history) = call(&world, Method::GET, "/reminder-rules/TASKS/history", &admin, Value::Null).await;
    let id = history["items"][0]["message_id"].as_str().unwrap().parse().unwrap();
    eventually("the reminder", async || world.status(herald_jobs::id::MessageId(id)).await == "pending")
        .await;
    let disable = call(&world, Method::POST, "/reminder-rules/TASKS/disable", &admin, Value::Null).await.0;
    assert_eq!(disable, StatusCode::NO_CONTENT);
    let (_, list) = call(&world, Method::GET, "/reminder-rules", &admin, Value::Null).await;
    let standing = &list["items"][0];
    assert_eq!(
        (&standing["rule"]["enabled"], &standing["last_result"]),
        (&json!(false), &json!("sent 1")),
        "{list}"
    );
    let enable = json!({"catch_up": true});
    assert_eq!(
        call(&world, Method::POST, "/reminder-rules/TASKS/enable", &admin, enable).await.0,
        StatusCode::NO_CONTENT
    );

    let with = |field: &str, value: Value| {
        let mut rule = rule();
        rule[field] = value;
        rule
    };
    for (method, path, body, status, pointer) in [
        (Method::PUT, "/reminder-rules/tasks", rule(), 422, "/code"),
        (Method::PUT, "/reminder-rules/X", json!({}), 422, "/model"),
        (Method::PUT, "/reminder-rules/X", with("interval", json!("3 moons")), 422, "/interval"),
        (Method::PUT, "/reminder-rules/X", with("zone", json!("Mars/Base")), 422, "/zone"),
        (Method::PUT, "/reminder-rules/X", with("status", json!("secret")), 422, "/status"),
        (Method::PUT, "/reminder-rules/X", with("where", json!("1 = 1")), 422, "/where"),
        (
            Method::PUT,
            "/reminder-rules/X",
            with("where", json!({"path": "id", "op": "like", "value": 1})),
            422,
            "/where",
        ),
        (
            Method::PUT,
            "/reminder-rules/X",
            with("where", json!({"path": "id", "op": "=", "value": "x"})),
            422,
            "/where/value",
        ),
        (
            Method::PUT,
            "/reminder-rules/X",
            with("contacts", json!([{"path": "nobody"}])),
            422,
            "/contacts/0/path",
        ),
        (Method::PUT, "/reminder-rules/X", with("unchanged", json!(["a\u{0}"])), 422, "/unchanged/0"),
        (Method::PUT, "/reminder-rules/X", with("sql", json!("select 1")), 422, "/sql"),
        (
            Method::POST,
            "/reminder-rules/X/dry-run",
            json!({"rule": with("model", json!("none"))}),
            422,
            "/rule/model",
        ),
        (Method::POST, "/reminder-rules/TASKS/dry-run", json!({"texts": 101}), 422, "/texts"),
        (Method::POST, "/reminder-rules/TASKS/dry-run", json!({"at": "soon"}), 422, "/at"),
        (Method::POST, "/reminder-rules/NONE/run", Value::Null, 404, ""),
        (Method::POST, "/reminder-rules/NONE/enable", json!({}), 404, ""),
        (Method::GET, "/reminder-rules/%00", Value::Null, 404, ""),
        (Method::GET, "/reminder-rules/NONE/history", Value::Null, 404, ""),
        (Method::GET, "/reminder-rules/TASKS/history?limit=0", Value::Null, 400, ""),
        (Method::DELETE, "/reminder-rules/NONE", Value::Null, 404, ""),
    ] {
        let case = format!("{method} {path} {body}");
        let (found, problem) = call(&world, method, path, &admin, body).await;
        assert_eq!(found.as_u16(), status, "{case}: {problem}");
        let said = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert_eq!(said, pointer, "{case}: {problem}");
    }
    let stale =
        world.api(Method::PUT, "/reminder-rules/TASKS", &admin).json(&rule()).header("if-match", "\"old\"");
    assert_eq!(stale.send().await.unwrap().status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(
        call(&world, Method::DELETE, "/reminder-rules/TASKS", &admin, Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
}

#[tokio::test]
async fn c24_periodic_jobs_are_shown_and_run_by_the_api() {
    let (world, admin) = with_tasks().await;
    call(&world, Method::PUT, "/reminder-rules/TASKS", &admin, rule()).await;
    let (status, asked) = call(&world, Method::POST, "/periodic/reminders/run", &admin, Value::Null).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{asked}");
    let last = async || {
        let (_, jobs) = call(&world, Method::GET, "/periodic", &admin, Value::Null).await;
        jobs["items"].as_array().unwrap().iter().find(|job| job["name"] == "reminders").unwrap()["last"]
            .clone()
    };
    eventually("the run", async || last().await["finished_at"].is_string()).await;
    let last = last().await;
    assert_eq!(
        (&last["result"], &last["succeeded"]),
        (&json!("sent 1 reminders by 1 rules"), &json!(true)),
        "{last}"
    );
    assert_eq!(last["slot"], asked["slot"]);
    let none = call(&world, Method::POST, "/periodic/nothing/run", &admin, Value::Null).await.0;
    assert_eq!(none, StatusCode::NOT_FOUND);
}
