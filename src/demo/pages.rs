//! The demo's own pages: the mail and SMS that were caught, and the program that authorises a purchase.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::{DateTime, TimeDelta, Utc};
use herald_jobs::clock::Clock;
use herald_jobs::periodic::{PeriodicJob, PeriodicName};
use herald_jobs::queues::Queues;
use herald_jobs::sms::{Segments, segments};
use herald_jobs::store;
use herald_jobs::store::authorisations::Authorisation;
use serde::Deserialize;
use sqlx::PgPool;
use url::Url;
use uuid::Uuid;

use super::trouble::{self, Trouble};
use crate::catcher::{Catcher, Gateway, Mail, Shown, show};
use crate::wiring::Wiring;

/// What the pages work with.
#[derive(Clone)]
pub(super) struct Demo {
    pub(super) trouble: Arc<Trouble>,
    catcher: Arc<Catcher>,
    gateway: Arc<Gateway>,
    pool: PgPool,
    clock: Clock,
    queues: Queues,
}

/// The pages. They listen on the loopback address only.
///
/// # Errors
/// Their address is malformed.
pub(super) fn router(
    caught: (Arc<Catcher>, Arc<Gateway>),
    trouble: Arc<Trouble>,
    wiring: &Wiring,
    at: SocketAddr,
) -> Result<Router> {
    let (catcher, gateway) = caught;
    let own: Url = format!("http://{at}/").parse()?;
    let (pool, clock, queues) = (wiring.pool.clone(), wiring.clock.clone(), wiring.queues.clone());
    let router = Router::new()
        .route("/", get(mails))
        .route("/mail/{id}", get(mail))
        .route("/mail/{id}/html", get(html))
        .route("/mail/{id}/attachments/{number}", get(attachment))
        .route("/sms", get(sms))
        .route("/po", get(orders))
        .route("/po/approve", get(order).post(approve))
        .route("/skip", post(skip))
        .route("/break", get(trouble::show))
        .route("/follow.js", get(trouble::script))
        .route("/break/figures", get(trouble::figures))
        .route("/break/send", post(trouble::send))
        .route("/break/{what}", post(trouble::make))
        .layer(from_fn_with_state(own, own_pages_only))
        .with_state(Demo { trouble, catcher, gateway, pool, clock, queues });
    Ok(router)
}

/// Who opens another site meanwhile must not carry out anything here by it, whatever name leads it to this machine.
async fn own_pages_only(State(own): State<Url>, request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let allowed = is_here(request.headers()) && (safe || herald_web::access::is_own(request.headers(), &own));
    if allowed { next.run(request).await } else { StatusCode::FORBIDDEN.into_response() }
}

fn is_here(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Uri>().ok());
    host.is_none_or(|host| matches!(host.host(), Some("127.0.0.1" | "localhost" | "[::1]")))
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

/// How much time is to pass; two weeks where nothing is said.
#[derive(Deserialize)]
struct Skip {
    minutes: Option<u16>,
}

/// Time passes, and what waited for that happens.
async fn skip(State(demo): State<Demo>, Query(Skip { minutes }): Query<Skip>) -> Response {
    demo.clock.advance(minutes.map_or(TimeDelta::days(14), |minutes| TimeDelta::minutes(minutes.into())));
    demo.trouble.worker.clock_moved();
    if minutes.is_some() {
        return Redirect::to("/break").into_response();
    }
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
}

#[derive(Template)]
#[template(path = "demo/order.html")]
struct OrderPage {
    id: i32,
    subject: String,
    amount: String,
    requester: String,
    status: String,
    /// The request for a decision, where there is one.
    asked: Option<Authorisation>,
}

async fn order(State(demo): State<Demo>, Query(order): Query<Order>) -> Response {
    match find(&demo.pool, Some(order.id)).await.map(|mut found| found.pop()) {
        Ok(Some(order)) => page(&order),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => unavailable(&error),
    }
}

#[derive(Template)]
#[template(path = "demo/orders.html")]
struct Orders {
    orders: Vec<OrderPage>,
}

async fn orders(State(demo): State<Demo>) -> Response {
    match find(&demo.pool, None).await {
        Ok(orders) => page(&Orders { orders }),
        Err(error) => unavailable(&error),
    }
}

/// What the program behind an action does, for orders that nobody has to decide on.
async fn approve(State(demo): State<Demo>, Query(order): Query<Order>) -> Response {
    let approved = sqlx::query(
        "update demo.purchase_order set status = 'approved' where id = $1 and status = 'submitted'
         and not exists (select from demo.asked where purchase_order = $1)",
    );
    match approved.bind(order.id).execute(&demo.pool).await {
        Ok(_) => Redirect::to(&format!("/po/approve?id={}", order.id)).into_response(),
        Err(error) => unavailable(&error),
    }
}

async fn find(pool: &PgPool, id: Option<i32>) -> Result<Vec<OrderPage>, sqlx::Error> {
    let found: Vec<(i32, String, String, String, String, Option<Uuid>)> = sqlx::query_as(
        "select id, subject, to_char(amount, 'FM999,999,990.00'), requester, status, authorisation
         from demo.purchase_order o left join demo.asked on purchase_order = o.id
         where $1::int is null or id = $1 order by id desc limit 20",
    )
    .bind(id)
    .fetch_all(pool)
    .await?;
    let mut orders = Vec::new();
    for (id, subject, amount, requester, status, authorisation) in found {
        let asked = match authorisation {
            Some(id) => store::authorisations::get(pool, id).await?,
            None => None,
        };
        orders.push(OrderPage { id, subject, amount, requester, status, asked });
    }
    Ok(orders)
}

pub(super) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => unavailable(&error),
    }
}

pub(super) fn unavailable(error: &impl std::fmt::Display) -> Response {
    tracing::error!("A page of the demo failed: {error}");
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}
