//! Tries the way that mail takes, with one mail of its own.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lettre::Address;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use uuid::Uuid;

use crate::settings::MailSettings;
use crate::smtp::{Fault, FaultKind, Server, Session, Timeouts, Trace, Verdict};

/// Somebody waits for the answer.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    command: Duration::from_secs(30),
    after_dot: Duration::from_secs(120),
};

/// Sends a test mail to `to`, and answers what the server said when it took it. `trace` is told the conversation.
///
/// # Errors
/// A sentence that says what failed, and where to look.
pub async fn email(
    settings: &MailSettings,
    to: &Address,
    id: Uuid,
    now: DateTime<Utc>,
    trace: Option<Trace>,
) -> Result<String, String> {
    let message = compose(settings, to, id, now)?;
    let server = Server { timeouts: TIMEOUTS, ..settings.server.clone() };
    let mut session = Session::open_traced(&server, trace).await.map_err(|fault| explain(&fault))?;
    let verdict = session.send(&settings.from, to, &message, async || true).await;
    session.quit().await;
    match verdict {
        Verdict::Sent { reply } => Ok(reply),
        Verdict::Refused { reply, .. } | Verdict::Deferred { reply, .. } => Err(reply),
        Verdict::Unknown { error } => Err(format!("{error} The mail may have arrived or not.")),
        Verdict::Fault(fault) => Err(explain(&fault)),
        Verdict::Abandoned => Err("The mail was not sent.".to_owned()),
    }
}

fn compose(settings: &MailSettings, to: &Address, id: Uuid, now: DateTime<Utc>) -> Result<Vec<u8>, String> {
    let from = &settings.from;
    let mut message = Message::builder()
        .from(Mailbox::new(None, from.clone()))
        .to(Mailbox::new(None, to.clone()))
        .message_id(Some(format!("<{}@{}>", id.simple(), from.domain())))
        .date(now.into())
        .subject("Herald: the mail connection works")
        .header(ContentType::TEXT_PLAIN);
    if let Some(reply_to) = &settings.reply_to {
        message = message.reply_to(Mailbox::new(None, reply_to.clone()));
    }
    let body = "This mail was sent by `herald check email`.\r\n".to_owned();
    Ok(message.body(body).map_err(|error| error.to_string())?.formatted())
}

/// The fault, and which keys of the registry it comes from.
fn explain(fault: &Fault) -> String {
    let keys = match fault.kind {
        FaultKind::NameNotFound => "SMTP-SERVER",
        FaultKind::Unreachable | FaultKind::ServerRefused => {
            "SMTP-SERVER and SMTP-PORT, and who may connect there"
        }
        FaultKind::Tls => "SMTP-SECURITY, and at SMTP-SERVER: its certificate must be for that name",
        FaultKind::Authentication => "SMTP-USERNAME and SMTP-PASSWORD",
        FaultKind::SenderRefused => "SMTP-FROM, and what SMTP-USERNAME may send as",
        FaultKind::Settings => "the registry",
    };
    format!("{} (look at {keys})", fault.sentence.trim_end_matches('.'))
}
