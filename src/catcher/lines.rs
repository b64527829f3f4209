use std::{io, ops::Range, sync::atomic::Ordering};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{behaviour::Behaviour, server::Counters};

/// Bytes in one line, of a command or of a message.
const MAX_LINE: usize = 1024 * 1024;

/// The conversation is over: the client left, or was cut.
pub(super) struct End;

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        End
    }
}

/// A client's lines, and the replies to it, up to where the behaviour cuts them.
pub(super) struct Lines<'a> {
    stream: TcpStream,
    counters: &'a Counters,
    input: Vec<u8>,
    at: usize,
    lenient: bool,
    /// The last line ended in a CR alone; an LF that follows belongs to it.
    swallow_lf: bool,
    may_receive: u64,
    may_send: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(stream: TcpStream, counters: &'a Counters, behaviour: &Behaviour) -> Self {
        // Only slower where it fails.
        let _ = stream.set_nodelay(true);
        Lines {
            stream,
            counters,
            input: Vec::new(),
            at: 0,
            lenient: behaviour.lenient,
            swallow_lf: false,
            may_receive: behaviour.cut_received.unwrap_or(u64::MAX),
            may_send: behaviour.cut_sent.unwrap_or(u64::MAX),
        }
    }

    /// The next line, without its end.
    pub(super) async fn next(&mut self) -> Result<&[u8], End> {
        let mut searched = 0;
        let line = loop {
            if self.swallow_lf && self.at < self.input.len() {
                self.swallow_lf = false;
                self.at += usize::from(self.input[self.at] == b'\n');
            }
            if let Some(line) = self.take_line(searched) {
                break line;
            }
            // One byte back: it may be the CR of a CRLF that was read in two pieces.
            searched = (self.input.len() - self.at).saturating_sub(1);
            if searched > MAX_LINE {
                return Err(End);
            }
            self.fill().await?;
        };
        Ok(&self.input[line])
    }

    /// Writes a reply, or what may be sent of it.
    pub(super) async fn say(&mut self, reply: &str) -> Result<(), End> {
        let bytes = reply.as_bytes();
        let allowed = usize::try_from(self.may_send).map_or(bytes.len(), |may| may.min(bytes.len()));
        self.stream.write_all(&bytes[..allowed]).await?;
        self.may_send -= allowed as u64;
        self.counters.sent.fetch_add(allowed as u64, Ordering::Relaxed);
        if allowed < bytes.len() { Err(End) } else { Ok(()) }
    }

    fn take_line(&mut self, searched: usize) -> Option<Range<usize>> {
        let rest = &self.input[self.at..];
        let (length, end) = if self.lenient {
            let length = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
            let is_cr = rest[length] == b'\r';
            let next = rest.get(length + 1);
            self.swallow_lf = is_cr && next.is_none();
            (length, if is_cr && next == Some(&b'\n') { 2 } else { 1 })
        } else {
            (searched + rest.get(searched..)?.windows(2).position(|pair| pair == b"\r\n")?, 2)
        };
        let line = self.at..self.at + length;
        self.at = line.end + end;
        Some(line)
    }

    async fn fill(&mut self) -> Result<(), End> {
        self.input.drain(..self.at);
        self.at = 0;
        if self.may_receive == 0 {
            return Err(End);
        }
        self.input.reserve(16 * 1024);
        let read = (&mut self.stream).take(self.may_receive).read_buf(&mut self.input).await?;
        if read == 0 {
            return Err(End);
        }
        self.may_receive -= read as u64;
        self.counters.received.fetch_add(read as u64, Ordering::Relaxed);
        Ok(())
    }
}
