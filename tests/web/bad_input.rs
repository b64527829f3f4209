//! Bad input is told in the same sentence at every entry: Rust, SQL, HTTP and the command line.

use herald_jobs::message_type::RequiredAction;
use herald_jobs::store;
use herald_producers::{NewMessage, SendError};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::support::world::World;

/// What is changed of a good message, the field that is to be named, and the sentence.
fn cases() -> Vec<(Value, &'static str, &'static str)> {
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let action = |parameters: Value| json!({"message_type": "OPEN", "action_parameters": parameters});
    let copy = |copy: Value| json!({"recipients": [copy]});
    let one_line = "must be 1 to 200 characters, none of them a control character";
    vec![
        (json!({"recipient": "nobody"}), "recipient", "there is no active user of this name"),
        (json!({"recipient": "gone"}), "recipient", "there is no active user of this name"),
        (json!({"recipient": ""}), "recipient", "must not be empty"),
        (
            json!({"recipient": "a b"}),
            "recipient",
            "must not hold white space, control characters or a slash",
        ),
        (json!({"recipient": "x".repeat(101)}), "recipient", "must be at most 100 characters"),
        (json!({"message_type": "NONE"}), "message_type", "there is no message type \"NONE\""),
        (json!({"message_text": ""}), "message_text", "must not be empty"),
        (json!({"message_text": " \n"}), "message_text", "must not be empty"),
        (json!({"message_text": "x".repeat(100_001)}), "message_text", "is longer than 100000 characters"),
        (
            json!({"external_message": "x".repeat(100_001)}),
            "external_message",
            "is longer than 100000 characters",
        ),
        (json!({"subject": "a\nb"}), "subject", "must be one line of at most 500 characters"),
        (json!({"sender_instance": ""}), "sender_instance", one_line),
        (json!({"sender_instance": "a\nb"}), "sender_instance", one_line),
        (
            json!({"sender_instance": null}),
            "sender",
            "there is no user of this name; name a model together with sender_instance",
        ),
        (json!({"syntax": "jinja"}), "syntax", "must be one of token, handlebars"),
        (json!({"lane": "fast"}), "lane", "must be one of alert, normal, bulk"),
        (
            json!({"template": "NONE", "message_text": null, "instance": {}}),
            "template",
            "there is no template \"NONE\"",
        ),
        (
            json!({"template": "NONE", "message_text": null}),
            "model_key",
            "this or an instance is needed with a template",
        ),
        (
            json!({"template": "NONE", "instance": {}}),
            "message_text",
            "comes from the template: leave it out",
        ),
        (json!({"model_key": 1}), "model_key", "is only of use with a template"),
        (json!({"action_parameters": [1]}), "action_parameters", "VIEW-NORMAL is not an action type"),
        (json!({"action_parameters": {"a": 1}}), "action_parameters", "must be a list"),
        (action(json!([1, [2]])), "action_parameters/1", "must be a number, a string or a boolean"),
        (action(json!([{"a": 1}])), "action_parameters/0", "must be a number, a string or a boolean"),
        (action(json!([null])), "action_parameters/0", "must be a number, a string or a boolean"),
        (
            action(json!([1, true, "x".repeat(2_001)])),
            "action_parameters/2",
            "is longer than 2000 characters",
        ),
        (action(json!(vec![1; 51])), "action_parameters", "has more than 50 values"),
        (json!({"instance": [1]}), "instance", "must be an object"),
        (json!({"instance": {"a": deep}}), "instance", "is nested more than 100 deep"),
        (json!({"recipients": {}}), "recipients", "must be a list"),
        (json!({"recipients": ["a@example.com"]}), "recipients/0", "must be an object"),
        (copy(json!({})), "recipients/0/contact_reference", "is missing"),
        (
            copy(json!({"contact_reference": "a@example.com", "x": 1})),
            "recipients/0/x",
            "is no field of this",
        ),
        (
            copy(json!({"contact_reference": "a@example.com", "email_mode": "Zz"})),
            "recipients/0/email_mode",
            "must be To, Cc or Bcc",
        ),
        (
            copy(json!({"contact_reference": "nobody"})),
            "recipients/0/contact_reference",
            "must be an e-mail address or a mobile number such as +491701234567",
        ),
    ]
}

/// A good message with this changed; a null takes a field out.
fn changed(change: &Value) -> Value {
    let mut body = json!({"recipient": "ann", "message_type": "VIEW-NORMAL", "message_text": "x", "sender": "report_task",
                          "sender_instance": "7"});
    for (field, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(body.as_object_mut().unwrap().remove(field)),
            value => body[field] = value.clone(),
        }
    }
    body
}

async fn world() -> World {
    let world = World::start().await;
    world.user("ann").await;
    let gone = world.user("gone").await;
    store::users::set_active(&world.pool, gone, false).await.unwrap();
    world.message_type("OPEN", RequiredAction::Action, Some("/open?id=")).await;
    world
}

