//! Reminders and periodic jobs on the command line, and the rule that is shipped.

use chrono::TimeDelta;
use herald_jobs::message_type::RequiredAction;
use serde_json::{Value, json};

use super::reminders::{Shop, rule, tick};
use crate::support::herald::{Story, message};

#[tokio::test]
async fn c36_the_rule_that_is_shipped_reminds_of_actions_that_wait_for_14_days() {
    let story = Story::begin().await;
    story.say(&["migrate"]).await;
    story
        .add_type("APPROVE", |kind| {
            kind.required_action = RequiredAction::Action;
            kind.expiry_days = None;
            kind.action_url = Some("/approve".into());
        })
        .await;
    let workers = story.work().await;
    let mut sent = Vec::new();
    for (to, kind) in [
        ("ann", "APPROVE"),
        ("bob", "APPROVE"),
        ("bob", "APPROVE"),
        ("bob", "VIEW-NORMAL"),
        ("bob", "REPLY-YESNO"),
    ] {
        let text = format!("Order {}", sent.len());
        sent.push(story.producer.send(message(to, kind, &text)).await.unwrap());
    }
    story.drain().await;
    let acted =
        format!("update herald.message set status = 'acted', acted_at = now() where id = '{}'", sent[2].0);
    story.execute(&acted).await;
    story.clock.advance(TimeDelta::days(14) - TimeDelta::minutes(5));
    assert_eq!(tick(&story).await, "sent 0 reminders by 1 rules");
    story.clock.advance(TimeDelta::minutes(10));
    assert_eq!(tick(&story).await, "sent 2 reminders by 1 rules");
    assert_eq!(tick(&story).await, "sent 0 reminders by 1 rules");
    story.drain().await;
    for (name, text) in [("ann", "Order 0"), ("bob", "Order 1")] {
        let reminder =
            story.pending(name, false).await.into_iter().find(|it| it.sender == "message").unwrap();
        assert!(
            reminder.message_text.starts_with("This has been waiting for you since "),
            "{}",
            reminder.message_text
        );
        assert!(
            reminder.message_text.contains(&format!("from report:\n\n{text}\n")),
            "{}",
            reminder.message_text
        );
        assert_eq!(reminder.subject, "Waits for you: Message");
    }
    workers.stop().await;
    // It is as people leave it.
    assert!(story.say(&["reminder", "list"]).await.starts_with("ACTION-WAITS  enabled"));
    story.say(&["reminder", "rm", "ACTION-WAITS"]).await;
    story.say(&["migrate"]).await;
    assert_eq!(story.say(&["reminder", "list"]).await, "");
}

