//! Live updates: what a page is told, and when.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::world::{Browser, World};

/// A page's stream of events.
struct Stream {
    response: reqwest::Response,
    text: String,
    /// The id of the last event that had one.
    last: String,
}

impl Stream {
    async fn open(browser: &Browser) -> Self {
        Self::go_on(browser, "").await
    }

    /// As a browser opens it again that had this event last.
    async fn go_on(browser: &Browser, last: &str) -> Self {
        let mut request =
            browser.http.get(format!("{}/live", browser.url)).header("cookie", browser.cookie());
        if !last.is_empty() {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new(), last: String::new() }
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
                if let Some(id) = field("id:") {
                    self.last = id;
                }
                self.text = rest.to_owned();
                match event {
                    Some((event, data)) => return Some((event, serde_json::from_str(&data).unwrap())),
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }

    /// The counts of the next event: alerts, messages.
    async fn counts(&mut self) -> (i64, i64) {
        let data = self.expect("counts").await;
        (data["alerts"].as_i64().unwrap(), data["messages"].as_i64().unwrap())
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
    assert_eq!(stream.counts().await, (0, 0));
    world.send("bob", "ALERT-VIEW", "Not for Ann").await;
    let message = world.send("ann", "VIEW-NORMAL", "Hello").await.to_string();
    assert_eq!(stream.counts().await, (0, 1), "and no notice for it");
    let alert = world.send("ann", "ALERT-VIEW", "Boiler 3 is hot").await;
    let told = stream.expect("alert").await;
    assert_eq!(
        told,
        json!({"id": alert.to_string(), "subject": "Boiler 3 is hot", "sender": "report_task 7",
               "from": "Alert from report_task 7"})
    );
    assert_eq!(stream.counts().await, (1, 1));
    browser.get("/messages").await;
    browser.post("/messages", &[("act", &message)]).await;
    assert_eq!(stream.counts().await, (1, 0), "another tab acted");

    let mut again = Stream::open(&browser).await;
    assert_eq!(again.expect("alert").await["subject"], "Boiler 3 is hot", "who comes back misses nothing");
    assert_eq!(again.counts().await, (1, 0));
    let polled: Value = serde_json::from_str(&browser.get("/counts").await.body).unwrap();
    assert_eq!((&polled["alerts"], &polled["new_alerts"][0]), (&json!(1), &told), "polling tells the same");
    browser.get("/alerts").await;
    let polled: Value = serde_json::from_str(&browser.get("/counts").await.body).unwrap();
    assert_eq!(polled["new_alerts"], json!([]), "an alert that was seen is no news");
}

#[tokio::test]
async fn c08_c11_a_page_that_lost_its_stream_is_told_of_what_changed_since_and_of_nothing_else() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    world.send("ann", "ALERT-VIEW", "Boiler 3 is hot").await;
    let mut stream = Stream::open(&browser).await;
    stream.expect("alert").await;
    assert_eq!(stream.counts().await, (1, 0));
    let last = stream.last.clone();
    drop(stream);

    let first = world.send("ann", "VIEW-NORMAL", "One").await.to_string();
    let mut stream = Stream::go_on(&browser, &last).await;
    assert_eq!(stream.counts().await, (1, 1), "it knows the alert, and does not know the message");
    let last = stream.last.clone();
    drop(stream);

    // As many messages as before, but another one.
    browser.get("/messages").await;
    browser.post("/messages", &[("act", &first)]).await;
    let second = world.send("ann", "VIEW-NORMAL", "Two").await.to_string();
    let mut stream = Stream::go_on(&browser, &last).await;
    let told = stream.expect("counts").await;
    assert_eq!((&told["messages"], told["newest_message"].as_str()), (&json!(1), Some(second.as_str())));
    let last = stream.last.clone();
    drop(stream);

    let mut stream = Stream::go_on(&browser, &last).await;
    world.send("ann", "VIEW-NORMAL", "Three").await;
    assert_eq!(stream.counts().await, (1, 2), "nothing was told that had not changed");
    assert_eq!(Stream::go_on(&browser, "not ours").await.expect("alert").await["subject"], "Boiler 3 is hot");
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
