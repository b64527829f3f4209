//! Mail through a real Postfix: signed in, over TLS, with a certificate of a house's own authority.

use std::sync::Arc;
use std::time::Duration;

use herald::catcher::show;
use herald_jobs::deliver::DeliveryState;
use herald_jobs::message_type::ExternalDelivery;
use herald_jobs::seal::{KeyRing, new_key};
use herald_jobs::secret::Secret;
use herald_producers::NewMessage;
use herald_workers::Options;
use herald_workers::settings::Access;
use ring::rand::SystemRandom;

use crate::support::eventually;
use crate::support::herald::{Story, message};
use crate::support::postfix::Postfix;

const USER: &str = "herald@herald.test";
const PASSWORD: &str = "correct horse";

#[tokio::test]
async fn c20_mail_goes_through_postfix_signed_in_over_tls_of_either_kind() {
    let story = Story::begin().await;
    story.add_type("MAIL", |kind| kind.external_delivery = ExternalDelivery::Email).await;
    let catcher = story.mail_catcher().await;
    let Some(postfix) = Postfix::start(USER, PASSWORD, catcher.address().port()).await else { return };

    let random = SystemRandom::new();
    let key = new_key(&random).unwrap();
    let keys: Arc<KeyRing> = Arc::new(key.expose().parse().unwrap());
    let seal = |password: &str| keys.seal("SMTP-PASSWORD", &Secret::new(password), &random).unwrap();
    let (right, wrong) = (seal(PASSWORD), seal("wrong"));
    let (starttls, tls) = (postfix.starttls.to_string(), postfix.tls.to_string());
    let four = [
        ("SMTP-SERVER", Some("localhost")),
        ("SMTP-PORT", Some(starttls.as_str())),
        ("SMTP-USERNAME", Some(USER)),
        ("SMTP-PASSWORD", Some(right.as_str())),
    ];
    story.register(&four).await;
    story
        .register(&[("SMTP-SECURITY", None), ("SMTP-FROM", None), ("SMTP-HELO", Some("app7.herald.test"))])
        .await;

    // What is wrong is said, and nothing is sent.
    let check = async |authority: &str| {
        let mut command = story.command(&["check", "email", "--to", "ann@example.com"]);
        command.env("HERALD_KEYS", key.expose()).env("HERALD__EMAIL__AUTHORITIES_FILE", authority);
        let output = command.output().await.unwrap();
        String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr })
            .into_owned()
    };
    let authority = postfix.authority.to_str().unwrap();
    let said = check("").await;
    assert!(said.contains("UnknownIssuer") && said.contains("SMTP-SECURITY"), "{said}");
    story.register(&[("SMTP-SERVER", Some("127.0.0.1"))]).await;
    let said = check(authority).await;
    assert!(said.contains("not valid for name \"127.0.0.1\"") && said.contains("localhost"), "{said}");
    story.register(&[("SMTP-SERVER", Some("localhost")), ("SMTP-PASSWORD", Some(&wrong))]).await;
    let said = check(authority).await;
    assert!(said.contains("535 5.7.8") && said.contains("SMTP-USERNAME and SMTP-PASSWORD"), "{said}");
    assert!(!said.contains("wrong"), "{said}");
    story.register(&[("SMTP-USERNAME", None), ("SMTP-PASSWORD", None), ("SMTP-FROM", Some(USER))]).await;
    let said = check(authority).await;
    assert!(said.contains("554 5.7.1") && said.contains("Access denied"), "{said}");
    let said = check("/no/such/file").await;
    assert!(said.contains("email.authorities_file"), "{said}");
    assert_eq!(catcher.mailbox().taken(), 0);

    // A worker with a wrong password waits, and uses up no attempt; with the right one the mail goes out.
    story.register(&[("SMTP-FROM", None)]).await;
    story.register(&four).await;
    story.register(&[("SMTP-PASSWORD", Some(&wrong))]).await;
    let mail_authorities = Some(std::fs::read_to_string(&postfix.authority).unwrap());
    let trusted = Duration::ZERO;
    let registry = Access { keys: keys.clone(), mail_authorities, trusted, ..Access::default() };
    let workers = story.work_with(Options { registry, ..Options::default() }).await;
    let text = "Über TLS.\n.\nFrom here on: 7 bit.";
    let news = || NewMessage { subject: Some("Grüße".into()), ..message("ann", "MAIL", text) };
    let first = story.producer.send(news()).await.unwrap();
    let refusals = || postfix.log().matches("SASL PLAIN authentication failed").count();
    let before = refusals();
    eventually("Postfix to refuse the worker", async || {
        refusals() > before && !story.copies(first).await.is_empty()
    })
    .await;
    let [copy] = story.copies(first).await.try_into().unwrap();
    assert_eq!((copy.state, copy.attempts), (DeliveryState::Pending, 0));
    story.register(&[("SMTP-PASSWORD", Some(&right))]).await;
    eventually("the mail", async || catcher.mailbox().taken() == 1).await;

    story.register(&[("SMTP-SECURITY", Some("tls")), ("SMTP-PORT", Some(&tls))]).await;
    let second = story.producer.send(news()).await.unwrap();
    story.drain().await;
    eventually("the second mail", async || catcher.mailbox().taken() == 2).await;
    for id in [first, second] {
        let [copy] = story.copies(id).await.try_into().unwrap();
        assert_eq!(copy.state, DeliveryState::Sent);
        assert!(copy.reason.unwrap().starts_with("250 2.0.0 Ok: queued as "));
    }
    for mail in catcher.mailbox().list() {
        let shown = show(&mail.raw).unwrap();
        let arrived = shown.text.unwrap().replace("\r\n", "\n");
        assert_eq!((shown.subject.as_str(), arrived.trim_end()), ("Grüße", text));
        let received = shown.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("Received"));
        let received: Vec<_> = received.map(|(_, value)| value.as_str()).collect();
        assert!(
            received.iter().any(|hop| hop.contains("app7.herald.test") && hop.contains("ESMTPSA")),
            "greeted by the name that was set, over TLS, signed in: {received:?}"
        );
    }
    workers.stop().await;
}
