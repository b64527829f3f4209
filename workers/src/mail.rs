//! The e-mail that carries one copy of a message.

use herald_jobs::address::{self, EmailMode};
use herald_jobs::send::MAX_SUBJECT;
use herald_jobs::store::deliveries::Claimed;
use lettre::Address;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Body, Mailbox, Message, MultiPart, SinglePart};

use crate::files::{File, Files};
use crate::links::{self, Link};
use crate::settings::MailSettings;

/// The mail as bytes, ready for DATA: plain text, and the HTML after it where there is any (`multipart/alternative`, RFC 2046), quoted-
/// printable, then the files in base64 (`multipart/mixed`), with a Message-ID that stays the same at each attempt.
///
/// # Errors
/// A sentence that says which address is not valid.
pub(crate) fn compose(
    copy: &Claimed,
    files: &Files,
    links: &[Link],
    settings: &MailSettings,
    domain: &str,
) -> Result<Vec<u8>, String> {
    let MailSettings { from, reply_to, .. } = settings;
    let to = mailbox(&copy.display_name, &copy.address)?;
    let mut message = Message::builder()
        .from(Mailbox::new(None, from.clone()))
        .message_id(Some(message_id(copy, domain)))
        .date(copy.message_created_at.into())
        .subject(one_line(&copy.subject))
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"));
    if let Some(reply_to) = reply_to {
        message = message.reply_to(Mailbox::new(None, reply_to.clone()));
    }
    let mut addressed = false;
    if copy.mode != EmailMode::Bcc {
        addressed = true;
        message = if copy.mode == EmailMode::Cc { message.cc(to) } else { message.to(to) };
    }
    for other in &copy.headers {
        // One that cannot stand there is not written to either.
        if let Some((mode, address)) = other.split_once(' ')
            && let Ok(other) = mailbox("", address)
        {
            addressed = true;
            message = if mode == "cc" { message.cc(other) } else { message.to(other) };
        }
    }
    if !addressed {
        message = message.raw_header(header("To", "undisclosed-recipients:;"));
    }
    let envelope = lettre::address::Envelope::new(Some(from.clone()), vec![address(&copy.address)?])
        .map_err(|error| error.to_string())?;
    let message = message.envelope(envelope);
    let text = format!("{}{}", copy.text, links::as_text(links));
    let text = part(ContentType::TEXT_PLAIN, &text, files, |note| format!("\n\n{note}"))?;
    let html = copy.html.as_ref().map(|html| {
        let html = format!("{html}{}", links::as_html(links));
        part(ContentType::TEXT_HTML, &html, files, |note| format!("<p>{}</p>", links::escaped(&note)))
    });
    // Boundaries stay the same at each attempt, too.
    let boundary = copy.id.simple();
    let alternative = |html| {
        MultiPart::alternative().boundary(format!("=_{boundary}")).singlepart(text.clone()).singlepart(html)
    };
    let mixed = MultiPart::mixed().boundary(format!("=_mixed_{boundary}"));
    let message = match (html.transpose()?, files.there.is_empty()) {
        (None, true) => message.singlepart(text),
        (Some(html), true) => message.multipart(alternative(html)),
        (None, false) => message.multipart(with_files(mixed.singlepart(text), files)?),
        (Some(html), false) => message.multipart(with_files(mixed.multipart(alternative(html)), files)?),
    };
    Ok(message.map_err(|error| error.to_string())?.formatted())
}

/// A text, and after it, as `shown`, what a reader is told of files that could not be attached.
fn part(
    content_type: ContentType,
    text: &str,
    files: &Files,
    shown: fn(String) -> String,
) -> Result<SinglePart, String> {
    let missing =
        files.missing.iter().map(|(name, _)| format!("[{} could not be attached.]", one_line(name)));
    let text: String = std::iter::once(text.to_owned()).chain(missing.map(shown)).collect();
    Ok(SinglePart::builder().header(content_type).body(body(&text)?))
}

/// Puts the files after what `mixed` holds, each under its name in whatever letters (RFC 2231).
fn with_files(mut mixed: MultiPart, files: &Files) -> Result<MultiPart, String> {
    for File { name, content_type, content } in &files.there {
        let unfit = |what: &str| format!("The file {} has no valid {what}.", one_line(name));
        let content_type = ContentType::parse(content_type).map_err(|_| unfit("content type"))?;
        let content = Body::new_with_encoding(content.clone(), ContentTransferEncoding::Base64)
            .map_err(|_| unfit("content"))?;
        mixed = mixed.singlepart(Attachment::new(one_line(name)).body(content, content_type));
    }
    Ok(mixed)
}

/// Bare line feeds would let a lenient server see commands in a text.
fn body(text: &str) -> Result<Body, String> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
    Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable)
        .map_err(|_| "The text cannot be encoded.".to_owned())
}

/// The copy's Message-ID (RFC 5322): the ledger's key at our domain.
pub fn message_id(copy: &Claimed, domain: &str) -> String {
    format!("<{}@{domain}>", copy.id.simple())
}

fn mailbox(name: &str, text: &str) -> Result<Mailbox, String> {
    let name = (!name.is_empty()).then(|| one_line(name));
    Ok(Mailbox::new(name, address(text)?))
}

/// The address as mail servers take it: those that came in by SQL, and those of users, are looked at here first.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn address(text: &str) -> Result<Address, String> {
    let refused = |problem: String| format!("The address {} {problem}.", one_line(text));
    let address = address::email(text).map_err(refused)?;
    address.parse().map_err(|error| refused(format!("is not valid: {error}")))
}

/// What stands in a header: a description of a type or the name of a user is anybody's text of any length. What looks like an
/// encoded word (RFC 2047) would be decoded by whoever reads the mail.
fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SUBJECT).collect();
    line.replace("=?", "= ?")
}

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}
