//! User names and passwords.

use herald::catcher::{Behaviour, Catcher, Deed, Phase, Settings};
use herald_jobs::secret::Secret;
use herald_workers::smtp::{FaultKind, Session, Verdict};

use super::support::{catcher, catcher_with, message, open_and_send, server, settings, signing_in};

const PASSWORD: &str = "correct horse ä";

async fn strict_catcher() -> Catcher {
    let credentials = Some(("herald".to_owned(), PASSWORD.to_owned()));
    catcher_with(Settings { credentials, ..settings() }).await
}

#[tokio::test]
async fn a_mail_is_taken_from_who_signs_in() {
    let catcher = strict_catcher().await;
    let verdict = open_and_send(&signing_in(server(&catcher), "herald", PASSWORD), &message(100)).await;
    assert!(matches!(verdict, Ok(Verdict::Sent { .. })), "{verdict:?}");

    let without = open_and_send(&server(&catcher), &message(100)).await;
    let Ok(Verdict::Fault(fault)) = without else { panic!("{without:?}") };
    assert_eq!(fault.kind, FaultKind::Authentication);
    assert_eq!(catcher.mailbox().list().len(), 1);
}

#[tokio::test]
async fn login_is_used_where_plain_is_not_offered() {
    let catcher = strict_catcher().await;
    catcher.set_behaviour(Behaviour::at(Phase::Ehlo, Deed::answer(250, "catcher\nAUTH CRAM-MD5 LOGIN")));
    let server = signing_in(server(&catcher), "herald", PASSWORD);
    let verdict = open_and_send(&server, &message(100)).await;
    assert!(matches!(verdict, Ok(Verdict::Sent { .. })), "{verdict:?}");

    catcher.set_behaviour(Behaviour::at(Phase::Ehlo, Deed::answer(250, "catcher\nAUTH CRAM-MD5\nSTARTTLS")));
    let fault = open_and_send(&server, &message(100)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Authentication);
    let offers = "The mail server offers no sign-in with a user name and password";
    assert_eq!(fault.sentence, format!("{offers}; it may do so once STARTTLS is in use."));
}

#[tokio::test]
async fn a_wrong_password_is_a_fault_and_shows_itself_nowhere() {
    let catcher = strict_catcher().await;
    let server = signing_in(server(&catcher), "herald", "wr0ng-pass");
    let fault = Session::open(&server).await.err().unwrap();
    assert_eq!(fault.kind, FaultKind::Authentication);
    assert!(fault.sentence.contains("535 5.7.8 User name or password is wrong"), "{fault}");
    assert!(!format!("{server:?} {fault:?} {:?}", Secret::new("wr0ng-pass")).contains("wr0ng-pass"));
}

#[tokio::test]
async fn a_server_that_repeats_the_password_does_not_bring_it_into_the_ledger() {
    let catcher = catcher().await;
    let server = signing_in(server(&catcher), "herald", "wr0ng-pass");
    // The password, and what AUTH PLAIN and LOGIN make of it.
    for repeated in ["wr0ng-pass", "AGhlcmFsZAB3cjBuZy1wYXNz", "d3IwbmctcGFzcw=="] {
        catcher.set_behaviour(Behaviour::at(
            Phase::Auth,
            Deed::answer(501, format!("cannot decode {repeated}")),
        ));
        let fault = Session::open(&server).await.err().unwrap();
        assert_eq!(fault.sentence, "The mail server did not let \"herald\" sign in: 501");
    }
}

#[tokio::test]
async fn a_sign_in_that_fails_for_now_passes_by_itself() {
    let catcher = catcher().await;
    catcher.set_behaviour(Behaviour::at(Phase::Auth, Deed::answer(454, "4.7.0 try again")));
    let fault = Session::open(&signing_in(server(&catcher), "herald", PASSWORD)).await.err().unwrap();
    assert_eq!(fault.kind, FaultKind::Unreachable);
}
