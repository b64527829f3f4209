//! Tries the ways that mail and SMS take, with one message of its own.

use std::collections::HashMap;
use std::time::Duration;

use apalis::prelude::Data;
use chrono::{DateTime, Utc};
use herald_jobs::address::Channel;
use herald_jobs::check::CheckJob;
use herald_jobs::deliver::{AttemptOutcome, Verdict};
use herald_jobs::store;
use herald_queue::Failure;
use lettre::Address;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use uuid::Uuid;

use crate::outcome::outage;
use crate::settings::{self, Access, MailSettings};
use crate::sms::{self, Sms, SmsSettings};
use crate::smtp::{self, Fault, FaultKind, Server, Session, Timeouts, Trace};
use crate::{Context, mail};

/// Somebody waits for the answer.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    command: Duration::from_secs(30),
    after_dot: Duration::from_secs(120),
};

/// Does what somebody asked for, once, and keeps what was said.
///
/// # Errors
/// The database is not available.
pub(crate) async fn check(job: CheckJob, context: Data<Context>) -> Result<(), Failure> {
    let Context { pool, clock, options, .. } = &*context;
    if !store::checks::begin(pool, job.id, clock.now()).await.map_err(outage)? {
        // Whoever began it fell silent, or another one was asked for since.
        let said = "The worker fell silent: whether the message went out is not known.";
        return store::checks::finish(pool, job.id, Err(said), clock.now()).await.map_err(outage);
    }
    // As they are now: who asks has perhaps just set them.
    let values = store::registry::all(pool).await.map_err(outage)?;
    let (access, now) = (&options.registry, clock.now());
    let result = match job.channel {
        Channel::Email => email(&values, access, &job.address, job.id, now, None).await,
        Channel::Sms => sms(&values, access, options.allow_private_sms, &job.address, job.id, now).await,
    };
    let said = result.as_deref().map_err(String::as_str);
    store::checks::finish(pool, job.id, said, clock.now()).await.map_err(outage)
}

/// Sends a test SMS to `to`, a number in E.164 form, with the registry's values; answers who took it, and what they said.
///
/// # Errors
/// A sentence that says what failed, and where to look.
pub async fn sms(
    values: &HashMap<String, String>,
    access: &Access,
    allow_private: bool,
    to: &str,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<String, String> {
    let settings =
        sms::read(values, &access.keys).map_err(|missing| format!("SMS is not configured: {missing}"))?;
    let settings = settings.ok_or("SMS is off: SMS-PROVIDER turns it on")?;
    let host = settings.provider.url().host_str().unwrap_or_default().to_owned();
    let reply = try_sms(&settings, allow_private, to, id, now).await?;
    Ok(format!("{host} took the SMS: {reply}"))
}

/// Sends a test mail to `to` with the registry's values; answers who took it, and what they said. `trace` is told the
/// conversation.
///
/// # Errors
/// A sentence that says what failed, and where to look.
pub async fn email(
    values: &HashMap<String, String>,
    access: &Access,
    to: &str,
    id: Uuid,
    now: DateTime<Utc>,
    trace: Option<Trace>,
) -> Result<String, String> {
    let settings =
        settings::mail(values, access).map_err(|missing| format!("e-mail is not configured: {missing}"))?;
    let reply = try_email(&settings, &mail::address(to)?, id, now, trace).await?;
    Ok(format!("{}, port {} took the mail: {reply}", settings.server.host, settings.server.port))
}

/// Answers what the provider said when it took it.
async fn try_sms(
    settings: &SmsSettings,
    allow_private: bool,
    to: &str,
    id: Uuid,
    now: DateTime<Utc>,
) -> Result<String, String> {
    let id = id.simple().to_string();
    let sms = Sms { id: &id, to, text: "This SMS tries the way that SMS take from Herald." };
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

/// Answers what the server said when it took it.
async fn try_email(
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
    let body = "This mail tries the way that mail takes from Herald.\r\n".to_owned();
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
