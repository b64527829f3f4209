//! The forms of the administration by hand: what a key does in them, and what they say aloud.

use fantoccini::key::Key;
use serde_json::json;

use super::authoring::company;
use crate::support::eventually;

#[tokio::test]
async fn enter_in_a_field_of_the_dry_run_saves_nothing() {
    let stage = company().await;
    stage.go("/admin/reminders/new").await;
    for (field, text) in [
        ("code", "BY-ENTER"),
        ("initial", "since"),
        ("status", "status"),
        ("unchanged", "submitted"),
        ("recipient", "owner"),
    ] {
        stage.fill(field, text).await;
    }
    stage.choose("model", "purchase_order").await;
    stage.choose("message_type", "VIEW-NORMAL").await;
    stage.choose("template", "PO-WAITS").await;
    stage.find("#field-record").await.send_keys(&format!("4711{}", char::from(Key::Enter))).await.unwrap();
    stage.shows("[data-said]", "Only tried: nothing is saved.").await;
    assert!(stage.text("[data-beside]").await.contains("Dry run at"));
    assert!(herald_jobs::store::reminders::get(&stage.pool, "BY-ENTER").await.unwrap().is_none());
    assert_eq!(stage.barriers().await, Vec::<String>::new(), "after a dry run");
    stage.end().await;
}

#[tokio::test]
async fn a_refused_form_has_the_focus_at_what_was_refused() {
    let stage = company().await;
    stage.go("/admin/users/new").await;
    stage.fill("username", "eve").await;
    stage.fill("mobile", "12").await;
    stage.leave_by(".maintain .primary").await;
    stage.shows(".problems", "Mobile: must be a mobile number").await;
    let focused = async || stage.run("return document.activeElement.id", vec![]).await;
    eventually("the focus", async || focused().await == json!("field-mobile")).await;
    assert_eq!(stage.barriers().await, Vec::<String>::new(), "a refused form");
    stage.screenshot("refused").await;
    stage.end().await;
}

#[tokio::test]
async fn what_is_removed_is_asked_about_by_the_keyboard_too() {
    let stage = company().await;
    stage.go("/admin/templates/edit/PO-WAITS").await;
    stage.find(".sure summary").await.send_keys(&String::from(char::from(Key::Enter))).await.unwrap();
    stage.shows(".sure", "Nothing can be sent by it then.").await;
    assert_eq!(stage.barriers().await, Vec::<String>::new(), "sure?");
    stage.screenshot("sure").await;
    stage.find(".sure button").await.send_keys(&String::from(char::from(Key::Enter))).await.unwrap();
    stage.address_becomes("/admin/templates?done=removed").await;
    stage.end().await;
}

#[tokio::test]
async fn a_preview_says_how_it_stands_and_what_was_typed_outlives_a_log_out() {
    let stage = company().await;
    stage.go("/admin/templates/new").await;
    stage.fill("code", "PO-NEW").await;
    stage.choose("model", "purchase_order").await;
    stage.fill("message_text", "Order #gone#").await;
    stage.shows("[data-said][role=status]", "gone").await;
    stage.fill("message_text", "Order #id#").await;
    stage.shows("[data-said]", "Only tried: nothing is saved.").await;
    sqlx::raw_sql("delete from herald.session").execute(&stage.pool).await.unwrap();
    stage.fill("message_text", "What I thought of").await;
    let left = "return !document.querySelector('[data-left]').hidden";
    eventually("the log-out to be told", async || stage.run(left, vec![]).await == json!(true)).await;
    assert_eq!(stage.address().await, "/admin/templates/new");
    let typed = stage.find("#field-message_text").await.prop("value").await.unwrap();
    assert_eq!(typed.as_deref(), Some("What I thought of"));
    stage.end().await;
}

#[tokio::test]
async fn a_file_that_is_not_utf_8_is_refused_beside_its_chooser() {
    let stage = company().await;
    stage.go("/admin/users/import").await;
    stage.run("document.querySelector('#csv').value = 'what was there'", vec![]).await;
    let typed = "return document.querySelector('#csv').value";
    for (bytes, problem, field) in [
        (&b"username,display_name\ncarla,M\xfcller\n"[..], "This file is not UTF-8", "what was there"),
        ("\u{feff}username\ncarla\n".as_bytes(), "", "username\ncarla\n"),
    ] {
        let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        stage.find("#file").await.send_keys(file.path().to_str().unwrap()).await.unwrap();
        let says =
            async || stage.run("return document.querySelector('#problem-file').textContent", vec![]).await;
        eventually("the file to be read", async || {
            let said = says().await.as_str().unwrap().to_owned();
            said.is_empty() == problem.is_empty()
                && said.starts_with(problem)
                && stage.run(typed, vec![]).await == json!(field)
        })
        .await;
        assert_eq!(stage.barriers().await, Vec::<String>::new(), "{problem}");
    }
    stage.end().await;
}
