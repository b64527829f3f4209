//! Bounces: what comes back of mail that a server had taken, and who gets no more of it.

use std::path::PathBuf;
use std::process::Output;

use herald::catcher::Catcher;
use herald_jobs::address::Channel;
use herald_jobs::deliver::{AttemptOutcome, DeliveryState};
use herald_jobs::message_type::ExternalDelivery;
use herald_jobs::seal::{self, KeyRing};
use herald_jobs::store;
use herald_jobs::store::deliveries::Delivery;
use herald_producers::bounce::{self, ReceiveError, Received};
use herald_producers::{MessageId, NewContact, NewMessage};
use herald_workers::Options;
use herald_workers::settings::Access;
use ring::rand::SystemRandom;
use std::sync::Arc;

use crate::support::eventually;
use crate::support::herald::{Story, Workers, message};

/// A Herald that signs its return paths, with its keys.
struct Signing {
    story: Story,
    keys: Arc<KeyRing>,
    key: String,
    catcher: Catcher,
    workers: Workers,
}

impl std::ops::Deref for Signing {
    type Target = Story;
    fn deref(&self) -> &Story {
        &self.story
    }
}

impl Signing {
    async fn begin() -> Self {
        let story = Story::begin().await;
        story.add_type("MAIL", |kind| kind.external_delivery = ExternalDelivery::Email).await;
        let catcher = story.mail_catcher().await;
        story.register(&[("SMTP-BOUNCE-ADDRESS", Some("bounces@herald.test"))]).await;
        let key = seal::new_key(&SystemRandom::new()).unwrap().expose().to_owned();
        let keys: Arc<KeyRing> = Arc::new(key.parse().unwrap());
        let registry = Access { keys: keys.clone(), ..Access::default() };
        let workers = story.work_with(Options { registry, ..Options::default() }).await;
        Self { story, keys, key, catcher, workers }
    }

    /// Sends a mail to ann that the server takes. Answers the copy and its return path.
    async fn taken(&self) -> (Delivery, String) {
        let before = self.catcher.mailbox().taken();
        let id = self.producer.send(message("ann", "MAIL", "x")).await.unwrap();
        self.drain().await;
        assert_eq!(self.catcher.mailbox().taken(), before + 1);
        (self.copy(id).await, self.catcher.mailbox().list().last().unwrap().from.clone())
    }

    async fn copy(&self, message: MessageId) -> Delivery {
        let [copy] = self.copies(message).await.try_into().unwrap();
        copy
    }

    async fn state(&self, copy: &Delivery) -> DeliveryState {
        let id = herald_jobs::id::DeliveryId(copy.id);
        store::ledger::find(&self.pool, id).await.unwrap().unwrap().state
    }

    async fn receive(&self, mail: &str) -> Received {
        bounce::receive(&self.pool, &self.keys, mail.as_bytes(), None, self.clock.now()).await.unwrap()
    }

    async fn outcomes(&self, copy: &Delivery) -> Vec<AttemptOutcome> {
        self.attempts(copy).await.into_iter().map(|attempt| attempt.outcome).collect()
    }

    /// `herald bounce` with these keys.
    async fn pipe(&self, arguments: &[&str], mail: &str) -> Output {
        let mut command = self.command(&[&["bounce"], arguments].concat());
        command.env("HERALD_KEYS", &self.key);
        run(command, mail).await
    }
}

async fn run(mut command: tokio::process::Command, input: &str) -> Output {
    use tokio::io::AsyncWriteExt as _;
    let piped = std::process::Stdio::piped;
    let mut child = command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    child.wait_with_output().await.unwrap()
}

