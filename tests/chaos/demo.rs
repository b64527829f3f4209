//! The demo's panel that breaks things: whatever it does, nothing that was accepted is lost.

use std::ops::Deref;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};

use crate::support::demo::{Demo, PATIENCE};

/// A demo, and who presses its buttons. Dereferences to the demo.
struct Panel {
    demo: Demo,
    http: Client,
}

impl Deref for Panel {
    type Target = Demo;

    fn deref(&self) -> &Demo {
        &self.demo
    }
}

impl Panel {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { demo: Demo::start().await, http }
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
}

fn figure(page: &str, name: &str) -> Option<usize> {
    let (_, rest) = page.split_once(&format!("data-figure=\"{name}\">"))?;
    rest.split_once('<')?.0.parse().ok()
}

#[tokio::test]
async fn whatever_the_panel_breaks_nothing_is_lost_or_doubled() {
    let demo = Panel::start().await;
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
    demo.demo.end().await;
}

#[tokio::test]
async fn no_other_site_reaches_the_pages_of_the_demo() {
    let demo = Panel::start().await;
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
    demo.demo.end().await;
}
