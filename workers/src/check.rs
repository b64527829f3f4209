//! Tries the ways that mail and SMS take, with one message of its own.

use std::time::Duration;

use chrono::{DateTime, Utc};
use herald_jobs::deliver::{AttemptOutcome, Verdict};
use lettre::Address;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use uuid::Uuid;

use crate::settings::MailSettings;
use crate::sms::{self, Sms, SmsSettings};
use crate::smtp::{self, Fault, FaultKind, Server, Session, Timeouts, Trace};

/// Somebody waits for the answer.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    command: Duration::from_secs(30),
    after_dot: Duration::from_secs(120),
};

/// Sends a test SMS to `to`, a number in E.164 form, and answers what the provider said when it took it.
///
/// # Errors
/// A sentence that says what failed, and where to look.
pub async fn sms(
    settings: &SmsSettings,
    allow_private: bool,
    to: &str,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<String, String> {
    let id = id.simple().to_string();
    let sms = Sms { id: &id, to, text: "This SMS was sent by `herald check sms`." };
    let Verdict { outcome, code, reply } = sms::try_once(settings, allow_private, sms, now).await?;
    let look = match (outcome, code) {
        (AttemptOutcome::Sent, _) => return Ok(reply),
        (AttemptOutcome::Unknown, Some(200..=299)) => {
            return Err(format!("{reply} (it was taken, but SMS-ID names nothing in this answer)"));
        }
        (AttemptOutcome::Unknown, _) => return Err(format!("{reply} The SMS may have been sent or not.")),
        (AttemptOutcome::Deferred, _) => "come back later, as the provider asks",
        (AttemptOutcome::Refused, _) => "look at the number, SMS-FROM and SMS-BODY",
        (AttemptOutcome::Fault, Some(401..=403 | 407)) => {
            "look at SMS-ACCOUNT and SMS-PASSWORD, and the provider's account"
        }
        _ => "look at SMS-URL and SMS-METHOD, and who may connect there",
    };
    Err(format!("{reply} ({look})"))
}

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
        smtp::Verdict::Sent { reply } => Ok(reply),
        smtp::Verdict::Refused { reply, .. } | smtp::Verdict::Deferred { reply, .. } => Err(reply),
        smtp::Verdict::Unknown { error } => Err(format!("{error} The mail may have arrived or not.")),
        smtp::Verdict::Fault(fault) => Err(explain(&fault)),
        smtp::Verdict::Abandoned => Err("The mail was not sent.".to_owned()),
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
