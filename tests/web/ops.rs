//! What operators ask.

use std::sync::OnceLock;

use herald::private::Stop;
use herald_jobs::message_type::Lane;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::eventually;
use crate::support::world::{World, http, message};

/// There is one recorder in a process.
fn prometheus() -> PrometheusHandle {
    static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
    INSTALLED.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap()).clone()
}

async fn listen(world: &World) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = herald_web::ops_router(world.app.clone(), prometheus());
    tokio::spawn(herald_web::serve(listener, router, world.stop.clone()));
    url
}

async fn ready(url: &str) -> (StatusCode, Value) {
    let answer = http().get(format!("{url}/readyz")).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let mut world = World::start().await;
    let url = listen(&world).await;
    // Each server has two seconds to answer: a slow machine is asked again.
    eventually("all to be ready", async || {
        let (status, told) = ready(&url).await;
        (status, &told["ready"]) == (StatusCode::OK, &Value::Bool(true))
    })
    .await;
    world.redis.stop(Stop::Abrupt).await.unwrap();
    eventually("Redis alone to be missing", async || {
        let (status, told) = ready(&url).await;
        status == StatusCode::SERVICE_UNAVAILABLE && told["postgres"] == "ok" && told["redis"] != "ok"
    })
    .await;
    sqlx::query("delete from herald.schema_migration where version = 1").execute(&world.pool).await.unwrap();
    let (_, told) = ready(&url).await;
    assert!(told["postgres"].as_str().unwrap().starts_with("not migrated"), "{told}");
    assert_eq!(http().get(format!("{url}/healthz")).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn figures_tell_of_queues_the_outbox_and_the_ledger() {
    let mut world = World::start().await;
    world.user("ann").await;
    let url = listen(&world).await;
    world.send("ann", "ALERT-EMAIL", "Nobody knows what became of its copy").await;
    // No job can be read out of this.
    let mut redis =
        redis::Client::open(world.redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    redis::cmd("XADD")
        .arg("herald:{email:bulk:0}")
        .arg("*")
        .arg("job")
        .arg("?")
        .exec_async(&mut redis)
        .await
        .unwrap();
    let bulk = world.queues.email.lane(Lane::Bulk);
    eventually("it to be dead", async || bulk.depth().await.unwrap().dead == 1).await;
    world.stop_workers().await;
    let execute = async |sql: &'static str| {
        assert_eq!(sqlx::query(sql).execute(&world.pool).await.unwrap().rows_affected(), 1, "{sql}");
    };
    execute("update herald.delivery set state = 'unknown', finished_at = now()").await;
    // One waits for its time, one failed, one is a hundred seconds late.
    let mut later = message("ann", "VIEW-NORMAL", "Later");
    later.deliver_at = Some(world.clock.now() + chrono::TimeDelta::hours(1));
    world.producer.send(later).await.unwrap();
    for text in ["Failed", "Old"] {
        world.producer.send(message("ann", "ALERT-VIEW", text)).await.unwrap();
    }
    execute(
        "update herald.outbox set failed_at = now(), reason = 'x' where payload->'message'->>'message_text' = 'Failed'",
    )
    .await;
    execute(
        "update herald.outbox set due_at = now() - interval '100 s' where payload->'message'->>'message_text' = 'Old'",
    )
    .await;
    let figures = async || http().get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
    let value = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.trim().parse::<f64>().ok())
    };
    let up = |text: &str, server: &str| value(text, &format!("herald_up{{server=\"{server}\"}} "));
    let mut text = String::new();
    eventually("both servers to answer in time", async || {
        text = figures().await;
        ["postgres", "redis"].iter().all(|server| up(&text, server) == Some(1.0))
    })
    .await;
    for (name, expected) in [
        ("herald_outbox_waiting ", 2.0),
        ("herald_outbox_failed ", 1.0),
        ("herald_queue_jobs{queue=\"send:alert\"} ", 2.0),
        ("herald_queue_jobs{queue=\"send:bulk\"} ", 0.0),
        ("herald_queue_dead{queue=\"email:bulk\"} ", 1.0),
        ("herald_queue_dead{queue=\"email:alert\"} ", 0.0),
        ("herald_deliveries{channel=\"email\",state=\"unknown\"} ", 1.0),
        ("herald_deliveries{channel=\"sms\",state=\"unknown\"} ", 0.0),
    ] {
        assert_eq!(value(&text, name), Some(expected), "{name}\n{text}");
    }
    let oldest = value(&text, "herald_outbox_oldest_seconds ").unwrap();
    assert!((100.0..1_000.0).contains(&oldest), "{oldest}");
    assert!(value(&text, "herald_queue_oldest_seconds{queue=\"send:alert\"} ").unwrap() > 0.0, "{text}");

    // Figures of a server that is away are not believed.
    world.redis.stop(Stop::Abrupt).await.unwrap();
    eventually("Redis to be told as away", async || {
        value(&figures().await, "herald_up{server=\"redis\"} ") == Some(0.0)
    })
    .await;
}
