//! Lists: searching, reading, acting.

use fantoccini::Locator;
use herald_producers::NewMessage;

use super::stage::{Stage, in_row, message};
use crate::support::eventually;
use crate::support::webdriver::{ENTER, Pointer};

const POST: &str = "#post .bar .primary";

#[tokio::test]
async fn c12_the_search_at_the_top_finds_and_its_address_can_be_shared() {
    let stage = Stage::for_ann().await;
    stage.send("VIEW-NORMAL", "Your report is ready").await;
    stage
        .send_with(NewMessage {
            sender: "bob".into(),
            sender_instance: None,
            ..message("VIEW-NORMAL", "Lunch?")
        })
        .await;
    stage.send("REPLY-YESNO", "Shall we order PO-4711?").await;
    stage.go("/messages").await;
    let script = "const at = (it) => document.querySelector(it).getBoundingClientRect(); return at('.search').bottom <= at('.rows').top";
    assert!(stage.run(script, vec![]).await.as_bool().unwrap(), "at the top of the list");
    stage.find("[name=q]").await.send_keys(&format!("4711{ENTER}")).await.unwrap();
    stage.there_are(1, "[data-row]").await;
    assert!(stage.text(".rows").await.contains("PO-4711"));
    assert_eq!(stage.address().await, "/messages?q=4711");

    stage.point(Pointer::Click, ".search summary").await;
    stage.find("[name=q]").await.clear().await.unwrap();
    stage.find("[name=sender]").await.send_keys(&format!("BOB{ENTER}")).await.unwrap();
    eventually("bob's", async || stage.text(".rows").await.contains("Lunch?")).await;
    let shared = stage.address().await;
    assert_eq!((stage.many("[data-row]").await, shared.as_str()), (1, "/messages?sender=BOB"));
    stage.client.back().await.unwrap();
    eventually("the search before", async || stage.text(".rows").await.contains("PO-4711")).await;
    stage.go(&shared).await;
    assert!(stage.text(".rows").await.contains("Lunch?"));
    assert_eq!(stage.find("[name=sender]").await.prop("value").await.unwrap().as_deref(), Some("BOB"));

    stage.go("/messages?q=nothing+has+this").await;
    assert!(stage.text("main").await.contains("Nothing matches this search."));
    stage.end().await;
}

#[tokio::test]
async fn c14_to_c16_a_view_and_a_reply_go_by_one_post_and_an_action_opens_another_tab() {
    let stage = Stage::for_ann().await;
    stage.send("REPLY-YESNO", "Shall we go on?").await;
    let approve = NewMessage {
        action_parameters: Some(vec![7.into(), "a&b".into()]),
        ..message("APPROVE", "An espresso machine")
    };
    let action = stage.send_with(approve).await;
    stage.send("VIEW-NORMAL", "Your report is ready").await;
    stage.go("/messages").await;

    // The reply's box can be used only once there is a value, which ticks it.
    let reply = stage.path(&in_row("Shall we go on?", "input[@data-act]")).await;
    assert!(!reply.is_enabled().await.unwrap());
    stage.path(&in_row("Shall we go on?", "select")).await.select_by_value("Yes").await.unwrap();
    eventually("the box to be ticked", async || reply.is_selected().await.unwrap()).await;
    stage.path(&in_row("Your report is ready", "input[@data-act]")).await.click().await.unwrap();
    eventually("how many", async || stage.text("[data-selected]").await == "2 selected").await;
    stage.point(Pointer::Click, POST).await;
    stage.there_are(2, ".results li.done").await;
    assert!(stage.text(".results").await.contains("Shall we go on? answered: Yes"));
    stage.counts_become("0", "1").await;

    // Parameters in place; the click completes it.
    stage.path(&in_row("An espresso machine", "button[contains(., 'Act')]")).await.click().await.unwrap();
    assert_eq!(stage.other_window().await, "/po/approve?id=7&level=a%26b");
    assert_eq!(stage.status(action).await, "acted");
    stage.counts_become("0", "0").await;

    // What was done is kept, and told.
    stage.client.find(Locator::LinkText("History")).await.unwrap().click().await.unwrap();
    stage.there_are(3, "[data-row] p.settled").await;
    assert_eq!(stage.address().await, "/messages?state=done");
    assert!(stage.text(".rows").await.contains("Answered Yes, "));
    stage.screenshot("history").await;
    stage.end().await;
}

