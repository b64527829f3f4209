use mail_parser::{Address, Message, MessageParser, MimeHeaders, PartType};

/// A mail, decoded for people to read: MIME, quoted-printable, base64 and RFC 2047 words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The subject, empty where there is none.
    pub subject: String,
    /// `Name <address>` for each author.
    pub from: Vec<String>,
    /// `Name <address>` for each recipient that the header names.
    pub to: Vec<String>,
    /// The same for those who get a copy.
    pub cc: Vec<String>,
    /// The text part.
    pub text: Option<String>,
    /// The HTML part. Whoever shows it must keep its scripts and images from running and loading.
    pub html: Option<String>,
    /// What is attached.
    pub attachments: Vec<Attachment>,
    /// All headers, in their order, unfolded but not decoded.
    pub headers: Vec<(String, String)>,
}

/// A file in a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its file name, where it has one.
    pub name: Option<String>,
    /// Its MIME type, such as `application/pdf`.
    pub content_type: String,
    /// The file itself, decoded.
    pub content: Vec<u8>,
}

/// Decodes a mail; none when it has not even a header.
pub fn show(raw: &[u8]) -> Option<Shown> {
    let message = MessageParser::default().parse(raw)?;
    Some(Shown {
        subject: message.subject().unwrap_or_default().to_owned(),
        from: people(message.from()),
        to: people(message.to()),
        cc: people(message.cc()),
        text: message.text_part(0).and_then(|part| match &part.body {
            PartType::Text(text) => Some(text.to_string()),
            _ => None,
        }),
        html: message.html_part(0).and_then(|part| match &part.body {
            PartType::Html(html) => Some(html.to_string()),
            _ => None,
        }),
        attachments: attachments(&message),
        headers: message.headers_raw().map(|(name, value)| (name.to_owned(), unfolded(value))).collect(),
    })
}

/// The `Message-ID` in its angle brackets, from as much of a mail as there is.
pub(super) fn message_id(raw: &[u8]) -> Option<String> {
    let message = MessageParser::new().with_message_ids().parse_headers(raw)?;
    message.message_id().map(|id| format!("<{id}>"))
}

fn people(address: Option<&Address<'_>>) -> Vec<String> {
    let people = address.into_iter().flat_map(Address::iter);
    people
        .map(|person| match (person.name(), person.address().unwrap_or_default()) {
            (Some(name), address) => format!("{name} <{address}>"),
            (None, address) => address.to_owned(),
        })
        .collect()
}

fn attachments(message: &Message<'_>) -> Vec<Attachment> {
    let attachments = message.attachments();
    attachments
        .map(|part| Attachment {
            name: part.attachment_name().map(str::to_owned),
            content_type: part.content_type().map_or_else(
                || "application/octet-stream".to_owned(),
                |it| format!("{}/{}", it.ctype(), it.subtype().unwrap_or("octet-stream")),
            ),
            content: part.contents().to_vec(),
        })
        .collect()
}

fn unfolded(value: &str) -> String {
    value.trim().replace("\r\n", "")
}

#[cfg(test)]
mod tests {
    use lettre::message::{Mailbox, Message, MultiPart, SinglePart, header::ContentType};

    use super::*;

    #[test]
    fn a_mail_is_shown_as_it_was_meant() {
        let text = "Grüße,\r\nyour report is ready.\r\n";
        let html = "<p>Grüße, <b>your report</b> is ready.</p>";
        let pdf = ContentType::parse("application/pdf").unwrap();
        let long = "A subject that is much too long for one line of a header, \
                    so that it has to be folded somewhere: 日本語 und Umlaute äöü";
        let mail = Message::builder()
            .message_id(Some("<one@herald.example>".to_owned()))
            .from("Zoë Müller <zoe@herald.example>".parse::<Mailbox>().unwrap())
            .to("a@example.com".parse().unwrap())
            .cc("\"Last, First\" <b@example.com>".parse().unwrap())
            .subject(long)
            .multipart(
                MultiPart::mixed()
                    .multipart(MultiPart::alternative_plain_html(text.to_owned(), html.to_owned()))
                    .singlepart(
                        lettre::message::Attachment::new("bericht ä.pdf".to_owned())
                            .body(vec![0_u8, 255, 13, 10], pdf),
                    ),
            )
            .unwrap()
            .formatted();

        let shown = show(&mail).unwrap();
        assert_eq!(shown.subject, long);
        assert_eq!(shown.from, ["Zoë Müller <zoe@herald.example>"]);
        assert_eq!(
            (shown.to, shown.cc),
            (vec!["a@example.com".to_owned()], vec!["Last, First <b@example.com>".to_owned()])
        );
        assert_eq!(shown.text.as_deref(), Some(text));
        assert_eq!(shown.html.as_deref(), Some(html));
        let attachment = Attachment {
            name: Some("bericht ä.pdf".to_owned()),
            content_type: "application/pdf".to_owned(),
            content: vec![0, 255, 13, 10],
        };
        assert_eq!(shown.attachments, [attachment]);
        assert!(shown.headers.iter().all(|(_, value)| !value.contains('\n')));
        assert_eq!(message_id(&mail).as_deref(), Some("<one@herald.example>"));
        assert_eq!(message_id(b"Subject: none\r\n\r\nMessage-ID: <no@header>\r\n"), None);
    }

    #[test]
    fn a_mail_with_one_part_shows_only_that() {
        let html = Message::builder()
            .from("a@example.com".parse().unwrap())
            .to("b@example.com".parse().unwrap())
            .singlepart(SinglePart::html("<p>only</p>".to_owned()))
            .unwrap()
            .formatted();
        let shown = show(&html).unwrap();
        assert_eq!((shown.text, shown.html.as_deref()), (None, Some("<p>only</p>\r\n")));

        let shown = show(b"Subject: plain\r\n\r\nonly\r\n").unwrap();
        assert_eq!((shown.text.as_deref(), shown.html), (Some("only\r\n"), None));
    }
}
