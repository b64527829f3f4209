//! Searching a list.

use chrono::TimeDelta;
use herald_jobs::store::inbox_search::{self, Search, State};
use herald_producers::NewMessage;
use reqwest::StatusCode;

use crate::support::world::{Browser, World, message};

/// The subjects that an address lists, newest first.
async fn subjects(browser: &Browser, path: &str) -> Vec<String> {
    let page = browser.get(path).await;
    assert_eq!(page.status, StatusCode::OK, "{path}");
    let subject =
        |row: &str| row.split_once("data-read>").unwrap().1.split_once("</a>").unwrap().0.to_owned();
    page.body.split("id=\"subject-").skip(1).map(subject).collect()
}

#[tokio::test]
async fn c12_a_list_is_searched_by_words_sender_type_state_and_dates() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let eve = world.logged_in("eve").await;
    let text =
        |words: &str| NewMessage { subject: Some("Report".into()), ..message("ann", "VIEW-NORMAL", words) };
    world.send_with(text("Der Umsatz im Norden: PO-4711 (100%)")).await;
    let bob = NewMessage {
        sender: "bob".into(),
        sender_instance: None,
        ..message("ann", "VIEW-NORMAL", "Lunch at noon?")
    };
    world.user("bob").await;
    world.send_with(bob).await;
    world.send("ann", "REPLY-YESNO", "Shall we go on?").await;
    world.send("eve", "VIEW-NORMAL", "PO-4711 for Eve").await;
    for (path, found) in [
        ("/messages?q=4711", vec!["Report"]),
        ("/messages?q=po-4711+NORDEN", vec!["Report"]),
        ("/messages?q=umsatz+lunch", vec![]),
        ("/messages?q=ord", vec![]),
        ("/messages?q=nord", vec!["Report"]),
        ("/messages?q=100%25", vec!["Report"]),
        ("/messages?q=%25", vec!["Report"]),
        ("/messages?q=_", vec!["Shall we go on?", "Report"]),
        ("/messages?q=bob", vec!["Lunch at noon?"]),
        ("/messages?q=report_task+7+go", vec!["Shall we go on?"]),
        ("/messages?sender=BOB", vec!["Lunch at noon?"]),
        ("/messages?sender=task+7", vec!["Shall we go on?", "Report"]),
        ("/messages?type=reply-yesno", vec!["Shall we go on?"]),
        ("/messages?type=NONE", vec![]),
        ("/messages?from=2000-01-01&to=2000-12-31", vec![]),
        ("/messages?from=2000-01-01&q=lunch", vec!["Lunch at noon?"]),
        ("/messages?state=done", vec![]),
        ("/alerts?q=4711", vec![]),
    ] {
        assert_eq!(subjects(&browser, path).await, found, "{path}");
    }
    assert_eq!(subjects(&eve, "/messages?q=4711").await, ["PO-4711 for Eve"], "each finds their own");
    assert!(subjects(&browser, "/messages?state=unseen").await.is_empty(), "all were listed");
    world.send("ann", "VIEW-NORMAL", "A new one").await;
    assert_eq!(subjects(&browser, "/messages?state=unseen").await, ["A new one"]);

    for (path, said) in [
        ("/messages?from=yesterday", "This is not a day."),
        ("/alerts?to=2026-02-30", "This is not a day."),
        ("/messages?state=lost", "does not name a page"),
        ("/messages?before=x", "does not name a page"),
    ] {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(page.body.contains(said), "{path}: {}", page.body);
    }
}

#[tokio::test]
async fn c12_days_are_the_readers_own() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    sqlx::query("update herald.app_user set time_zone = 'Pacific/Kiritimati' where username = 'ann'")
        .execute(&world.pool)
        .await
        .unwrap();
    let id = world.send("ann", "VIEW-NORMAL", "Around midnight").await;
    // 13:00 on the first is already the second at UTC+14.
    sqlx::query("update herald.message set created_at = date_trunc('day', created_at) + interval '13 hours' where id = $1")
        .bind(id.0).execute(&world.pool).await.unwrap();
    let utc = world.clock.now().date_naive();
    let there = utc + TimeDelta::days(1);
    assert_eq!(subjects(&browser, &format!("/messages?from={there}&to={there}")).await, ["Around midnight"]);
    assert!(subjects(&browser, &format!("/messages?from={utc}&to={utc}")).await.is_empty());
}

