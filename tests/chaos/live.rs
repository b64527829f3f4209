//! A thousand pages look at one web process while messages come.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::eventually;
use crate::support::herald::{Story, message};
use crate::support::port::free_port;

const PAGES: usize = 1_000;
/// Messages, and how many of them in a second.
const MESSAGES: usize = 3_000;
const RATE: u32 = 200;
/// From a send to the count of its page, where nothing else keeps the machine busy: that is told. What fails is a page that would have
/// to look by itself.
const GOAL: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(15);
/// Most memory above that of an idle process, in KiB.
const MEMORY: u64 = 100 * 1024;

/// When the messages of one page were sent, in their order, and when its count had followed.
#[derive(Default)]
struct Page {
    sent: Mutex<Vec<Instant>>,
    seen: Mutex<Vec<Duration>>,
}

impl Page {
    /// The count says that so many have come.
    fn count(&self, messages: usize) {
        let (sent, mut seen) = (self.sent.lock().unwrap(), self.seen.lock().unwrap());
        while seen.len() < messages.min(sent.len()) {
            let at = seen.len();
            seen.push(sent[at].elapsed());
        }
    }
}

/// Reads a stream for as long as there is one.
async fn look(mut stream: reqwest::Response, page: Arc<Page>, open: Arc<AtomicUsize>) {
    let mut text = String::new();
    while let Ok(Some(chunk)) = stream.chunk().await {
        text.push_str(&String::from_utf8_lossy(&chunk));
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                let data: serde_json::Value = serde_json::from_str(data).unwrap();
                if page.sent.lock().unwrap().is_empty() && data["messages"] == 0 {
                    open.fetch_add(1, Ordering::Relaxed);
                }
                page.count(usize::try_from(data["messages"].as_u64().unwrap_or(0)).unwrap());
            }
            text = rest.to_owned();
        }
    }
}

#[cfg(target_os = "linux")]
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn c08_a_thousand_pages_follow_two_hundred_messages_a_second() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let people = "insert into herald.app_user (username) select 'u' || n from generate_series(0, 999) n;
        insert into herald.session (token_hash, user_id, form_token, created_at, last_seen_at, expires_at)
        select sha256(username::bytea), id, 'x', now(), now(), now() + interval '1 day' from herald.app_user where username ~ '^u'";
    story.execute(people).await;
    let port = free_port();
    let home = format!("http://127.0.0.1:{port}");
    let mut command = story.command(&["web"]);
    command.env("HERALD__WEB__LISTEN", format!("127.0.0.1:{port}")).env("HERALD__WEB__OPS_LISTEN", "");
    let mut web = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let pid = web.id().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    eventually("the pages to answer", async || {
        http.get(format!("{home}/login")).send().await.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let idle = memory(pid);

    let pages: Vec<Arc<Page>> = (0..PAGES).map(|_| Arc::default()).collect();
    let open = Arc::new(AtomicUsize::new(0));
    for (number, page) in pages.iter().enumerate() {
        let request = http.get(format!("{home}/live")).header("cookie", format!("herald-{port}=u{number}"));
        let stream = request.send().await.unwrap();
        assert!(stream.status().is_success(), "{}", stream.status());
        tokio::spawn(look(stream, page.clone(), open.clone()));
    }
    eventually("all pages to have their counts", async || open.load(Ordering::Relaxed) == PAGES).await;

    let mut most = memory(pid);
    let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
    for number in 0..MESSAGES {
        tick.tick().await;
        let (page, to) = (pages[number % PAGES].clone(), format!("u{}", number % PAGES));
        page.sent.lock().unwrap().push(Instant::now());
        let producer = story.producer.clone();
        tokio::spawn(async move { producer.send(message(&to, "VIEW-NORMAL", "Hello")).await.unwrap() });
        if number % 200 == 0 {
            most = most.max(memory(pid));
        }
    }
    let seen = || pages.iter().map(|page| page.seen.lock().unwrap().len()).sum::<usize>();
    eventually("every count to follow", async || seen() == MESSAGES).await;
    most = most.max(memory(pid));
    let mut times: Vec<Duration> = pages.iter().flat_map(|page| page.seen.lock().unwrap().clone()).collect();
    times.sort_unstable();
    let (median, p99) = (times[MESSAGES / 2], times[MESSAGES * 99 / 100]);
    let above = most.saturating_sub(idle);
    println!("send to badge: median {median:?}, p99 {p99:?} (goal {GOAL:?}); {above} KiB above {idle} KiB");
    assert!(p99 < LATEST, "p99 {p99:?}");
    assert!(above < MEMORY, "{above} KiB above the idle {idle} KiB");
    web.kill().await.unwrap();
    workers.stop().await;
}
