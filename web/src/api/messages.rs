//! Sending, and reading back what was sent.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use herald_jobs::address::Username;
use herald_jobs::id::MessageId;
use herald_jobs::store;
use herald_jobs::store::deliveries::Delivery;
use herald_jobs::store::messages::Standing;
use herald_jobs::store::sent::{MessageStatus, Sent};
use herald_producers::{NewContact, NewMessage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::body::JsonBody;
use super::page::{Filtered, Listed};
use super::problem::{self, Problem};
use super::token::Caller;
use super::{sending, version};
use crate::app::App;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What was accepted, or cancelled.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Accepted {
    /// The message's id.
    id: MessageId,
    /// `accepted` or `cancelled`.
    status: &'static str,
}

impl Accepted {
    /// What was accepted.
    pub(super) fn new(id: MessageId) -> Self {
        Self { id, status: "accepted" }
    }
}

/// POST /api/v1/messages: one message from the token's sender; with an `Idempotency-Key` once.
pub(crate) async fn send(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(message): JsonBody<NewMessage>,
) -> Result<Response, Problem> {
    let key = sending::key(&headers)?;
    let sent = sending::send(&app, &token, message, key).await?;
    let body = Json(Accepted::new(sent.id));
    let headers = [(header::LOCATION, sending::location(sent.id))];
    let mut response = (StatusCode::ACCEPTED, headers, body).into_response();
    if sent.replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// A message as its sender sees it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Message {
    /// Its id.
    id: MessageId,
    /// Of a send to many.
    batch_id: Option<Uuid>,
    /// `accepted`, `failed` (an operator looks at it), `pending`, `acted`, `cancelled` or `withdrawn`.
    status: String,
    recipient: String,
    message_type: String,
    message_text: String,
    sender: String,
    sender_instance: Option<String>,
    /// What made the texts, and why it could not.
    template: Option<String>,
    template_version: Option<i32>,
    template_error: Option<String>,
    /// Through what it came in.
    sent_by: Option<String>,
    reply_value: Option<String>,
    /// Why it failed.
    reason: Option<String>,
    created_at: DateTime<Utc>,
    seen_at: Option<DateTime<Utc>>,
    acted_at: Option<DateTime<Utc>>,
    /// Who acted, and where: `inbox`, `api`, `email`, `cli` or `callback`.
    acted_by: Option<String>,
    acted_via: Option<String>,
    /// Why it was taken back, where there is something to say.
    closed_reason: Option<String>,
}

impl From<Standing> for Message {
    fn from(it: Standing) -> Self {
        Self {
            id: MessageId(it.id),
            batch_id: it.batch_id,
            status: it.status,
            recipient: it.recipient,
            message_type: it.message_type,
            message_text: it.message_text,
            sender: it.sender,
            sender_instance: it.sender_instance,
            template: it.template,
            template_version: it.template_version,
            template_error: it.template_error,
            sent_by: it.sent_by,
            reply_value: it.reply_value,
            reason: it.reason,
            created_at: it.created_at,
            seen_at: it.seen_at,
            acted_at: it.acted_at,
            acted_by: it.acted_by,
            acted_via: it.acted_via,
            closed_reason: it.closed_reason,
        }
    }
}

/// GET /api/v1/messages/{id}
pub(crate) async fn read(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, standing) = own(&app, &caller, &id).await?;
    version::tagged(&headers, &Message::from(standing))
}

/// Which messages are listed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    recipient: Option<String>,
    batch: Option<Uuid>,
    status: Option<MessageStatus>,
}

