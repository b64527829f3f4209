//! What a delivery status notification (RFC 3464) says.

use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders as _};

/// Longest words of a server that are kept, in characters.
const MOST_WORDS: usize = 500;

/// A delivery status notification.
#[derive(Debug)]
pub(super) struct Report {
    recipients: Vec<Recipient>,
    /// The same for the same notification, however often it comes.
    pub(super) identity: Vec<u8>,
}

/// What it says of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipient {
    addresses: Vec<String>,
    pub(super) action: Action,
    status: Option<Status>,
    /// The SMTP reply code, where it tells one.
    pub(super) code: Option<u16>,
    /// The server's own words, or the status where there are none.
    pub(super) words: String,
}

/// What became of the mail (RFC 3464, section 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It was not delivered, and is not tried again.
    Failed,
    /// It was not delivered yet.
    Delayed,
    /// It went on.
    Passed,
}

/// A class, a subject and a detail (RFC 3463).
type Status = (u16, u16, u16);

impl Report {
    /// Reads the notification out of a mail; `None` where it holds none.
    pub(super) fn of(mail: &Message<'_>) -> Option<Self> {
        let is_report = mail.content_type().is_some_and(|kind| {
            kind.ctype().eq_ignore_ascii_case("multipart")
                && kind.subtype().is_some_and(|it| it.eq_ignore_ascii_case("report"))
        });
        let part = mail.parts.iter().find(|part| is_report && is_status(part))?;
        let text = String::from_utf8_lossy(part.contents()).replace("\r\n", "\n");
        // The first block is about the message as a whole.
        let mut blocks = blocks(&text).into_iter();
        let server = blocks.next().and_then(|block| field(&block, "Reporting-MTA"));
        let recipients: Vec<Recipient> =
            blocks.filter_map(|block| Recipient::of(&block, server.as_deref())).collect();
        let identity = [mail.message_id().unwrap_or_default().as_bytes(), b"\n", text.as_bytes()].concat();
        (!recipients.is_empty()).then_some(Self { recipients, identity })
    }

    /// What it says of `address`: where it names others only, the mail was passed on to them, and did not arrive when it arrived
    /// at none of them.
    pub(super) fn about(&self, address: &str) -> Option<&Recipient> {
        let named = self.recipients.iter().find(|it| it.addresses.iter().any(|it| same(it, address)));
        named.or_else(|| self.recipients.iter().max_by_key(|recipient| recipient.action.reach()))
    }
}

impl Action {
    /// How far the mail came.
    fn reach(self) -> u8 {
        match self {
            Self::Failed => 0,
            Self::Delayed => 1,
            Self::Passed => 2,
        }
    }
}

impl Recipient {
    fn of(block: &str, server: Option<&str>) -> Option<Self> {
        let action = match field(block, "Action")?.split(' ').next()?.to_ascii_lowercase().as_str() {
            "failed" => Action::Failed,
            "delayed" => Action::Delayed,
            "delivered" | "relayed" | "expanded" => Action::Passed,
            _ => return None,
        };
        let addresses =
            ["Original-Recipient", "Final-Recipient"].iter().filter_map(|name| field(block, name));
        let status = field(block, "Status");
        let said = field(block, "Diagnostic-Code").map(|said| after_type(&said).to_owned());
        let told_by = field(block, "Remote-MTA").or_else(|| server.map(str::to_owned));
        let told_by = told_by.map_or(String::new(), |name| format!(" (told by {})", after_type(&name)));
        let words =
            said.clone().or_else(|| status.clone()).unwrap_or_else(|| "It did not say why.".to_owned());
        Some(Self {
            addresses: addresses.map(|address| after_type(&address).to_owned()).collect(),
            action,
            status: status.as_deref().and_then(read_status),
            code: said.as_deref().and_then(reply_code),
            words: format!("{words}{told_by}").chars().take(MOST_WORDS).collect(),
        })
    }

    /// Whether nothing can ever arrive at that address: the mailbox or its domain is not there, is spelt wrongly or is disabled. Not so
    /// a full mailbox (5.2.2), and not what concerns the sender (5.1.7 and 5.1.8), the content or a policy (5.7.1).
    pub(super) fn is_bad_mailbox(&self) -> bool {
        let bad = |status| matches!(status, (5, 1, 1 | 2 | 3 | 6 | 10) | (5, 2, 1));
        self.action == Action::Failed && self.status.is_some_and(bad)
    }
}

fn is_status(part: &MessagePart<'_>) -> bool {
    part.content_type().is_some_and(|kind| {
        let subtype = kind.subtype().unwrap_or_default().to_ascii_lowercase();
        kind.ctype().eq_ignore_ascii_case("message")
            // The second for addresses that are not ASCII: RFC 6533.
            && matches!(subtype.as_str(), "delivery-status" | "global-delivery-status")
    })
}

/// The blocks of fields, which empty lines part.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        match blocks.last_mut() {
            Some(last) if !line.trim().is_empty() => last.extend([line, "\r\n"]),
            Some(last) if last.is_empty() => {}
            _ => blocks.push(String::new()),
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// A field's text on one line.
fn field(block: &str, name: &'static str) -> Option<String> {
    let block = format!("{block}\r\n");
    let fields = MessageParser::default().parse_headers(block.as_bytes())?;
    let text = fields.header_raw(name)?.replace(char::is_control, " ");
    Some(text.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty())
}

/// `rfc822; ann@example.com` without its type.
fn after_type(text: &str) -> &str {
    text.split_once(';').map_or(text, |(_, rest)| rest).trim()
}

