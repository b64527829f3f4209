//! Bounces: mail servers report what became of copies that they had taken.

mod report;

use chrono::{DateTime, Utc};
use herald_jobs::deliver::{AttemptOutcome, DeliveryState};
use herald_jobs::id::DeliveryId;
use herald_jobs::return_path;
use herald_jobs::seal::KeyRing;
use herald_jobs::store;
use herald_jobs::store::bounces;
use mail_parser::{Message, MessageParser};
use ring::digest;
use sqlx::PgPool;

use report::{Action, Report};

/// Largest mail that is read, in bytes. What a server reports stands before what it returns.
pub const MOST_READ: usize = 4 * 1024 * 1024;

/// Headers in which servers note whom a mail was for, and `To`, in which a bounce has it too.
const RECIPIENT_HEADERS: [&str; 4] = ["Delivered-To", "X-Original-To", "Envelope-To", "To"];
/// What parts addresses in those.
const BETWEEN_ADDRESSES: [char; 11] = [' ', '\t', '\r', '\n', ',', ';', ':', '<', '>', '"', '\''];

/// What became of a bounce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The copy did not arrive: it has failed.
    Failed {
        /// The copy.
        id: DeliveryId,
        /// Its address, where it gets no more copies because of this.
        suppressed: Option<String>,
    },
    /// The copy is late, or was never to go out: that is recorded, nothing more.
    Noted(DeliveryId),
    /// The same report came before. Nothing was changed.
    Known(DeliveryId),
    /// It is no bounce of ours, and why. Nothing was changed.
    Ignored(&'static str),
}

/// Why a bounce was not dealt with. It should come again later.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// None can be told from a forgery.
    #[error(
        "there are no keys that tell our return paths from forged ones (secrets.key_file or HERALD_KEYS)"
    )]
    NoKeys,
    /// It is being sent at this moment, perhaps for the second time.
    #[error("copy {0} is under way")]
    UnderWay(DeliveryId),
    /// The database did not take it.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl std::fmt::Display for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed { id, suppressed: None } => write!(f, "delivery {id} has failed"),
            Self::Failed { id, suppressed: Some(address) } => {
                write!(f, "delivery {id} has failed, and {address} gets no more copies")
            }
            Self::Noted(id) => write!(f, "noted at delivery {id}"),
            Self::Known(id) => write!(f, "nothing changed: delivery {id} has this report already"),
            Self::Ignored(why) => write!(f, "nothing changed: {why}"),
        }
    }
}

/// Deals with one mail that came to the bounce address. `recipient` is whom it was for, where that is known besides the mail's own
/// headers. A copy is only ever changed by a report that came to its own return path.
///
/// # Errors
/// See [`ReceiveError`]; nothing was changed.
pub async fn receive(
    pool: &PgPool,
    keys: &KeyRing,
    mail: &[u8],
    recipient: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Received, ReceiveError> {
    if keys.is_empty() {
        return Err(ReceiveError::NoKeys);
    }
    let Some(mail) = MessageParser::default().parse(mail) else {
        return Ok(Received::Ignored("it is no mail"));
    };
    let Some(id) = concerned(&mail, recipient, keys) else {
        return Ok(Received::Ignored("it did not come to a return path that was made here"));
    };
    let Some(report) = Report::of(&mail) else {
        return Ok(Received::Ignored("it is no delivery status notification"));
    };
    let mut transaction = pool.begin().await?;
    let Some(copy) = bounces::lock(&mut transaction, id).await? else {
        return Ok(Received::Ignored("there is no such delivery"));
    };
    if copy.state == DeliveryState::Sending {
        return Err(ReceiveError::UnderWay(id));
    }
    let about = report.about(&copy.address);
    let (about, outcome) = match about.map(|about| (about, about.action)) {
        Some((about, Action::Failed)) => (about, AttemptOutcome::Bounced),
        Some((about, Action::Delayed)) => (about, AttemptOutcome::Delayed),
        Some((_, Action::Passed)) | None => {
            return Ok(Received::Ignored("it says that the mail arrived, or went on"));
        }
    };
    let fingerprint = digest::digest(&digest::SHA256, &report.identity).as_ref().to_vec();
    let words = bounces::Report { fingerprint, outcome, code: about.code, reply: about.words.clone() };
    if !bounces::record(&mut transaction, id, &words, now).await? {
        return Ok(Received::Known(id));
    }
    let mut received = Received::Noted(id);
    if outcome == AttemptOutcome::Bounced {
        bounces::settle(&mut *transaction, id, DeliveryState::Failed, &words.reply, now).await?;
        let bad = about.is_bad_mailbox() && !copy.address.is_empty();
        if bad {
            store::suppressions::add(&mut *transaction, &copy.address, &words.reply, Some(id), now).await?;
        }
        received = Received::Failed { id, suppressed: bad.then_some(copy.address) };
    }
    transaction.commit().await?;
    Ok(received)
}

/// The copy whose return path the mail came to.
fn concerned(mail: &Message<'_>, recipient: Option<&str>, keys: &KeyRing) -> Option<DeliveryId> {
    let named = |name: &str| RECIPIENT_HEADERS.iter().any(|header| header.eq_ignore_ascii_case(name));
    let headers = mail.headers_raw().filter(|(name, _)| named(name)).map(|(_, value)| value);
    let texts = recipient.into_iter().chain(headers);
    // The tag tells an address of ours from everything else that stands there.
    texts.flat_map(|text| text.split(BETWEEN_ADDRESSES)).find_map(|word| return_path::read(keys, word))
}
