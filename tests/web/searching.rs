//! Searching a list.

use chrono::{DateTime, TimeDelta, Utc};
use herald_jobs::store::inbox_search::{self, Search, State};
use herald_jobs::store::{self, PgPool, inbox};
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
    let at: DateTime<Utc> = sqlx::query_scalar("select created_at from herald.message where id = $1")
        .bind(id.0)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    let utc = at.date_naive();
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
async fn of_a_hundred_thousand_messages_a_page_reads_what_it_shows_and_a_search_a_slice() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let ann = world.user("ann").await;
    let fill = "insert into herald.message (id, recipient_id, message_type, alert, required_action, complete_on, on_unknown,
                    lane, subject, message_text, sender, created_at)
                select (lpad(to_hex((extract(epoch from now()) * 1000)::bigint - 200000 + g), 12, '0') || '7000'
                        || substr(md5(g::text), 1, 16))::uuid, $1, 'VIEW-NORMAL', false, 'view', 'click', 'hold', 'normal',
                    'Report ' || g,
                    case g when 1 then 'The very first one' else 'The report ' || g || ' on sales by region is ready.' end
                        || repeat(' Please read it.', 10),
                    'report_task', now()
                from generate_series(1, 100000) g";
    sqlx::query(fill).bind(ann).execute(&world.pool).await.unwrap();
    sqlx::query("analyze herald.message").execute(&world.pool).await.unwrap();

    let page = browser.get("/messages").await;
    assert!(page.body.contains("<strong>10,000+</strong>"), "it is counted so far");
    assert_eq!(page.body.matches("data-row").count(), 50);
    let reads = Reads::of(&world).await;
    let all = Search::default();
    let (rows, found) = reads.during(|pool| inbox_search::find(pool, ann, &all, None, 50)).await;
    assert_eq!((found.rows.len(), rows), (50, 51), "those of the page, and one to see whether there is more");
    let (rows, newest) = reads.during(|pool| inbox::newest(pool, ann, false)).await;
    assert!(newest.is_some() && rows <= 1, "{rows}");
    let (rows, counts) = reads.during(|pool| inbox::counts(pool, ann)).await;
    assert!(
        counts.messages > inbox::MOST_COUNTED && rows <= counts.messages,
        "{rows} for {}",
        counts.messages
    );

    // A word of the newest but one, of the oldest only, and of none: each look goes through a slice.
    let words = |words: &str| Search { words: words.into(), state: State::Waiting, ..Search::default() };
    let newest = words("99999");
    assert_eq!(inbox_search::find(&world.pool, ann, &newest, None, 50).await.unwrap().rows.len(), 1);
    for (rare, subjects) in [(words("first very"), &["Report 1"][..]), (words("never"), &[])] {
        let (mut before, mut looks, mut all) = (None, 0, Vec::new());
        loop {
            let (rows, found) = reads.during(|pool| inbox_search::find(pool, ann, &rare, before, 50)).await;
            looks += 1;
            // Once for their words, and once to find where they end.
            assert!(rows <= 20_001, "{rows} in one look");
            assert!(found.rows.is_empty() || looks == 10, "the oldest is in the last slice");
            all.extend(found.rows.into_iter().map(|(message, _)| message.subject));
            match found.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        assert_eq!(all, subjects);
        assert!((10..=11).contains(&looks), "{looks} looks of 10,000");
    }
    let page = browser.get("/messages?sender=nobody").await;
    assert!(
        page.body.contains("Nothing so far.") && page.body.contains("Search further back"),
        "{}",
        page.body
    );
}

/// Counts the messages that Postgres reads.
struct Reads {
    /// One connection: what it reads in a transaction, it counts there and then.
    pool: PgPool,
}

impl Reads {
    async fn of(world: &World) -> Self {
        Self { pool: store::pool(&world.database_url, "test reads", 1).unwrap() }
    }

    async fn during<'a, T, F>(&'a self, ask: impl FnOnce(&'a PgPool) -> F) -> (i64, T)
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        sqlx::query("begin").execute(&self.pool).await.unwrap();
        let before = self.so_far().await;
        let answer = ask(&self.pool).await.unwrap();
        let rows = self.so_far().await - before;
        sqlx::query("rollback").execute(&self.pool).await.unwrap();
        (rows, answer)
    }

    async fn so_far(&self) -> i64 {
        let rows = "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables where relid = 'herald.message'::regclass";
        sqlx::query_scalar(rows).fetch_one(&self.pool).await.unwrap()
    }
}
