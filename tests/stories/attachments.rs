//! Files that e-mails carry.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::TimeDelta;
use herald::catcher::{Attachment, Shown, show};
use herald_jobs::attachment::Limits;
use herald_jobs::deliver::{AttemptOutcome, DeliveryState};
use herald_jobs::message_type::ExternalDelivery;
use herald_producers::output_queue::{Content, Output};
use herald_producers::{NewAttachment, NewContact, NewMessage, Producer, SendError};
use herald_workers::Options;

use crate::support::eventually;
use crate::support::herald::{Story, Workers, message};

/// A Herald that may attach files below a directory.
struct Office {
    story: Story,
    producer: Producer,
    dir: tempfile::TempDir,
    workers: Workers,
}

impl Office {
    async fn open() -> Self {
        let story = Story::begin().await;
        story.add_type("MAIL", |kind| kind.external_delivery = ExternalDelivery::Email).await;
        let dir = tempfile::TempDir::new().unwrap();
        let attachments = Limits { total: 100_000, root: Some(dir.path().to_owned()) };
        let options = herald_producers::Options {
            attachments: attachments.clone(),
            ..herald_producers::Options::default()
        };
        let producer = Producer::new(story.pool.clone(), story.queues.clone(), story.clock.clone(), options);
        let workers = story.work_with(Options { attachments, ..Options::default() }).await;
        Self { story, producer, dir, workers }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.dir.path().join(name), content).unwrap();
    }
}

fn bytes(name: &str, content: &[u8]) -> NewAttachment {
    NewAttachment {
        name: name.into(),
        content: Some(BASE64_STANDARD.encode(content)),
        ..NewAttachment::default()
    }
}

fn file(name: &str, path: impl AsRef<Path>) -> NewAttachment {
    let path = path.as_ref().to_str().unwrap().to_owned();
    NewAttachment { name: name.into(), path: Some(path), ..NewAttachment::default() }
}

fn with(attachments: Vec<NewAttachment>) -> NewMessage {
    NewMessage { attachments, ..message("ann", "MAIL", "Your report is ready.") }
}

fn only_mail(catcher: &herald::catcher::Catcher) -> Shown {
    let [mail] = catcher.mailbox().list().try_into().unwrap();
    assert!(mail.raw.is_ascii());
    show(&mail.raw).unwrap()
}

/// Anything that a byte can be, and what would end a mail.
fn hostile() -> Vec<u8> {
    let mut all: Vec<u8> = (0..=255).collect();
    all.extend(b"\r\n.\r\nMAIL FROM:<evil@example.com>\n.\n\r.\r--=_mixed_\r\n");
    all
}

#[tokio::test]
async fn c03b_an_output_goes_along_by_mail_where_it_is_small() {
    let office = Office::open().await;
    let catcher = office.story.mail_catcher().await;
    for (name, size) in [("small.pdf", 100_000), ("large.pdf", 100_001)] {
        let bytes = vec![b'%'; size];
        let output = Output {
            message: with(vec![]),
            name: name.into(),
            content: Content::Bytes { content_type: "application/pdf".into(), from: bytes.as_slice() },
            expires_at: office.story.clock.now() + TimeDelta::days(1),
            public_url: None,
        };
        office.producer.output_ready(output).await.unwrap();
        eventually("the mail", async || !catcher.mailbox().list().is_empty()).await;
        let files = only_mail(&catcher).attachments;
        if size == 100_000 {
            assert_eq!(
                (files[0].name.as_deref(), files[0].content_type.as_str()),
                (Some(name), "application/pdf")
            );
            assert_eq!(files[0].content, bytes);
        } else {
            assert!(files.is_empty(), "it is to be fetched");
        }
        catcher.mailbox().clear();
    }
    office.workers.stop().await;
}

#[tokio::test]
async fn bytes_and_files_arrive_as_they_were_in_every_copy() {
    let office = Office::open().await;
    let catcher = office.story.mail_catcher().await;
    office.write("7.csv", "a;b\n1;2\n");
    let contact = NewContact { contact_reference: "cc@example.com".into(), email_mode: "Cc".into() };
    let names = [
        "Übersicht \"Q3\" – 報告書 with a name that is longer than one line of a header holds.pdf",
        "a;b='c'.bin",
    ];
    let new = NewMessage {
        recipients: vec![contact],
        instance: Some(serde_json::Map::new()),
        ..with(vec![bytes(names[0], &hostile()), file("orders.csv", "7.csv"), bytes(names[1], b"")])
    };
    let id = office.producer.send(new).await.unwrap();
    office.story.drain().await;
    let mails = catcher.mailbox().list();
    assert_eq!(mails.len(), 2);
    for mail in mails {
        assert!(mail.raw.split(|&byte| byte == b'\n').all(|line| line.len() < 999));
        let shown = show(&mail.raw).unwrap();
        assert_eq!(shown.text.as_deref().map(str::trim_end), Some("Your report is ready."));
        let expected = [
            (names[0], "application/pdf", hostile()),
            ("orders.csv", "text/csv", b"a;b\n1;2\n".to_vec()),
            (names[1], "application/octet-stream", Vec::new()),
        ];
        let expected = expected.map(|(name, kind, content)| Attachment {
            name: Some(name.into()),
            content_type: kind.into(),
            content,
        });
        assert_eq!(shown.attachments, expected);
        let names: Vec<&str> = shown.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"MIME-Version"), "{names:?}");
    }
    assert_eq!(office.story.copies(id).await.len(), 2);
    let depth = office.story.count("select count(*) from herald.attachment").await;
    assert_eq!(depth, 3);
    // They go with their message.
    office.story.execute("update herald.message set expires_at = now()").await;
    let later = office.story.clock.now() + TimeDelta::days(1);
    assert_eq!(herald_jobs::store::messages::purge_expired(&office.story.pool, later, 10).await.unwrap(), 1);
    assert_eq!(office.story.count("select count(*) from herald.attachment").await, 0);
    office.workers.stop().await;
}

