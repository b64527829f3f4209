//! The demo as a newcomer starts it, in a home of its own.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long the demo may take to come up, and the messages to arrive.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The demo as a newcomer starts it, in a home of its own.
pub(crate) struct Demo {
    process: Child,
    /// Where its own pages are, without a slash at the end.
    pub(crate) pages: String,
    /// Where the inbox is.
    pub(crate) inbox: String,
    _home: tempfile::TempDir,
}

impl Demo {
    pub(crate) async fn start() -> Self {
        let home = tempfile::TempDir::new().unwrap();
        let programs = herald::private::home().unwrap().join("pkg");
        if programs.is_dir() {
            std::os::unix::fs::symlink(&programs, home.path().join("pkg")).unwrap();
        }
        let mut process = Command::new(env!("CARGO_BIN_EXE_herald"))
            .arg("demo")
            .env("HERALD_HOME", home.path())
            .env("HERALD__WEB__LISTEN", "127.0.0.1:0")
            .current_dir(home.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (mut pages, mut inbox) = (None, None);
        let said = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let address = || line.split_whitespace().nth(1).unwrap().trim_end_matches('/').to_owned();
                match line.split_whitespace().next() {
                    Some("Inbox") => inbox = Some(address()),
                    Some("Mail") => pages = Some(address()),
                    Some("Ctrl-C") => break,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, said).await.unwrap();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (pages, inbox) = (pages.unwrap(), inbox.unwrap());
        Self { process, pages, inbox, _home: home }
    }

    /// As Ctrl-C does.
    pub(crate) async fn end(mut self) {
        let pid = Pid::from_raw(self.process.id().unwrap().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await.unwrap().unwrap();
        assert!(ended.success(), "{ended}");
    }
}
