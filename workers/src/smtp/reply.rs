use std::fmt;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

use super::wire::Lost;

/// Bytes in one line of a reply. RFC 5321 allows 512; Postfix takes 2,048.
const MAX_LINE: usize = 2_048;

/// Bytes in one reply over all its lines, so that no server can fill the memory.
const MAX_REPLY: usize = 64 * 1024;

/// Characters of a reply that are shown to people.
const SHOWN: usize = 400;

/// A server's reply: code and text. The text is whatever the server liked to say, made printable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    text: String,
}

impl Reply {
    /// Reads one reply of one or more lines.
    pub(super) async fn read(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Reply, Lost> {
        let mut reply = Reply { code: 0, text: String::new() };
        let mut line = Vec::with_capacity(128);
        loop {
            line.clear();
            (&mut *from).take(MAX_LINE as u64).read_until(b'\n', &mut line).await?;
            if !line.ends_with(b"\n") {
                return Err(if line.len() < MAX_LINE { Lost::Closed } else { Lost::nonsense(&line) });
            }
            let Some((code, more, text)) = parse_line(&line) else { return Err(Lost::nonsense(&line)) };
            if reply.code != 0 && (reply.code != code || reply.text.len() > MAX_REPLY) {
                return Err(Lost::nonsense(&line));
            }
            if reply.code != 0 {
                reply.text.push('\n');
            }
            reply.code = code;
            push_printable(&mut reply.text, text);
            if !more {
                return Ok(reply);
            }
        }
    }

    /// The text, line by line.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.split('\n')
    }

    /// Whether the text holds this string.
    pub(super) fn repeats(&self, secret: &str) -> bool {
        self.text.contains(secret)
    }
}

/// `250 2.0.0 Ok: queued as 12345`, on one line.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.code)?;
        self.text
            .chars()
            .take(SHOWN)
            .try_for_each(|c| fmt::Write::write_char(f, if c == '\n' { ' ' } else { c }))
    }
}

/// Code, whether more lines follow, and the text of `250-text` or `250 text`. RFC 5321 section 4.2 lets the text and its
/// space be left out; a line that ends in LF only is taken too.
fn parse_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let line = line.trim_ascii_end();
    let (code, rest) = line.split_at_checked(3)?;
    let &[a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9'] = code else { return None };
    let code = [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest {
        [] => Some((code, false, rest)),
        [b' ', text @ ..] => Some((code, false, text)),
        [b'-', text @ ..] => Some((code, true, text)),
        _ => None,
    }
}

/// Appends bytes of any encoding as text without control characters.
pub(super) fn push_printable(to: &mut String, bytes: &[u8]) {
    to.extend(String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }));
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<String, String> {
        let mut bytes = bytes;
        Reply::read(&mut bytes).await.map(|reply| reply.to_string()).map_err(|lost| lost.to_string())
    }

    #[tokio::test]
    async fn a_reply_is_read_in_every_form_that_the_standard_allows() {
        for (bytes, shown) in [
            (&b"250 Ok\r\n"[..], "250 Ok"),
            (b"250\r\n", "250 "),
            (b"250 \r\n", "250 "),
            (b"250-one\r\n250-\r\n250 three\r\nrest", "250 one  three"),
            (b"250-one\r\n250\r\n", "250 one "),
            (b"550 bare line feed\n", "550 bare line feed"),
            (b"552 Gr\xf6\xdfe \x1b[31m\r\n", "552 Gr\u{fffd}\u{fffd}e  [31m"),
        ] {
            assert_eq!(read(bytes).await.as_deref(), Ok(shown), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[tokio::test]
    async fn a_reply_that_is_cut_or_is_none_is_not_taken_for_one() {
        let endless = b"250-and more\r\n".repeat(10_000);
        let too_long = [b"250 ", b"x".repeat(5_000).as_slice(), b"\r\n"].concat();
        for bytes in [
            &b""[..],
            b"250",
            b"250 Ok",
            b"250 Ok\r",
            b"250-one\r\n",
            b"250-one\r\n250",
            b"250-one\r\n550 two\r\n",
            b"25 Ok\r\n",
            b"150 Ok\r\n",
            b"600 Ok\r\n",
            b"2500 Ok\r\n",
            b"hello\r\n",
            b"\r\n",
            &endless,
            &too_long,
        ] {
            assert!(read(bytes).await.is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
