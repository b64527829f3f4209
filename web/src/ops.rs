//! For operators: whether the process lives, whether it can work, and its figures. On a listener of its own, without a log-in:
//! keep it inside.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use herald_jobs::queues::Queues;
use herald_jobs::store;
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::app::App;

/// How long a question to Postgres or Redis may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long collected figures are good.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Ops {
    app: App,
    prometheus: PrometheusHandle,
    collected: Arc<Mutex<Option<Instant>>>,
}

/// `/healthz`, `/readyz` and `/metrics`. `prometheus` must belong to the recorder that is installed for the process.
pub fn ops_router(app: App, prometheus: PrometheusHandle) -> Router {
    let ops = Ops { app, prometheus, collected: Arc::new(Mutex::new(None)) };
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
        .with_state(ops)
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    postgres: String,
    redis: String,
}

async fn ready(State(ops): State<Ops>) -> Response {
    let postgres = async {
        match within(store::is_migrated(&ops.app.pool)).await? {
            true => Ok(()),
            false => Err("not migrated: run herald migrate".to_owned()),
        }
    };
    let redis = within(ops.app.queues.redis.ping());
    let (postgres, redis) = tokio::join!(postgres, redis);
    let ready = postgres.is_ok() && redis.is_ok();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let told = |answer: Result<(), String>| answer.err().unwrap_or_else(|| "ok".to_owned());
    (status, Json(Ready { ready, postgres: told(postgres), redis: told(redis) })).into_response()
}

/// The answer to a question, or in words why there is none in time.
async fn within<T, E: std::fmt::Display>(question: impl Future<Output = Result<T, E>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn figures(State(ops): State<Ops>) -> Response {
    let mut collected = ops.collected.lock().await;
    if collected.is_none_or(|at| at.elapsed() >= FRESH) {
        let (postgres, redis) =
            tokio::join!(within(of_postgres(&ops.app)), within(of_redis(&ops.app.queues)));
        up("postgres", &postgres);
        up("redis", &redis);
        *collected = Some(Instant::now());
    }
    drop(collected);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, ops.prometheus.render()).into_response()
}

/// Whether the figures of one server could be had. Without them the gauges keep what they last were.
fn up(server: &'static str, answer: &Result<(), String>) {
    if let Err(why) = answer {
        tracing::debug!("No figures from {server}: {why}");
    }
    gauge!("herald_up", "server" => server).set(if answer.is_ok() { 1.0 } else { 0.0 });
}

async fn of_postgres(app: &App) -> Result<(), store::Error> {
    let lag = store::outbox::lag(&app.pool).await?;
    gauge!("herald_outbox_waiting").set(number(lag.waiting));
    gauge!("herald_outbox_oldest_seconds").set(lag.oldest_seconds);
    gauge!("herald_outbox_failed").set(number(lag.failed));
    let (paused, failed) = store::reminders::troubled(&app.pool).await?;
    gauge!("herald_reminder_rules_paused").set(number(paused));
    gauge!("herald_reminder_rules_failed").set(number(failed));
    let standing = store::ledger::by_state(&app.pool).await?;
    for channel in ["email", "sms"] {
        for state in ["pending", "sending", "failed", "unknown", "suppressed"] {
            let many = standing.iter().find(|(of, is, _)| of == channel && is == state).map_or(0, |it| it.2);
            gauge!("herald_deliveries", "channel" => channel, "state" => state).set(number(many));
        }
    }
    Ok(())
}

async fn of_redis(queues: &Queues) -> Result<(), herald_jobs::queues::QueueError> {
    for (_, queue) in queues.send.iter() {
        depth(queue.name(), &queue.depth().await?);
    }
    for queue in queues.all_copies() {
        depth(queue.name(), &queue.depth().await?);
    }
    depth(queues.periodic.name(), &queues.periodic.depth().await?);
    depth(queues.check.name(), &queues.check.depth().await?);
    Ok(())
}

fn depth(queue: &str, depth: &herald_jobs::queues::Depth) {
    let queue = queue.to_owned();
    let oldest = depth.oldest_age.unwrap_or_default().as_secs_f64();
    gauge!("herald_queue_jobs", "queue" => queue.clone()).set(number(depth.jobs));
    gauge!("herald_queue_in_flight", "queue" => queue.clone()).set(number(depth.in_flight));
    gauge!("herald_queue_dead", "queue" => queue.clone()).set(number(depth.dead));
    gauge!("herald_queue_oldest_seconds", "queue" => queue).set(oldest);
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn number(many: impl TryInto<i64>) -> f64 {
    many.try_into().unwrap_or(i64::MAX) as f64
}
