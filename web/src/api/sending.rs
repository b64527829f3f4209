//! What a token may send, and sending it: the same for one message and for each line of a batch.

use std::time::Instant;

use herald_jobs::store::access::ApiToken;
use herald_producers::{MessageId, NewMessage, Sent};

use super::problem::{self, Problem};
use crate::app::App;

/// Sends one message from the token's sender, with a key once.
pub(super) async fn send(
    app: &App,
    token: &ApiToken,
    mut message: NewMessage,
    key: Option<&str>,
) -> Result<Sent, Problem> {
    if message.sender.is_empty() {
        message.sender.clone_from(&token.sender);
    } else if !is_sender(token, &message.sender) {
        let senders = std::iter::once(&token.sender).chain(&token.senders).map(String::as_str);
        let problem = format!("this token sends as {}", senders.collect::<Vec<_>>().join(", "));
        return Err(problem::forbidden("/sender".to_owned(), problem));
    }
    if let Some(types) = &token.message_types
        && !types.contains(&message.message_type)
    {
        let problem = format!("this token sends {}", types.join(", "));
        return Err(problem::forbidden("/message_type".to_owned(), problem));
    }
    if let Some(rate) = token.rate {
        app.rates.take(&token.prefix, rate, Instant::now()).map_err(|wait| problem::too_many(rate, wait))?;
    }
    let producer = app.producer.on_behalf_of(&format!("token {}", token.prefix));
    Ok(match key {
        None => Sent { id: producer.send(message).await?, replayed: false },
        Some(key) => producer.send_once(message, key).await?,
    })
}

/// Whether messages of this sender are the token's own.
pub(super) fn is_sender(token: &ApiToken, sender: &str) -> bool {
    token.sender == sender || token.senders.iter().any(|other| other == sender)
}

/// Where a message can be read back.
pub(super) fn location(id: MessageId) -> String {
    format!("/api/v1/messages/{id}")
}