#[tokio::test]
async fn a_text_with_html_keeps_both_beside_the_files() {
    let office = Office::open().await;
    let catcher = office.story.mail_catcher().await;
    let id = office.producer.send(with(vec![bytes("a.txt", b"x")])).await.unwrap();
    office.story.drain().await;
    catcher.mailbox().clear();
    // As a template would have made it.
    office.story.execute("update herald.message set external_html = '<p>Your <b>report</b></p>'").await;
    let contact = NewContact { contact_reference: "x@example.com".into(), email_mode: "To".into() };
    office.producer.add_recipient(id, &contact).await.unwrap();
    office.story.drain().await;
    let mail = only_mail(&catcher);
    assert_eq!(mail.text.as_deref().map(str::trim_end), Some("Your report is ready."));
    assert_eq!(mail.html.as_deref().map(str::trim_end), Some("<p>Your <b>report</b></p>"));
    assert_eq!(mail.attachments.len(), 1);
    office.workers.stop().await;
}

#[tokio::test]
async fn what_cannot_be_attached_is_refused_and_nothing_is_kept() {
    let office = Office::open().await;
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(secret.path(), office.dir.path().join("out")).unwrap();
    office.write("large", vec![0; 100_001]);
    let many = vec![bytes("a", b"x"); 21];
    for (attachments, field) in [
        (vec![bytes("a", b"x"), bytes("a\r\nBcc: evil@example.com", b"x")], "attachments/1/name"),
        (
            vec![NewAttachment { content_type: Some("text/plain\r\nX: y".into()), ..bytes("a", b"x") }],
            "attachments/0/content_type",
        ),
        (vec![NewAttachment { content: Some("?".into()), ..bytes("a", b"") }], "attachments/0/content"),
        (vec![file("a", "out")], "attachments/0/path"),
        (vec![file("a", "../x")], "attachments/0/path"),
        (vec![file("a", secret.path())], "attachments/0/path"),
        (vec![file("a", "gone")], "attachments/0/path"),
        (vec![file("a", "large")], "attachments"),
        (vec![bytes("a", &[0; 60_000]), bytes("b", &[0; 60_000])], "attachments"),
        (many, "attachments"),
    ] {
        for way in 0..4 {
            let new = with(attachments.clone());
            let refused = match way {
                0 => office.producer.send(new).await.map(drop),
                1 => office.producer.send_once(new, "key").await.map(drop),
                2 => {
                    let mut transaction = office.story.pool.begin().await.unwrap();
                    let refused = office.producer.send_in(&mut transaction, new).await.map(drop);
                    transaction.commit().await.unwrap();
                    refused
                }
                _ => office
                    .producer
                    .send_many(new, &["bob".into()])
                    .await
                    .and_then(|mut batch| batch.answers.remove(0).map(drop)),
            };
            match refused.unwrap_err() {
                SendError::Refused(refusal) if refusal.field == field => {}
                SendError::Refused(refusal) if way == 3 && refusal.field.ends_with("/content") => {}
                other => panic!("{field} by way {way}: {other}"),
            }
        }
    }
    let stranger = NewMessage { recipient: "nobody".into(), ..with(vec![bytes("a", b"x")]) };
    assert!(office.producer.send(stranger).await.is_err());
    let fast = office.producer.enqueue(with(vec![bytes("a", b"x")])).await.unwrap_err();
    assert!(fast.to_string().contains("fast lane"), "{fast}");
    let kept = office
        .story
        .count("select (select count(*) from herald.outbox) + (select count(*) from herald.attachment)")
        .await;
    assert_eq!(kept, 0);
    let without_root = office.story.producer.send(with(vec![file("a", "large")])).await.unwrap_err();
    assert!(without_root.to_string().contains("email.attachment_root is not set"), "{without_root}");
    office.workers.stop().await;
}

