//! Servers that refuse, put off, and talk nonsense.

use herald::catcher::{Behaviour, Deed, Phase, When};
use herald_workers::smtp::{FaultKind, Security, Server, Session, Verdict};

use super::support::{catcher, hasty, message, one_by_one, open_and_send, send, send_to, server};

/// The verdict when a phase is answered in this way, whether the session is usable after it, and whether nothing was
/// kept: the same whether or not the server takes MAIL and RCPT in one go.
async fn answered(phase: Phase, code: u16) -> (Verdict, bool, bool) {
    let deed = Deed::answer(code, "5.9.9 as told");
    let first = answered_by(Behaviour::at(phase, deed.clone())).await;
    let second = answered_by(one_by_one().and(phase, deed, When::Always)).await;
    assert_eq!(first, second, "{phase:?} {code}");
    first
}

async fn answered_by(behaviour: Behaviour) -> (Verdict, bool, bool) {
    let catcher = catcher().await;
    catcher.set_behaviour(behaviour);
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    let verdict = send(&mut session, &message(500)).await;
    (verdict, session.is_usable(), catcher.mailbox().list().is_empty())
}

#[tokio::test]
async fn a_refusal_of_the_recipient_or_the_message_is_final_and_leaves_the_session_usable() {
    for (phase, what) in [(Phase::Rcpt, "recipient"), (Phase::Data, "message"), (Phase::Dot, "message")] {
        let (verdict, is_usable, is_empty) = answered(phase, 550).await;
        let reply = format!("The server refused the {what}: 550 5.9.9 as told");
        assert_eq!(verdict, Verdict::Refused { code: Some(550), reply });
        assert!(is_usable && is_empty, "{phase:?}");
    }
}

#[tokio::test]
async fn a_temporary_refusal_at_any_step_is_deferred_and_leaves_the_session_usable() {
    let steps = [
        (Phase::Mail, "sender"),
        (Phase::Rcpt, "recipient"),
        (Phase::Data, "message"),
        (Phase::Dot, "message"),
    ];
    for (phase, what) in steps {
        let (verdict, is_usable, is_empty) = answered(phase, 451).await;
        let reply = format!("The server did not take the {what} this time: 451 5.9.9 as told");
        assert_eq!(verdict, Verdict::Deferred { code: Some(451), reply, untouched: false });
        assert!(is_usable && is_empty, "{phase:?}");
    }
}

#[tokio::test]
async fn a_server_that_closes_down_defers_the_mail_and_ends_the_session() {
    for phase in [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Dot] {
        let (verdict, is_usable, is_empty) = answered(phase, 421).await;
        let Verdict::Deferred { code: Some(421), untouched, .. } = verdict else {
            panic!("{phase:?}: {verdict:?}")
        };
        assert_eq!(untouched, phase == Phase::Mail);
        assert!(!is_usable && is_empty, "{phase:?}");
    }
}

#[tokio::test]
async fn a_refused_sender_is_a_fault_of_the_settings() {
    for code in [550, 553, 501] {
        let (verdict, is_usable, is_empty) = answered(Phase::Mail, code).await;
        let Verdict::Fault(fault) = verdict else { panic!("{verdict:?}") };
        assert_eq!(fault.kind, FaultKind::SenderRefused);
        assert_eq!(fault.to_string(), format!("The server refused the sender: {code} 5.9.9 as told"));
        assert!(is_usable && is_empty);
    }
}

#[tokio::test]
async fn a_message_that_is_too_big_is_refused_wherever_the_server_says_so() {
    for phase in [Phase::Mail, Phase::Data, Phase::Dot] {
        let (verdict, ..) = answered(phase, 552).await;
        assert!(matches!(verdict, Verdict::Refused { code: Some(552), .. }), "{phase:?}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_server_that_wants_a_sign_in_first_is_a_fault_of_the_settings() {
    for phase in [Phase::Mail, Phase::Rcpt, Phase::Data] {
        let (verdict, ..) = answered(phase, 530).await;
        let Verdict::Fault(fault) = verdict else { panic!("{phase:?}: {verdict:?}") };
        assert_eq!(fault.kind, FaultKind::Authentication);
    }
}

#[tokio::test]
async fn a_reply_that_makes_no_sense_is_never_taken_for_consent() {
    for (phase, code) in
        [(Phase::Mail, 354), (Phase::Rcpt, 354), (Phase::Data, 250), (Phase::Data, 199), (Phase::Rcpt, 999)]
    {
        let (verdict, is_usable, is_empty) = answered(phase, code).await;
        assert!(matches!(verdict, Verdict::Deferred { code: None, .. }), "{phase:?} {code}: {verdict:?}");
        assert!(!is_usable && is_empty, "{phase:?} {code}");
    }
    for code in [354, 199, 999] {
        let (verdict, is_usable, _) = answered(Phase::Dot, code).await;
        assert!(matches!(verdict, Verdict::Unknown { .. }), "{code}: {verdict:?}");
        assert!(!is_usable, "{code}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_before_the_end_of_a_message_does_not_get_the_end() {
    // Long enough for the server's words to arrive while the message is being written.
    let long = message(24_000_000);
    for (code, text) in [(421, "closing down"), (250, "kept already")] {
        let (catcher, outcome) =
            send_to(Behaviour::at(Phase::Body { after: 1_000 }, Deed::answer(code, text)), &long).await;
        let Ok(Verdict::Deferred { untouched: false, reply, .. }) = outcome else { panic!("{outcome:?}") };
        assert!(reply.contains(text), "{reply}");
        assert!(catcher.mailbox().list().is_empty(), "{code}");
    }
}

#[tokio::test]
async fn what_a_server_says_before_it_is_asked_is_no_receipt() {
    let server = hasty("220 hi\r\n250 hi\r\n250 ok\r\n250 ok\r\n354 go\r\n250 kept\r\n").await;
    let outcome = open_and_send(&server, &message(100)).await;
    assert!(matches!(outcome, Ok(Verdict::Deferred { code: None, .. })), "{outcome:?}");
}

#[tokio::test]
async fn what_a_server_says_after_it_agreed_to_tls_is_not_taken_for_protected() {
    let server = hasty("220 hi\r\n250-hi\r\n250 STARTTLS\r\n220 go\r\n250 hi\r\n").await;
    let fault = open_and_send(&Server { security: Security::StartTls, ..server }, b"").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Tls);
    assert!(fault.sentence.ends_with("it spoke before it was secure."), "{fault}");
}

#[tokio::test]
async fn a_server_that_does_not_want_to_talk_is_a_fault() {
    for phase in [Phase::Connect, Phase::Ehlo] {
        for (code, kind) in [(554, FaultKind::ServerRefused), (421, FaultKind::Unreachable)] {
            let (_catcher, outcome) =
                send_to(Behaviour::at(phase, Deed::answer(code, "no service")), b"").await;
            let fault = outcome.unwrap_err();
            assert_eq!(fault.kind, kind, "{phase:?}: {fault}");
            assert!(fault.sentence.ends_with(&format!("{code} no service")), "{fault}");
        }
    }
}
