//! Without JavaScript, and on a small screen.

use herald_producers::NewMessage;
use serde_json::json;

use super::stage::{Stage, in_row, message};
use crate::support::webdriver::{ENTER, Pointer};

#[tokio::test]
async fn all_three_actions_work_without_javascript() {
    let stage = Stage::start().await;
    stage.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    stage.log_in().await;
    let view = stage.send("VIEW-NORMAL", "Your report is ready").await;
    let question = stage.send("REPLY-YESNO", "Shall we go on?").await;
    let free = stage.send("FREE", "Which one?").await;
    let approve = NewMessage {
        action_parameters: Some(vec![7.into(), 1.into()]),
        ..message("APPROVE", "An espresso machine")
    };
    let action = stage.send_with(approve).await;
    stage.send("ALERT-VIEW", "The cold room is too warm").await;
    stage.go("/").await;
    assert!(stage.text("[data-notices]").await.contains("The cold room"), "the notice is there at once");
    stage.leave_by(".notice button").await;
    stage.find("[data-count=alerts]").await;
    assert_eq!(stage.many("[data-notices] .notice").await, 0);
    stage.leave_by("[data-count=messages]").await;
    stage.address_becomes("/messages").await;
    assert!(!stage.find("[data-all]").await.is_displayed().await.unwrap(), "nothing that would do nothing");
    assert!(!stage.find("[data-show-keys]").await.is_displayed().await.unwrap());

    stage.path(&in_row("Shall we go on?", "select")).await.select_by_value("No").await.unwrap();
    stage.path(&in_row("Which one?", "textarea")).await.send_keys("The blue one").await.unwrap();
    for subject in ["Your report is ready", "Shall we go on?", "Which one?"] {
        stage.path(&in_row(subject, "input[@data-act]")).await.click().await.unwrap();
    }
    stage.leave_by("#post .bar .primary").await;
    stage.there_are(3, ".results li.done").await;
    for id in [view, question, free] {
        assert_eq!(stage.status(id).await, "acted");
    }
    stage.path(&in_row("An espresso machine", "h2/a")).await.click().await.unwrap();
    stage.address_becomes(&format!("/messages/{action}")).await;
    stage.find(".reading .do button").await.click().await.unwrap();
    assert_eq!(stage.other_window().await, "/po/approve?id=7&level=1");
    assert_eq!(stage.status(action).await, "acted");

    stage.go("/messages?state=done").await;
    stage.find("[name=q]").await.send_keys(&format!("blue{ENTER}")).await.unwrap();
    stage.find(".empty").await;
    stage.end().await;
}

#[tokio::test]
async fn a_screen_of_320_pixels_shows_everything_and_nothing_sideways() {
    let stage = Stage::start().await;
    stage.resize(320, 640).await;
    stage.log_in().await;
    let long = "Donaudampfschifffahrtsgesellschaftskapitaenswitwenrentenbescheid_4711".repeat(3);
    stage.send("VIEW-NORMAL", &long).await;
    let question = stage.send("REPLY-YESNO", "Shall we go on?").await;
    let mut connection = stage.pool.acquire().await.unwrap();
    herald_jobs::store::users::set_roles(&mut *connection, 1, &["admin".to_owned()]).await.unwrap();
    drop(connection);
    stage.send("APPROVE", "An espresso machine").await;
    stage.send("ALERT-VIEW", "The cold room is too warm").await;
    for (path, name) in [
        ("/", "dashboard"),
        ("/messages", "messages"),
        ("/messages?sender=purchase", "search"),
        ("/alerts", "alerts"),
        (&format!("/messages/{question}"), "message"),
        ("/account", "account"),
        ("/admin/types", "admin-types"),
        ("/admin/types/edit/REPLY-YESNO", "admin-type"),
        ("/nowhere", "error"),
    ] {
        stage.go(path).await;
        stage.find("main").await;
        stage.screenshot(&format!("320-{name}")).await;
        assert_eq!(stage.overflow().await, 0, "{path} is wider than the screen");
        if path != "/nowhere" {
            let small = "return [...document.querySelectorAll('a, button, select, textarea, input:not([type=hidden]), summary')]
                .filter((it) => it.checkVisibility() && !it.closest('p, h2, li, .tabs, .skip'))
                .filter((it) => { const at = (it.closest('label') ?? it).getBoundingClientRect(); return at.width < 24 && at.height < 24; })
                .map((it) => it.outerHTML.slice(0, 100))";
            assert_eq!(stage.run(small, vec![]).await, json!([]), "{path}: targets of less than 24 pixels");
        }
    }
    stage.go("/messages").await;
    stage.path(&in_row("Shall we go on?", "select")).await.select_by_value("Yes").await.unwrap();
    stage.point(Pointer::Tap, "#post .bar .primary").await;
    stage.becomes_acted(question).await;
    stage.find(".results").await;
    stage.point(Pointer::Tap, "[data-row]:last-child h2 a").await;
    stage.find("main > .reading").await;
    stage.end().await;
}
