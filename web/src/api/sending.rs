//! What a token may send, and sending it: the same for one message and for each line of a batch.

use std::time::Instant;

use axum::http::{HeaderMap, HeaderValue};
use herald_jobs::store::access::ApiToken;
use herald_producers::{MessageId, NewMessage, Producer, SendError, Sent};

use super::problem::{self, Problem};
use crate::app::App;

/// Sends one message from the token's sender, with a key once.
pub(super) async fn send(
    app: &App,
    token: &ApiToken,
    mut message: NewMessage,
    key: Option<&str>,
) -> Result<Sent, Problem> {
    restrict(token, &mut message)?;
    let producer = producer(app, token);
    match key {
        None => {
            let id = within_rate(app, token, producer.send(message)).await?;
            Ok(Sent { id, replayed: false })
        }
        Some(key) => {
            let mut is_counted = false;
            let count = || take(app, token).inspect(|()| is_counted = true);
            let sent = producer.send_once_if(message, key, count).await;
            if is_counted { settled(app, token, sent)? } else { sent? }
        }
    }
}

/// The key under which a request is carried out once, where it has one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let key = headers.get("idempotency-key").map(HeaderValue::to_str).transpose();
    key.map_err(|_| problem::bad_header("Idempotency-Key must be plain ASCII"))
}

/// Makes the message one of the token's own: by the sender that the token says where it says none.
pub(super) fn restrict(token: &ApiToken, message: &mut NewMessage) -> Result<(), Problem> {
    if message.sender.is_empty() {
        message.sender.clone_from(&token.sender);
    }
    may_send(token, "sender", &message.sender, &message.message_type)
}

/// Refuses a sender, named in `field`, or a message type that is not for this token.
pub(super) fn may_send(
    token: &ApiToken,
    field: &str,
    sender: &str,
    message_type: &str,
) -> Result<(), Problem> {
    if !is_sender(token, sender) {
        let problem = format!("this token sends as {}", senders(token).collect::<Vec<_>>().join(", "));
        return Err(problem::forbidden(format!("/{field}"), problem));
    }
    if let Some(types) = &token.message_types
        && !types.iter().any(|it| it == message_type)
    {
        let problem = format!("this token sends {}", types.join(", "));
        return Err(problem::forbidden("/message_type".to_owned(), problem));
    }
    Ok(())
}

/// Sends what comes in by this token.
pub(super) fn producer(app: &App, token: &ApiToken) -> Producer {
    app.producer.on_behalf_of(&format!("token {}", token.prefix))
}

/// Sends something that counts as one message of the token's rate. What is refused does not.
pub(super) async fn within_rate<T>(
    app: &App,
    token: &ApiToken,
    sending: impl Future<Output = Result<T, SendError>>,
) -> Result<T, Problem> {
    take(app, token)?;
    Ok(settled(app, token, sending.await)?)
}

/// Counts one message of the token's rate.
pub(super) fn take(app: &App, token: &ApiToken) -> Result<(), Problem> {
    let Some(rate) = token.rate else { return Ok(()) };
    app.rates.take(&token.prefix, rate, Instant::now()).map_err(|wait| problem::too_many(rate, wait))
}

/// Gives back what was taken for something that was certainly not sent.
pub(super) fn settled<T>(app: &App, token: &ApiToken, answer: Result<T, SendError>) -> Result<T, SendError> {
    answer.inspect_err(|error| {
        let may_be_sent = matches!(error, SendError::Unavailable(_) | SendError::Queue(_));
        if let (Some(rate), false) = (token.rate, may_be_sent) {
            app.rates.give_back(&token.prefix, rate);
        }
    })
}

/// Whether messages of this sender and type are the token's own.
pub(super) fn is_own(token: &ApiToken, sender: &str, message_type: &str) -> bool {
    let types = token.message_types.as_deref();
    is_sender(token, sender) && types.is_none_or(|types| types.iter().any(|it| it == message_type))
}

pub(super) fn is_sender(token: &ApiToken, sender: &str) -> bool {
    senders(token).any(|own| own == sender)
}

/// All that the token sends as, its own sender first.
pub(super) fn senders(token: &ApiToken) -> impl Iterator<Item = &str> {
    std::iter::once(&token.sender).chain(&token.senders).map(String::as_str)
}

/// Where a message can be read back.
pub(super) fn location(id: MessageId) -> String {
    format!("/api/v1/messages/{id}")
}
