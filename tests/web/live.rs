//! Live updates: what a page is told, and when.

use std::time::Duration;

use futures::StreamExt as _;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::world::{Browser, World};

/// A page's stream of events.
struct Stream {
    bytes: futures::stream::BoxStream<'static, reqwest::Result<Vec<u8>>>,
    text: String,
}

impl Stream {
    async fn open(browser: &Browser) -> Self {
        let request = browser.http.get(format!("{}/live", browser.url)).header("cookie", browser.cookie());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let bytes = response.bytes_stream().map(|bytes| bytes.map(|bytes| bytes.to_vec())).boxed();
        Self { bytes, text: String::new() }
    }

    /// The next event and its data; `None`: the stream ended.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim().to_owned())
                };
                let event = field("event:").zip(field("data:"));
                self.text = rest.to_owned();
                match event {
                    Some((event, data)) => return Some((event, serde_json::from_str(&data).unwrap())),
                    None => continue,
                }
            }
            let bytes = tokio::time::timeout(Duration::from_secs(20), self.bytes.next()).await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&bytes.ok()?).unwrap());
        }
    }

    /// The data of the next event, which must be this one.
    async fn expect(&mut self, event: &str) -> Value {
        let (name, data) = self.next().await.unwrap();
        assert_eq!(name, event, "{data}");
        data
    }
}

#[tokio::test]
async fn c08_c11_a_page_is_told_of_counts_and_alerts_as_they_change() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    world.user("bob").await;
    let mut stream = Stream::open(&browser).await;
    assert_eq!(stream.expect("counts").await, json!({"alerts": 0, "messages": 0}));
    world.send("bob", "ALERT-VIEW", "Not for Ann").await;
    let message = world.send("ann", "VIEW-NORMAL", "Hello").await.to_string();
    assert_eq!(stream.expect("counts").await, json!({"alerts": 0, "messages": 1}), "and no notice for it");
    let alert = world.send("ann", "ALERT-VIEW", "Boiler 3 is hot").await;
    let told = stream.expect("alert").await;
    assert_eq!(
        told,
        json!({"id": alert.to_string(), "subject": "Boiler 3 is hot", "sender": "report_task 7"})
    );
    assert_eq!(stream.expect("counts").await, json!({"alerts": 1, "messages": 1}));
    browser.get("/messages").await;
    browser.post("/messages", &[("act", &message)]).await;
    assert_eq!(stream.expect("counts").await, json!({"alerts": 1, "messages": 0}), "another tab acted");

    let mut again = Stream::open(&browser).await;
    assert_eq!(again.expect("alert").await["subject"], "Boiler 3 is hot", "who comes back misses nothing");
    assert_eq!(again.expect("counts").await, json!({"alerts": 1, "messages": 0}));
    let polled: Value = serde_json::from_str(&browser.get("/counts").await.body).unwrap();
    assert_eq!((&polled["alerts"], &polled["new_alerts"][0]), (&json!(1), &told), "polling tells the same");
    browser.get("/alerts").await;
    let polled: Value = serde_json::from_str(&browser.get("/counts").await.body).unwrap();
    assert_eq!(polled["new_alerts"], json!([]), "an alert that was seen is no news");
}

#[tokio::test]
async fn a_lost_connection_to_the_database_loses_no_change() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let mut stream = Stream::open(&browser).await;
    stream.expect("counts").await;
    for round in 1..=3 {
        let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and query like 'LISTEN%' and pid <> pg_backend_pid()";
        sqlx::query(cut).execute(&world.pool).await.unwrap();
        world.send("ann", "VIEW-NORMAL", "Hello").await;
        assert_eq!(stream.expect("counts").await["messages"], round);
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_with_the_process() {
    let world = World::start().await;
    let (ann, bob) = (world.logged_in("ann").await, world.logged_in("bob").await);
    let (mut of_ann, mut of_bob) = (Stream::open(&ann).await, Stream::open(&bob).await);
    of_ann.expect("counts").await;
    of_bob.expect("counts").await;
    ann.get("/").await;
    ann.post("/logout", &[]).await;
    assert_eq!(of_ann.next().await, None, "logged out");
    world.stop.cancel();
    assert_eq!(of_bob.next().await, None, "stopped");
}
