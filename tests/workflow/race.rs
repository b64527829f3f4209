//! Many answer one message at once, wherever they are.

use futures::future::{BoxFuture, join_all};
use herald_jobs::message_type::{CompleteOn, MessageType, RequiredAction};
use herald_producers::{MessageId, NewMessage};
use herald_web::access::NewToken;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::links;
use crate::support::world::{World, http, message, message_type};

/// Whether it won, and what it was told.
type Outcome = (bool, String);

/// Answers of each kind.
const EACH: usize = 25;

async fn post(world: &World, token: &str, id: MessageId, what: &str, body: Value) -> (StatusCode, Value) {
    let url = format!("{}/api/v1/messages/{id}/{what}", world.url);
    let response = http().post(url).bearer_auth(token).json(&body).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn over_http(world: &World, token: &str, id: MessageId, what: &str, body: Value) -> Outcome {
    let (status, said) = post(world, token, id, what, body).await;
    match status {
        StatusCode::OK => (true, String::new()),
        StatusCode::CONFLICT => {
            let told = said["detail"].as_str().unwrap().to_owned();
            assert!(told.contains(said["answer"]["answered_by"].as_str().unwrap()), "{said}");
            (false, told)
        }
        other => panic!("{other}: {said}"),
    }
}

/// Commands that run at once: each is a process, which has to begin before its patience with the database ends.
static TURNS: Semaphore = Semaphore::const_new(4);

async fn by_command(world: &World, id: MessageId, reply: &str, by: &str) -> Outcome {
    let _turn = TURNS.acquire().await.unwrap();
    let arguments = ["answer", &id.to_string(), reply, "--by", by].map(str::to_owned);
    let output = world.command(&arguments).output().await.unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// One has won; everybody else was told who, and with what.
fn check(outcomes: &[Outcome], value: &str, by: &str) {
    assert_eq!(outcomes.iter().filter(|(won, _)| *won).count(), 1, "{outcomes:?}");
    for (_, told) in outcomes.iter().filter(|(won, _)| !won) {
        assert!(told.contains(&format!("answered {value} by {by}")), "answered {value} by {by}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c03c_a_hundred_answers_race_and_ninety_nine_are_told_who_won() {
    let world = World::start().await;
    let ann = world.logged_in("ann").await;
    let catcher = links::catcher(&world).await;
    let question = NewMessage { answer_to: Some("notify".into()), ..message("ann", "MAIL-ASK", "Shall we?") };
    let id = world.send_with(question).await;
    let links = links::links(&catcher, "Shall we?").await;
    let admin = world.admin_token().await;
    let value = |number: usize| if number.is_multiple_of(2) { "Yes" } else { "No" };

    let mut racing: Vec<BoxFuture<'_, Outcome>> = Vec::new();
    for number in 0..EACH {
        let (value, world, admin) = (value(number), &world, &admin);
        // In the inbox, a window each.
        let window = ann.window();
        window.get("/messages").await;
        racing.push(Box::pin(async move {
            let (row, field) = (id.to_string(), format!("reply:{id}"));
            let page = window.post("/messages", &[("act", row.as_str()), (&field, value)]).await.body;
            let told = crate::support::world::between(&page, "<section class=\"results\"", "</section>")
                .unwrap_or_default();
            let won = told.contains(&format!("answered: {value}"));
            // Ann is told no name where the answer was her own.
            let told = told.replace("already answered", "answered");
            (won, if told.contains(" by ") { told } else { told.replace(" (", " by ann (") })
        }));
        // By a link of the mail, on a device each.
        let (browser, link) = (world.browser(), links[number % 2].1.clone());
        browser.get(&link).await;
        racing.push(Box::pin(async move {
            let page = browser.post(&link, &[]).await.body;
            (page.contains("Thank you."), page)
        }));
        let body = json!({"reply_value": value, "by": format!("program {number}")});
        racing.push(Box::pin(over_http(world, admin, id, "reply", body)));
        racing
            .push(Box::pin(async move { by_command(world, id, value, &format!("operator {number}")).await }));
    }
    assert_eq!(racing.len(), 100);
    let outcomes = join_all(racing).await;
    let it = world.producer.standing(id).await.unwrap().unwrap();
    let by = it.acted_by.unwrap();
    check(&outcomes, it.reply_value.as_deref().unwrap(), &by);
    let events: i64 =
        sqlx::query_scalar("select count(*) from herald.answer_event").fetch_one(&world.pool).await.unwrap();
    assert_eq!(events, 1);

    // Whoever won above, ann is told others' names.
    let id = world.send("ann", "REPLY-YESNO", "And this?").await;
    ann.get("/messages").await;
    let body = json!({"reply_value": "No", "by": "a program"});
    assert!(over_http(&world, &admin, id, "reply", body).await.0);
    let page = ann.post("/messages", &[("act", &id.to_string()), (&format!("reply:{id}"), "Yes")]).await.body;
    assert!(page.contains("was already answered No by a program"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c03c_c16_callbacks_race_with_the_command_line_and_one_completes() {
    let world = World::start().await;
    world.user("ann").await;
    let kind = message_type("PAY", RequiredAction::Action, Some("/pay?id="));
    world.put(MessageType { complete_on: CompleteOn::Callback, ..kind }).await;
    let id = world.send("ann", "PAY", "Pay").await;
    let token = world.token_of(NewToken { sender: "report_task".into(), ..NewToken::default() }).await;
    let mut racing: Vec<BoxFuture<'_, Outcome>> = Vec::new();
    for number in 0..EACH {
        let (world, token) = (&world, &token);
        let body = json!({"reply_value": format!("paid {number}"), "by": format!("till {number}")});
        racing.push(Box::pin(over_http(world, token, id, "complete", body)));
        racing.push(Box::pin(async move {
            by_command(world, id, &format!("paid {number}"), &format!("operator {number}")).await
        }));
    }
    let outcomes = join_all(racing).await;
    let it = world.producer.standing(id).await.unwrap().unwrap();
    check(&outcomes, it.reply_value.as_deref().unwrap(), it.acted_by.as_deref().unwrap());
    // Others' messages do not exist for a token, and what it completes is an action that waits for that.
    let stranger = world.token("stranger", None).await;
    assert_eq!(post(&world, &stranger, id, "complete", json!({})).await.0, StatusCode::NOT_FOUND);
    let view = world.send("ann", "VIEW-NORMAL", "Read").await;
    let (status, said) = post(&world, &token, view, "complete", json!({})).await;
    assert_eq!(
        (status, &said["errors"][0]["pointer"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("/message_id"))
    );
    assert_eq!(
        post(&world, &token, view, "act", json!({})).await.0,
        StatusCode::FORBIDDEN,
        "only who administers"
    );
    let admin = world.admin_token().await;
    let (status, said) = post(&world, &admin, view, "act", json!({"reply_value": "x"})).await;
    assert_eq!(
        (status, &said["errors"][0]["pointer"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("/reply_value"))
    );
    assert_eq!(post(&world, &admin, view, "act", json!({})).await.0, StatusCode::OK);
    assert_eq!(post(&world, &admin, view, "reply", json!({})).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn c03c_an_authorisation_is_asked_for_over_http() {
    let world = World::start().await;
    let ann = world.logged_in("ann").await;
    world.user("bob").await;
    let token = world.token("purchase_order", None).await;
    let url = format!("{}/api/v1/authorisations", world.url);
    let ask_once = async |key: &str, body: Value| {
        let request = http().post(&url).bearer_auth(&token).header("idempotency-key", key).json(&body);
        let response = request.send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    let good = json!({"model": "purchase_order", "model_key": 7, "requester": "bob", "approvers": {"users": ["ann"]},
                      "message_text": "May Bob buy it?"});
    let (status, said) = ask_once("po 7", good.clone()).await;
    assert_eq!((status, &said["status"]), (StatusCode::ACCEPTED, &json!("pending")), "{said}");
    let id = said["id"].as_str().unwrap().to_owned();
    assert_eq!(ask_once("po 7", good.clone()).await.1["id"], json!(id), "the same key asks once");
    let mut other = good.clone();
    other["mode"] = json!("all");
    assert_eq!(ask_once("po 7", other).await.0, StatusCode::CONFLICT);
    for (field, value, status, pointer) in [
        ("model", json!("invoice"), StatusCode::FORBIDDEN, "/model"),
        ("mode", json!("most"), StatusCode::UNPROCESSABLE_ENTITY, "/mode"),
        ("approvers", json!({"users": ["bob"]}), StatusCode::UNPROCESSABLE_ENTITY, "/approvers/users/0"),
        ("colour", json!("blue"), StatusCode::UNPROCESSABLE_ENTITY, "/colour"),
        ("due_at", json!("2001-01-01T00:00:00Z"), StatusCode::UNPROCESSABLE_ENTITY, "/due_at"),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let (is, said) = ask_once("po 8", bad).await;
        assert_eq!((is, &said["errors"][0]["pointer"]), (status, &json!(pointer)), "{said}");
    }
    let read = async |token: &str| {
        let response = http().get(format!("{url}/{id}")).bearer_auth(token).send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(read(&world.token("invoice", None).await).await.0, StatusCode::NOT_FOUND);
    let (_, shown) = read(&token).await;
    let message = shown["approvers"][0]["message_id"].as_str().unwrap().to_owned();
    crate::support::eventually("it to arrive", async || {
        world.status(message.parse().unwrap()).await == "pending"
    })
    .await;
    let withdrawn =
        http().post(format!("{url}/{id}/withdraw")).bearer_auth(&token).json(&json!({"reason": "Too dear"}));
    assert_eq!(withdrawn.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(read(&token).await.1["status"], "withdrawn");
    let page = ann.get(&format!("/messages/{message}")).await;
    assert!(page.body.contains("The request was withdrawn: Too dear"), "{}", page.body);
}
