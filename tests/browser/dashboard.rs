//! Counts, icons and notices.

use super::stage::Stage;
use crate::support::eventually;
use crate::support::webdriver::{ENTER, Pointer};

const ALERTS: &str = "[data-count=alerts]";
const MESSAGES: &str = "[data-count=messages]";

#[tokio::test]
async fn c08_the_counts_at_the_bottom_left_follow_by_themselves() {
    let stage = Stage::for_ann().await;
    stage.counts_become("0", "0").await;
    stage.send("ALERT-VIEW", "The cold room is too warm").await;
    stage.counts_become("1", "0").await;
    let id = stage.send("VIEW-NORMAL", "Your report is ready").await;
    stage.counts_become("1", "1").await;
    eventually("the panel to follow", async || stage.text("[data-latest]").await.contains("Your report"))
        .await;
    let script = "const it = document.querySelector(arguments[0]).getBoundingClientRect();
        return [it.left < innerWidth / 2, it.top > innerHeight / 2, it.bottom <= innerHeight]";
    let place = stage.run(script, vec!["[data-count=alerts]".into()]).await;
    assert_eq!(place, serde_json::json!([true, true, true]), "at the bottom left");
    assert!(stage.client.title().await.unwrap().starts_with("(2) "));
    stage.producer.cancel(id).await.unwrap();
    stage.counts_become("1", "0").await;
    stage.end().await;
}

#[tokio::test]
async fn c08_where_no_stream_is_to_be_had_the_page_looks_now_and_then() {
    let stage = Stage::with(|config| config.web.refresh = 1).await;
    stage.devtools("Network.enable", serde_json::json!({})).await;
    stage.devtools("Network.setBlockedURLs", serde_json::json!({"urls": ["*/live"]})).await;
    stage.log_in().await;
    stage.send("ALERT-VIEW", "The cold room is too warm").await;
    stage.counts_become("1", "0").await;
    stage.find("[data-notices] .notice").await;
    stage.end().await;
}

