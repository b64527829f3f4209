use std::{fmt::Write, time::Duration};

use mail_parser::decoders::base64::base64_decode;
use tokio::{net::TcpStream, sync::watch};

use super::{
    behaviour::{Phase, Told},
    lines::{End, Lines},
    mailbox::Mail,
    server::Shared,
    show::message_id,
};

/// Talks SMTP with one client until either side ends it.
pub(super) async fn converse(stream: TcpStream, shared: &Shared) {
    let lines = Lines::new(stream, &shared.counters, &shared.behaviour());
    let mut conversation = Conversation { lines, shared, signed_in: false, from: None, to: Vec::new() };
    // Nothing is left to do for a client that has gone.
    let _ = conversation.run().await;
}

struct Conversation<'a> {
    lines: Lines<'a>,
    shared: &'a Shared,
    signed_in: bool,
    from: Option<String>,
    to: Vec<Recipient>,
}

struct Recipient {
    address: String,
    /// Its number in the log.
    attempt: usize,
}

impl Conversation<'_> {
    async fn run(&mut self) -> Result<(), End> {
        let greeting = format!("220 {} ESMTP mail catcher", self.shared.settings.name);
        self.reply(Phase::Connect, &greeting).await?;
        self.interject(Phase::Greeting).await?;
        loop {
            let line = String::from_utf8_lossy(self.lines.next().await?).into_owned();
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => self.hello(true).await?,
                "HELO" => self.hello(false).await?,
                "AUTH" => self.auth(rest).await?,
                "MAIL" => self.mail(rest).await?,
                "RCPT" => self.rcpt(rest).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.forget();
                    self.reply(Phase::Rset, "250 2.0.0 Ok").await?;
                }
                "NOOP" => self.say("250 2.0.0 Ok").await?,
                "QUIT" => return self.say("221 2.0.0 Bye").await,
                _ => self.say("500 5.5.2 Command not recognised").await?,
            }
        }
    }

    async fn hello(&mut self, is_extended: bool) -> Result<(), End> {
        let settings = &self.shared.settings;
        let mut reply = settings.name.clone();
        if is_extended {
            for extension in ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "AUTH PLAIN LOGIN"]
            {
                let _ = write!(reply, "\r\n250-{extension}");
            }
            reply = format!("250-{reply}\r\n250 SIZE {}", settings.max_size);
        } else {
            reply = format!("250 {reply}");
        }
        self.forget();
        self.reply(Phase::Ehlo, &reply).await.map(|_| ())
    }

    async fn auth(&mut self, rest: &str) -> Result<(), End> {
        let (mechanism, initial) = rest.split_once(' ').map_or((rest, None), |(name, it)| (name, Some(it)));
        let given = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let token = self.response(initial, "").await?;
                let mut parts = token.split('\0').skip(1).map(str::to_owned);
                parts.next().zip(parts.next())
            }
            "LOGIN" => {
                let user = self.response(initial, "VXNlcm5hbWU6").await?;
                Some((user, self.response(None, "UGFzc3dvcmQ6").await?))
            }
            _ => return self.say("504 5.5.4 Mechanism not known").await,
        };
        let credentials = &self.shared.settings.credentials;
        if given.is_some() && (credentials.is_none() || *credentials == given) {
            self.signed_in = self.reply(Phase::Auth, "235 2.7.0 Signed in").await?;
            Ok(())
        } else {
            self.reply(Phase::Auth, "535 5.7.8 User name or password is wrong").await.map(|_| ())
        }
    }

    /// The client's response to a challenge, or the one that it gave without waiting for it.
    async fn response(&mut self, initial: Option<&str>, challenge: &str) -> Result<String, End> {
        let encoded = match initial {
            Some(initial) => initial.as_bytes().to_vec(),
            None => {
                self.say(&format!("334 {challenge}")).await?;
                self.lines.next().await?.to_vec()
            }
        };
        Ok(String::from_utf8_lossy(&base64_decode(&encoded).unwrap_or_default()).into_owned())
    }

    async fn mail(&mut self, rest: &str) -> Result<(), End> {
        let settings = &self.shared.settings;
        if settings.credentials.is_some() && !self.signed_in {
            return self.say("530 5.7.0 Sign in first").await;
        }
        if self.from.is_some() {
            return self.say("503 5.5.1 A mail is under way already").await;
        }
        let Some((from, parameters)) = path(rest, "FROM:") else {
            return self.say("501 5.5.4 Syntax: MAIL FROM:<address>").await;
        };
        let size = parameters.split(' ').find_map(|it| it.strip_prefix("SIZE=")?.parse::<usize>().ok());
        if size.is_some_and(|size| size > settings.max_size) {
            return self.say("552 5.3.4 The message is too big").await;
        }
        if self.reply(Phase::Mail, "250 2.1.0 Ok").await? {
            self.from = Some(from);
        }
        Ok(())
    }

    async fn rcpt(&mut self, rest: &str) -> Result<(), End> {
        if self.from.is_none() {
            return self.say("503 5.5.1 MAIL comes first").await;
        }
        let Some((address, _)) = path(rest, "TO:").filter(|(address, _)| !address.is_empty()) else {
            return self.say("501 5.5.4 Syntax: RCPT TO:<address>").await;
        };
        let attempt = self.shared.mailbox.open_attempt(&address);
        let reply = self.told(Phase::Rcpt, "250 2.1.5 Ok").await?;
        self.say(&reply).await?;
        if is_positive(&reply) {
            self.to.push(Recipient { address, attempt });
        } else {
            self.shared.mailbox.note(attempt, |attempt| attempt.reply = Some(reply));
        }
        Ok(())
    }

    async fn data(&mut self) -> Result<(), End> {
        let Some(from) = self.from.clone().filter(|_| !self.to.is_empty()) else {
            return self.say("503 5.5.1 RCPT comes first").await;
        };
        let reply = self.told(Phase::Data, "354 End with <CR><LF>.<CR><LF>").await?;
        self.say(&reply).await?;
        if !is_positive(&reply) {
            self.note_reply(&reply);
            return Ok(());
        }
        let (raw, received) = self.message().await;
        let message_id = message_id(&raw);
        for recipient in &self.to {
            self.shared.mailbox.note(recipient.attempt, |it| it.message_id.clone_from(&message_id));
        }
        received?;
        self.finish(Mail {
            id: 0,
            received_at: self.shared.settings.clock.now(),
            from,
            to: self.to.iter().map(|recipient| recipient.address.clone()).collect(),
            raw,
            message_id,
        })
        .await
    }

    /// The message up to its final dot, as far as it came.
    async fn message(&mut self) -> (Vec<u8>, Result<(), End>) {
        let marks = self.shared.body_marks();
        let (mut raw, mut size) = (Vec::new(), 0);
        let received = async {
            loop {
                let line = self.lines.next().await?;
                if line == b"." {
                    return Ok(());
                }
                // What is too big is read all the same, but not kept.
                if raw.len() <= self.shared.settings.max_size {
                    raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
                    raw.extend_from_slice(b"\r\n");
                }
                let before = size;
                size += line.len() + 2;
                for &after in marks.iter().filter(|mark| (before..size).contains(mark)) {
                    self.interject(Phase::Body { after }).await?;
                }
            }
        }
        .await;
        (raw, received)
    }

    /// Keeps the mail, or not, and then says so, as far as the behaviour lets it.
    async fn finish(&mut self, mail: Mail) -> Result<(), End> {
        let mailbox = &self.shared.mailbox;
        let (Told { delay, cut, answer }, anew) = self.shared.told(Phase::Dot);
        let is_too_big = mail.raw.len() > self.shared.settings.max_size;
        let reply = match answer {
            Some(reply) => reply,
            None if is_too_big => "552 5.3.4 The message is too big".to_owned(),
            None => "250 2.0.0 Ok: kept".to_owned(),
        };
        if is_positive(&reply) {
            for recipient in &self.to {
                mailbox.note(recipient.attempt, |attempt| attempt.stored = true);
            }
            mailbox.store(mail);
        }
        pause(delay, anew).await;
        if cut {
            return Err(End);
        }
        self.say(&reply).await?;
        self.note_reply(&reply);
        self.forget();
        self.interject(Phase::Replied).await
    }

    /// Writes the reply that the phase asks for, or the usual one. Whether the command is to be carried out.
    async fn reply(&mut self, phase: Phase, usual: &str) -> Result<bool, End> {
        let reply = self.told(phase, usual).await?;
        self.say(&reply).await?;
        Ok(is_positive(&reply))
    }

    /// Says something in a phase that usually says nothing, where it is told to.
    async fn interject(&mut self, phase: Phase) -> Result<(), End> {
        let reply = self.told(phase, "").await?;
        if reply.is_empty() { Ok(()) } else { self.say(&reply).await }
    }

    /// The reply that the phase asks for, or the usual one, after a delay, or the end.
    async fn told(&self, phase: Phase, usual: &str) -> Result<String, End> {
        let (Told { delay, cut, answer }, anew) = self.shared.told(phase);
        pause(delay, anew).await;
        match answer {
            _ if cut => Err(End),
            Some(reply) => Ok(reply),
            None => Ok(usual.to_owned()),
        }
    }

    async fn say(&mut self, reply: &str) -> Result<(), End> {
        self.lines.say(&format!("{reply}\r\n")).await
    }

    fn note_reply(&self, reply: &str) {
        for recipient in &self.to {
            self.shared.mailbox.note(recipient.attempt, |attempt| attempt.reply = Some(reply.to_owned()));
        }
    }

    fn forget(&mut self) {
        self.from = None;
        self.to.clear();
    }
}

/// Address and parameters of `FROM:<address> parameters`.
fn path(rest: &str, keyword: &str) -> Option<(String, String)> {
    let (start, rest) = rest.split_at_checked(keyword.len())?;
    let (address, parameters) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    start.eq_ignore_ascii_case(keyword).then(|| (address.to_owned(), parameters.to_ascii_uppercase()))
}

/// Sleeps, but not longer than the behaviour holds; not at all where told so, which `sleep` takes for a millisecond.
async fn pause(delay: Duration, mut anew: watch::Receiver<()>) {
    if !delay.is_zero() {
        // Either will do.
        let _ = tokio::time::timeout(delay, anew.changed()).await;
    }
}

fn is_positive(reply: &str) -> bool {
    reply.starts_with(['2', '3'])
}
