use std::{fmt, io, time::Duration};

use futures::FutureExt;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    time::timeout,
};

use super::{
    Trace,
    reply::{Reply, push_printable},
};

/// Bytes of a message that are written in one go. A message up to this size leaves in one write with its final dot;
/// of a longer one, a connection that breaks is noticed before the dot.
const PART: usize = 16 * 1024;

/// A TCP connection, or TLS over one.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for T {}

/// Lines over a connection: commands out, replies in.
pub(super) struct Wire {
    stream: BufReader<Box<dyn Socket>>,
    out: Vec<u8>,
    /// How long a command with its reply, or a part of a message, may take.
    limit: Duration,
    trace: Option<Trace>,
}

/// Why no reply came.
#[derive(Debug)]
pub(super) enum Lost {
    Closed,
    TimedOut(Duration),
    Broken(io::Error),
    Nonsense(String),
}

/// Why the whole of a message, with its final dot, could not be written.
pub(super) enum Unwritten {
    Lost(Lost),
    /// The server did not wait for the end.
    Interrupted(Reply),
}

impl Wire {
    pub(super) fn new(socket: Box<dyn Socket>, limit: Duration, trace: Option<Trace>) -> Self {
        Wire { stream: BufReader::with_capacity(2_048, socket), out: Vec::new(), limit, trace }
    }

    /// The connection itself, to be wrapped in TLS; none when the server has sent what it was not asked for, which
    /// somebody in between could have slipped in to be taken for a protected reply.
    pub(super) fn into_socket(self) -> Option<Box<dyn Socket>> {
        self.stream.buffer().is_empty().then(|| self.stream.into_inner())
    }

    /// Keeps these out of what a trace is told.
    pub(super) fn mask(&mut self, secrets: impl IntoIterator<Item = String>) {
        if let Some(trace) = &mut self.trace {
            trace.mask(secrets);
        }
    }

    /// Writes one command and reads its reply.
    pub(super) async fn command(&mut self, words: &str) -> Result<Reply, Lost> {
        self.tell(|trace| trace.said(words));
        self.out.clear();
        self.out.extend_from_slice(words.as_bytes());
        self.out.extend_from_slice(b"\r\n");
        self.write_out().await?;
        self.next_reply().await
    }

    /// Reads the reply to a command that has been written.
    pub(super) async fn next_reply(&mut self) -> Result<Reply, Lost> {
        self.reply(self.limit).await
    }

    /// Reads a reply that may take this long.
    pub(super) async fn reply(&mut self, limit: Duration) -> Result<Reply, Lost> {
        let reply =
            timeout(limit, Reply::read(&mut self.stream)).await.unwrap_or(Err(Lost::TimedOut(limit)))?;
        self.tell(|trace| trace.heard(reply.code, reply.lines()));
        Ok(reply)
    }

    /// Writes a message, dots stuffed (RFC 5321 section 4.5.2), and its final dot.
    ///
    /// On an error the dot did not leave: it is the tail of the last write, so that write cannot have failed after it.
    pub(super) async fn message(&mut self, message: &[u8]) -> Result<(), Unwritten> {
        self.tell(|trace| trace.said(&format!("({} bytes)\n.", message.len())));
        self.out.clear();
        for line in message.split_inclusive(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                self.out.push(b'.');
            }
            self.out.extend_from_slice(line);
            if self.out.len() >= PART {
                self.write_out().await?;
                self.out.clear();
            }
        }
        if !message.ends_with(b"\r\n") {
            self.out.extend_from_slice(b"\r\n");
        }
        self.out.extend_from_slice(b".\r\n");
        self.expect_silence().await?;
        Ok(self.write_out().await?)
    }

    fn tell(&self, what: impl FnOnce(&Trace)) {
        if let Some(trace) = &self.trace {
            what(trace);
        }
    }

    /// Fails when the server has hung up or spoken. It does not wait for that.
    async fn expect_silence(&mut self) -> Result<(), Unwritten> {
        match self.stream.fill_buf().now_or_never() {
            None => Ok(()),
            Some(Ok([])) => Err(Lost::Closed.into()),
            Some(Ok(_)) => Err(Unwritten::Interrupted(self.next_reply().await?)),
            Some(Err(error)) => Err(Lost::from(error).into()),
        }
    }

    async fn write_out(&mut self) -> Result<(), Lost> {
        let writing = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        match timeout(self.limit, writing).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(Lost::TimedOut(self.limit)),
        }
    }
}

impl Lost {
    /// The server said something that is not SMTP.
    pub(super) fn nonsense(line: &[u8]) -> Self {
        let mut text = String::new();
        push_printable(&mut text, &line[..line.len().min(80)]);
        Lost::Nonsense(text)
    }
}

/// The end of a sentence: "..., the server closed the connection".
impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Closed => write!(f, "the server closed the connection"),
            Lost::TimedOut(limit) => write!(f, "the server did not answer within {limit:?}"),
            Lost::Broken(error) => write!(f, "the connection broke: {error}"),
            Lost::Nonsense(text) => write!(f, "the server said what cannot be understood: {:?}", text.trim()),
        }
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // TLS reports a connection that was closed without its farewell in this way.
            io::ErrorKind::UnexpectedEof => Lost::Closed,
            _ => Lost::Broken(error),
        }
    }
}

impl<T: Into<Lost>> From<T> for Unwritten {
    fn from(lost: T) -> Self {
        Unwritten::Lost(lost.into())
    }
}