/// What Postfix sends to a return path.
fn bounced(to: &str, action: &str, status: &str, words: &str) -> String {
    format!(
        "Return-Path: <>\r\nDelivered-To: {to}\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\n\
         From: MAILER-DAEMON@mx.herald.test (Mail Delivery System)\r\nSubject: Undelivered Mail Returned to Sender\r\n\
         To: {to}\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"4F/mx.herald.test\"\r\n\
         Message-Id: <{status}-{action}@mx.herald.test>\r\n\r\nThis is a MIME-encapsulated message.\r\n\r\n\
         --4F/mx.herald.test\r\nContent-Description: Notification\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         I'm sorry to have to inform you that your message could not be delivered.\r\n\r\n\
         --4F/mx.herald.test\r\nContent-Description: Delivery report\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.herald.test\r\nArrival-Date: Mon, 2 Nov 2026 09:59:00 +0000\r\n\r\n\
         Final-Recipient: rfc822; ann@example.com\r\nOriginal-Recipient: rfc822;ann@example.com\r\n\
         Action: {action}\r\nStatus: {status}\r\nRemote-MTA: dns; mx.example.com\r\n\
         Diagnostic-Code: smtp; {words}\r\n\r\n\
         --4F/mx.herald.test\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: x\r\n\r\n--4F/mx.herald.test--\r\n"
    )
}

fn unknown_user(to: &str) -> String {
    bounced(to, "failed", "5.1.1", "550 5.1.1 <ann@example.com>: no such user")
}

#[tokio::test]
async fn a_hard_bounce_fails_the_copy_and_its_address_gets_no_more() {
    let it = Signing::begin().await;
    let (copy, path) = it.taken().await;
    assert!(path.starts_with("bounces+") && path.ends_with("@herald.test"), "{path}");
    let header = herald::catcher::show(&it.catcher.mailbox().list()[0].raw).unwrap().from;
    assert_eq!(header, ["herald@herald.test"], "the author stays");

    let received = it.receive(&unknown_user(&path)).await;
    assert!(matches!(&received, Received::Failed { suppressed: Some(to), .. } if to == "ann@example.com"));
    assert_eq!(it.state(&copy).await, DeliveryState::Failed);
    assert_eq!(it.outcomes(&copy).await, [AttemptOutcome::Sent, AttemptOutcome::Bounced]);
    let shown = it.say(&["delivery", "show", &copy.id.to_string()]).await;
    assert!(
        shown.contains("bounced, 0 ms, code 550: 550 5.1.1 <ann@example.com>: no such user (told by mx.")
    );

    // By whatever way: the user's own address, and an outside contact in another case.
    let own = it.producer.send(message("ann", "MAIL", "later")).await.unwrap();
    let contact = NewContact { contact_reference: "ANN@example.com".into(), email_mode: "To".into() };
    let outside = NewMessage { recipients: vec![contact.clone()], ..message("bob", "VIEW-NORMAL", "later") };
    let outside = it.producer.send(outside).await.unwrap();
    it.drain().await;
    for id in [own, outside] {
        let copy = it.copy(id).await;
        assert_eq!((copy.state, copy.attempts), (DeliveryState::Suppressed, 0));
        let reason = copy.reason.unwrap();
        assert!(
            reason.starts_with("The address is suppressed: 550 5.1.1") && reason.contains("no such user")
        );
    }
    assert_eq!(it.catcher.mailbox().taken(), 1);
    assert_eq!(it.pending("ann", false).await.len(), 2, "the inbox has them");
    it.workers.stop().await;
}

#[tokio::test]
async fn operators_list_lift_and_add_suppressions() {
    let it = Signing::begin().await;
    let (copy, path) = it.taken().await;
    it.receive(&unknown_user(&path)).await;
    let listed = it.say(&["suppression", "list"]).await;
    assert!(listed.starts_with("ann@example.com  ") && listed.contains(&copy.id.to_string()), "{listed}");

    let id = copy.id.to_string();
    let refused = it.run(&["delivery", "retry", &id]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("run `herald suppression lift ann@example.com` first"), "{said}");
    assert_eq!(
        it.say(&["suppression", "lift", "Ann@Example.com"]).await,
        "Ann@Example.com gets copies again\n"
    );
    it.say(&["delivery", "retry", &id]).await;
    eventually("the copy to go again", async || it.catcher.mailbox().taken() == 2).await;
    it.drain().await;
    assert_eq!(it.state(&copy).await, DeliveryState::Sent);
    // The old bounce comes once more: it was of the first attempt.
    assert!(matches!(it.receive(&unknown_user(&path)).await, Received::Known(_)));
    assert_eq!(it.state(&copy).await, DeliveryState::Sent);
    assert_eq!(it.say(&["suppression", "list"]).await, "");

    it.say(&["suppression", "add", "Bob@example.com", "--reason", "asked for it"]).await;
    let id = it.producer.send(message("bob", "MAIL", "x")).await.unwrap();
    it.drain().await;
    let suppressed = it.copy(id).await;
    assert_eq!(suppressed.reason.as_deref(), Some("The address is suppressed: asked for it"));
    for arguments in [
        &["suppression", "add", "bob@example.com"][..],
        &["suppression", "add", "bob"],
        &["suppression", "lift", "nobody@example.com"],
    ] {
        assert!(!it.run(arguments).await.status.success(), "{arguments:?}");
    }
    let audited = it.count("select count(*) from herald.audit where action like 'suppression %'").await;
    assert_eq!(audited, 2);
    it.workers.stop().await;
}