#[tokio::test]
async fn what_was_done_is_kept_in_a_history_with_its_outcome() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let question = world.send("ann", "REPLY-YESNO", "Agreed?").await.to_string();
    let cancelled = world.send("ann", "VIEW-NORMAL", "Never mind").await;
    browser.get("/messages").await;
    browser.post("/messages", &[("act", &question), (&format!("reply:{question}"), "No")]).await;
    world.producer.cancel(cancelled).await.unwrap();
    assert!(subjects(&browser, "/messages").await.is_empty());
    assert_eq!(subjects(&browser, "/messages?state=done").await, ["Never mind", "Agreed?"]);
    assert_eq!(subjects(&browser, "/messages?state=acted").await, ["Agreed?"]);
    assert_eq!(subjects(&browser, "/messages?state=taken-back").await, ["Never mind"]);
    let page = browser.get("/messages?state=done").await;
    assert!(
        page.body.contains("Answered No, just now") && page.body.contains("Taken back by its sender"),
        "{}",
        page.body
    );
    assert!(
        !page.body.contains("data-act") && !page.body.contains("<select id=\"reply"),
        "nothing is left to do"
    );
}

#[tokio::test]
async fn a_hundred_thousand_messages_are_as_quick_as_a_hundred_and_searched_in_slices() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let ann = world.user("ann").await;
    let fill = "insert into herald.message (id, recipient_id, message_type, alert, required_action, complete_on, on_unknown,
                    lane, subject, message_text, sender, created_at)
                select (lpad(to_hex((extract(epoch from now()) * 1000)::bigint - 200000 + g), 12, '0') || '7000'
                        || substr(md5(g::text), 1, 16))::uuid, $1, 'VIEW-NORMAL', false, 'view', 'click', 'hold', 'normal',
                    'Report ' || g, 'The report ' || g || ' on sales by region is ready.' || repeat(' Please read it.', 10),
                    'report_task', now()
                from generate_series(1, 100000) g";
    sqlx::query(fill).bind(ann).execute(&world.pool).await.unwrap();
    sqlx::query("analyze herald.message").execute(&world.pool).await.unwrap();

    // The second time: the first one marks what it shows as seen, and plans.
    browser.get("/messages").await;
    let mut times = Vec::new();
    for _ in 0..9 {
        let begun = std::time::Instant::now();
        let page = browser.get("/messages").await;
        times.push(begun.elapsed());
        assert!(page.body.contains("<strong>10,000+</strong>"), "it is counted so far");
        assert_eq!(page.body.matches("data-row").count(), 50);
    }
    times.sort_unstable();
    println!("first page of 100,000: {times:?}");
    // Other tests share the machine: they slow some of these, not all.
    assert!(times[2].as_millis() < 50, "{times:?}");

    // A word of the oldest message only: no look goes through more than a slice of them, and the last one finds it.
    let search = Search { words: "report 1 sales".into(), ..Search::default() };
    let narrow = Search { words: "99999".into(), ..search.clone() };
    assert_eq!(inbox_search::find(&world.pool, ann, &narrow, None, 50).await.unwrap().rows.len(), 1);
    let rare = Search { sender: "nobody".into(), state: State::Waiting, ..Search::default() };
    let (mut before, mut looks) = (None, 0);
    loop {
        let found = inbox_search::find(&world.pool, ann, &rare, before, 50).await.unwrap();
        assert!(found.rows.is_empty());
        looks += 1;
        match found.next {
            Some(next) => before = Some(next),
            None => break,
        }
    }
    assert!((10..=11).contains(&looks), "{looks} looks of 10,000");
    let page = browser.get("/messages?sender=nobody").await;
    assert!(
        page.body.contains("Nothing so far.") && page.body.contains("Search further back"),
        "{}",
        page.body
    );
}
