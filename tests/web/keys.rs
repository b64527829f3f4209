//! One key makes one message, whichever ways in its sends took, all at once.

use std::collections::BTreeMap;

use futures::future::join_all;
use herald_producers::{NewMessage, SendError};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::eventually;
use crate::support::world::World;

/// How many send at once, and how many keys they share.
const PRODUCERS: usize = 200;
const KEYS: usize = 50;

fn body(key: usize) -> Value {
    json!({"recipient": "ann", "message_type": "VIEW-NORMAL", "message_text": format!("Order {key}"),
           "sender": "report_task", "sender_instance": "7"})
}

/// The message's id; `None`: not now, try again.
async fn send(world: &World, token: &str, way: usize, key: usize) -> Option<Uuid> {
    let name = format!("key-{key}");
    match way {
        0 => {
            let request = world.api(Method::POST, "/messages", token).header("idempotency-key", name);
            let answer = request.json(&body(key)).send().await.unwrap();
            let status = answer.status().as_u16();
            assert!(matches!(status, 202 | 409 | 503), "{status}");
            let answer: Value = answer.json().await.unwrap();
            assert_ne!(answer["type"], "urn:herald:problem:key-taken");
            answer["id"].as_str().map(|id| id.parse().unwrap())
        }
        1 => {
            let call = "select herald.send_message($1->>'recipient', $1->>'message_text', $1->>'message_type', $1->>'sender',
                            $1->>'sender_instance', idempotency_key => $2) from (select $1::jsonb) as it";
            match sqlx::query_scalar(call).bind(body(key)).bind(name).fetch_one(&world.pool).await {
                Ok(id) => Some(id),
                Err(sqlx::Error::PoolTimedOut) => None,
                // Another send with the key is under way.
                Err(error) if error.as_database_error().unwrap().code().as_deref() == Some("55P03") => None,
                Err(error) => panic!("{error}"),
            }
        }
        _ => {
            let message: NewMessage = serde_json::from_value(body(key)).unwrap();
            match world.producer.send_once(message, &name).await {
                Ok(sent) => Some(sent.id.0),
                Err(SendError::KeyBusy | SendError::Unavailable(_)) => None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c03_each_key_makes_one_message_whichever_way_it_came() {
    let world = World::start().await;
    world.user("ann").await;
    let token = world.token("report_task", None).await;
    let sends = (0..PRODUCERS).map(async |n| {
        let key = n % KEYS;
        loop {
            if let Some(id) = send(&world, &token, n % 3, key).await {
                return (key, id);
            }
        }
    });
    let mut made: BTreeMap<usize, Uuid> = BTreeMap::new();
    for (key, id) in join_all(sends).await {
        assert_eq!(*made.entry(key).or_insert(id), id, "key {key}");
    }
    assert_eq!(made.len(), KEYS);
    let there = async || -> Vec<Uuid> {
        sqlx::query_scalar("select id from herald.message order by id").fetch_all(&world.pool).await.unwrap()
    };
    let mut expected: Vec<Uuid> = made.into_values().collect();
    expected.sort();
    eventually("all to arrive", async || there().await == expected).await;
    let left: i64 =
        sqlx::query_scalar("select count(*) from herald.outbox").fetch_one(&world.pool).await.unwrap();
    assert_eq!(left, 0);
}
