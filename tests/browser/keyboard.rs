//! Everything by keys, and by few of them.

use super::stage::{Stage, message};
use crate::support::eventually;
use crate::support::webdriver::{ENTER, ESCAPE, TAB};
use herald_producers::NewMessage;

#[tokio::test]
async fn twenty_views_are_dismissed_with_two_keys_a_question_with_three_and_an_action_with_one() {
    let stage = Stage::for_ann().await;
    for number in 1..=20 {
        stage.producer.send(message("VIEW-NORMAL", &format!("Number {number}"))).await.unwrap();
    }
    stage.counts_become("0", "20").await;
    stage.go("/messages").await;
    stage.press("a").await;
    stage.press(ENTER).await;
    stage.counts_become("0", "0").await;

    let question = stage.send("REPLY-YESNO", "Shall we go on?").await;
    stage.lists_only("Shall we go on?").await;
    for key in ["r", "y", ENTER] {
        stage.press(key).await;
    }
    stage.becomes_acted(question).await;
    let standing = stage.producer.standing(question).await.unwrap().unwrap();
    assert_eq!(standing.reply_value.as_deref(), Some("Yes"));

    let approve = NewMessage {
        action_parameters: Some(vec![7.into(), 1.into()]),
        ..message("APPROVE", "An espresso machine")
    };
    let action = stage.send_with(approve).await;
    stage.lists_only("An espresso machine").await;
    stage.press(ENTER).await;
    assert_eq!(stage.other_window().await, "/po/approve?id=7&level=1");
    assert_eq!(stage.status(action).await, "acted");
    stage.end().await;
}

#[tokio::test]
async fn each_key_does_what_the_sheet_says_and_they_can_be_turned_off() {
    let stage = Stage::for_ann().await;
    let view = stage.send("VIEW-NORMAL", "Number 1").await;
    let free = stage.send("FREE", "Which one?").await;
    stage.send("VIEW-NORMAL", "Number 3").await;
    stage.go("/messages").await;
    let focused = async || {
        let script =
            "return document.activeElement.closest('[data-row]')?.querySelector('h2').innerText ?? ''";
        stage.run(script, vec![]).await.as_str().unwrap().to_owned()
    };
    stage.press("j").await;
    assert!(focused().await.contains("Number 3"), "{}", focused().await);
    stage.press("jj").await;
    assert!(focused().await.contains("Number 1"));
    stage.press("j").await;
    assert!(focused().await.contains("Number 1"), "there is no further one");
    stage.press("x").await;
    stage.there_are(1, "[data-act]:checked").await;
    stage.press("k").await;
    assert!(focused().await.contains("Which one?"));
    stage.press("o").await;
    eventually("the pane", async || stage.text("[data-pane]").await.contains("Which one?")).await;
    stage.press("k").await;
    eventually("the pane to follow", async || stage.text("[data-pane]").await.contains("Number 3")).await;
    stage.press("jx").await;
    stage.press("The blue one").await;
    stage.press(ESCAPE).await;
    stage.there_are(2, "[data-act]:checked").await;
    stage.press(ENTER).await;
    stage.becomes_acted(view).await;
    stage.becomes_acted(free).await;
    let standing = stage.producer.standing(free).await.unwrap().unwrap();
    assert_eq!(standing.reply_value.as_deref(), Some("The blue one"));
    stage.there_are(1, "[data-row]").await;

    stage.press("/").await;
    stage.press(&format!("number{ENTER}")).await;
    stage.address_becomes("/messages?q=number").await;
    stage.run("document.activeElement.blur()", vec![]).await;
    stage.press("?").await;
    stage.find("dialog[open]").await;
    stage.screenshot("keys").await;
    stage.press(&format!("{TAB} ")).await;
    stage.press(ESCAPE).await;
    stage.there_are(0, "dialog[open]").await;
    stage.press("?").await;
    assert_eq!(stage.many("dialog[open]").await, 0, "they are off");
    stage.press("x").await;
    assert_eq!(stage.many("[data-act]:checked").await, 0);
    stage.go("/messages").await;
    stage.press("x").await;
    assert_eq!(stage.many("[data-act]:checked").await, 0, "and stay off");
    stage.end().await;
}

#[tokio::test]
async fn the_tab_key_reaches_everything_and_what_has_the_focus_is_seen() {
    let stage = Stage::for_ann().await;
    stage.send("VIEW-NORMAL", "Your report is ready").await;
    let question = stage.send("REPLY-YESNO", "Shall we go on?").await;
    stage.go("/messages").await;
    let script = "const it = document.activeElement, at = it.getBoundingClientRect(), style = getComputedStyle(it);
        const above = document.elementFromPoint(at.left + Math.min(at.width / 2, 20), at.top + at.height / 2);
        return [it.outerHTML.slice(0, 120), style.outlineStyle !== 'none' || it.matches('input[type=checkbox], summary'),
                !above || it.contains(above) || above.contains(it)]";
    let mut reached = Vec::new();
    for _ in 0..40 {
        stage.press(TAB).await;
        let (what, outlined, uncovered): (String, bool, bool) =
            serde_json::from_value(stage.run(script, vec![]).await).unwrap();
        if what.starts_with("<body") {
            break;
        }
        assert!(outlined && uncovered, "{what}");
        reached.push(what);
    }
    for wanted in [
        "skip",
        "/alerts",
        "name=\"q\"",
        "<summary",
        "data-act",
        "name=\"reply:",
        ">Post<",
        "data-read",
        "/account",
    ] {
        assert!(reached.iter().any(|what| what.contains(wanted)), "{wanted}: {reached:#?}");
    }

    // All without single keys: choose, tick and post.
    stage.run("document.querySelector('select[data-value]').focus()", vec![]).await;
    stage.press("y").await;
    stage.press(ENTER).await;
    stage.becomes_acted(question).await;
    stage.end().await;
}
