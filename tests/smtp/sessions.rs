//! Many mails over one session, and servers that cannot be reached.

use std::time::Duration;

use herald::catcher::{Behaviour, Deed, Phase, When};
use herald_workers::smtp::{FaultKind, Security, Server, Session, Verdict};

use super::support::{address, catcher, message, open_and_send, send, server, until};

fn is_sent(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Sent { .. })
}

#[tokio::test]
async fn many_mails_go_over_one_session() {
    let catcher = catcher().await;
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    let messages = [100, 40_000, 100, 16_384].map(message);
    for message in &messages {
        assert!(is_sent(&send(&mut session, message).await));
    }
    assert!(session.is_usable());
    session.quit().await;
    let caught: Vec<_> = catcher.mailbox().list().iter().map(|mail| mail.raw.clone()).collect();
    assert_eq!(caught, messages);
    assert_eq!(catcher.traffic().connections, 1);
    let mail = catcher.mailbox().get(1).unwrap();
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("from@herald.test", &["to@example.com".to_owned()][..])
    );
}

#[tokio::test]
async fn a_refused_mail_does_not_touch_the_next_one_on_the_session() {
    for phase in [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::Dot] {
        for code in [450, 550] {
            let catcher = catcher().await;
            let deed = Deed::answer(code, "no");
            catcher.set_behaviour(Behaviour::default().and(phase, deed, When::First(1)));
            let mut session = Session::open(&server(&catcher)).await.unwrap();
            assert!(!is_sent(&send(&mut session, &message(100)).await), "{phase:?} {code}");
            assert!(is_sent(&send(&mut session, &message(200)).await), "{phase:?} {code}");
            assert_eq!(catcher.mailbox().list().len(), 1);
            assert_eq!(catcher.traffic().connections, 1);
        }
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_reset_is_not_used_again() {
    let catcher = catcher().await;
    catcher.set_behaviour(Behaviour::at(Phase::Rcpt, Deed::answer(550, "no")).and(
        Phase::Rset,
        Deed::Cut,
        When::Always,
    ));
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    assert!(matches!(send(&mut session, &message(100)).await, Verdict::Refused { code: Some(550), .. }));
    assert!(!session.is_usable());
    let again = send(&mut session, &message(100)).await;
    assert!(matches!(again, Verdict::Deferred { code: None, untouched: true, .. }), "{again:?}");
}

#[tokio::test]
async fn a_mail_that_is_no_longer_wanted_is_not_sent() {
    let catcher = catcher().await;
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    let (from, to) = (address("from@herald.test"), address("to@example.com"));
    let mut asked = 0;
    let verdict = session
        .send(&from, &to, &message(100), async || {
            // All but the message itself is settled by now.
            assert_eq!(catcher.mailbox().attempts().len(), 1);
            asked += 1;
            false
        })
        .await;
    assert_eq!((verdict, asked), (Verdict::Abandoned, 1));
    // The server waits for the message: only the connection's end tells it that none comes.
    assert!(!session.is_usable());
    drop(session);
    let mut next = Session::open(&server(&catcher)).await.unwrap();
    assert!(is_sent(&send(&mut next, &message(100)).await));
    assert_eq!(catcher.mailbox().list().len(), 1);
}

#[tokio::test]
async fn a_send_that_is_dropped_half_way_ends_the_session() {
    let catcher = catcher().await;
    catcher.set_behaviour(Behaviour::at(Phase::Rcpt, Deed::Delay(Duration::from_secs(60))));
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    let sending = tokio::time::timeout(Duration::from_millis(50), send(&mut session, b"")).await;
    assert!(sending.is_err());
    assert!(!session.is_usable(), "the late reply would be taken for the next mail's");
    assert!(!session.revalidate().await);
}

#[tokio::test]
async fn an_idle_session_is_checked_before_it_is_used() {
    let catcher = catcher().await;
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    assert!(session.revalidate().await);
    until("time passes", || session.idle_for() > Duration::from_millis(5)).await;
    assert!(is_sent(&send(&mut session, &message(100)).await));
    assert!(session.idle_for() < super::support::AMPLE);

    catcher.go_down().await;
    assert!(session.is_usable(), "nothing has told it yet");
    assert!(!session.revalidate().await);
    assert!(!session.is_usable());
}

#[tokio::test]
async fn a_stale_session_leaves_its_mail_untouched() {
    let catcher = catcher().await;
    let mut session = Session::open(&server(&catcher)).await.unwrap();
    assert!(is_sent(&send(&mut session, &message(100)).await));
    catcher.go_down().await;
    let verdict = send(&mut session, &message(100)).await;
    assert!(matches!(verdict, Verdict::Deferred { code: None, untouched: true, .. }), "{verdict:?}");
    assert!(!session.is_usable());
}

#[tokio::test]
async fn a_server_that_is_down_is_unreachable_until_it_is_up() {
    let catcher = catcher().await;
    let server = server(&catcher);
    catcher.go_down().await;
    let fault = open_and_send(&server, b"").await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unreachable);
    let port = server.port;
    assert!(
        fault.sentence.starts_with(&format!("The mail server 127.0.0.1, port {port}, cannot be reached: "))
    );
    catcher.come_up().await.unwrap();
    assert!(is_sent(&open_and_send(&server, &message(100)).await.unwrap()));
}

#[tokio::test]
async fn settings_that_cannot_work_are_faults_that_say_so() {
    let catcher = catcher().await;
    let good = server(&catcher);
    let cases = [
        (Server { host: "no-such-host.invalid".to_owned(), ..good.clone() }, FaultKind::NameNotFound),
        (Server { helo: Some("two words".to_owned()), ..good.clone() }, FaultKind::Settings),
        (Server { helo: Some("a\r\nMAIL".to_owned()), ..good.clone() }, FaultKind::Settings),
        (Server { security: Security::StartTls, ..good.clone() }, FaultKind::Tls),
        (Server { security: Security::Tls, ..good.clone() }, FaultKind::Tls),
        (
            Server { security: Security::Tls, trusted: Some("no PEM".to_owned()), ..good.clone() },
            FaultKind::Settings,
        ),
    ];
    for (server, kind) in cases {
        let fault = open_and_send(&server, &message(100)).await.unwrap_err();
        assert_eq!(fault.kind, kind, "{server:?}: {fault}");
    }
    assert!(catcher.mailbox().attempts().is_empty());
}