#[tokio::test]
async fn c14_a_range_and_the_page_are_ticked_at_once_and_the_slower_of_two_tabs_is_told() {
    let stage = Stage::for_ann().await;
    for number in 1..=6 {
        stage.send("VIEW-NORMAL", &format!("Number {number}")).await;
    }
    stage.go("/messages").await;
    let ticked = "[data-act]:checked";
    stage.point(Pointer::Click, "[data-row]:nth-child(2) [data-act]").await;
    stage.point(Pointer::ShiftClick, "[data-row]:nth-child(5) [data-act]").await;
    stage.there_are(4, ticked).await;
    stage.point(Pointer::Click, "[data-all] input").await;
    stage.there_are(6, ticked).await;
    stage.point(Pointer::Click, "[data-all] input").await;
    stage.there_are(0, ticked).await;

    // Another tab shows the same list; each posts the same two rows.
    let first = stage.client.window().await.unwrap();
    let second = stage.client.new_window(true).await.unwrap().handle;
    stage.client.switch_to_window(second.clone()).await.unwrap();
    stage.go("/messages").await;
    for window in [&first, &second] {
        stage.client.switch_to_window(window.clone()).await.unwrap();
        stage.point(Pointer::Click, "[data-row]:nth-child(1) [data-act]").await;
        stage.point(Pointer::Click, "[data-row]:nth-child(2) [data-act]").await;
    }
    stage.client.switch_to_window(first.clone()).await.unwrap();
    stage.point(Pointer::Click, POST).await;
    stage.there_are(2, ".results li.done").await;
    stage.client.switch_to_window(second).await.unwrap();
    stage.point(Pointer::Click, POST).await;
    stage.there_are(2, ".results li.not").await;
    assert!(stage.text(".results").await.contains("was already acted on"));
    stage.there_are(4, "[data-row]").await;
    stage.counts_become("0", "4").await;
    stage.end().await;
}

#[tokio::test]
async fn c13_what_was_seen_stays_listed_until_it_is_acted_on_or_taken_back() {
    let stage = Stage::for_ann().await;
    let id = stage.send("VIEW-NORMAL", "Your report is ready").await;
    stage.go("/messages").await;
    stage.there_are(1, "[data-row].new").await;
    stage.go("/messages").await;
    stage.there_are(1, "[data-row]:not(.new)").await;
    stage.counts_become("0", "1").await;
    stage.producer.cancel(id).await.unwrap();
    stage.counts_become("0", "0").await;
    stage.point(Pointer::Click, "[data-row] [data-act]").await;
    stage.point(Pointer::Click, POST).await;
    stage.there_are(1, ".results li.not").await;
    assert!(stage.text(".results").await.contains("was taken back by its sender"));
    stage.end().await;
}

#[tokio::test]
async fn what_arrives_does_not_move_what_is_read() {
    let stage = Stage::for_ann().await;
    let first = stage.send("VIEW-NORMAL", "Number 1").await;
    for number in 2..=12 {
        stage.send("VIEW-NORMAL", &format!("Number {number}")).await;
    }
    stage.go("/messages").await;
    stage.point(Pointer::Click, "[data-row]:nth-child(9) h2 a").await;
    eventually("the pane", async || stage.text("[data-pane]").await.contains("Number 4")).await;
    assert_eq!(stage.address().await, "/messages", "it is read beside the list");
    stage.screenshot("reading").await;
    let place =
        "return [scrollY, document.querySelector('[data-row]:nth-child(9)').getBoundingClientRect().top]";
    let before = stage.run(place, vec![]).await;
    stage.send("VIEW-NORMAL", "Number 13").await;
    eventually("the word of it", async || stage.text(".arrived:not([hidden])").await.contains("1 new")).await;
    assert_eq!(stage.run(place, vec![]).await, before);
    assert_eq!(stage.many("[data-row]").await, 12);
    stage.screenshot("arrived").await;
    stage.point(Pointer::Click, ".arrived a").await;
    stage.there_are(13, "[data-row]").await;

    // As many as before, another one: told too.
    stage.counts_become("0", "13").await;
    stage.offline(true).await;
    stage.find("[data-offline]:not([hidden])").await;
    stage.producer.cancel(first).await.unwrap();
    stage.send("VIEW-NORMAL", "Number 14").await;
    stage.offline(false).await;
    stage.counts_become("0", "13").await;
    eventually("the word of it", async || !stage.text(".arrived:not([hidden])").await.is_empty()).await;
    stage.end().await;
}

#[tokio::test]
async fn the_reading_pane_answers_at_once_and_keeps_what_else_was_ticked() {
    let stage = Stage::for_ann().await;
    let question = stage.send("REPLY-YESNO", "Shall we go on?").await;
    let view = stage.send("VIEW-NORMAL", "Your report is ready").await;
    let another = stage.send("VIEW-NORMAL", "Another one").await;
    let free = stage.send("FREE", "Which cups?").await;
    stage.go("/messages").await;
    stage.path(&in_row("Another one", "input[@data-act]")).await.click().await.unwrap();
    stage
        .path(&in_row("Which cups?", "textarea|//article[contains(., 'Which cups?')]//input[@data-value]"))
        .await
        .send_keys("Blue ones")
        .await
        .unwrap();
    eventually("what is typed to be ticked", async || stage.text("[data-selected]").await == "2 selected")
        .await;
    stage.path(&in_row("Shall we go on?", "h2/a")).await.click().await.unwrap();
    stage.point(Pointer::Click, "[data-pane] .choices button").await;
    stage.becomes_acted(question).await;
    stage.there_are(3, "[data-row]").await;
    stage.path(&in_row("Your report is ready", "h2/a")).await.click().await.unwrap();
    stage.point(Pointer::Click, "[data-pane] .do button").await;
    stage.becomes_acted(view).await;
    stage.there_are(2, "[data-row]").await;
    assert_eq!(stage.text("[data-selected]").await, "2 selected");
    stage.point(Pointer::Click, POST).await;
    stage.becomes_acted(another).await;
    stage.becomes_acted(free).await;
    stage.end().await;
}
