//! A connection that is cut, at every byte.

use herald::catcher::{Behaviour, Catcher, Deed, Phase, Traffic};
use herald_workers::smtp::{FaultKind, Verdict};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::support::{catcher, message, one_by_one, open_and_send, send_to, server, server_at};

/// Small; of several kilobytes, all the same sent in one piece; and sent in many pieces.
const SIZES: [usize; 3] = [100, 8_000, 200_000];

/// Each size with a server that takes MAIL and RCPT in one go, and the smallest with one that does not.
fn cases() -> impl Iterator<Item = (usize, fn() -> Behaviour)> {
    let all = SIZES.map(|size| (size, Behaviour::default as fn() -> Behaviour));
    all.into_iter().chain([(SIZES[0], one_by_one as fn() -> Behaviour)])
}

/// What went over the connection in a conversation that went well.
async fn whole_conversation(catcher: &Catcher, message: &[u8], behaviour: Behaviour) -> Traffic {
    catcher.set_behaviour(behaviour);
    let before = catcher.traffic();
    let verdict = open_and_send(&server(catcher), message).await;
    assert!(matches!(verdict, Ok(Verdict::Sent { .. })), "{verdict:?}");
    let after = catcher.traffic();
    Traffic { connections: 1, received: after.received - before.received, sent: after.sent - before.sent }
}

/// Every byte, but of what lies deep in a long message only a sample. Each connection keeps its port for a minute, and
/// there are only some 28,000.
fn places(total: u64) -> Vec<u64> {
    let step = (total / 100).max(1);
    let is_chosen = |place: &u64| {
        *place < 250
            || total - place < 50
            || place.is_multiple_of(step)
            || place.checked_rem(16_384) < Some(3)
    };
    (0..=total).filter(is_chosen).collect()
}