#[tokio::test]
async fn c09_a_double_click_on_a_count_opens_the_list_and_on_0_does_nothing() {
    let stage = Stage::for_ann().await;
    stage.run("window.here = 1", vec![]).await;
    for pointer in [Pointer::DoubleClick, Pointer::Tap] {
        stage.point(pointer, ALERTS).await;
    }
    stage.run("document.querySelector('[data-count=alerts]').focus()", vec![]).await;
    stage.press(ENTER).await;
    stage.send("ALERT-VIEW", "The cold room is too warm").await;
    stage.send("VIEW-NORMAL", "Your report is ready").await;
    stage.counts_become("1", "1").await;
    assert_eq!(stage.address().await, "/", "0 leads nowhere");
    assert_eq!(stage.run("return window.here", vec![]).await, 1, "it is the page that it was");
    // It is seen for a moment only.
    let script = "const hint = document.querySelector('[data-hint]'); window.hinted = '';
        new MutationObserver(() => { if (!hint.hidden) window.hinted = hint.innerText; }).observe(hint, { attributes: true });";
    stage.run(script, vec![]).await;
    stage.point(Pointer::Click, ALERTS).await;
    let hinted = async || stage.run("return window.hinted", vec![]).await;
    eventually("the hint", async || hinted().await.as_str().is_some_and(|it| it.contains("Double-click")))
        .await;
    assert_eq!(stage.address().await, "/", "one click does not open it");
    for (count, list) in [(ALERTS, "/alerts"), (MESSAGES, "/messages")] {
        stage.go("/").await;
        stage.counts_become("1", "1").await;
        stage.point(Pointer::DoubleClick, count).await;
        stage.address_becomes(list).await;
        stage.go("/").await;
        stage.counts_become("1", "1").await;
        stage.point(Pointer::Tap, count).await;
        stage.address_becomes(list).await;
        stage.go("/").await;
        stage.counts_become("1", "1").await;
        stage.run("document.querySelector(arguments[0]).focus()", vec![count.into()]).await;
        stage.press(ENTER).await;
        stage.address_becomes(list).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn c10_the_icons_of_the_toolbar_have_tooltips_and_open_the_lists_whatever_the_count() {
    let stage = Stage::for_ann().await;
    for (list, name) in [("/alerts", "My alerts"), ("/messages", "My messages")] {
        let icon = format!(".toolbar [href='{list}']");
        let tip = format!("{icon} .tip");
        let shown = format!("{icon}:hover .tip");
        assert_eq!(stage.find(&icon).await.attr("aria-label").await.unwrap().as_deref(), Some(name));
        assert!(
            !stage.find(&tip).await.is_displayed().await.unwrap(),
            "no tooltip before the mouse is there"
        );
        stage.point(Pointer::Click, &icon).await;
        assert!(stage.find(&shown).await.is_displayed().await.unwrap());
        assert!(stage.text(&tip).await.starts_with(name));
        assert_eq!(stage.address().await, "/", "one click does not open it");
        stage.point(Pointer::DoubleClick, &icon).await;
        stage.address_becomes(list).await;
        assert!(stage.text("main").await.contains("wait for you"), "an empty state");
        stage.go("/").await;
        stage.point(Pointer::Tap, &icon).await;
        stage.address_becomes(list).await;
        stage.go("/").await;
        stage.run("document.querySelector(arguments[0]).focus()", vec![icon.into()]).await;
        stage.press(ENTER).await;
        stage.address_becomes(list).await;
        stage.go("/").await;
    }
    let script =
        "const [a, b] = document.querySelectorAll('.toolbar .tool'), m = document.querySelector('.menu');
        const at = (it) => it.getBoundingClientRect();
        return at(a).left === at(b).left && at(a).bottom <= at(b).top && at(b).right <= at(m).left + 1";
    assert!(stage.run(script, vec![]).await.as_bool().unwrap(), "vertical, beside the menus");
    stage.end().await;
}

#[tokio::test]
async fn c11_a_new_alert_shows_a_notice_at_the_bottom_right_that_stays_and_takes_no_focus() {
    let stage = Stage::for_ann().await;
    stage.run("document.querySelector('.menu a').focus(); window.opened = 0; window.open = () => { window.opened += 1 }", vec![]).await;
    stage.send("VIEW-NORMAL", "Only a message").await;
    stage.counts_become("0", "1").await;
    assert_eq!(stage.many("[data-notices] .notice").await, 0, "messages make no notice");
    stage.send("ALERT-VIEW", "The cold room is too warm").await;
    stage.find("[data-notices] .notice").await;
    let script = "const it = document.querySelector('.notice').getBoundingClientRect();
        return [it.right > innerWidth / 2, it.left > innerWidth / 3, it.bottom > innerHeight * 0.8,
                document.querySelector('[data-notices]').getAttribute('role') === 'alert',
                document.activeElement === document.querySelector('.menu a'), window.opened === 0]";
    assert_eq!(stage.run(script, vec![]).await, serde_json::json!([true, true, true, true, true, true]));
    stage.screenshot("notice").await;
    stage.send("VIEW-NORMAL", "Another message").await;
    stage.counts_become("1", "2").await;
    assert_eq!(stage.many("[data-notices] .notice").await, 1, "it stays");
    stage.point(Pointer::Click, ".notice button").await;
    stage.there_are(0, "[data-notices] .notice").await;
    // The page may be asked for before the dismissal has come.
    eventually("it to be gone for good", async || {
        stage.go("/").await;
        stage.many("[data-notices] .notice").await == 0
    })
    .await;
    stage.leave_by("form.user button").await;
    stage.log_in().await;
    stage.find("[data-notices] .notice").await;
    assert!(
        stage.text("[data-notices]").await.contains("The cold room is too warm"),
        "and at the next log-in"
    );
    stage.end().await;
}
