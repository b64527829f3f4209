//! The catcher itself, spoken to by hand.

use herald::catcher::{Behaviour, Catcher, Deed, Phase, When};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::{catcher, catcher_with, message, open_and_send, server, settings};

/// All replies to what is written in one go.
async fn say(catcher: &Catcher, words: &str) -> String {
    let mut stream = TcpStream::connect(catcher.address()).await.unwrap();
    stream.write_all(words.as_bytes()).await.unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).await.unwrap();
    replies
}

fn codes(replies: &str) -> Vec<&str> {
    replies.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect()
}

#[tokio::test]
async fn commands_are_answered_in_their_order() {
    let catcher = catcher().await;
    let replies = say(
        &catcher,
        "helo me\r\nNOOP\r\nRCPT TO:<a@b>\r\nDATA\r\nMAIL FROM:nobody\r\nmail from:<>\r\nMAIL FROM:<x@y>\r\nRCPT TO:<>\r\n\
         DATA\r\nRCPT TO:<a@b>\r\nrcpt to: <c@d>\r\nDATA\r\nSubject: x\r\n\r\n..\r\n.\r\nRSET\r\nVRFY a\r\nQUIT\r\n",
    )
    .await;
    let expected =
        "220 250 250 503 503 501 250 503 501 503 250 250 354 250 250 500 221".split(' ').collect::<Vec<_>>();
    assert_eq!(codes(&replies), expected, "{replies}");
    let mail = catcher.mailbox().get(1).unwrap();
    assert_eq!((mail.from.as_str(), mail.to.join(" ").as_str()), ("", "a@b c@d"));
    assert_eq!(mail.raw, b"Subject: x\r\n\r\n.\r\n");
    assert_eq!(catcher.mailbox().attempts().len(), 2);
}

#[tokio::test]
async fn a_careless_server_takes_a_line_feed_for_the_end_of_a_line_and_a_strict_one_does_not() {
    let smuggling = "MAIL FROM:<x@y>\r\nRCPT TO:<a@b>\r\nDATA\r\none\n.\nMAIL FROM:<x@y>\r\nRCPT TO:<c@d>\r\nDATA\r\n\
        two\r\n.\r\nQUIT\r\n";
    for (is_lenient, end, expected) in [(false, "\n", 1), (true, "\n", 2), (true, "\r", 2), (false, "\r", 1)]
    {
        let catcher = catcher().await;
        catcher.set_behaviour(Behaviour { lenient: is_lenient, ..Behaviour::default() });
        say(&catcher, &smuggling.replace("\n.\n", &format!("{end}.{end}"))).await;
        assert_eq!(catcher.mailbox().list().len(), expected, "lenient {is_lenient}, {end:?}");
    }
}

#[tokio::test]
async fn both_ways_to_sign_in_are_understood() {
    let credentials = Some(("user".to_owned(), "pass".to_owned()));
    let catcher = catcher_with(herald::catcher::Settings { credentials, ..settings() }).await;
    for (words, expected) in [
        ("AUTH PLAIN AHVzZXIAcGFzcw==", "220 235 221"),
        ("AUTH PLAIN\r\nAHVzZXIAcGFzcw==", "220 334 235 221"),
        ("AUTH LOGIN\r\ndXNlcg==\r\ncGFzcw==", "220 334 334 235 221"),
        ("AUTH LOGIN dXNlcg==\r\ncGFzcw==", "220 334 235 221"),
        ("AUTH PLAIN AHVzZXIAd3Jvbmc=", "220 535 221"),
        ("AUTH LOGIN\r\ndXNlcg==\r\n*", "220 334 334 535 221"),
        ("AUTH CRAM-MD5", "220 504 221"),
        ("MAIL FROM:<x@y>", "220 530 221"),
    ] {
        let replies = say(&catcher, &format!("{words}\r\nQUIT\r\n")).await;
        assert_eq!(codes(&replies).join(" "), expected, "{words}");
    }
}

#[tokio::test]
async fn new_mails_are_told_to_subscribers_and_every_attempt_is_logged() {
    let catcher = catcher().await;
    let mut news = catcher.mailbox().subscribe();
    catcher.set_behaviour(
        Behaviour::default().and(Phase::Rcpt, Deed::answer(450, "later"), When::First(1)).and(
            Phase::Dot,
            Deed::Cut,
            When::First(1),
        ),
    );
    let server = server(&catcher);
    for _ in 0..3 {
        open_and_send(&server, &message(100)).await.unwrap();
    }
    let told = [news.recv().await.unwrap(), news.recv().await.unwrap()];
    assert_eq!(told.map(|mail| mail.id), [1, 2]);
    assert!(news.try_recv().is_err());
    let log: Vec<_> =
        catcher.mailbox().attempts().into_iter().map(|it| (it.message_id, it.stored, it.reply)).collect();
    let (id, text) = (Some("<one@herald.test>".to_owned()), |text: &str| Some(text.to_owned()));
    let expected =
        [(None, false, text("450 later")), (id.clone(), true, None), (id, true, text("250 2.0.0 Ok: kept"))];
    assert_eq!(log, expected);
}

#[tokio::test]
async fn a_catcher_that_is_dropped_gives_its_port_back() {
    let catcher = catcher().await;
    let address = catcher.address();
    let mut open = TcpStream::connect(address).await.unwrap();
    drop(catcher);
    let mut rest = Vec::new();
    let _ = open.read_to_end(&mut rest).await;
    super::support::until("the port is free", || std::net::TcpStream::connect(address).is_err()).await;
}