async fn by_rust(world: &World, body: &Value) -> Option<(String, String)> {
    // What is of the wrong type cannot be said in Rust.
    let message: NewMessage = serde_json::from_value(body.clone()).ok()?;
    match world.producer.send(message).await {
        Err(SendError::Refused(refusal)) => Some((refusal.field, refusal.problem)),
        other => panic!("{body}: {other:?}"),
    }
}

async fn by_http(world: &World, token: &str, body: String) -> (String, String) {
    let request = world.api(Method::POST, "/messages", token).header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 422);
    let problem: Value = answer.json().await.unwrap();
    let error = &problem["errors"][0];
    let pointer = error["pointer"].as_str().unwrap().trim_start_matches('/').to_owned();
    (pointer, error["detail"].as_str().unwrap().to_owned())
}

async fn by_sql(world: &World, body: &Value) -> (String, String) {
    let call = "select herald.send_message(
        recipient => $1->>'recipient', message_text => $1->>'message_text', message_type => $1->>'message_type',
        sender => $1->>'sender', sender_instance => $1->>'sender_instance', external_message => $1->>'external_message',
        action_parameters => $1->'action_parameters', subject => $1->>'subject', template => $1->>'template',
        model_key => $1->'model_key', instance => $1->'instance', recipients => $1->'recipients',
        syntax => $1->>'syntax', lane => $1->>'lane') from (select $1::jsonb) as x";
    let refused = sqlx::query(call).bind(body).execute(&world.pool).await;
    named(refused.err().unwrap_or_else(|| panic!("SQL took {body}")))
}

fn named(error: sqlx::Error) -> (String, String) {
    let error = error.into_database_error().unwrap().downcast::<sqlx::postgres::PgDatabaseError>();
    assert_eq!(error.code(), "22023", "{error}");
    assert!(error.hint().is_some() && error.detail().is_some());
    let (field, problem) = error.message().split_once(": ").unwrap();
    assert_eq!(error.column(), Some(field));
    (field.to_owned(), problem.to_owned())
}

/// What the command line says, where it has options for all of the message.
async fn by_command(world: &World, body: &Value) -> Option<(String, String)> {
    let mut arguments = vec!["send".to_owned()];
    for (field, value) in body.as_object().unwrap() {
        let option = match field.as_str() {
            "recipient" => "--to",
            "message_type" => "--type",
            "message_text" => "--text",
            "external_message" => "--external",
            "sender_instance" => "--instance",
            "subject" | "sender" | "template" => &format!("--{field}"),
            "action_parameters"
                if value.as_array()?.iter().all(|it| it.is_number() || it.is_boolean() || it.is_string()) =>
            {
                for value in value.as_array()? {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    arguments.push(format!("--parameter={text}"));
                }
                continue;
            }
            _ => return None,
        };
        // A text that is longer than an argument can be is read from standard input.
        arguments.extend([option.to_owned(), value.as_str().filter(|text| text.len() < 100_000)?.to_owned()]);
    }
    if !body.as_object()?.contains_key("message_text") {
        return None;
    }
    let output = world.command(&arguments).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stderr).unwrap();
    let said = said.trim().strip_prefix("herald: ").unwrap();
    let (field, problem) = said.split_once(": ").unwrap();
    Some((field.to_owned(), problem.to_owned()))
}

#[tokio::test]
async fn bad_input_is_told_in_one_sentence_at_every_entry() {
    let world = world().await;
    let token = world.token("report_task", None).await;
    let (mut rust, mut commands) = (0, 0);
    for (change, field, sentence) in cases() {
        let body = changed(&change);
        let expected = (field.to_owned(), sentence.to_owned());
        let case = change.to_string().chars().take(200).collect::<String>();
        assert_eq!(by_http(&world, &token, body.to_string()).await, expected, "HTTP: {case}");
        assert_eq!(by_sql(&world, &body).await, expected, "SQL: {case}");
        if let Some(said) = by_rust(&world, &body).await {
            assert_eq!(said, expected, "Rust: {case}");
            rust += 1;
        }
        if let Some(said) = by_command(&world, &body).await {
            assert_eq!(said, expected, "command line: {case}");
            commands += 1;
        }
    }
    assert!(rust > 20 && commands > 10, "{rust} by Rust, {commands} by command");
    let written =
        sqlx::query("select (select count(*) from herald.outbox) + (select count(*) from herald.message)");
    assert_eq!(written.fetch_one(&world.pool).await.unwrap().get::<i64, _>(0), 0);
}

