//! How the pages look, in light and in dark; what they weigh; and whether they hold barriers.

use herald_jobs::clock::Clock;
use herald_jobs::store;
use serde_json::json;

use super::stage::{Stage, message};
use crate::support::eventually;
use crate::support::webdriver::Pointer;
use herald_producers::NewMessage;

/// Most bytes of a first page, all that it loads included.
const HEAVIEST: u64 = 60 * 1024;

/// One message of each kind, some of them done.
async fn furnish(stage: &Stage) -> String {
    let done = stage.send("REPLY-YESNO", "Shall we extend the lease of the warehouse?").await;
    let ann = 1;
    let answer = [(done.0, Some("Yes"))];
    herald_jobs::store::inbox::act(&stage.pool, ann, &answer, Clock::system().now()).await.unwrap();
    let text = "Dear Ann,\n\nthe report on sales by region for the third quarter is ready. The north has grown by 12 %, \
                the south by 3 %.\n\nPlease look at it before the meeting on Friday.";
    let subject = Some("Sales by region, third quarter".to_owned());
    let report = NewMessage { subject, sender: "report_task".into(), ..message("VIEW-NORMAL", text) };
    let id = stage.send_with(report).await;
    stage.send("FREE", "Which of the two offers for the new coffee machine shall we take?").await;
    stage
        .send("REPLY-YESNO", "Purchase order 4711 has waited for 14 days. Shall we remind the supplier?")
        .await;
    stage.send("APPROVE", "Approve purchase order 4712: espresso machine, 12,400.00 EUR").await;
    stage.send("VIEW-NORMAL", "The nightly import has finished: 4,711 records, no errors.").await;
    stage.send("ALERT-VIEW", "The warehouse's cold room is at 9 °C and rising.").await;
    stage.send("ALERT-YESNO", "Line 3 has stopped. Shall we call the service?").await;
    id.to_string()
}

#[tokio::test]
async fn no_page_holds_a_barrier_in_light_or_dark() {
    let stage = Stage::start().await;
    for scheme in ["light", "dark"] {
        stage.prefer("prefers-color-scheme", scheme).await;
        stage.go("/login").await;
        stage.screenshot(&format!("{scheme}-login")).await;
        assert_eq!(stage.barriers().await, Vec::<String>::new(), "/login, {scheme}");
    }
    stage.log_in().await;
    stage.go("/messages").await;
    assert_eq!(stage.barriers().await, Vec::<String>::new(), "an empty list");
    let id = furnish(&stage).await;
    let mut connection = stage.pool.acquire().await.unwrap();
    store::users::set_roles(&mut *connection, 1, &["admin".to_owned()]).await.unwrap();
    drop(connection);
    for scheme in ["light", "dark"] {
        stage.prefer("prefers-color-scheme", scheme).await;
        for (path, name) in [
            ("/", "dashboard"),
            ("/messages", "messages"),
            ("/alerts", "alerts"),
            ("/messages?state=done", "history"),
            ("/messages?q=order&from=2020-01-01&type=APPROVE", "search"),
            ("/messages?q=nothing+has+this", "no-match"),
            ("/messages?from=yesterday", "bad-search"),
            (&format!("/messages/{id}"), "message"),
            ("/account", "account"),
            ("/nowhere", "error"),
            ("/api", "api"),
        ] {
            stage.go(path).await;
            stage.find("main").await;
            stage.screenshot(&format!("{scheme}-{name}")).await;
            assert_eq!(stage.barriers().await, Vec::<String>::new(), "{path}, {scheme}");
        }
        for (path, name) in [
            ("/admin/types", "admin-types"),
            ("/admin/types/edit/VIEW-NORMAL", "admin-type"),
            ("/admin/choices/new", "admin-choices"),
            ("/admin/users", "admin-users"),
            ("/admin/users/edit/ann", "admin-user"),
        ] {
            stage.go(path).await;
            stage.find("main").await;
            stage.screenshot(&format!("{scheme}-{name}")).await;
            assert_eq!(stage.barriers().await, Vec::<String>::new(), "{path}, {scheme}");
        }
        stage.go("/messages").await;
        stage.point(Pointer::Click, "[data-row]:last-child h2 a").await;
        eventually("the pane", async || stage.text("[data-pane]").await.contains("Dear Ann")).await;
        stage.point(Pointer::Click, "[data-row]:first-child [data-act]").await;
        stage.screenshot(&format!("{scheme}-reading")).await;
        assert_eq!(stage.barriers().await, Vec::<String>::new(), "the reading pane, {scheme}");
        stage.point(Pointer::Click, "[data-show-keys]").await;
        stage.find("dialog[open]").await;
        stage.screenshot(&format!("{scheme}-keys")).await;
        assert_eq!(stage.barriers().await, Vec::<String>::new(), "the keys, {scheme}");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_first_page_is_light_and_asks_nobody_else() {
    let stage = Stage::start().await;
    stage.log_in().await;
    furnish(&stage).await;
    for path in ["/", "/messages", "/alerts"] {
        stage.go(path).await;
        stage.find("[data-count=alerts]").await;
        let script = "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
            .map((it) => [it.name, it.decodedBodySize])";
        let loaded: Vec<(String, u64)> = serde_json::from_value(stage.run(script, vec![]).await).unwrap();
        let weight: u64 = loaded.iter().map(|(_, size)| size).sum();
        assert!(
            weight > 10_000 && weight < HEAVIEST,
            "{path}: {weight} bytes before compression: {loaded:#?}"
        );
        assert!(loaded.iter().all(|(name, _)| name.starts_with(&stage.home)), "{loaded:#?}");
    }
    stage.end().await;
}

#[tokio::test]
async fn nothing_moves_where_that_is_not_wanted() {
    let stage = Stage::for_ann().await;
    stage.send("ALERT-VIEW", "The cold room is too warm").await;
    stage.prefer("prefers-reduced-motion", "reduce").await;
    for path in ["/", "/alerts"] {
        stage.go(path).await;
        let script = "return [...document.querySelectorAll('*')].filter((it) => {
            const style = getComputedStyle(it);
            return style.animationName !== 'none' || style.transitionDuration.split(',').some((it) => parseFloat(it) > 0);
        }).map((it) => it.outerHTML.slice(0, 80))";
        assert_eq!(stage.run(script, vec![]).await, json!([]), "{path}");
    }
    stage.end().await;
}
