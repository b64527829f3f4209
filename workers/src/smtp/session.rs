use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use lettre::{Address, transport::smtp::extension::ClientId};

use super::{
    Fault, FaultKind, Security, Server, Trace, Verdict, auth, connect,
    reply::Reply,
    verdict::{After, Ending, Step},
    wire::{Lost, Unwritten, Wire},
};

/// How long a farewell may take: nothing depends on it.
const QUIT_LIMIT: Duration = Duration::from_secs(5);

/// One open connection to a mail server, greeted and signed in, over which many mails can be sent.
pub struct Session {
    wire: Wire,
    extensions: Extensions,
    after_dot: Duration,
    /// False while a mail is under way too, so that a send which was dropped half-way leaves an unusable session.
    usable: bool,
    last_used: Instant,
}

/// What the server's reply to EHLO offers, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) starttls: bool,
    pub(super) auth_plain: bool,
    pub(super) auth_login: bool,
    eight_bit: bool,
    utf8: bool,
    pipelining: bool,
    announces_size: bool,
    max_size: Option<usize>,
}

impl Session {
    /// Connects, secures the connection, greets and signs in.
    pub async fn open(server: &Server) -> Result<Session, Fault> {
        Session::open_traced(server, None).await
    }

    /// The same; `trace` is told the conversation.
    pub async fn open_traced(server: &Server, trace: Option<Trace>) -> Result<Session, Fault> {
        let limit = server.timeouts.command;
        let hello = format!("EHLO {}", helo(server)?);
        let tcp = connect::tcp(server).await?;
        let mut wire = match server.security {
            Security::None | Security::StartTls => Wire::new(Box::new(tcp), limit, trace.clone()),
            Security::Tls => Wire::new(connect::tls(server, Box::new(tcp)).await?, limit, trace.clone()),
        };
        welcomed(server, wire.reply(limit).await)?;
        let mut extensions = Extensions::parse(&welcomed(server, wire.command(&hello).await)?);
        if server.security == Security::StartTls {
            wire = start_tls(server, wire, &extensions, trace).await?;
            // What was offered before could have been anybody's offer (RFC 3207 section 4.2).
            extensions = Extensions::parse(&welcomed(server, wire.command(&hello).await)?);
        }
        if let Some((user, secret)) = &server.credentials {
            auth::sign_in(&mut wire, &extensions, user, secret).await?;
        }
        let after_dot = server.timeouts.after_dot;
        Ok(Session { wire, extensions, after_dot, usable: true, last_used: Instant::now() })
    }

    /// Sends one mail to one recipient: MAIL, RCPT, DATA, the message, the final dot.
    ///
    /// `message` is a whole mail, its lines ended by CRLF. `still_mine` is asked just before the message; false ends in [`Verdict::Abandoned`]. When this future is dropped
    /// before it is done, the outcome is unknown and the session is no longer usable.
    pub async fn send(
        &mut self,
        from: &Address,
        to: &Address,
        message: &[u8],
        still_mine: impl AsyncFnOnce() -> bool,
    ) -> Verdict {
        if !self.usable {
            return Ending::by_loss(Step::Mail, &Lost::Closed).verdict;
        }
        if let Some(objection) = self.objection(from, to, message) {
            return objection;
        }
        self.usable = false;
        let Ending { verdict, after } =
            self.transaction(from, to, message, still_mine).await.unwrap_or_else(|ending| ending);
        self.usable = match after {
            After::Ready => true,
            After::Reset => self.reset().await,
            After::Gone => false,
        };
        self.last_used = Instant::now();
        verdict
    }

    /// Whether another mail can be sent over this session, as far as is known here.
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// How long ago the session was last used. Servers close idle connections, often after a minute.
    pub fn idle_for(&self) -> Duration {
        self.last_used.elapsed()
    }

    /// Asks the server whether the session still stands; worth it before a mail when it was idle for some time.
    pub async fn revalidate(&mut self) -> bool {
        if self.usable {
            self.usable = false;
            self.usable = self.reset().await;
            self.last_used = Instant::now();
        }
        self.usable
    }

    /// Says goodbye and closes the connection, within 5 seconds.
    pub async fn quit(mut self) {
        if self.usable {
            let _ = tokio::time::timeout(QUIT_LIMIT, self.wire.command("QUIT")).await;
        }
    }