#[tokio::test]
async fn what_only_json_can_hold_is_told_by_http_and_sql() {
    let world = world().await;
    let token = world.token("report_task", None).await;
    let raw = |field: &str, value: &str| {
        let body = changed(&json!({ field: null })).to_string();
        format!("{},{}:{value}}}", body.trim_end_matches('}'), json!(field))
    };
    for (body, field, sentence) in [
        (raw("instance", r#"{"a":1e999}"#), "instance/a", "holds a number out of range"),
        (raw("message_text", r#""\ud800""#), "message_text", "must not hold half a surrogate pair"),
        (raw("message_text", r#""a\u0000""#), "message_text", "must not hold the character U+0000"),
        (raw("message_text", "7"), "message_text", "must be a text"),
        (raw("deliver_at", r#""tomorrow""#), "deliver_at", "must be a time such as 2027-01-31T09:00:00Z"),
        (
            raw("deliver_at", r#""+12345-01-01T00:00:00Z""#),
            "deliver_at",
            "must be a time between the years 1 and 9999",
        ),
        (raw("colour", "1"), "colour", "is no field of this"),
        (raw("message_text", r#""x","message_text":"y""#), "message_text", "is there twice"),
    ] {
        let expected = (field.to_owned(), sentence.to_owned());
        assert_eq!(by_http(&world, &token, body.clone()).await, expected, "{body}");
    }
    for (arguments, field, sentence) in [
        (
            r#"message_type => 'OPEN', action_parameters => '[1, 1e999]'"#,
            "action_parameters/1",
            "holds a number out of range",
        ),
        (
            r#"message_type => 'VIEW-NORMAL', instance => '{"a": [-1e999]}'"#,
            "instance",
            "holds a number out of range",
        ),
        (
            "message_type => 'VIEW-NORMAL', deliver_at => 'infinity'",
            "deliver_at",
            "must be a time between the years 1 and 9999",
        ),
        (
            "message_type => 'VIEW-NORMAL', deliver_at => '12345-01-01'",
            "deliver_at",
            "must be a time between the years 1 and 9999",
        ),
    ] {
        let call = format!(
            "select herald.send_message(recipient => 'ann', message_text => 'x', sender => 'report_task', sender_instance => '7', {arguments})"
        );
        let refused = sqlx::query(sqlx::AssertSqlSafe(call)).execute(&world.pool).await.unwrap_err();
        assert_eq!(named(refused), (field.to_owned(), sentence.to_owned()), "{arguments}");
    }
    // Two megabytes at once are not read at all.
    let large = world.api(Method::POST, "/messages", &token).header("content-type", "application/json");
    let answer = large
        .body(changed(&json!({"message_text": "x".repeat(2_000_000)})).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 413);
    // As an instance they are refused by every other way in.
    let body = changed(&json!({"instance": {"a": "x".repeat(2_000_000)}}));
    let expected = ("instance".to_owned(), "is larger than 1048576 bytes".to_owned());
    assert_eq!(by_rust(&world, &body).await.unwrap(), expected);
    assert_eq!(by_sql(&world, &body).await, expected);
}

#[tokio::test]
async fn c17_the_saved_parameters_are_in_the_url_that_opens() {
    let world = world().await;
    let ann = world.logged_in("eve").await;
    world.message_type("LEVEL", RequiredAction::Action, Some("/po/approve?id=&level=")).await;
    for (parameters, opened) in [
        (json!([42, "a b&c=d/\u{fc}"]), "http://erp.example/po/approve?id=42&level=a%20b%26c%3Dd%2F%C3%BC"),
        (
            json!([1.5, true, "2026-01-31", "more"]),
            "http://erp.example/po/approve?id=1.5&level=true&p1=2026-01-31&p2=more",
        ),
        (json!([]), "http://erp.example/po/approve?id=&level="),
    ] {
        let body =
            changed(&json!({"recipient": "eve", "message_type": "LEVEL", "action_parameters": parameters}));
        let id = world.send_with(serde_json::from_value(body).unwrap()).await;
        let path = format!("/messages/{id}/act");
        ann.get(&path).await;
        let page = ann.post(&path, &[]).await;
        assert_eq!(page.location(), opened, "{}", page.body);
    }
}

#[tokio::test]
async fn c18_parameters_are_kept_as_the_scalars_they_are() {
    let world = world().await;
    let parameters = json!([7, -1.5, 12_345_678_901_i64, "2026-01-31", "", true, false]);
    let body = changed(&json!({"message_type": "OPEN", "action_parameters": parameters}));
    let token = world.token("report_task", None).await;
    let by_http = world.api(Method::POST, "/messages", &token).json(&body).send().await.unwrap();
    assert_eq!(by_http.status().as_u16(), 202);
    world.producer.send(serde_json::from_value(body).unwrap()).await.unwrap();
    sqlx::query(
        "select herald.send_message('ann', 'x', 'OPEN', 'report_task', '7', action_parameters => $1)",
    )
    .bind(&parameters)
    .execute(&world.pool)
    .await
    .unwrap();
    let mut command = vec![
        "send",
        "--to",
        "ann",
        "--text",
        "x",
        "--type",
        "OPEN",
        "--sender",
        "report_task",
        "--instance",
        "7",
    ];
    for parameter in ["7", "-1.5", "12345678901", "2026-01-31", "", "true", "false"] {
        command.extend(["--parameter", parameter]);
    }
    let command: Vec<String> = command.into_iter().map(str::to_owned).collect();
    let output = world.command(&command).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    crate::support::eventually("all four to arrive", async || {
        let kept: Vec<Value> = sqlx::query_scalar("select action_parameters from herald.message")
            .fetch_all(&world.pool)
            .await
            .unwrap();
        kept.len() == 4 && kept.iter().all(|kept| *kept == parameters)
    })
    .await;
}
