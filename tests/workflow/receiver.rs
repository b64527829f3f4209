//! A program that is told of answers, and that fails as programs do.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request that came, whatever was answered.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) timestamp: String,
    pub(super) signature: String,
    pub(super) body: String,
}

/// What it does about a request.
pub(super) enum Does {
    Says(&'static str),
    /// It closes the connection without a word.
    HangsUp,
    /// It keeps the connection, and never says anything.
    Hangs,
}

/// What it does about the request of this number.
pub(super) type Answers = fn(usize) -> Does;

/// Listens on a port of its own.
pub(super) struct Receiver {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Receiver {
    /// Starts one that answers so.
    pub(super) async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/answers", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let kept = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = kept.clone();
                tokio::spawn(async move { serve(stream, &kept, answers).await });
            }
        });
        Self { url, seen }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, seen: &Mutex<Vec<Seen>>, answers: Answers) -> Option<()> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).ok()?;
    let header = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let mut found =
            lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        found.next_back().unwrap_or_default().to_owned()
    };
    let length: usize = header("content-length").parse().ok()?;
    while bytes.len() < head + length {
        stream.read_buf(&mut bytes).await.ok()?;
    }
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(Seen {
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            body: String::from_utf8(bytes[head..head + length].to_vec()).ok()?,
        });
        seen.len()
    };
    let status = match answers(number) {
        Does::Says(status) => status,
        Does::HangsUp => return None,
        Does::Hangs => {
            // Until the other side has had enough.
            while stream.read_buf(&mut bytes).await.ok()? > 0 {}
            return None;
        }
    };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    stream.write_all(answer.as_bytes()).await.ok()
}

impl Seen {
    /// Whether it was signed with this secret.
    pub(super) fn is_signed(&self, secret: &str) -> bool {
        let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let what = format!("{}.{}.{}", self.id, self.timestamp, self.body);
        let tag = BASE64_STANDARD.decode(self.signature.strip_prefix("v1,").unwrap()).unwrap();
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), what.as_bytes(), &tag).is_ok()
    }
}
