//! Runs a program, and tells people how it ended.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::pin::pin;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use herald_producers::NewMessage;
use herald_producers::task_queue::in_words;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::commands::connect;
use crate::config::Config;

/// How many of the last lines are told, and how much of them in bytes.
const LAST_LINES: usize = 20;
const LAST_BYTES: usize = 8_000;
/// How long what a program left running may go on printing after its end, and how much of it is passed on then: a pipe full.
const LINGER: Duration = Duration::from_secs(1);
const LEFT_OVER: usize = 64 * 1024;
/// Parts of output that wait for their reader before the program waits too.
const WAITING: usize = 8;

/// `herald run`. Passes input, output, signals and the exit code through.
#[derive(Args)]
#[command(
    after_help = "The exit code is the program's own; 128 and the signal's number where a signal ended it; 126 or 127 where it could not \
be started. That nobody could be told is said on standard error, and changes no exit code."
)]
pub struct Run {
    /// Who is told: a username; repeat it for more.
    #[arg(long, required = true)]
    notify: Vec<String>,
    /// When.
    #[arg(long, value_enum, default_value_t = On::Always)]
    on: On,
    /// What the program is called in the message; without it, its file name.
    #[arg(long)]
    name: Option<String>,
    /// The message type when it is done.
    #[arg(long = "type", default_value = "VIEW-NORMAL")]
    on_success: String,
    /// The message type when it failed.
    #[arg(long = "failure-type", default_value = "ALERT-VIEW")]
    on_failure: String,
    /// The model that the message comes from; its instance is the program.
    #[arg(long, default_value = "command")]
    sender: String,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// After which ends people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum On {
    /// After each.
    Always,
    /// When it failed.
    Failure,
    /// When it did not.
    Success,
}

/// How a program ended.
struct End {
    code: u8,
    /// As in "failed with exit code 3".
    words: String,
    lines: String,
}

impl Run {
    /// Runs the program to its end. Answers its exit code.
    ///
    /// # Errors
    /// The settings cannot be read; the program was not started then.
    pub async fn run(self, config: Config) -> Result<ExitCode> {
        let producer = connect(config)?.producer();
        let begun = Instant::now();
        let end = execute(&self.command).await?;
        let failed = end.code != 0;
        if self.on == On::Always || (self.on == On::Failure) == failed {
            for message in self.messages(&end, begun.elapsed()) {
                let recipient = message.recipient.clone();
                if let Err(error) = producer.send(message).await {
                    eprintln!("herald: {recipient} was not told: {error}");
                }
            }
            producer.flush().await;
        }
        Ok(ExitCode::from(end.code))
    }

    fn messages(&self, end: &End, took: Duration) -> impl Iterator<Item = NewMessage> {
        let program = self.command.first().map_or("", |path| path.rsplit('/').next().unwrap_or(path));
        let name = self.name.as_deref().unwrap_or(program);
        let kind = if end.code == 0 { &self.on_success } else { &self.on_failure };
        let mut text = format!("{name} {} after {}.", end.words, in_words(took));
        if !end.lines.is_empty() {
            text.push_str(&format!("\n\nIts last lines:\n{}", end.lines));
        }
        let subject: String =
            format!("{name} {}", end.words).chars().filter(|it| !it.is_control()).take(200).collect();
        self.notify.iter().map(move |recipient| NewMessage {
            recipient: recipient.clone(),
            message_type: kind.clone(),
            message_text: text.clone(),
            subject: Some(subject.clone()),
            sender: self.sender.clone(),
            sender_instance: Some(program.chars().filter(|it| !it.is_control()).take(200).collect()),
            ..NewMessage::default()
        })
    }
}

async fn execute(command: &[String]) -> Result<End> {
    let (program, arguments) = command.split_first().context("no program is named")?;
    let mut signals = Signals::listen()?;
    let spawned = Command::new(program).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            eprintln!("herald: {program}: {error}");
            let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
            return Ok(End { code, words: format!("could not be started ({error})"), lines: String::new() });
        }
    };
    let (last, over) = (Mutex::new(Last::default()), CancellationToken::new());
    let output = pass_on(child.stdout.take(), std::io::stdout(), &last, &over);
    let errors = pass_on(child.stderr.take(), std::io::stderr(), &last, &over);
    let mut passing = pin!(futures::future::join(output, errors));
    let mut is_passed = false;
    let status = {
        let mut waiting = pin!(wait(&mut child, &mut signals));
        loop {
            tokio::select! {
                status = &mut waiting => break status?,
                _ = &mut passing, if !is_passed => is_passed = true,
            }
        }
    };
    if !is_passed {
        tokio::select! {
            _ = passing => {}
            () = give_up(&mut signals, &over) => {}
        }
    }
    let lines = last.lock().map(|last| last.text()).unwrap_or_default();
    let (code, words) = told(status);
    Ok(End { code, words, lines })
}

