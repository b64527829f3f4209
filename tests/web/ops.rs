//! What operators ask.

use std::sync::OnceLock;

use herald::private::Stop;
use herald_jobs::queues::Queues;
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
    let (status, told) = ready(&url).await;
    assert_eq!((status, &told["ready"]), (StatusCode::OK, &Value::Bool(true)), "{told}");
    world.redis.stop(Stop::Abrupt).await.unwrap();
    let (status, told) = ready(&url).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(told["postgres"], "ok", "{told}");
    assert_ne!(told["redis"], "ok", "{told}");
    sqlx::query("delete from herald.schema_migration where version = 1").execute(&world.pool).await.unwrap();
    let (_, told) = ready(&url).await;
    assert!(told["postgres"].as_str().unwrap().starts_with("not migrated"), "{told}");
    assert_eq!(http().get(format!("{url}/healthz")).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn figures_tell_of_queues_and_the_outbox() {
    let world = World::start().await;
    world.user("ann").await;
    let url = listen(&world).await;
    let mut later = message("ann", "VIEW-NORMAL", "Later");
    later.deliver_at = Some(world.clock.now() + chrono::TimeDelta::hours(1));
    world.producer.send(later).await.unwrap();
    let figures = async || http().get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
    let value = |text: &str, name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.trim().parse::<f64>().ok())
    };
    eventually("the outbox's row", async || value(&figures().await, "herald_outbox_waiting ") == Some(1.0))
        .await;
    let text = figures().await;
    for (name, expected) in [
        ("herald_outbox_oldest_seconds ", 0.0),
        ("herald_outbox_failed ", 0.0),
        ("herald_up{server=\"postgres\"} ", 1.0),
        ("herald_up{server=\"redis\"} ", 1.0),
        ("herald_queue_entries{queue=\"send:alert\"} ", 0.0),
        ("herald_queue_dead{queue=\"email:bulk\"} ", 0.0),
        ("herald_deliveries{channel=\"email\",state=\"unknown\"} ", 0.0),
    ] {
        assert_eq!(value(&text, name), Some(expected), "{name}\n{text}");
    }
    let queues: &Queues = &world.queues;
    assert_eq!(queues.send.iter().count(), 3);
}
