//! Lists of what was sent and asked, a page at a time.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use herald_jobs::authorisation::{Approvers, NewAuthorisation};
use herald_producers::NewMessage;
use herald_web::access::NewToken;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::world::{World, message};

/// Follows a list from page to page, and answers all entries.
async fn all(world: &World, token: &str, path: &str) -> Vec<Value> {
    let (mut items, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let answer = world.api(Method::GET, &path, token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let mut page: Value = answer.json().await.unwrap();
        items.append(page["items"].as_array_mut().unwrap());
        next = page["next"].as_str().map(|next| next.strip_prefix("/api/v1").unwrap().to_owned());
    }
    items
}

async fn ids(world: &World, token: &str, path: &str) -> Vec<String> {
    let items = all(world, token, path).await;
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_sender_pages_through_the_messages_of_a_recipient_and_of_a_batch() {
    let world = World::start().await;
    for name in ["ann", "bob"] {
        world.user(name).await;
    }
    let token = world.token("report_task", None).await;
    let mut own = Vec::new();
    for kind in ["VIEW-NORMAL", "ALERT-VIEW", "REPLY-YESNO", "VIEW-NORMAL", "ALERT-YESNO"] {
        own.push(world.send("ann", kind, "x").await.to_string());
    }
    own.reverse();
    world.send("bob", "VIEW-NORMAL", "for bob").await;
    world
        .send_with(NewMessage { sender: "payroll".into(), ..message("ann", "VIEW-NORMAL", "not its own") })
        .await;
    for limit in [1, 2, 5, 100] {
        assert_eq!(ids(&world, &token, &format!("/messages?recipient=ann&limit={limit}")).await, own);
    }
    let ann = world.user("ann").await;
    let acted = own[4].parse().unwrap();
    herald_jobs::store::inbox::act(&world.pool, ann, &[(acted, None)], world.clock.now()).await.unwrap();
    assert_eq!(ids(&world, &token, "/messages?recipient=Ann&limit=2").await, own, "whatever its status");
    assert_eq!(ids(&world, &token, "/messages?recipient=ann&status=pending&limit=3").await, own[..4]);
    let [done] = all(&world, &token, "/messages?recipient=ann&status=acted").await.try_into().unwrap();
    assert_eq!(
        (&done["id"], &done["status"], &done["recipient"]),
        (&json!(own[4]), &json!("acted"), &json!("ann"))
    );
    let read = world.api(Method::GET, &format!("/messages/{}", own[4]), &token).send().await.unwrap();
    assert_eq!(read.json::<Value>().await.unwrap(), done, "an entry is the message as it is read by itself");

    let many: Vec<String> = ["ann", "bob"].map(str::to_owned).into_iter().cycle().take(20).collect();
    let batch = world.producer.send_many(message("", "VIEW-NORMAL", "to many"), &many).await.unwrap();
    let sent: BTreeSet<String> =
        batch.answers.iter().map(|answer| answer.as_ref().unwrap().to_string()).collect();
    let of_batch = format!("/messages?batch={}&limit=7", batch.id);
    eventually("the batch to arrive", async || ids(&world, &token, &of_batch).await.len() == 20).await;
    let newest_first: Vec<String> = sent.into_iter().rev().collect();
    assert_eq!(ids(&world, &token, &of_batch).await, newest_first);
    let of_both = format!("/messages?batch={}&recipient=bob&limit=4", batch.id);
    let for_bob = all(&world, &token, &of_both).await;
    assert!(
        for_bob.len() == 10
            && for_bob.iter().all(|it| it["batch_id"] == json!(batch.id) && it["recipient"] == "bob")
    );
    let cancel = async |id: &str, token: &str| {
        world.api(Method::POST, &format!("/batches/{id}/cancel"), token).send().await.unwrap()
    };
    let id = batch.id.to_string();
    let other = world.token("erp", None).await;
    for (id, token) in [(id.as_str(), &other), ("7", &token), (&own[0], &token)] {
        assert_eq!(cancel(id, token).await.status(), StatusCode::NOT_FOUND);
    }
    for _ in 0..2 {
        let cancelled: Value = cancel(&id, &token).await.json().await.unwrap();
        assert_eq!(cancelled, json!({"id": id, "status": "cancelled"}));
    }
    assert_eq!(ids(&world, &token, &format!("{of_batch}&status=cancelled")).await.len(), 20, "at once");
    assert_eq!(ids(&world, &token, &format!("{of_batch}&status=pending")).await.len(), 0);

    // Others' messages, and types that are not for the token, do not exist for it.
    assert!(ids(&world, &other, &of_batch).await.is_empty());
    let alerts = NewToken {
        sender: "report_task".to_owned(),
        message_types: Some(vec!["ALERT-VIEW".to_owned()]),
        ..NewToken::default()
    };
    let alerts = world.token_of(alerts).await;
    assert_eq!(ids(&world, &alerts, "/messages?recipient=ann").await, own[3..4]);
    assert!(ids(&world, &alerts, &of_batch).await.is_empty());
}

#[tokio::test]
async fn a_workflow_pages_through_its_authorisations() {
    let world = World::start().await;
    for name in ["ann", "bob"] {
        world.user(name).await;
    }
    let token = world.token("purchase_order", None).await;
    let ask = async |model: &str, key: Value| {
        let request = NewAuthorisation {
            model: model.into(),
            model_key: key,
            requester: "bob".into(),
            approvers: Approvers { users: vec!["ann".into()], ..Approvers::default() },
            message_text: Some("May Bob buy it?".into()),
            due_at: Some(world.clock.now() + TimeDelta::days(1)),
            ..NewAuthorisation::default()
        };
        world.producer.request_authorisation(&request, None).await.unwrap().id.to_string()
    };
    let mut own = Vec::new();
    for key in [json!(7), json!(8), json!("eight"), json!([1, "b"]), json!(7)] {
        own.push(ask("purchase_order", key).await);
    }
    own.reverse();
    ask("leave", json!(7)).await;
    for limit in [1, 2, 5, 100] {
        assert_eq!(ids(&world, &token, &format!("/authorisations?limit={limit}")).await, own);
    }
    let of = async |query: &str| ids(&world, &token, &format!("/authorisations?{query}&limit=1")).await;
    assert_eq!(of("model=purchase_order&model_key=7").await, [own[0].clone(), own[4].clone()]);
    assert_eq!(of("model=purchase_order&model_key=eight").await, own[2..3]);
    assert_eq!(of("model=purchase_order&model_key=%5B1,%22b%22%5D").await, own[1..2]);
    assert!(of("model=leave").await.is_empty(), "others' do not exist for it");
    let path = format!("/authorisations/{}/withdraw", own[3]);
    let withdrawn = world.api(Method::POST, &path, &token).json(&json!({})).send().await.unwrap();
    assert_eq!(withdrawn.status(), StatusCode::OK);
    assert_eq!(of("status=withdrawn").await, own[3..4]);
    assert_eq!(of("status=pending").await.len(), 4);
    let [it] = all(&world, &token, "/authorisations?status=withdrawn").await.try_into().unwrap();
    let read = world.api(Method::GET, &format!("/authorisations/{}", own[3]), &token).send().await.unwrap();
    assert_eq!(read.json::<Value>().await.unwrap(), it);
}

#[tokio::test]
async fn a_query_that_is_not_valid_is_refused_by_the_name_of_its_field() {
    let world = World::start().await;
    world.user("ann").await;
    let token = world.token("report_task", None).await;
    for (path, field) in [
        ("/messages", "recipient"),
        ("/messages?status=pending", "recipient"),
        ("/messages?recipient=nobody", "recipient"),
        ("/messages?recipient=", "recipient"),
        ("/messages?recipient=a%00b", "recipient"),
        ("/messages?recipient=ann&recipient=bob", "recipient"),
        ("/messages?batch=7", "batch"),
        ("/messages?recipient=ann&status=late", "status"),
        ("/messages?recipient=ann&limit=0", "limit"),
        ("/messages?recipient=ann&limit=1001", "limit"),
        ("/messages?recipient=ann&limit=many", "limit"),
        ("/messages?recipient=ann&after=7", "after"),
        ("/messages?recipient=ann&colour=red", "colour"),
        ("/authorisations?status=late", "status"),
        ("/authorisations?model_key=7", "model"),
        ("/authorisations?model=a%00b", "model"),
        ("/authorisations?after=x", "after"),
        ("/authorisations?colour=red", "colour"),
    ] {
        let answer = world.api(Method::GET, path, &token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
        let problem: Value = answer.json().await.unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(field), "{path}: {detail}");
    }
}