#[tokio::test]
async fn a_file_that_is_gone_is_waited_for_and_then_the_mail_goes_without_it_and_says_so() {
    let office = Office::open().await;
    let catcher = office.story.mail_catcher().await;
    office.write("a & b.txt", "x");
    office.write("stays.txt", "y");
    let later = office.story.clock.now() + TimeDelta::hours(1);
    let gone = with(vec![file("a & b.txt", "a & b.txt"), file("stays.txt", "stays.txt")]);
    let gone = office.producer.send(NewMessage { deliver_at: Some(later), ..gone }).await.unwrap();
    let back = with(vec![file("back.txt", "a & b.txt")]);
    let back = office
        .producer
        .send(NewMessage { deliver_at: Some(later), recipient: "bob".into(), ..back })
        .await
        .unwrap();
    std::fs::rename(office.dir.path().join("a & b.txt"), office.dir.path().join("elsewhere")).unwrap();
    office.story.clock.advance(TimeDelta::minutes(61));
    let tried = async |id, times| {
        eventually("an attempt", async || match office.story.copies(id).await.as_slice() {
            [copy] => copy.attempts == times && copy.state != DeliveryState::Sending,
            _ => false,
        })
        .await;
    };
    tried(gone, 1).await;
    tried(back, 1).await;
    let [copy] = office.story.copies(back).await.try_into().unwrap();
    let reason = copy.reason.unwrap();
    assert_eq!(
        reason,
        "The file back.txt cannot be attached: it is no file below the directory for attachments."
    );
    office.story.execute("update herald.delivery set next_attempt_at = next_attempt_at + interval '1 day' where display_name = '' and address = 'bob@example.com'").await;
    office.story.clock.advance(TimeDelta::minutes(2));
    tried(gone, 2).await;
    office.story.clock.advance(TimeDelta::minutes(7));
    office.story.drain().await;
    let mail = only_mail(&catcher);
    assert_eq!(
        mail.text.as_deref().map(str::trim_end),
        Some("Your report is ready.\r\n\r\n[a & b.txt could not be attached.]")
    );
    assert_eq!(mail.attachments.len(), 1);
    let [copy] = office.story.copies(gone).await.try_into().unwrap();
    assert_eq!(copy.state, DeliveryState::Sent);
    let attempts = office.story.attempts(&copy).await;
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [AttemptOutcome::Deferred, AttemptOutcome::Deferred, AttemptOutcome::Sent]);
    assert!(attempts[2].reply.contains("(sent without a & b.txt, which is no file"), "{:?}", attempts[2]);

    std::fs::rename(office.dir.path().join("elsewhere"), office.dir.path().join("a & b.txt")).unwrap();
    catcher.mailbox().clear();
    office.story.clock.advance(TimeDelta::days(1));
    office.story.drain().await;
    assert_eq!(only_mail(&catcher).attachments[0].content, b"x");
    office.workers.stop().await;
}

#[tokio::test]
async fn files_come_in_over_the_command_line_and_keys_count_them() {
    let office = Office::open().await;
    let catcher = office.story.mail_catcher().await;
    office.write("Zahlen 2026.csv", "1;2\n");
    let path = office.dir.path().join("Zahlen 2026.csv");
    let arguments =
        ["send", "--to", "ann", "--type", "MAIL", "--text", "x", "--sender", "report", "--instance", "7"];
    let attach = ["--idempotency-key", "k", "--attach", path.to_str().unwrap()];
    let first = office.story.say(&[&arguments[..], &attach].concat()).await;
    assert_eq!(office.story.say(&[&arguments[..], &attach].concat()).await, first, "replayed");
    office.write("Zahlen 2026.csv", "3;4\n");
    assert!(!office.story.run(&[&arguments[..], &attach].concat()).await.status.success(), "another file");
    office.story.drain().await;
    let mail = only_mail(&catcher);
    let [file] = mail.attachments.try_into().unwrap();
    assert_eq!((file.name.as_deref(), file.content_type.as_str()), (Some("Zahlen 2026.csv"), "text/csv"));
    assert_eq!(file.content, b"1;2\n");
    let nowhere = office.story.run(&[&arguments[..], &["--attach", "/nowhere/x"]].concat()).await;
    assert!(String::from_utf8(nowhere.stderr).unwrap().contains("--attach /nowhere/x"));

    // A send that failed for good takes its files along when it is dropped.
    let later = office.story.clock.now() + TimeDelta::days(1);
    let failing = NewMessage { deliver_at: Some(later), ..with(vec![bytes("a", b"x")]) };
    let failing = office.producer.send(failing).await.unwrap();
    herald_jobs::store::outbox::fail(&office.story.pool, failing, "test").await.unwrap();
    office.story.say(&["dead", "drop", &failing.to_string()]).await;
    assert_eq!(office.story.count("select count(*) from herald.attachment").await, 1);
    office.workers.stop().await;
}
