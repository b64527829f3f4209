//! Messages arrive byte for byte, or are not sent.

use std::cell::RefCell;

use herald::catcher::{Behaviour, Deed, Phase};
use herald_workers::smtp::{FaultKind, Session, Verdict};
use lettre::Address;
use proptest::prelude::*;

use super::support::{address, catcher, catcher_with, message, send, server, settings};

async fn refusal(message: &[u8]) -> String {
    let catcher = catcher().await;
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    let verdict = send(&mut session, message).await;
    let Verdict::Refused { code: None, reply } = verdict else { panic!("{verdict:?}") };
    assert!(session.is_usable(), "nothing was said to the server");
    assert!(catcher.mailbox().attempts().is_empty());
    reply
}

#[tokio::test]
async fn a_cr_or_lf_that_stands_alone_is_refused() {
    for message in [&b"a\nb\r\n"[..], b"a\rb\r\n", b"a\r\n.\r\nMAIL FROM:<x@y>\n", b"a\r\r\n", b"a\r"] {
        assert_eq!(refusal(message).await, "The message holds a CR or LF that stands alone.");
    }
}

#[tokio::test]
async fn a_message_cannot_hold_another_one_even_for_a_careless_server() {
    let catcher = catcher().await;
    catcher.set_behaviour(Behaviour { lenient: true, ..Behaviour::default() });
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    for (end, is_sent) in [("\r\n", true), ("\n", false), ("\r", false)] {
        let smuggled =
            "Subject: one||.|MAIL FROM:<x@example.com>|RCPT TO:<y@example.com>|DATA|Subject: two||.|";
        let verdict = send(&mut session, smuggled.replace('|', end).as_bytes()).await;
        assert_eq!(matches!(verdict, Verdict::Sent { .. }), is_sent, "{end:?}: {verdict:?}");
    }
    let caught = catcher.mailbox().list();
    assert_eq!(caught.iter().map(|mail| mail.to.join(" ")).collect::<Vec<_>>(), ["to@example.com"]);
}

#[tokio::test]
async fn what_the_server_does_not_take_is_refused_before_it_is_asked() {
    let catcher = catcher_with(herald::catcher::Settings { max_size: 1_000, ..settings() }).await;
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    let verdict = send(&mut session, &message(5_000)).await;
    let Verdict::Refused { code: None, reply } = verdict else { panic!("{verdict:?}") };
    assert!(reply.ends_with("and the mail server takes at most 1000."), "{reply}");

    catcher.set_behaviour(Behaviour::at(Phase::Ehlo, Deed::answer(250, "old server")));
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    let verdict = send(&mut session, "Grüße\r\n".as_bytes()).await;
    assert!(matches!(verdict, Verdict::Refused { code: None, .. }), "{verdict:?}");
    let (ours, theirs) = (address("a@example.com"), address("ä@example.com"));
    let verdict = session.send(&ours, &theirs, b"", async || true).await;
    assert!(matches!(verdict, Verdict::Refused { code: None, .. }), "{verdict:?}");
    let verdict = session.send(&theirs, &ours, b"", async || true).await;
    assert!(
        matches!(&verdict, Verdict::Fault(fault) if fault.kind == FaultKind::SenderRefused),
        "{verdict:?}"
    );
    assert!(session.is_usable() && catcher.mailbox().attempts().is_empty());
}

#[tokio::test]
async fn an_address_cannot_hold_another_command() {
    let catcher = catcher().await;
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    let good = address("a@example.com");
    for evil in ["x@example.com>\r\nRCPT TO:<y", "x\n", "x> SIZE=1 <"] {
        let evil = Address::new_dangerous(evil, "example.com");
        let verdict = session.send(&good, &evil, b"", async || true).await;
        assert!(matches!(verdict, Verdict::Refused { code: None, .. }), "{verdict:?}");
        let verdict = session.send(&evil, &good, b"", async || true).await;
        assert!(matches!(verdict, Verdict::Fault(_)), "{verdict:?}");
    }
    assert!(catcher.mailbox().attempts().is_empty());
}

#[tokio::test]
async fn eight_bit_text_and_addresses_are_announced_and_arrive() {
    let catcher = catcher().await;
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    let (from, to) = (address("zoë@herald.test"), address("ä@example.com"));
    let verdict = session.send(&from, &to, "Grüße\r\n".as_bytes(), async || true).await;
    assert!(matches!(verdict, Verdict::Sent { .. }), "{verdict:?}");
    let mail = catcher.mailbox().get(1).unwrap();
    assert_eq!((mail.from.as_str(), mail.to.join(" ").as_str()), ("zoë@herald.test", "ä@example.com"));
    assert_eq!(mail.raw, "Grüße\r\n".as_bytes());
}

/// Lines of dots and other bytes, some of them long, so that parts of a message end in all sorts of places.
fn lines() -> impl Strategy<Value = Vec<String>> {
    let line =
        prop_oneof!["[.]{0,3}", "[.]{0,2}[a-z. ]{0,80}", (15_000..17_000_usize).prop_map(|n| ".".repeat(n))];
    prop::collection::vec(line, 0..40)
}

#[test]
fn dots_and_lines_arrive_byte_for_byte() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (catcher, session) = runtime.block_on(async {
        let catcher = catcher().await;
        let session = Session::open(&server(&catcher)).await.unwrap();
        (catcher, RefCell::new(session))
    });
    proptest!(ProptestConfig::with_cases(300), |(lines in lines(), is_ended: bool)| {
        let mut message = lines.join("\r\n");
        if is_ended {
            message.push_str("\r\n");
        }
        catcher.mailbox().clear();
        let verdict = runtime.block_on(send(&mut session.borrow_mut(), message.as_bytes()));
        prop_assert!(matches!(verdict, Verdict::Sent { .. }), "{:?}", verdict);
        // A line that is not ended cannot be sent: it gets its end.
        if !message.ends_with("\r\n") {
            message.push_str("\r\n");
        }
        let caught = catcher.mailbox().list();
        prop_assert_eq!(caught.len(), 1);
        prop_assert!(caught[0].raw == message.as_bytes());
    });
    assert_eq!(catcher.traffic().connections, 1);
}