    async fn transaction(
        &mut self,
        from: &Address,
        to: &Address,
        message: &[u8],
        still_mine: impl AsyncFnOnce() -> bool,
    ) -> Result<Ending, Ending> {
        let mail = self.mail_command(from, to, message);
        let rcpt = format!("RCPT TO:<{to}>");
        if self.extensions.pipelining {
            self.ask_at_once(&mail, &rcpt).await?;
            if !still_mine().await {
                // The server waits for the message: only a lost connection ends that without one.
                return Ok(Ending { verdict: Verdict::Abandoned, after: After::Gone });
            }
        } else {
            passed(Step::Mail, self.wire.command(&mail).await)?;
            passed(Step::Rcpt, self.wire.command(&rcpt).await)?;
            if !still_mine().await {
                return Ok(Ending { verdict: Verdict::Abandoned, after: After::Reset });
            }
            passed(Step::Data, self.wire.command("DATA").await)?;
        }
        self.wire.message(message).await.map_err(|unwritten| match unwritten {
            Unwritten::Lost(lost) => Ending::by_loss(Step::Body, &lost),
            Unwritten::Interrupted(reply) => Ending::by_reply(Step::Body, &reply),
        })?;
        let reply = self.wire.reply(self.after_dot).await;
        let reply = passed(Step::Dot, reply)?;
        Ok(Ending { verdict: Verdict::Sent { reply: reply.to_string() }, after: After::Ready })
    }

    /// MAIL, RCPT and DATA in one go (RFC 2920), which spares the wait for two replies.
    async fn ask_at_once(&mut self, mail: &str, rcpt: &str) -> Result<(), Ending> {
        let first = self.wire.command(&format!("{mail}\r\n{rcpt}\r\nDATA")).await;
        // The other replies come even where the first is a refusal; the next command's must not be mistaken for them.
        let second = if first.is_ok() { self.wire.next_reply().await } else { Err(Lost::Closed) };
        let third = if second.is_ok() { self.wire.next_reply().await } else { Err(Lost::Closed) };
        // Nothing may follow where a reply is still owed, or where the server waits for the message although it has refused
        // the recipient.
        let open = third.as_ref().map_or(true, |reply| Step::Data.is_passed_by(reply));
        let taken = passed(Step::Mail, first).and_then(|_| passed(Step::Rcpt, second));
        taken.map_err(|ending| if open { Ending { after: After::Gone, ..ending } } else { ending })?;
        passed(Step::Data, third)?;
        Ok(())
    }

    async fn reset(&mut self) -> bool {
        matches!(self.wire.command("RSET").await, Ok(Reply { code: 200..=299, .. }))
    }

    fn mail_command(&self, from: &Address, to: &Address, message: &[u8]) -> String {
        let mut command = format!("MAIL FROM:<{from}>");
        if self.extensions.announces_size {
            let _ = write!(command, " SIZE={}", message.len());
        }
        if !message.is_ascii() {
            command.push_str(" BODY=8BITMIME");
        }
        if !is_ascii(from) || !is_ascii(to) {
            command.push_str(" SMTPUTF8");
        }
        command
    }

    /// What can be seen to fail before the server is asked.
    fn objection(&self, from: &Address, to: &Address, message: &[u8]) -> Option<Verdict> {
        let refused = |reply: String| Some(Verdict::Refused { code: None, reply });
        let sender = |sentence| Some(Verdict::Fault(Fault::new(FaultKind::SenderRefused, sentence)));
        let Extensions { utf8, eight_bit, max_size, .. } = self.extensions;
        if breaks_out(from) {
            return sender("The sender's address holds what would end it in a command.".to_owned());
        }
        if breaks_out(to) {
            return refused("The recipient's address holds what would end it in a command.".to_owned());
        }
        if !utf8 && !is_ascii(from) {
            return sender(format!("The mail server takes only ASCII addresses, and {from} is none."));
        }
        if !utf8 && !is_ascii(to) {
            return refused(format!("The mail server takes only ASCII addresses, and {to} is none."));
        }
        if !eight_bit && !message.is_ascii() {
            return refused("The message is not ASCII, and the mail server takes only that.".to_owned());
        }
        if let Some(max) = max_size.filter(|max| message.len() > *max) {
            let length = message.len();
            return refused(format!(
                "The message has {length} bytes, and the mail server takes at most {max}."
            ));
        }
        // A server that ends lines at either would let the rest of the message pass as commands (RUSTSEC-2026-0561).
        if has_bare_line_end(message) {
            return refused("The message holds a CR or LF that stands alone.".to_owned());
        }
        None
    }
}

