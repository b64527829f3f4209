//! What the tests of this suite share.

use std::time::Duration;

use herald::catcher::{Behaviour, Catcher, Deed, Phase, Settings};
use herald_jobs::clock::Clock;
use herald_jobs::secret::Secret;
use herald_workers::smtp::{Fault, Security, Server, Session, Timeouts, Verdict};
use lettre::Address;
use tokio::{io::AsyncWriteExt, net::TcpListener};

/// Longer than anything takes that goes well.
pub(crate) const AMPLE: Duration = Duration::from_secs(20);

/// The usual settings of a catcher.
pub(crate) fn settings() -> Settings {
    Settings::new(Clock::system())
}

/// A catcher on a free port.
pub(crate) async fn catcher() -> Catcher {
    catcher_with(settings()).await
}

/// A catcher on a free port.
pub(crate) async fn catcher_with(settings: Settings) -> Catcher {
    Catcher::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap()
}

/// A server that offers next to nothing, so that each command waits for its reply.
pub(crate) fn one_by_one() -> Behaviour {
    Behaviour::at(Phase::Ehlo, Deed::answer(250, "old server\nSIZE 40000000"))
}

/// A server that says all that it will ever say before it is asked, and then only listens.
pub(crate) async fn hasty(replies: &'static str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(replies.as_bytes()).await.unwrap();
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    });
    server_at(port)
}

/// How to reach it.
pub(crate) fn server(catcher: &Catcher) -> Server {
    server_at(catcher.address().port())
}

/// A server on this machine.
pub(crate) fn server_at(port: u16) -> Server {
    Server {
        host: "127.0.0.1".to_owned(),
        port,
        security: Security::None,
        trusted: None,
        credentials: None,
        helo: Some("herald.test".to_owned()),
        timeouts: Timeouts { connect: AMPLE, command: AMPLE, after_dot: AMPLE },
    }
}

/// The same server with a user name and password.
pub(crate) fn signing_in(server: Server, user: &str, password: &str) -> Server {
    Server { credentials: Some((user.to_owned(), Secret::new(password))), ..server }
}

/// An address.
pub(crate) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// A mail of about this many bytes, with lines that begin with dots.
pub(crate) fn message(size: usize) -> Vec<u8> {
    let mut message = b"Message-ID: <one@herald.test>\r\nSubject: Test\r\n\r\n".to_vec();
    for number in 0.. {
        if message.len() >= size {
            break;
        }
        let dots = ".".repeat(number % 3);
        message.extend_from_slice(
            format!("{dots}Line {number} of a message that is meant to fill space.\r\n").as_bytes(),
        );
    }
    message
}

/// Sends a mail over an open session.
pub(crate) async fn send(session: &mut Session, message: &[u8]) -> Verdict {
    session.send(&address("from@herald.test"), &address("to@example.com"), message, async || true).await
}

/// Opens a session, sends a mail over it, and drops it without a farewell.
pub(crate) async fn open_and_send(server: &Server, message: &[u8]) -> Result<Verdict, Fault> {
    let mut session = Session::open(server).await?;
    Ok(send(&mut session, message).await)
}

/// Sends one mail to a new catcher with this behaviour.
pub(crate) async fn send_to(behaviour: Behaviour, message: &[u8]) -> (Catcher, Result<Verdict, Fault>) {
    let catcher = catcher().await;
    catcher.set_behaviour(behaviour);
    let outcome = open_and_send(&server(&catcher), message).await;
    (catcher, outcome)
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(AMPLE, waiting).await.is_ok(), "waited in vain: {what}");
}
