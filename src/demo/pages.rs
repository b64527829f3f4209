//! The demo's own pages: the mail and SMS that were caught, and the program that authorises a purchase.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::{DateTime, TimeDelta, Utc};
use herald_jobs::clock::Clock;
use herald_jobs::periodic::{PeriodicJob, PeriodicName};
use herald_jobs::queues::Queues;
use herald_jobs::sms::{Segments, segments};
use herald_producers::{NewMessage, Producer};
use serde::Deserialize;
use sqlx::PgPool;

use crate::catcher::{Catcher, Gateway, Mail, Shown, show};
use crate::wiring::Wiring;

#[derive(Clone)]
struct Demo {
    catcher: Arc<Catcher>,
    gateway: Arc<Gateway>,
    pool: PgPool,
    producer: Producer,
    clock: Clock,
    queues: Queues,
}

/// The pages. They listen on the loopback address only.
pub(super) fn router(catcher: Arc<Catcher>, gateway: Arc<Gateway>, wiring: &Wiring) -> Router {
    let (pool, producer) = (wiring.pool.clone(), wiring.producer());
    let (clock, queues) = (wiring.clock.clone(), wiring.queues.clone());
    Router::new()
        .route("/", get(mails))
        .route("/mail/{id}", get(mail))
        .route("/mail/{id}/html", get(html))
        .route("/mail/{id}/attachments/{number}", get(attachment))
        .route("/sms", get(sms))
        .route("/po/approve", get(order).post(approve))
        .route("/skip", post(skip))
        .with_state(Demo { catcher, gateway, pool, producer, clock, queues })
}

#[derive(Template)]
#[template(path = "demo/mails.html")]
struct Mails {
    mails: Vec<(Arc<Mail>, Shown)>,
}

async fn mails(State(demo): State<Demo>) -> Response {
    let mut mails: Vec<_> = demo
        .catcher
        .mailbox()
        .list()
        .into_iter()
        .map(|mail| (mail.clone(), show(&mail.raw).unwrap_or_default()))
        .collect();
    mails.reverse();
    page(&Mails { mails })
}

#[derive(Template)]
#[template(path = "demo/mail.html")]
struct One {
    mail: Arc<Mail>,
    shown: Shown,
}

async fn mail(State(demo): State<Demo>, Path(id): Path<u64>) -> Response {
    match demo.catcher.mailbox().get(id) {
        Some(mail) => page(&One { shown: show(&mail.raw).unwrap_or_default(), mail }),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The HTML part alone, for a frame that may run and load nothing.
async fn html(State(demo): State<Demo>, Path(id): Path<u64>) -> Response {
    let part = demo.catcher.mailbox().get(id).and_then(|mail| show(&mail.raw)).and_then(|shown| shown.html);
    match part {
        Some(part) => (
            [("content-security-policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'")],
            Html(part),
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A file, to be saved: never to be shown as a page of ours.
async fn attachment(State(demo): State<Demo>, Path((id, number)): Path<(u64, usize)>) -> Response {
    let shown = demo.catcher.mailbox().get(id).and_then(|mail| show(&mail.raw));
    match shown.and_then(|mut shown| {
        (number < shown.attachments.len()).then(|| shown.attachments.swap_remove(number))
    }) {
        Some(file) => (
            [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (header::CONTENT_DISPOSITION, "attachment"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ],
            file.content,
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(Template)]
#[template(path = "demo/sms.html")]
struct AllSms {
    caught: Vec<OneSms>,
}

struct OneSms {
    to: String,
    text: String,
    segments: Segments,
    at: DateTime<Utc>,
}

async fn sms(State(demo): State<Demo>) -> Response {
    let caught = demo.gateway.list().into_iter().rev().map(|mut sms| {
        let mut field = |name| sms.fields.remove(name).unwrap_or_default();
        let (to, text) = (field("to"), field("text"));
        OneSms { segments: segments(&text), to, text, at: sms.at }
    });
    page(&AllSms { caught: caught.collect() })
}

/// Two weeks pass, and what waited for that happens.
async fn skip(State(demo): State<Demo>) -> Response {
    demo.clock.advance(TimeDelta::days(14));
    for name in [PeriodicName::Reminders, PeriodicName::Purge] {
        let job = PeriodicJob { name, slot: demo.clock.now() };
        if let Err(error) = demo.queues.periodic.push(&job).await {
            return unavailable(&error);
        }
    }
    Redirect::to("/").into_response()
}

#[derive(Deserialize)]
struct Order {
    id: i32,
    level: i32,
}

#[derive(Template)]
#[template(path = "demo/order.html")]
struct OrderPage {
    id: i32,
    level: i32,
    subject: String,
    amount: String,
    requester: String,
    status: String,
}

async fn order(State(demo): State<Demo>, Query(order): Query<Order>) -> Response {
    match find(&demo.pool, &order).await {
        Ok(Some(order)) => page(&order),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn approve(State(demo): State<Demo>, Query(order): Query<Order>) -> Response {
    let approved = sqlx::query_scalar::<_, String>(
        "update demo.purchase_order set status = 'approved' where id = $1 and status = 'submitted' returning requester",
    )
    .bind(order.id)
    .fetch_optional(&demo.pool)
    .await;
    match approved {
        Ok(Some(requester)) => {
            let message = NewMessage {
                recipient: requester,
                message_type: "VIEW-NORMAL".into(),
                message_text: format!("Your purchase order {} was approved.", order.id),
                sender: "purchase_order".into(),
                sender_instance: Some(order.id.to_string()),
                ..NewMessage::default()
            };
            if let Err(error) = demo.producer.send(message).await {
                tracing::warn!("Could not tell the requester: {error}");
            }
        }
        Ok(None) => {}
        Err(error) => return unavailable(&error),
    }
    Redirect::to(&format!("/po/approve?id={}&level={}", order.id, order.level)).into_response()
}

async fn find(pool: &PgPool, order: &Order) -> Result<Option<OrderPage>, sqlx::Error> {
    let found: Option<(String, String, String, String)> = sqlx::query_as(
        "select subject, to_char(amount, 'FM999,999,990.00'), requester, status from demo.purchase_order where id = $1",
    )
    .bind(order.id)
    .fetch_optional(pool)
    .await?;
    Ok(found.map(|(subject, amount, requester, status)| OrderPage {
        id: order.id,
        level: order.level,
        subject,
        amount,
        requester,
        status,
    }))
}

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &impl std::fmt::Display) -> Response {
    tracing::error!("A page of the demo failed: {error}");
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}
