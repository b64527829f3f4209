//! Message types, choice sets and users, maintained on the command line.

use serde_json::{Value, json};

use crate::support::herald::Story;

async fn read(story: &Story, arguments: &[&str]) -> Value {
    serde_json::from_str(&story.say(arguments).await).unwrap()
}

/// Each command fails and says this.
async fn refused(story: &Story, cases: &[(&[&str], &str)]) {
    for (arguments, named) in cases {
        let output = story.run(arguments).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(named), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn c04_message_types_are_maintained_on_the_command_line() {
    let story = Story::begin().await;
    let add = [
        "type",
        "add",
        "PO-AUTH",
        "--description",
        "To approve",
        "--method",
        "alert",
        "--action",
        "action",
        "--url",
        "/po?id=",
        "--external",
        "both",
        "--lane",
        "alert",
        "--fallback-text",
        "Look.",
    ];
    story.say(&add).await;
    let made = read(&story, &["type", "show", "PO-AUTH", "--json"]).await;
    assert_eq!(
        made,
        json!({"code": "PO-AUTH", "description": "To approve", "delivery_method": "alert", "required_action": "action",
               "expiry_days": null, "external_delivery": "both", "choice_set": null, "action_url": "/po?id=",
               "complete_on": "click", "on_unknown": "retry_once", "lane": "alert", "retry_hours": 120, "fallback_text": "Look.", "standard": false})
    );
    story
        .say(&[
            "type",
            "set",
            "PO-AUTH",
            "--action",
            "view",
            "--url",
            "",
            "--expiry-days",
            "5",
            "--fallback-text",
            "",
        ])
        .await;
    let changed = read(&story, &["type", "show", "PO-AUTH", "--json"]).await;
    assert_eq!(
        (&changed["action_url"], &changed["expiry_days"], &changed["fallback_text"]),
        (&json!(null), &json!(5), &json!(null))
    );
    assert_eq!(changed["external_delivery"], json!("both"), "what is not said stays");
    story.say(&["type", "set", "VIEW-NORMAL", "--expiry-days", "30"]).await;
    let listed = story.say(&["type", "list"]).await;
    assert_eq!(listed.lines().count(), 8);
    assert!(listed.contains("PO-AUTH  alert, view + both  To approve"), "{listed}");
    refused(
        &story,
        &[
            (&add, "there is one of this name"),
            (&["type", "add", "note", "--description", "x"], "code"),
            (&["type", "add", "NOTE"], "description"),
            (&["type", "set", "PO-AUTH", "--choices", "YESNO-CHOICES"], "choice_set"),
            (&["type", "set", "PO-AUTH", "--expiry-days", "soon"], "expiry_days"),
            (&["type", "set", "PO-AUTH", "--action", "action"], "expiry_days"),
            (&["type", "set", "PO-AUTH", "--lane", "fast"], "--lane"),
            (&["type", "set", "NOTE", "--lane", "bulk"], "NOTE"),
            (&["delivery", "list", "--state", "fast"], "--state"),
            (&["delivery", "list", "--channel", "post"], "--channel"),
            (&["type", "rm", "VIEW-NORMAL"], "can be adjusted, not deleted"),
            (&["type", "rm", "NOTE"], "NOTE"),
            (&["type", "show", "NOTE"], "NOTE"),
        ],
    )
    .await;
    story.say(&["type", "rm", "PO-AUTH"]).await;
    assert_eq!(story.say(&["type", "list"]).await.lines().count(), 7);
    assert_eq!(story.count("select count(*) from herald.audit where action like 'type %'").await, 4);
}

#[tokio::test]
async fn c06_choice_sets_are_maintained_on_the_command_line() {
    let story = Story::begin().await;
    story
        .say(&["choice", "add", "SIZE", "--description", "Sizes", "--choice", "S=Small", "--choice", "L"])
        .await;
    let made = read(&story, &["choice", "show", "SIZE", "--json"]).await;
    assert_eq!(made["choices"], json!([{"value": "S", "label": "Small"}, {"value": "L", "label": "L"}]));
    story.say(&["choice", "set", "SIZE", "--choice", "XL", "--choice", "S"]).await;
    assert_eq!(story.say(&["choice", "show", "SIZE"]).await, "SIZE  Sizes\nXL  XL\nS  S\n");
    assert_eq!(story.say(&["choice", "list"]).await, "SIZE  XL, S\nYESNO-CHOICES  Yes, No\n");
    story
        .say(&["type", "add", "ASK", "--description", "Which?", "--action", "reply", "--choices", "SIZE"])
        .await;
    refused(
        &story,
        &[
            (&["choice", "add", "SIZE", "--choice", "x"], "there is one of this name"),
            (&["choice", "add", "NONE"], "choices"),
            (&["choice", "set", "SIZE", "--choice", "x", "--choice", "x"], "choices/1/value"),
            (&["choice", "rm", "SIZE"], "ASK needs SIZE"),
            (&["choice", "rm", "YESNO-CHOICES"], "can be adjusted, not deleted"),
            (
                &["type", "add", "A2", "--description", "x", "--action", "reply", "--choices", "NONE"],
                "choice_set",
            ),
        ],
    )
    .await;
    story.say(&["type", "rm", "ASK"]).await;
    story.say(&["choice", "rm", "SIZE"]).await;
}

#[tokio::test]
async fn users_are_maintained_on_the_command_line() {
    let story = Story::begin().await;
    story
        .say(&["user", "set", "ann", "--display-name", "Ann A.", "--email", "", "--roles", "operator,admin"])
        .await;
    let ann = read(&story, &["user", "show", "Ann", "--json"]).await;
    assert_eq!(
        ann,
        json!({"username": "ann", "display_name": "Ann A.", "email": null, "mobile": null, "locale": "en",
               "time_zone": "UTC", "roles": ["admin", "operator"], "active": true})
    );
    story.say(&["user", "rm", "ann"]).await;
    assert!(story.say(&["user", "list"]).await.contains("ann  Ann A.  -  -  admin,operator  (inactive)"));
    story.say(&["user", "set", "ann", "--active", "true"]).await;
    refused(
        &story,
        &[
            (&["user", "set", "ann", "--time-zone", "Nowhere/Town"], "time_zone"),
            (&["user", "set", "ann", "--roles", "Root"], "roles/0"),
            (&["user", "set", "nobody", "--email", "a@example.com"], "nobody"),
            (&["user", "rm", "nobody"], "nobody"),
        ],
    )
    .await;
}