#[tokio::test]
async fn what_is_late_full_or_against_a_policy_suppresses_nobody() {
    let it = Signing::begin().await;
    let (copy, path) = it.taken().await;
    let late = bounced(&path, "delayed", "4.4.1", "connect to mx.example.com: timed out");
    assert!(matches!(it.receive(&late).await, Received::Noted(_)));
    assert_eq!(it.state(&copy).await, DeliveryState::Sent);
    for (status, words) in
        [("5.2.2", "552 5.2.2 Mailbox full"), ("5.7.1", "550 5.7.1 Spam"), ("4.4.7", "expired")]
    {
        let (copy, path) = it.taken().await;
        let received = it.receive(&bounced(&path, "failed", status, words)).await;
        assert!(matches!(received, Received::Failed { suppressed: None, .. }), "{status}: {received:?}");
        assert_eq!(it.state(&copy).await, DeliveryState::Failed, "{status}");
    }
    let passed = bounced(&path, "relayed", "2.0.0", "250 OK");
    assert!(matches!(it.receive(&passed).await, Received::Ignored(_)));
    assert_eq!(it.outcomes(&copy).await, [AttemptOutcome::Sent, AttemptOutcome::Delayed]);
    assert_eq!(it.say(&["suppression", "list"]).await, "");
    it.workers.stop().await;
}

#[tokio::test]
async fn bounces_that_come_again_or_out_of_order_change_nothing_more() {
    let it = Signing::begin().await;
    let (copy, path) = it.taken().await;
    assert!(matches!(it.receive(&unknown_user(&path)).await, Received::Failed { .. }));
    let late = bounced(&path, "delayed", "4.4.1", "timed out");
    let at_once = futures::future::join_all((0..8).map(|_| it.receive(&late))).await;
    assert_eq!(at_once.iter().filter(|received| matches!(received, Received::Noted(_))).count(), 1);
    assert!(matches!(it.receive(&unknown_user(&path)).await, Received::Known(_)));
    assert_eq!(it.state(&copy).await, DeliveryState::Failed);
    let expected = [AttemptOutcome::Sent, AttemptOutcome::Bounced, AttemptOutcome::Delayed];
    assert_eq!(it.outcomes(&copy).await, expected);

    // While it is being sent, what comes back waits.
    it.execute("update herald.delivery set state = 'sending', lease_until = now() + interval '1 hour'").await;
    let another = bounced(&path, "failed", "5.1.1", "550 another");
    let refused = bounce::receive(&it.pool, &it.keys, another.as_bytes(), None, it.clock.now()).await;
    assert!(matches!(refused, Err(ReceiveError::UnderWay(_))), "{refused:?}");
    it.execute("update herald.delivery set state = 'cancelled', lease_until = null").await;
    assert!(matches!(it.receive(&another).await, Received::Failed { .. }));
    assert_eq!(it.state(&copy).await, DeliveryState::Cancelled, "it was never to be sent");
    it.workers.stop().await;
}

