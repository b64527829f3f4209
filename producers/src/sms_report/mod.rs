//! What an SMS provider reports: what became of an SMS, and what recipients answer. Every report is signed.

mod settings;

use chrono::{DateTime, Utc};
use herald_jobs::deliver::{AttemptOutcome, DeliveryState};
use herald_jobs::id::DeliveryId;
use herald_jobs::seal::KeyRing;
use herald_jobs::store::{self, bounces, suppressions};
use ring::digest;
use serde_json::Value;
use sqlx::PgPool;

use crate::numbers;
use settings::{Settings, Signature};

/// Why a number gets no more SMS.
const STOPPED: &str = "The recipient answered STOP.";
/// What recipients write who want no more, and who want them again.
const STOP: [&str; 8] = ["stop", "stopp", "stopall", "unsubscribe", "cancel", "end", "quit", "abmelden"];
const START: [&str; 3] = ["start", "unstop", "anmelden"];

/// What became of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The SMS has arrived.
    Arrived(DeliveryId),
    /// The SMS will not arrive: the copy has failed.
    Lost(DeliveryId),
    /// It says nothing new. Nothing was changed.
    Known(DeliveryId),
    /// The recipient wants no more: this number gets no more SMS.
    Stopped(String),
    /// The recipient wants them again.
    Started(String),
    /// It concerns nothing here, and why. Nothing was changed.
    Ignored(&'static str),
}

impl std::fmt::Display for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Arrived(id) => write!(f, "delivery {id} has arrived"),
            Self::Lost(id) => write!(f, "delivery {id} has failed"),
            Self::Known(id) => write!(f, "nothing changed: delivery {id} had come further"),
            Self::Stopped(number) => write!(f, "{number} gets no more SMS"),
            Self::Started(number) => write!(f, "{number} gets SMS again"),
            Self::Ignored(why) => write!(f, "nothing changed: {why}"),
        }
    }
}

/// Why a report was not dealt with; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// SMS is off, or no report can be told from a forgery.
    #[error("no reports are expected: {0}")]
    NotExpected(String),
    /// It was not signed, or by somebody else.
    #[error("the signature is missing or wrong")]
    Forged,
    /// It is neither a JSON document nor a form.
    #[error("the body is neither a JSON document nor a form")]
    Unreadable,
    /// There is no SMS of this id yet: a report may be faster than the answer to what it is about.
    #[error("there is no SMS of the id {0:?} here, or it is being sent at this moment")]
    NotYet(String),
    /// The database did not take it.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Deals with one report, of which `query` is the address's, once: the same one again changes nothing, and what comes late changes nothing that is known already.
///
/// # Errors
/// See [`ReportError`].
pub async fn receive<'a>(
    pool: &PgPool,
    keys: &KeyRing,
    header: impl Fn(&str) -> Option<&'a str>,
    (query, body): (Option<&str>, &[u8]),
    now: DateTime<Utc>,
) -> Result<Received, ReportError> {
    let settings = settings::read(&store::registry::all(pool).await?, keys);
    let settings = settings.map_err(ReportError::NotExpected)?;
    let unset = || ReportError::NotExpected("SMS is off, or what signs reports is not set".to_owned());
    let settings = settings.ok_or_else(unset)?;
    let is_form =
        header("Content-Type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let form: Option<Vec<(String, String)>> =
        is_form.then(|| url::form_urlencoded::parse(body).into_owned().collect());
    if !settings.signature.is_good(header, body, form.as_deref(), query) {
        return Err(ReportError::Forged);
    }
    let document = match form {
        Some(pairs) => Value::Object(pairs.into_iter().map(|(name, value)| (name, value.into())).collect()),
        None => serde_json::from_slice(body).map_err(|_| ReportError::Unreadable)?,
    };
    let part = |pointer: &str| match document.pointer(pointer) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let Settings { fields, arrived, lost, .. } = &settings;
    // Our own id, where Twilio was given it; its signature covers the address.
    let ours = query.filter(|_| matches!(settings.signature, Signature::Twilio { .. })).and_then(|query| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find_map(|(name, value)| (name == "delivery").then(|| value.into_owned()))
    });
    let status = part(&fields.status).map(|status| status.to_lowercase());
    match (ours.or_else(|| part(&fields.id)), status, part(&fields.from), part(&fields.text)) {
        (Some(id), Some(status), ..) if arrived.contains(&status) => {
            about_copy(pool, id, AttemptOutcome::Delivered, status, now).await
        }
        (Some(id), Some(status), ..) if lost.contains(&status) => {
            let reason = part(&fields.reason).filter(|reason| !reason.is_empty());
            let words = reason.map_or(status.clone(), |reason| format!("{status}: {reason}"));
            about_copy(pool, id, AttemptOutcome::Bounced, words, now).await
        }
        (Some(_), Some(_), ..) => Ok(Received::Ignored("the SMS is on its way")),
        (_, None, Some(from), Some(text)) => answer(pool, &from, &text, now).await,
        _ => Ok(Received::Ignored("it is neither about an SMS nor an answer to one")),
    }
}

async fn about_copy(
    pool: &PgPool,
    reference: String,
    outcome: AttemptOutcome,
    words: String,
    now: DateTime<Utc>,
) -> Result<Received, ReportError> {
    let mut transaction = pool.begin().await?;
    let Some(copy) = store::sms_reports::lock(&mut transaction, &reference).await? else {
        return Err(ReportError::NotYet(reference));
    };
    let id = DeliveryId(copy.id);
    match copy.state {
        DeliveryState::Sending => return Err(ReportError::NotYet(reference)),
        DeliveryState::Sent | DeliveryState::Unknown | DeliveryState::Pending => {}
        _ => return Ok(Received::Known(id)),
    }
    let fingerprint = digest::digest(&digest::SHA256, words.as_bytes()).as_ref().to_vec();
    let words: String = words.replace(char::is_control, " ").chars().take(500).collect();
    let report = bounces::Report { fingerprint, outcome, code: None, reply: words };
    bounces::record(&mut transaction, id, &report, now).await?;
    let (state, received) = match outcome {
        AttemptOutcome::Delivered => (DeliveryState::Delivered, Received::Arrived(id)),
        _ => (DeliveryState::Failed, Received::Lost(id)),
    };
    bounces::settle(&mut *transaction, id, state, &report.reply, now).await?;
    transaction.commit().await?;
    Ok(received)
}

/// STOP and START, from the number that they came from.
async fn answer(pool: &PgPool, from: &str, text: &str, now: DateTime<Utc>) -> Result<Received, ReportError> {
    let word = text.trim().trim_end_matches(['.', '!']).to_lowercase();
    let Ok(number) = numbers::e164(from, None) else {
        return Ok(Received::Ignored("it comes from no number"));
    };
    if STOP.contains(&word.as_str()) {
        suppressions::add(pool, &number, STOPPED, None, now).await?;
        return Ok(Received::Stopped(number));
    }
    if START.contains(&word.as_str()) && suppressions::lift_for(pool, &number, STOPPED).await? {
        return Ok(Received::Started(number));
    }
    Ok(Received::Ignored("the recipient says nothing that is understood here"))
}
