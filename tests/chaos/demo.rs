//! The demo's panel that breaks things: whatever it does, nothing that was accepted is lost.

use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Client, StatusCode};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long the demo may take to come up, and the messages to arrive.
const PATIENCE: Duration = Duration::from_secs(120);

/// The demo as a newcomer starts it, in a home of its own.
struct Demo {
    process: Child,
    pages: String,
    inbox: String,
    http: Client,
    _home: tempfile::TempDir,
}

impl Demo {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
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
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { process, pages, inbox, http, _home: home }
    }

    async fn press(&self, what: &str) {
        let answer = self.http.post(format!("{}/break/{what}", self.pages)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{what}");
    }

    async fn figures(&self) -> String {
        self.http.get(format!("{}/break/figures", self.pages)).send().await.unwrap().text().await.unwrap()
    }

    async fn wait(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let page = self.figures().await;
            if holds(&page) {
                return page;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {page}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// As Ctrl-C does.
    async fn end(mut self) {
        let pid = Pid::from_raw(self.process.id().unwrap().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let ended = tokio::time::timeout(PATIENCE, self.process.wait()).await.unwrap().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

fn figure(page: &str, name: &str) -> Option<usize> {
    let (_, rest) = page.split_once(&format!("data-figure=\"{name}\">"))?;
    rest.split_once('<')?.0.parse().ok()
}

#[tokio::test]
async fn whatever_the_panel_breaks_nothing_is_lost_or_doubled() {
    let demo = Demo::start().await;
    let send = demo.http.post(format!("{}/break/send", demo.pages));
    let send = send.header("content-type", "application/x-www-form-urlencoded").body("many=300");
    let sent = send.send().await.unwrap();
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    let worker = figure(&demo.wait("a worker", |page| figure(page, "worker").is_some()).await, "worker");
    demo.wait("messages to arrive", |page| figure(page, "in-inbox").is_some_and(|many| many > 10)).await;
    demo.press("worker").await;
    let back = |page: &str| figure(page, "worker").is_some_and(|pid| Some(pid) != worker);
    demo.wait("another worker", back).await;
    demo.press("redis").await;
    demo.press("smtp").await;
    demo.press("postgres").await;
    let page = demo.wait("Postgres to be back", |page| page.contains("and was back after")).await;
    for deed in ["was killed", "Redis was emptied", "Mail conversations are cut"] {
        assert!(page.contains(deed), "{deed}: {page}");
    }
    demo.press("worker").await;
    let page = demo
        .wait("all to arrive", |page| {
            assert!(figure(page, "lost").is_none_or(|lost| lost == 0), "{page}");
            page.contains("All 300 are in the inbox.")
        })
        .await;
    let figures =
        ["accepted", "in-inbox", "on-the-way", "lost", "duplicates"].map(|name| figure(&page, name));
    assert_eq!(figures, [300, 300, 0, 0, 0].map(Some), "{page}");
    // What was cut is tried again when its time comes, and what a killed worker left in doubt.
    demo.wait("mails to go through again", |page| page.contains("Mails go through again")).await;
    let skip = demo.http.post(format!("{}/skip?minutes=3", demo.pages)).send().await.unwrap();
    assert_eq!(skip.status(), StatusCode::SEE_OTHER);
    demo.wait("all mails", |page| {
        figure(page, "mails") == Some(30) && figure(page, "mails-caught") == Some(30)
    })
    .await;
    demo.end().await;
}

#[tokio::test]
async fn no_other_site_reaches_the_pages_of_the_demo() {
    let demo = Demo::start().await;
    let post = demo.http.post(format!("{}/break/redis", demo.pages));
    for (name, value) in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "http://evil.example")]
    {
        let answer = post.try_clone().unwrap().header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{name}: {value}");
    }
    let answer =
        post.header("host", "evil.example").header("origin", "http://evil.example").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN, "a name that leads here");
    assert!(!demo.figures().await.contains("Redis was emptied"));
    let login = demo.http.get(format!("{}/login", demo.inbox)).send().await.unwrap();
    assert_eq!(login.status(), StatusCode::OK);
    demo.end().await;
}