/// Ends the reading a moment after the program, and all waiting for those who read a moment after a signal: it may have come with
/// the one that ended the program, whose last words are passed on.
async fn give_up(signals: &mut Signals, over: &CancellationToken) {
    let reading = async {
        tokio::time::sleep(LINGER).await;
        over.cancel();
        std::future::pending::<()>().await;
    };
    let signal = async {
        signals.next().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::select! {
        () = reading => {}
        () = signal => {}
    }
}

fn told(status: ExitStatus) -> (u8, String) {
    match (status.code(), status.signal()) {
        (Some(0), _) => (0, "is done".to_owned()),
        (Some(code), _) => (u8::try_from(code).unwrap_or(1), format!("failed with exit code {code}")),
        (None, Some(number)) => {
            let name =
                Signal::try_from(number).map_or_else(|_| number.to_string(), |it| it.as_str().to_owned());
            (u8::try_from(128 + number).unwrap_or(1), format!("was ended by {name}"))
        }
        (None, None) => (1, "failed".to_owned()),
    }
}

/// Waits for the program's end, and passes on the signals that come meanwhile.
async fn wait(child: &mut Child, signals: &mut Signals) -> Result<ExitStatus> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    // A terminal sends these to the program too.
    let at_terminal = std::io::stdin().is_terminal();
    loop {
        let came = tokio::select! {
            status = child.wait() => return Ok(status?),
            came = signals.next() => came,
        };
        let is_there_already = at_terminal && matches!(came, Signal::SIGINT | Signal::SIGQUIT);
        if let Some(pid) = pid.filter(|_| !is_there_already) {
            // It may have ended this very moment.
            let _ = kill(pid, came);
        }
    }
}

/// The signals that are passed on. None of them ends this program by itself any more.
struct Signals {
    hangup: unix::Signal,
    interrupt: unix::Signal,
    quit: unix::Signal,
    terminate: unix::Signal,
    first: unix::Signal,
    second: unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hangup: unix::signal(SignalKind::hangup())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            quit: unix::signal(SignalKind::quit())?,
            terminate: unix::signal(SignalKind::terminate())?,
            first: unix::signal(SignalKind::user_defined1())?,
            second: unix::signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::SIGHUP,
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.quit.recv() => Signal::SIGQUIT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.first.recv() => Signal::SIGUSR1,
            _ = self.second.recv() => Signal::SIGUSR2,
        }
    }
}

/// The last of what a program printed.
#[derive(Default)]
struct Last(VecDeque<u8>);

impl Last {
    fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let surplus = self.0.len().saturating_sub(LAST_BYTES);
        self.0.drain(..surplus);
    }

    /// As text that a message can hold.
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.trim_end().lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
        last.join("\n").replace(|it: char| it.is_control() && it != '\n' && it != '\t', "")
    }
}

/// Passes what comes on as it comes, to the byte, until its end; once the program is over, no more than what is there.
async fn pass_on(
    from: Option<impl AsyncRead + Unpin>,
    to: impl std::io::Write + Send + 'static,
    last: &Mutex<Last>,
    over: &CancellationToken,
) {
    let Some(mut from) = from else { return };
    let (parts, written) = writer(to);
    let (mut bytes, mut left) = ([0; 8_192], LEFT_OVER);
    while left > 0 {
        let read = tokio::select! {
            biased;
            read = from.read(&mut bytes) => read,
            () = over.cancelled() => break,
        };
        let Ok(many @ 1..) = read else { break };
        if over.is_cancelled() {
            left = left.saturating_sub(many);
        }
        let some = bytes.get(..many).unwrap_or_default();
        if let Ok(mut last) = last.lock() {
            last.add(some);
        }
        let _ = parts.send(some.to_vec()).await;
    }
    drop(parts);
    let _ = written.await;
}

/// Writes parts in their order, and tells when all of them are written. A write waits for as long as its reader does, and must keep
/// neither signals nor, as the runtime's own threads would, the end of this program waiting.
fn writer(mut to: impl std::io::Write + Send + 'static) -> (mpsc::Sender<Vec<u8>>, oneshot::Receiver<()>) {
    let (parts, mut coming) = mpsc::channel::<Vec<u8>>(WAITING);
    let (done, written) = oneshot::channel();
    std::thread::spawn(move || {
        while let Some(part) = coming.blocking_recv() {
            // Nobody may be reading any more: the program runs on nevertheless.
            let _ = to.write_all(&part).and_then(|()| to.flush());
        }
        let _ = done.send(());
    });
    (parts, written)
}