/// GET /api/v1/messages: those of the token's senders that have reached an inbox, newest first.
pub(crate) async fn list(
    State(app): State<App>,
    Extension(Caller(token)): Extension<Caller>,
    Filtered { filter, page }: Filtered<Filter>,
) -> Result<Json<Listed<Message>>, Problem> {
    if filter.recipient.is_none() && filter.batch.is_none() {
        return Err(problem::bad_query("recipient: this or batch is needed".to_owned()));
    }
    let recipient = match &filter.recipient {
        None => None,
        Some(name) => {
            let name = Username::parse(name)
                .map_err(|problem| problem::bad_query(format!("recipient: {problem}")))?;
            let user = store::users::by_name(&app.pool, &name).await?;
            let missing = || problem::bad_query("recipient: there is no user of this name".to_owned());
            Some(user.ok_or_else(missing)?.id)
        }
    };
    let senders: Vec<String> = sending::senders(&token).map(str::to_owned).collect();
    let sent = Sent {
        senders: &senders,
        message_types: token.message_types.as_deref(),
        recipient,
        batch: filter.batch,
        status: filter.status,
    };
    let found = store::sent::list(&app.pool, &sent, page.after_id()?, page.limit).await?;
    let items: Vec<Message> = found.into_iter().map(Message::from).collect();
    let next = page.next_by_id(&items, |item| item.id.0);
    Ok(Json(Listed { items, next }))
}

/// A copy as the sender sees it.
#[derive(Serialize, JsonSchema)]
struct Copy {
    id: String,
    channel: &'static str,
    address: String,
    email_mode: String,
    state: &'static str,
    /// The last answer, or why nothing was sent.
    reason: Option<String>,
    attempts: i32,
    next_attempt_at: Option<DateTime<Utc>>,
}

impl From<Delivery> for Copy {
    fn from(delivery: Delivery) -> Self {
        let pending = delivery.state == herald_jobs::deliver::DeliveryState::Pending;
        Self {
            id: delivery.id.to_string(),
            channel: delivery.channel.as_str(),
            address: delivery.address,
            email_mode: delivery.mode,
            state: delivery.state.as_str(),
            reason: delivery.reason,
            attempts: delivery.attempts,
            next_attempt_at: pending.then_some(delivery.next_attempt_at),
        }
    }
}

/// The copies of a message.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Copies {
    deliveries: Vec<Copy>,
}

/// GET /api/v1/messages/{id}/deliveries
pub(crate) async fn deliveries(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<impl Serialize>, Problem> {
    let (id, _) = own(&app, &caller, &id).await?;
    let deliveries = store::deliveries::of_message(&app.pool, id).await?;
    Ok(Json(Copies { deliveries: deliveries.into_iter().map(Copy::from).collect() }))
}

/// POST /api/v1/messages/{id}/recipients: a copy for somebody outside, which counts as a message. The same contact twice gets one
/// copy.
pub(crate) async fn add_recipient(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    JsonBody(contact): JsonBody<NewContact>,
) -> Result<Response, Problem> {
    let (id, _) = own(&app, &caller, &id).await?;
    sending::within_rate(&app, &caller.0, app.producer.add_recipient(id, &contact)).await?;
    let location = format!("{}/deliveries", sending::location(id));
    let body = Json(Accepted::new(id));
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], body).into_response())
}

/// POST /api/v1/messages/{id}/cancel: takes it back while it waits, with its copies that have not gone out. Twice is as good as once.
pub(crate) async fn cancel(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Accepted>, Problem> {
    let (id, _) = own(&app, &caller, &id).await?;
    app.producer.cancel(id).await?;
    Ok(Json(Accepted { id, status: "cancelled" }))
}

/// A message that the caller may have sent, by its sender and type. Others do not exist for it.
pub(super) async fn own(
    app: &App,
    Caller(token): &Caller,
    id: &str,
) -> Result<(MessageId, Standing), Problem> {
    let id: MessageId = id.parse().map_err(|_| problem::not_found())?;
    let standing = app.producer.standing(id).await?;
    let own = standing.filter(|it| sending::is_own(token, &it.sender, &it.message_type));
    own.map(|standing| (id, standing)).ok_or_else(problem::not_found)
}
