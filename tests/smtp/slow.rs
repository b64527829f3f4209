//! Servers that take their time.

use std::time::{Duration, Instant};

use herald::catcher::{Behaviour, Deed, Phase};
use herald_workers::smtp::{FaultKind, Server, Session, Timeouts, Verdict};

use super::support::{AMPLE, catcher, message, open_and_send, send, server};

/// What a test waits for when the client must give up.
const BRIEF: Duration = Duration::from_millis(400);

fn hurried(server: Server) -> Server {
    Server { timeouts: Timeouts { command: BRIEF, ..server.timeouts }, ..server }
}

#[tokio::test]
async fn a_reply_that_comes_too_late_before_the_dot_is_deferred() {
    for phase in [Phase::Mail, Phase::Rcpt, Phase::Data] {
        let catcher = catcher().await;
        catcher.set_behaviour(Behaviour::at(phase, Deed::Delay(AMPLE)));
        let started = Instant::now();
        let mut session = Session::open(&hurried(server(&catcher))).await.unwrap();
        let verdict = send(&mut session, &message(100)).await;
        let Verdict::Deferred { code: None, reply, .. } = verdict else { panic!("{phase:?}: {verdict:?}") };
        assert!(reply.ends_with("the server did not answer within 400ms."), "{reply}");
        assert!(!session.is_usable(), "the reply may still come");
        assert!(started.elapsed() < AMPLE / 2);
    }
}

#[tokio::test]
async fn a_reply_that_comes_too_late_after_the_dot_leaves_the_outcome_unknown() {
    let catcher = catcher().await;
    catcher.set_behaviour(Behaviour::at(Phase::Dot, Deed::Delay(AMPLE)));
    let patient = server(&catcher);
    let server = Server { timeouts: Timeouts { after_dot: BRIEF, ..patient.timeouts }, ..patient };
    let verdict = open_and_send(&server, &message(100)).await;
    assert!(matches!(verdict, Ok(Verdict::Unknown { .. })), "{verdict:?}");
    assert_eq!(catcher.mailbox().list().len(), 1, "the server has it all the same");
}

#[tokio::test]
async fn after_the_dot_a_server_may_take_longer_than_for_a_command() {
    let catcher = catcher().await;
    catcher.set_behaviour(Behaviour::at(Phase::Dot, Deed::Delay(BRIEF * 3)));
    let verdict = open_and_send(&hurried(server(&catcher)), &message(100)).await;
    assert!(matches!(verdict, Ok(Verdict::Sent { .. })), "{verdict:?}");
}

#[tokio::test]
async fn a_server_that_stops_reading_does_not_hold_the_client() {
    let catcher = catcher().await;
    catcher.set_behaviour(Behaviour::at(Phase::Body { after: 100_000 }, Deed::Delay(AMPLE)));
    // More than the buffers between two programs hold.
    let verdict = open_and_send(&hurried(server(&catcher)), &message(24_000_000)).await;
    assert!(matches!(verdict, Ok(Verdict::Deferred { code: None, untouched: false, .. })), "{verdict:?}");
    assert!(catcher.mailbox().list().is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_greet_is_unreachable() {
    for phase in [Phase::Connect, Phase::Ehlo] {
        let catcher = catcher().await;
        catcher.set_behaviour(Behaviour::at(phase, Deed::Delay(AMPLE)));
        let fault = Session::open(&hurried(server(&catcher))).await.err().unwrap();
        assert_eq!(fault.kind, FaultKind::Unreachable, "{phase:?}");
    }
}