/// Cuts a conversation and holds what the client believes against what the catcher has.
async fn cut(catcher: &Catcher, message: &[u8], behaviour: Behaviour, may_be_unknown: bool) -> bool {
    catcher.mailbox().clear();
    catcher.set_behaviour(behaviour.clone());
    let outcome = open_and_send(&server(catcher), message).await;
    let is_stored = !catcher.mailbox().list().is_empty();
    let context = format!("{behaviour:?}, stored {is_stored}: {outcome:?}");
    match outcome {
        Ok(Verdict::Sent { .. }) => {
            assert!(is_stored, "{context}");
            return true;
        }
        Ok(Verdict::Unknown { .. }) => assert!(is_stored || may_be_unknown, "{context}"),
        Ok(Verdict::Deferred { code: None, .. }) => assert!(!is_stored, "{context}"),
        Err(fault) => assert!(!is_stored && fault.kind == FaultKind::Unreachable, "{context}"),
        Ok(_) => panic!("{context}"),
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_leaves_after_any_byte_it_received_leads_to_no_wrong_verdict() {
    for (size, base) in cases() {
        let (catcher, message) = (catcher().await, message(size));
        let total = whole_conversation(&catcher, &message, base()).await.received;
        let until_data =
            "EHLO herald.test\r\nMAIL FROM:<from@herald.test> SIZE=\r\nRCPT TO:<to@example.com>\r\nDATA\r\n";
        let until_data = (until_data.len() + message.len().to_string().len()) as u64;
        for place in places(total) {
            let behaviour = Behaviour { cut_received: Some(place), ..base() };
            let is_sent = cut(&catcher, &message, behaviour, place >= until_data).await;
            assert_eq!(is_sent, place == total, "after {place} of {total} bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_leaves_after_any_byte_it_sent_leads_to_no_wrong_verdict() {
    for (size, base) in cases() {
        let (catcher, message) = (catcher().await, message(size));
        let total = whole_conversation(&catcher, &message, base()).await.sent;
        let mut unknown = 0;
        for place in 0..=total {
            let behaviour = Behaviour { cut_sent: Some(place), ..base() };
            // The catcher reads all that it is sent before it writes again: it has what has an unknown outcome.
            let is_sent = cut(&catcher, &message, behaviour, false).await;
            assert_eq!(is_sent, place == total, "after {place} of {total} bytes");
            let attempts = catcher.mailbox().attempts();
            unknown += usize::from(attempts.iter().any(|attempt| attempt.stored && attempt.reply.is_none()));
        }
        assert_eq!(unknown, "250 2.0.0 Ok: kept\r\n".len(), "one for each byte of the last reply");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_is_unknown_exactly_where_the_final_dot_was_written() {
    for size in SIZES {
        let message = message(size);
        let total = talk(&message, u64::MAX).await.1.len() as u64;
        let mut seen = [0, 0];
        for place in places(total).into_iter().filter(|place| *place < total) {
            let (outcome, received) = talk(&message, place).await;
            let has_dot = received.ends_with(b"\r\n.\r\n");
            let is_unknown = matches!(outcome, Ok(Verdict::Unknown { .. }));
            assert_eq!(is_unknown, has_dot, "after {place} of {total} bytes: {outcome:?}");
            assert!(!matches!(outcome, Ok(Verdict::Sent { .. })), "after {place} of {total} bytes");
            seen[usize::from(has_dot)] += 1;
        }
        assert!(seen.iter().all(|times| *times > 0), "both must have been seen: {seen:?}");
    }
}

#[tokio::test]
async fn a_message_that_is_cut_half_way_is_deferred() {
    // More than the buffers between two programs hold, so that the client must notice.
    let long = message(24_000_000);
    let (catcher, outcome) = send_to(Behaviour::at(Phase::Body { after: 100_000 }, Deed::Cut), &long).await;
    assert!(matches!(outcome, Ok(Verdict::Deferred { code: None, untouched: false, .. })), "{outcome:?}");
    assert!(catcher.mailbox().list().is_empty());
    let attempts = catcher.mailbox().attempts();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].message_id.as_deref(), Some("<one@herald.test>"));
    assert_eq!((attempts[0].stored, &attempts[0].reply), (false, &None));
}

#[tokio::test]
async fn a_connection_that_is_cut_after_the_dot_leaves_the_outcome_unknown() {
    for size in SIZES {
        let (catcher, outcome) = send_to(Behaviour::at(Phase::Dot, Deed::Cut), &message(size)).await;
        let Ok(Verdict::Unknown { error }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error, "The message was sent, but the server closed the connection.");
        assert_eq!(catcher.mailbox().list().len(), 1, "the server has it all the same");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_after_the_reply_does_not_undo_it() {
    let (_catcher, outcome) = send_to(Behaviour::at(Phase::Replied, Deed::Cut), &message(100)).await;
    assert_eq!(outcome, Ok(Verdict::Sent { reply: "250 2.0.0 Ok: kept".to_owned() }));
}

#[tokio::test]
async fn a_connection_that_is_cut_at_a_command_is_deferred() {
    for (phase, is_untouched) in [(Phase::Mail, true), (Phase::Rcpt, false), (Phase::Data, false)] {
        let (catcher, outcome) = send_to(Behaviour::at(phase, Deed::Cut), &message(100)).await;
        let Ok(Verdict::Deferred { code: None, untouched, .. }) = outcome else {
            panic!("{phase:?}: {outcome:?}")
        };
        assert_eq!(untouched, is_untouched, "{phase:?}");
        assert!(catcher.mailbox().list().is_empty());
    }
    for phase in [Phase::Connect, Phase::Ehlo] {
        let (_catcher, outcome) = send_to(Behaviour::at(phase, Deed::Cut), &message(100)).await;
        assert_eq!(outcome.map_err(|fault| fault.kind), Err(FaultKind::Unreachable), "{phase:?}");
    }
}

/// Sends a message to a server that says no more after so many bytes, but hears the client out. What the client believes,
/// and all that it wrote.
async fn talk(message: &[u8], silent_after: u64) -> (Result<Verdict, herald_workers::smtp::Fault>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = server_at(listener.local_addr().unwrap().port());
    let hearing = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        hear_out(stream, silent_after).await
    });
    let outcome = open_and_send(&server, message).await;
    (outcome, hearing.await.unwrap())
}

async fn hear_out(mut stream: TcpStream, silent_after: u64) -> Vec<u8> {
    let mut received = Vec::new();
    let mut replies =
        ["220 hello\r\n", "250 hello\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 kept\r\n"].iter();
    let mut is_message = false;
    stream.write_all(replies.next().unwrap().as_bytes()).await.unwrap();
    loop {
        let room = silent_after - received.len() as u64;
        if room == 0 || (&mut stream).take(room).read_buf(&mut received).await.unwrap() == 0 {
            break;
        }
        if received.ends_with(if is_message { b"\r\n.\r\n" } else { b"\r\n" }) {
            is_message = received.ends_with(b"DATA\r\n");
            let Some(reply) = replies.next() else { break };
            if stream.write_all(reply.as_bytes()).await.is_err() {
                break;
            }
        }
    }
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut received).await;
    received
}
