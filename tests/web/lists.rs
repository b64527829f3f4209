//! What the dashboard and the lists show.

use herald_jobs::message_type::RequiredAction;
use herald_jobs::store;
use reqwest::StatusCode;

use crate::support::world::{World, between, message};

#[tokio::test]
async fn the_dashboard_counts_and_tells_of_alerts() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let page = browser.get("/").await;
    assert!(page.body.contains("Nothing waits for you."), "{}", page.body);
    assert!(!page.body.contains("class=\"count alerts\" href"), "a count of 0 leads nowhere");
    world.send("ann", "ALERT-VIEW", "Boiler 3 is hot").await;
    world.send("ann", "VIEW-NORMAL", "Hello").await;
    let page = browser.get("/").await;
    assert!(page.body.contains("class=\"count alerts\" href=\"/alerts\""), "{}", page.body);
    let notice = between(&page.body, "data-notices>", "<template").unwrap();
    assert!(notice.contains("Boiler 3 is hot") && notice.contains("report_task 7"), "{notice}");
    assert!(!notice.contains("Hello"), "messages make no notice: {notice}");

    let ids = between(notice, "name=\"ids\" value=\"", "\"").unwrap().to_owned();
    browser.post("/notices/dismiss", &[("ids", &ids)]).await;
    let page = browser.get("/").await;
    assert!(
        !between(&page.body, "data-notices>", "<template").unwrap().contains("notice\""),
        "it stays away"
    );
    world.send("ann", "ALERT-VIEW", "Boiler 4 too").await;
    let page = browser.get("/").await;
    let notice = between(&page.body, "data-notices>", "<template").unwrap();
    assert!(notice.contains("2 alerts are waiting"), "until there is another: {notice}");
    browser.post("/logout", &[]).await;
    browser.log_in("ann", crate::support::world::PASSWORD).await;
    assert!(browser.get("/").await.body.contains("2 alerts are waiting"), "or a new log-in");
}

#[tokio::test]
async fn c02_alerts_and_messages_are_listed_apart_and_seen_is_recorded() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let alert = world.send("ann", "ALERT-VIEW", "An alert").await;
    let sent = world.send("ann", "VIEW-NORMAL", "A message").await;
    let page = browser.get("/messages").await;
    assert!(page.body.contains("A message") && !page.body.contains(&format!("subject-{alert}")));
    assert!(page.body.contains("class=\"row new\""), "it is new the first time: {}", page.body);
    assert!(!browser.get("/messages").await.body.contains("class=\"row new\""));
    let page = browser.get("/alerts").await;
    assert!(page.body.contains("An alert") && !page.body.contains(&format!("subject-{sent}")));
    assert!(world.producer.standing(sent).await.unwrap().unwrap().seen_at.is_some());
}

#[tokio::test]
async fn an_empty_list_says_so() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    assert!(browser.get("/messages").await.body.contains("No messages wait for you."));
    assert!(browser.get("/alerts").await.body.contains("No alerts wait for you."));
}

#[tokio::test]
async fn texts_are_shown_as_they_are_and_long_ones_cut() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let nasty =
        "<script>alert(1)</script>\n\"'><img src=x onerror=alert(1)> {{7*7}} \u{202e}http://evil.example/";
    let mut sent = message("ann", "VIEW-NORMAL", nasty);
    sent.subject = Some("<b>bold</b>".to_owned());
    sent.sender_instance = Some("<i>7</i>".to_owned());
    world.send_with(sent).await;
    let long = world.send("ann", "VIEW-NORMAL", &format!("{} the end", "word ".repeat(5_000))).await;
    let page = browser.get("/messages").await;
    for raw in ["<script>alert", "<img src=x", "<b>bold", "<i>7", "<a href=\"http://evil"] {
        assert!(!page.body.contains(raw), "{raw} came through");
    }
    assert!(page.body.contains("alert(1)") && page.body.contains("{{7*7}}"));
    assert!(!page.body.contains("the end") && page.body.contains("word …"));
    assert!(browser.get(&format!("/messages/{long}")).await.body.contains("the end"));
}

#[tokio::test]
async fn a_long_list_is_read_page_by_page() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let names: Vec<String> = vec!["ann".to_owned(); 120];
    world.producer.send_many(message("ann", "VIEW-NORMAL", "Many"), &names).await.unwrap();
    let user = world.user("ann").await;
    crate::support::eventually("120 messages", async || {
        store::inbox::counts(&world.pool, user).await.unwrap().messages == 120
    })
    .await;
    let (mut path, mut seen) = ("/messages".to_owned(), Vec::new());
    loop {
        let page = browser.get(&path).await.body;
        assert!(page.contains("120</strong>"), "the count is of all");
        seen.extend(page.split("id=\"subject-").skip(1).map(|row| row[..36].to_owned()));
        match page.split_once("\" rel=\"next\"") {
            Some((before, _)) => path = before.rsplit_once("href=\"").unwrap().1.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 120);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 120, "each row on one page");
}

#[tokio::test]
async fn another_users_messages_do_not_exist() {
    let world = World::start().await;
    let ann = world.logged_in("ann").await;
    let eve = world.logged_in("eve").await;
    world.message_type("OPEN", RequiredAction::Action, Some("/open?id=")).await;
    let action = world.send("ann", "OPEN", "Open it").await;
    let question = world.send("ann", "REPLY-YESNO", "Yes?").await;
    for path in [
        format!("/messages/{action}"),
        format!("/messages/{action}/act"),
        format!("/messages/{action}/pane"),
        format!("/messages/{question}"),
    ] {
        assert_eq!(ann.get(&path).await.status, StatusCode::OK, "{path}");
        assert_eq!(eve.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    eve.get("/").await;
    assert_eq!(eve.post(&format!("/messages/{action}/act"), &[]).await.status, StatusCode::NOT_FOUND);
    let row = question.to_string();
    let page = eve.post("/messages", &[("act", &row), (&format!("reply:{row}"), "Yes")]).await;
    assert!(page.body.contains("is not there any more") && !page.body.contains("Yes?"), "{}", page.body);
    assert_eq!(
        (world.status(action).await, world.status(question).await),
        ("pending".into(), "pending".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_knows_of_nothing_that_it_does_not_show_while_messages_arrive() {
    const MANY: usize = 40;
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let sending = async {
        for number in 0..MANY {
            world.send("ann", "VIEW-NORMAL", &format!("Number {number}")).await;
        }
    };
    let reading = async {
        loop {
            let page = browser.get("/messages").await.body;
            let rows: Vec<&str> =
                page.split("id=\"subject-").skip(1).filter_map(|row| Some(row.split_once('"')?.0)).collect();
            let shown: usize = between(&page, "data-shown=\"", "\"").unwrap().parse().unwrap();
            let newest = between(&page, "data-newest=\"", "\"").unwrap();
            assert!(shown <= rows.len(), "{shown} of {}", rows.len());
            assert!(shown == 0 || rows.contains(&newest), "{newest} of {rows:?}");
            if rows.len() == MANY {
                return;
            }
        }
    };
    tokio::join!(sending, reading);
}