#[tokio::test]
async fn forgeries_and_what_is_no_bounce_change_nothing() {
    let it = Signing::begin().await;
    let (copy, path) = it.taken().await;
    let (head, tail) = path.split_at(path.find('@').unwrap() - 1);
    let forged = format!("{head}{}{}", if tail.starts_with('0') { "1" } else { "0" }, &tail[1..]);
    let bare = format!("{}@herald.test", copy.id.simple());
    for mail in [
        unknown_user(&forged),
        unknown_user(&bare),
        unknown_user("bounces@herald.test"),
        format!(
            "From: ann@example.com\r\nTo: {path}\r\nSubject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\n550 5.1.1\r\n"
        ),
        format!("To: {path}\r\n\r\n{}", unknown_user(&path)),
        String::new(),
        "\0\r\n\0".to_owned(),
    ] {
        let received = it.receive(&mail).await;
        assert!(matches!(received, Received::Ignored(_)), "{received:?}: {mail}");
    }
    assert_eq!(it.state(&copy).await, DeliveryState::Sent);
    assert_eq!(it.outcomes(&copy).await, [AttemptOutcome::Sent]);
    let without = bounce::receive(&it.pool, &KeyRing::default(), b"x", None, it.clock.now()).await;
    assert!(matches!(without, Err(ReceiveError::NoKeys)));
    it.workers.stop().await;
}

#[tokio::test]
async fn a_mail_server_can_pipe_bounces_in_and_keeps_them_while_the_database_is_away() {
    let it = Signing::begin().await;
    let (copy, path) = it.taken().await;
    // Rewritten on its way: the envelope's recipient is told besides the mail.
    let mail = unknown_user("postmaster@herald.test");
    let ignored = it.pipe(&[], &mail).await;
    assert!(ignored.status.success() && ignored.stdout.starts_with(b"nothing changed: "), "{ignored:?}");
    let huge = format!("{mail}{}", "x".repeat(6 * 1024 * 1024));
    let taken = it.pipe(&["--recipient", &path.to_uppercase()], &huge).await;
    assert!(taken.status.success(), "{taken:?}");
    let said = String::from_utf8(taken.stdout).unwrap();
    assert_eq!(said, format!("delivery {} has failed, and ann@example.com gets no more copies\n", copy.id));
    assert_eq!(it.state(&copy).await, DeliveryState::Failed);

    let mut away = it.command(&["bounce", "--recipient", &path]);
    away.env("HERALD_KEYS", &it.key).env("HERALD__DATABASE__URL", "postgres://herald@127.0.0.1:1/none");
    let mut no_keys = it.command(&["bounce", "--recipient", &path]);
    no_keys.env("HERALD__SECRETS__KEY_FILE", PathBuf::from("/nowhere/keys"));
    let mut bad_settings = it.command(&["bounce"]);
    bad_settings.env("HERALD__WEB__COLOUR", "red");
    for command in [away, no_keys, bad_settings] {
        let kept = run(command, &mail).await;
        assert_eq!(kept.status.code(), Some(75), "{kept:?}");
    }
    it.workers.stop().await;
}

#[tokio::test]
async fn without_a_bounce_address_the_sender_gets_them_and_without_keys_mail_waits() {
    let story = Story::begin().await;
    story.add_type("MAIL", |kind| kind.external_delivery = ExternalDelivery::Email).await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    story.drain().await;
    assert_eq!(catcher.mailbox().list()[0].from, "herald@herald.test");

    let refused = story.run(&["registry", "set", "SMTP-BOUNCE-ADDRESS", "b@x\r\nRCPT TO:<a@b.cc>"]).await;
    assert!(!refused.status.success());
    workers.stop().await;
    story.say(&["registry", "set", "SMTP-BOUNCE-ADDRESS", "bounces@herald.test"]).await;
    let workers = story.work().await;
    let id = story.producer.send(message("bob", "MAIL", "x")).await.unwrap();
    let waits = async || {
        let parked = story.queues.email.lane(herald_jobs::message_type::Lane::Normal).depth().await.unwrap();
        parked.parked == 1
    };
    eventually("the copy to wait", waits).await;
    let [copy] = story.copies(id).await.try_into().unwrap();
    assert_eq!((copy.state, copy.channel), (DeliveryState::Pending, Channel::Email));
    story.say(&["registry", "set", "SMTP-BOUNCE-ADDRESS"]).await;
    story.drain().await;
    assert_eq!(catcher.mailbox().taken(), 2);
    workers.stop().await;
}