impl Extensions {
    fn parse(reply: &Reply) -> Self {
        let mut extensions = Extensions::default();
        // The first line is the server's name.
        for line in reply.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "8BITMIME" => extensions.eight_bit = true,
                "SMTPUTF8" => extensions.utf8 = true,
                "STARTTLS" => extensions.starttls = true,
                "PIPELINING" => extensions.pipelining = true,
                "SIZE" => {
                    extensions.announces_size = true;
                    // 0 means no fixed limit (RFC 1870 section 4).
                    extensions.max_size =
                        words.next().and_then(|size| size.parse().ok()).filter(|size| *size > 0);
                }
                "AUTH" => {
                    for mechanism in words {
                        extensions.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        extensions.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        extensions
    }
}

async fn start_tls(
    server: &Server,
    mut wire: Wire,
    extensions: &Extensions,
    trace: Option<Trace>,
) -> Result<Wire, Fault> {
    let refused = |why: String| {
        let sentence = format!("The mail server {} cannot secure the connection: {why}", server.host);
        Fault::new(FaultKind::Tls, sentence)
    };
    if !extensions.starttls {
        return Err(refused("it does not offer STARTTLS.".to_owned()));
    }
    let reply = welcomed(server, wire.command("STARTTLS").await)?;
    if reply.code != 220 {
        return Err(refused(reply.to_string()));
    }
    let socket = wire.into_socket().ok_or_else(|| refused("it spoke before it was secure.".to_owned()))?;
    Ok(Wire::new(connect::tls(server, socket).await?, server.timeouts.command, trace))
}

/// The reply, where it lets the opening go on.
fn welcomed(server: &Server, reply: Result<Reply, Lost>) -> Result<Reply, Fault> {
    let host = &server.host;
    match reply {
        Ok(reply) => match reply.code {
            200..=299 => Ok(reply),
            400..=499 => {
                let sentence = format!("The mail server {host} asks to come back later: {reply}");
                Err(Fault::new(FaultKind::Unreachable, sentence))
            }
            _ => {
                let sentence = format!("The mail server {host} does not want to talk: {reply}");
                Err(Fault::new(FaultKind::ServerRefused, sentence))
            }
        },
        Err(lost) => {
            let sentence = format!("While greeting the mail server {host}, {lost}.");
            Err(Fault::new(FaultKind::Unreachable, sentence))
        }
    }
}

/// The reply, where it lets the mail go on.
fn passed(step: Step, reply: Result<Reply, Lost>) -> Result<Reply, Ending> {
    let reply = reply.map_err(|lost| Ending::by_loss(step, &lost))?;
    if step.is_passed_by(&reply) { Ok(reply) } else { Err(Ending::by_reply(step, &reply)) }
}

/// The name to greet with. A host's own name that cannot stand in a command is replaced by an address literal.
fn helo(server: &Server) -> Result<String, Fault> {
    let is_word = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    match &server.helo {
        Some(name) if is_word(name) => Ok(name.clone()),
        Some(name) => {
            let sentence = format!("The name {name:?} cannot be used to greet a mail server.");
            Err(Fault::new(FaultKind::Settings, sentence))
        }
        None => Ok(Some(ClientId::default().to_string())
            .filter(|name| is_word(name))
            .unwrap_or_else(|| "[127.0.0.1]".to_owned())),
    }
}

fn is_ascii(address: &Address) -> bool {
    AsRef::<str>::as_ref(address).is_ascii()
}

/// Whether an address would not stay between its angle brackets. Addresses that were parsed do.
fn breaks_out(address: &Address) -> bool {
    AsRef::<str>::as_ref(address).chars().any(|c| c.is_control() || c == '<' || c == '>')
}

/// Whether a CR or LF stands alone instead of as CRLF.
fn has_bare_line_end(message: &[u8]) -> bool {
    message.split_inclusive(|&byte| byte == b'\n').any(|line| match line {
        [text @ .., b'\r', b'\n'] => text.contains(&b'\r'),
        [.., b'\n'] => true,
        unfinished => unfinished.contains(&b'\r'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cr_or_lf_that_stands_alone_is_found_anywhere() {
        for clean in [&b""[..], b"\r\n", b"a", b"a\r\nb", b"a\r\n\r\nb\r\n"] {
            assert!(!has_bare_line_end(clean), "{:?}", String::from_utf8_lossy(clean));
        }
        for bare in
            [&b"\n"[..], b"\r", b"a\r", b"a\n", b"a\r\r\n", b"\n\r", b"a\rb\r\n", b"a\r\nb\nc\r\n", b"\r\n\n"]
        {
            assert!(has_bare_line_end(bare), "{:?}", String::from_utf8_lossy(bare));
        }
    }

    #[tokio::test]
    async fn what_a_server_offers_is_read_whatever_its_case() {
        let mut bytes =
            &b"250-mail.example.com\r\n250-8bitmime\r\n250- \r\n250-SIZE 1000\r\n250-Pipelining\r\n\
            250-auth cram-md5 Login plain\r\n250 StartTLS\r\n"[..];
        let reply = Reply::read(&mut bytes).await.unwrap();
        let expected = Extensions {
            starttls: true,
            auth_plain: true,
            auth_login: true,
            eight_bit: true,
            utf8: false,
            pipelining: true,
            announces_size: true,
            max_size: Some(1000),
        };
        assert_eq!(Extensions::parse(&reply), expected);
    }
}
