//! A server as a child process, which never outlives the process that started it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often a start is tried because another program took the port in the meantime.
pub(super) const PORT_TRIES: u32 = 5;

/// How long a server may take until it answers; it may have to recover from a crash first.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How long a server may take to stop in order before it is killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a server that is dropped may take.
const DROP_PATIENCE: Duration = Duration::from_secs(5);

/// How often a child is looked at.
const POLL: Duration = Duration::from_millis(10);

/// Ports for servers. They lie below the range that systems give to outgoing connections (32768 and up): a client that
/// keeps trying to reach a port of that range while its server is down can connect to itself and keep the port.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// Stops a server when the process that held its input is gone, killed or not. Arguments: the server's process id, the
/// signal, and a directory to remove afterwards (or nothing). A line on its input calls it off. A dead process that nobody has
/// collected can still be signalled, but has no program any more.
const LEASH: &str = r#"
trap '' INT TERM HUP
read -r _ && exit 0
kill -s "$2" "$1"
tries=0
while kill -0 "$1" && { [ ! -d /proc/1 ] || [ -e "/proc/$1/exe" ]; } && [ "$tries" -lt 100 ]; do
  sleep 0.1
  tries=$((tries + 1))
done
kill -s KILL "$1"
[ -z "$3" ] || rm -rf "$3"
"#;

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    leash: Child,
    /// Ends the server quickly and in a way that it can recover from.
    quick: Signal,
}

impl Server {
    /// Starts `command` in a process group of its own, so that Ctrl-C reaches only this process, which stops the server in
    /// its turn. Standard output and error go to `log`; the last start's log is kept as `log.1`. `orderly` and `quick` are the
    /// signals that stop it; `remove` is a directory to remove if this process is killed.
    pub(super) fn spawn(
        mut command: Command,
        log: &Path,
        (orderly, quick): (Signal, Signal),
        remove: Option<&Path>,
    ) -> Result<Self> {
        if log.exists() {
            fs::rename(log, log.with_extension("1"))?;
        }
        let output = File::create(log)?;
        let program = PathBuf::from(command.get_program());
        let command = command.stdout(output.try_clone()?).stderr(output).process_group(0);
        let mut child = command.spawn().with_context(|| format!("start {}", program.display()))?;
        let mut leash = Command::new("/bin/sh");
        leash.args([
            "-c",
            LEASH,
            "leash",
            &child.id().to_string(),
            orderly.as_str().trim_start_matches("SIG"),
        ]);
        leash.arg(remove.unwrap_or(Path::new("")));
        leash
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        match leash.spawn() {
            Ok(leash) => Ok(Self { child, leash, quick }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error).context("start /bin/sh")
            }
        }
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the server `answers`.
    ///
    /// # Errors
    /// When it ends instead, or does not answer in time.
    pub(super) async fn ready(&mut self, answers: impl AsyncFn() -> Result<()>) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended at once ({status})");
            }
            match answers().await {
                Ok(()) => return Ok(()),
                Err(error) if start.elapsed() > START_PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Sends `signal`, and waits for the end; kills the server when it takes too long.
    pub(super) async fn stop(mut self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                tracing::warn!(pid = self.pid(), "A private server did not stop in time and was killed");
                self.child.kill()?;
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Lets the server outlive this process: it runs until what is returned is closed, wherever that went.
    pub(super) fn outlive(mut self) -> Result<ChildStdin> {
        self.leash.stdin.take().context("the server was let go before")
    }

    /// A child that has ended is not signalled: its number may be another's by now.
    fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            kill(Pid::from_raw(self.child.id().try_into()?), signal)?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut input) = self.leash.stdin.take() else { return };
        // Errors have nobody to go to here. What is left is what a killed process leaves, and the next start deals with it.
        let _ = self.signal(self.quick);
        let deadline = Instant::now() + DROP_PATIENCE;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            pause();
        }
        let _ = input.write_all(b"\n");
        drop(input);
        let _ = self.leash.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "drop cannot await, and the wait is short and bounded")]
fn pause() {
    std::thread::sleep(POLL);
}

/// Ends what an earlier run that was killed left running in `dir`: the processes whose working directory that is and whose
/// program is one of `programs`. Nothing else is touched, whatever a stale pid file says.
///
/// # Errors
/// When such a process belongs to another user, or does not go.
pub(super) async fn end_leftovers(dir: &Path, programs: &[&str], orderly: Signal) -> Result<()> {
    let start = Instant::now();
    let mut next = Some(orderly);
    loop {
        let found = working_in(dir, programs)?;
        if found.is_empty() {
            return Ok(());
        }
        ensure!(start.elapsed() < 2 * PATIENCE, "processes {found:?} still use {}", dir.display());
        if start.elapsed() > PATIENCE {
            next = Some(Signal::SIGKILL);
        }
        if let Some(signal) = next.take() {
            tracing::info!("Stopping the server that an earlier run left in {}", dir.display());
            for pid in found {
                // It may have gone in the meantime.
                let _ = kill(pid, signal);
            }
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(target_os = "linux")]
fn working_in(dir: &Path, programs: &[&str]) -> Result<Vec<Pid>> {
    let processes = fs::read_dir("/proc")?.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        let ours =
            programs.contains(&name.trim_end()) && fs::read_link(entry.path().join("cwd")).ok()? == dir;
        ours.then(|| Pid::from_raw(pid))
    });
    Ok(processes.collect())
}

#[cfg(not(target_os = "linux"))]
fn working_in(dir: &Path, programs: &[&str]) -> Result<Vec<Pid>> {
    let mut lsof = Command::new("lsof");
    lsof.args(["-a", "-d", "cwd", "-F", "pn"]).args(programs.iter().flat_map(|program| ["-c", program]));
    let output = String::from_utf8(lsof.output().context("run lsof")?.stdout)?;
    // Lines `p<pid>`, `fcwd` and `n<directory>`, in this order for each process.
    let mut found = Vec::new();
    let mut current = None;
    for line in output.lines() {
        if let Some(pid) = line.strip_prefix('p') {
            current = pid.parse().ok().map(Pid::from_raw);
        } else if line.strip_prefix('n').is_some_and(|name| Path::new(name) == dir) {
            found.extend(current);
        }
    }
    Ok(found)
}

/// `wanted` if it is free on the loopback address, else a random port that is.
pub(super) fn free_port(wanted: Option<u16>) -> Result<u16> {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    if let Some(port) = wanted.filter(free) {
        return Ok(port);
    }
    for _ in 0..1000 {
        let [high, low] = random()?;
        let port = PORTS.start + u16::from_be_bytes([high, low]) % (PORTS.end - PORTS.start);
        if free(&port) {
            return Ok(port);
        }
    }
    bail!("no free port between {} and {}", PORTS.start, PORTS.end)
}

/// A password of 128 random bits, in hexadecimal digits, which need no quoting anywhere.
pub(super) fn password() -> Result<String> {
    Ok(random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Whether a server could not start because another program has its port.
pub(super) fn lost_port(log: &Path) -> bool {
    tail(log).contains("Address already in use")
}

/// The last lines of a log, for an error message.
pub(super) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