#[tokio::test]
async fn a_rule_is_written_checked_tried_run_and_looked_back_at_by_commands() {
    let shop = Shop::open().await;
    let story = &shop.story;
    for hours in [10, 80, 90] {
        shop.order(hours).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("PO-OVERDUE.toml");
    let mut fields =
        rule(json!({"contacts": [{"path": "customer.contact_person.email", "mode": "Cc"}], "cap": 1,
        "where": {"path": "amount", "op": ">", "value": 0}}));
    fields.as_object_mut().unwrap().remove("code");
    fields.as_object_mut().unwrap().remove("from");
    std::fs::write(&file, toml::to_string(&fields).unwrap()).unwrap();
    let file = file.to_str().unwrap();

    let checked = story.say(&["reminder", "check", file]).await;
    assert!(checked.starts_with("PO-OVERDUE  good, more than 1 overdue\n"), "{checked}");
    assert!(checked.contains("create index concurrently on shop.purchase_order"), "{checked}");
    let tried = story.say(&["reminder", "dry-run", file]).await;
    assert!(tried.contains(": 0 due") && tried.contains("before the rule was to send"), "{tried}");
    let added = story.say(&["reminder", "set", file, "--from", "all"]).await;
    assert!(
        added.starts_with("PO-OVERDUE  added\n  more than 1 overdue: the next run sends them"),
        "{added}"
    );
    let shown = story.say(&["reminder", "show", "PO-OVERDUE"]).await;
    assert!(shown.starts_with("# enabled\n") && shown.contains("interval = \"P3D\""), "{shown}");
    let tried = story.say(&["reminder", "dry-run", "PO-OVERDUE"]).await;
    for part in [
        "Nothing would be sent: more than 1 are due",
        "3  #1  since",
        "to ann",
        "cc: hana@harbour.example.com",
        "| Order 3 of",
        "> Your order 3",
    ] {
        assert!(tried.contains(part), "{part}: {tried}");
    }
    let tried: Value = serde_json::from_str(
        &story.say(&["reminder", "dry-run", "PO-OVERDUE", "--json", "--record", "1"]).await,
    )
    .unwrap();
    assert_eq!((&tried["reminders"], &tried["misses"][0]["record"]), (&json!([]), &json!(["1"])));

    let ran = story.run(&["reminder", "run", "PO-OVERDUE"]).await;
    assert!(!ran.status.success());
    assert!(
        story
            .say(&["reminder", "list"])
            .await
            .contains("PO-OVERDUE  paused  purchase_order, after P3D\n  paused: more than 1")
    );
    let doctor = story.run(&["doctor"]).await;
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("1 rules have paused themselves"));
    story.say(&["reminder", "enable", "PO-OVERDUE", "--catch-up"]).await;
    let ran = story.say(&["reminder", "run", "PO-OVERDUE", "--cap", "5"]).await;
    assert!(ran.starts_with("sent 2, 2 without a copy"), "{ran}");
    let history = story.say(&["reminder", "history", "PO-OVERDUE"]).await;
    assert_eq!(history.lines().count(), 2, "{history}");
    let of_one = story.say(&["reminder", "history", "PO-OVERDUE", "--record", "2"]).await;
    assert!(of_one.contains("  2  #1  ann  "), "{of_one}");
    story.say(&["reminder", "disable", "PO-OVERDUE"]).await;
    assert!(story.say(&["reminder", "list"]).await.starts_with("PO-OVERDUE  disabled"));
    for (arguments, said) in [
        (&["reminder", "show", "NONE"][..], "there is no rule NONE"),
        (&["reminder", "run", "NONE"], "there is no rule NONE"),
        (&["reminder", "rm", "NONE"], "there is no rule NONE"),
        (&["reminder", "dry-run", "PO-OVERDUE", "--at", "soon"], "invalid value 'soon' for '--at <AT>'"),
        (&["reminder", "set", "missing.toml"], "missing.toml"),
    ] {
        let output = story.run(arguments).await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(said), "{arguments:?}: {error}");
    }
    std::fs::write(file, "model = \"purchase_order\"\ninterval = \"3 moons\"").unwrap();
    let output = story.run(&["reminder", "set", file]).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("must be such as 3 days"), "{error}");
}

#[tokio::test]
async fn c24_periodic_jobs_have_a_start_an_interval_and_a_zone_and_are_run_by_commands() {
    let shop = Shop::open().await;
    let story = &shop.story;
    shop.order(80).await;
    shop.rule(json!({})).await.unwrap();
    let listed = story.say(&["periodic", "list"]).await;
    assert!(
        listed.starts_with("purge  next ")
            && listed.contains("reminders  next ")
            && listed.contains("never ran"),
        "{listed}"
    );
    let workers = story.work().await;
    let ran = story.say(&["periodic", "run", "reminders"]).await;
    assert!(ran.ends_with("sent 1 reminders by 1 rules\n"), "{ran}");
    let listed = story.say(&["periodic", "list"]).await;
    assert!(listed.contains(ran.trim()), "{listed}");
    story.drain().await;
    workers.stop().await;
    // The daemon's line of old: from 06:00 on, every hour; another is off.
    let mut command = story.command(&["periodic", "list"]);
    command
        .env("HERALD__PERIODIC__REMINDERS__ENABLED", "false")
        .env("HERALD__PERIODIC__PURGE__EVERY", "86400");
    command
        .env("HERALD__PERIODIC__PURGE__START", "06:00:00")
        .env("HERALD__PERIODIC__PURGE__ZONE", "Asia/Kolkata");
    let listed = String::from_utf8(command.output().await.unwrap().stdout).unwrap();
    assert!(listed.contains(" 00:30:00 UTC\n") && listed.contains("\nreminders  disabled\n"), "{listed}");
    let output = story.run(&["periodic", "run", "nothing"]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("must be one of purge, reminders"));
}