fn same(named: &str, address: &str) -> bool {
    named.trim_matches(['<', '>']).eq_ignore_ascii_case(address)
}

/// `5.1.1`, perhaps with words after it.
fn read_status(text: &str) -> Option<Status> {
    let mut numbers = text.split([' ', '(']).next()?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??)).filter(|_| numbers.next().is_none())
}

/// `550 5.1.1 No such user` begins with it.
fn reply_code(words: &str) -> Option<u16> {
    let code = words.get(..3)?.parse().ok()?;
    let ends = words[3..].chars().next().is_none_or(|next| matches!(next, ' ' | '-'));
    ((400..600).contains(&code) && ends).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(status: &str) -> Vec<u8> {
        format!(
            "From: MAILER-DAEMON@mx.example.com\r\nTo: bounces@herald.test\r\nMessage-ID: <1@mx.example.com>\r\n\
             MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
             --b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n{status}\r\n--b--\r\n"
        )
        .into_bytes()
    }

    fn read(mail: &[u8]) -> Option<Report> {
        Report::of(&MessageParser::default().parse(mail)?)
    }

    fn about(status: &str) -> Option<Recipient> {
        read(&notification(status))?.about("ann@example.com").cloned()
    }

    #[test]
    fn a_notification_as_postfix_writes_it_is_read() {
        let it = about(
            "Reporting-MTA: dns; mail.herald.test\r\nX-Postfix-Queue-ID: 4F\r\nArrival-Date: Mon, 2 Nov 2026 10:00:00 +0000\r\n\r\n\
             Final-Recipient: rfc822; Ann@Example.com\r\nOriginal-Recipient: rfc822;ann@example.com\r\nAction: failed\r\n\
             Status: 5.1.1\r\nRemote-MTA: dns; mx.example.com\r\n\
             Diagnostic-Code: smtp; 550 5.1.1 <ann@example.com>: Recipient address\r\n    rejected: User unknown\r\n",
        )
        .unwrap();
        assert_eq!((it.action, it.code, it.is_bad_mailbox()), (Action::Failed, Some(550), true));
        let words =
            "550 5.1.1 <ann@example.com>: Recipient address rejected: User unknown (told by mx.example.com)";
        assert_eq!(it.words, words);
    }

    #[test]
    fn action_and_status_are_read_however_they_are_written() {
        for (fields, action, bad_mailbox) in [
            ("action: FAILED\r\nstatus: 5.1.10 (no mail here)", Action::Failed, true),
            ("Action: failed\r\nStatus: 5.2.2", Action::Failed, false),
            ("Action: failed\r\nStatus: 5.7.1", Action::Failed, false),
            ("Action: failed\r\nStatus: 5.1.8", Action::Failed, false),
            ("Action: failed\r\nStatus: 4.4.7", Action::Failed, false),
            ("Action: failed\r\nStatus: nonsense", Action::Failed, false),
            ("Action: failed", Action::Failed, false),
            ("Action: delayed\r\nStatus: 5.1.1", Action::Delayed, false),
            ("Action: delivered\r\nStatus: 2.1.5", Action::Passed, false),
        ] {
            let it = about(&format!("Reporting-MTA: dns; a.example\n\n{fields}")).unwrap();
            assert_eq!((it.action, it.is_bad_mailbox()), (action, bad_mailbox), "{fields}");
        }
    }

    #[test]
    fn of_several_recipients_the_one_that_is_named_counts_or_else_the_best() {
        let group = |address: &str, action: &str| {
            format!("Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: 5.1.1\r\n\r\n")
        };
        let of =
            |groups: &[String]| about(&format!("Reporting-MTA: dns; a.example\r\n\r\n{}", groups.concat()));
        let named = of(&[group("x@example.com", "relayed"), group("ann@example.com", "failed")]);
        assert_eq!(named.unwrap().action, Action::Failed);
        let one_arrived = of(&[group("x@example.com", "failed"), group("y@example.com", "relayed")]);
        assert_eq!(one_arrived.unwrap().action, Action::Passed);
        let none_arrived = of(&[group("x@example.com", "failed"), group("y@example.com", "failed")]);
        assert_eq!(none_arrived.unwrap().action, Action::Failed);
    }

    #[test]
    fn what_is_no_notification_is_none() {
        let whole = "Reporting-MTA: dns; a.example\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n";
        assert!(read(&notification(whole)).is_some());
        let as_text = String::from_utf8(notification(whole)).unwrap();
        for mail in [
            String::new(),
            "Subject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n".to_owned(),
            as_text.replace("multipart/report", "multipart/mixed"),
            as_text.replace("message/delivery-status", "text/plain"),
            String::from_utf8(notification("Reporting-MTA: dns; a.example\r\n")).unwrap(),
            String::from_utf8(notification("Reporting-MTA: dns; a\r\n\r\nAction: exploded\r\n")).unwrap(),
            String::from_utf8(notification("")).unwrap(),
        ] {
            assert!(read(mail.as_bytes()).is_none(), "{mail}");
        }
    }

    #[test]
    fn words_are_one_line_of_bounded_length() {
        let it = about(&format!(
            "Reporting-MTA: dns; a\r\n\r\nAction: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: smtp; 554 \u{1b}[2J{}\r\n",
            "x".repeat(9_000)
        ))
        .unwrap();
        assert_eq!((it.words.chars().count(), it.code), (MOST_WORDS, Some(554)));
        assert!(!it.words.contains(char::is_control));
    }
}
