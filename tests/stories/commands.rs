//! The command line, run as a program.

use std::collections::BTreeSet;
use std::process::Output;

use herald_jobs::store;

use crate::support::herald::{Story, message};

/// What a command that fails says.
fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "it succeeded: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn c31_the_command_line_sends_and_shows_the_inbox() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let sent =
        ["send", "--to", "ann", "--text", "Your report is ready", "--sender", "report", "--instance", "7"];
    let id = story.say(&sent).await;
    let read =
        story.run_with_input(&["send", "--to", "ann", "--text", "-", "--sender", "bob"], "from a pipe").await;
    assert!(read.status.success());
    story.drain().await;
    let inbox = story.say(&["inbox", "ann"]).await;
    assert!(inbox.starts_with("0 alerts, 2 messages\n"), "{inbox}");
    assert!(inbox.contains(id.trim()) && inbox.contains("Your report is ready"), "{inbox}");
    assert!(inbox.contains("bob: from a pipe"), "{inbox}");

    let keyed = [&sent[..], &["--idempotency-key", "k"]].concat();
    assert_eq!(story.say(&keyed).await, story.say(&keyed).await);
    let fast = [&sent[..], &["--fast"]].concat();
    story.say(&fast).await;
    story.drain().await;
    assert_eq!(story.delivered().await.len(), 4);
    workers.stop().await;
}

#[tokio::test]
async fn bad_input_is_refused_by_name_on_the_command_line_and_nothing_is_written() {
    let story = Story::begin().await;
    let good = ["send", "--to", "ann", "--text", "x", "--sender", "report", "--instance", "7"];
    let with = |option: &'static str, value: &'static str| {
        let mut arguments: Vec<&str> = good.to_vec();
        match arguments.iter().position(|argument| *argument == option) {
            Some(position) => arguments[position + 1] = value,
            None => arguments.extend([option, value]),
        }
        arguments
    };
    for (arguments, named) in [
        (with("--to", "nobody"), "recipient"),
        (with("--type", "NO-SUCH"), "message_type"),
        (with("--text", ""), "message_text"),
        (with("--subject", "two\nlines"), "subject"),
        (with("--instance", ""), "sender_instance"),
        (with("--parameter", "1"), "action_parameters"),
        (with("--copy", "nobody"), "recipients/0/contact_reference"),
        (with("--copy", "Zz:a@example.com"), "recipients/0/email_mode"),
        (with("--idempotency-key", ""), "idempotency_key"),
        (vec!["send", "--to", "ann", "--text", "x", "--sender", "report"], "sender"),
        (vec!["send", "--text", "x", "--sender", "report"], "--to"),
        (vec!["user", "add", "a b"], "username"),
        (vec!["user", "add", "zoe", "--email", "a@b"], "email"),
        (vec!["user", "add", "zoe", "--mobile", "0170"], "mobile"),
        (vec!["user", "add", "zoe", "--time-zone", "Nowhere/Town"], "time_zone"),
        (vec!["registry", "set", "smtp server", "x"], "smtp server"),
        (vec!["dead", "drop", "send:none/1-1-0"], "send:none"),
        (vec!["inbox", "nobody"], "nobody"),
    ] {
        let said = complaint(&story.run(&arguments).await);
        assert!(said.contains(named), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
    let written = "select (select count(*) from herald.outbox) + (select count(*) from herald.idempotency)
                        + (select count(*) from herald.app_user) + (select count(*) from herald.registry where value is not null)";
    assert_eq!(story.count(written).await, 2, "ann and bob");
    assert_eq!(story.depth().await, 0);
}

#[tokio::test]
async fn an_import_of_users_is_all_or_nothing() {
    let story = Story::begin().await;
    let bad = "username,email\ncarol,carol@example.com\ndave,not an address\n";
    let said = complaint(&story.run_with_input(&["user", "import", "-"], bad).await);
    assert!(said.contains("row 2") && said.contains("email"), "{said}");
    assert_eq!(story.count("select count(*) from herald.app_user").await, 2);

    let good = "username,display_name,email\nCarol, Carol C. ,carol@example.com\nann,,\n";
    let imported = story.run_with_input(&["user", "import", "-"], good).await;
    assert_eq!(String::from_utf8_lossy(&imported.stdout), "2 users imported\n");
    let listed = story.say(&["user", "list"]).await;
    assert!(listed.contains("carol  Carol C.  carol@example.com"), "{listed}");
    assert!(listed.contains("ann  -  ann@example.com"), "an empty column keeps what is there: {listed}");
}

#[tokio::test]
async fn who_was_deactivated_stays_so_whatever_a_list_of_people_says() {
    let story = Story::begin().await;
    story.say(&["user", "rm", "bob"]).await;
    let people = "username,display_name,time_zone\nbob,Bob,Europe/Berlin\ndora,Dora,\n";
    let imported = story.run_with_input(&["user", "import", "-"], people).await;
    let said = String::from_utf8_lossy(&imported.stdout).into_owned();
    assert_eq!(said, "2 users imported\ndeactivated, as before: 1\n");
    story.execute("select herald.upsert_user('bob', mobile => '+491701234567')").await;
    let bob =
        "select count(*) from herald.app_user where username = 'bob' and not active and display_name = 'Bob'
               and time_zone = 'Europe/Berlin' and mobile = '+491701234567'";
    assert_eq!(story.count(bob).await, 1);
    story.execute("select herald.upsert_user('bob', active => true)").await;
    assert_eq!(story.count("select count(*) from herald.app_user where active").await, 3);
    let audited =
        "select count(*) from herald.audit where action = 'user import' and subject in ('bob', 'dora')";
    assert_eq!(story.count(audited).await, 2);
}

#[tokio::test]
async fn dead_sends_are_listed_replayed_and_dropped() {
    let story = Story::begin().await;
    story.add_type("PASSING", |_| {}).await;
    let workers = story.work().await;
    // The type goes after the accept: the worker can make nothing of these.
    let mut sent = Vec::new();
    for text in ["one", "two"] {
        let later = herald_producers::NewMessage {
            deliver_at: Some(story.clock.now() + chrono::TimeDelta::hours(1)),
            ..message("ann", "PASSING", text)
        };
        sent.push(story.producer.send(later).await.unwrap());
    }
    let stranger = story.producer.enqueue(message("nobody", "VIEW-NORMAL", "x")).await.unwrap();
    story.execute("delete from herald.message_type where code = 'PASSING'").await;
    story.clock.advance(chrono::TimeDelta::hours(2));
    story.settle().await;

    let listed = story.say(&["dead", "list"]).await;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.contains(&format!("{}  ", sent[0])) && listed.contains("no message type"), "{listed}");
    let entry = listed.lines().find(|line| line.contains(&stranger.to_string())).unwrap();
    let entry = entry.split_whitespace().next().unwrap();
    assert!(entry.starts_with("send:normal/"), "{listed}");

    // What is still wrong fails again.
    story.say(&["dead", "replay", &sent[0].to_string()]).await;
    story.settle().await;
    assert_eq!(story.dead().await.len(), 3);

    story.add_type("PASSING", |_| {}).await;
    story.say(&["dead", "drop", &sent[1].to_string()]).await;
    story.say(&["dead", "drop", entry]).await;
    assert_eq!(story.say(&["dead", "replay", "all"]).await, "1 replayed\n");
    story.drain().await;
    story.assert_delivered(&BTreeSet::from([sent[0].0])).await;
    for arguments in [["dead", "replay", entry], ["dead", "drop", entry]] {
        complaint(&story.run(&arguments).await);
    }
    assert!(store::outbox::failed(&story.pool, 10).await.unwrap().is_empty());
    workers.stop().await;
}

#[tokio::test]
async fn a_send_answers_in_json_and_ends_with_what_to_do() {
    let story = Story::begin().await;
    let send = [
        "send",
        "--to",
        "ann",
        "--text",
        "x",
        "--sender",
        "report",
        "--instance",
        "7",
        "--idempotency-key",
        "k",
        "--json",
    ];
    let first: serde_json::Value = serde_json::from_str(&story.say(&send).await).unwrap();
    let again: serde_json::Value = serde_json::from_str(&story.say(&send).await).unwrap();
    assert_eq!((&first["status"], &first["replayed"]), (&"accepted".into(), &false.into()));
    assert_eq!((&again["id"], &again["replayed"]), (&first["id"], &true.into()));
    let other = [&send[..], &["--subject", "another"]].concat();
    let taken = story.run(&other).await;
    assert_eq!(taken.status.code(), Some(2));
    assert!(complaint(&taken).contains(first["id"].as_str().unwrap()));
    // Nobody listens there.
    let mut down = story.command(&send);
    let down = down.env("HERALD__DATABASE__URL", "postgres://x@127.0.0.1:9/x").output().await.unwrap();
    assert_eq!(down.status.code(), Some(75), "{}", String::from_utf8_lossy(&down.stderr));
    for shell in ["bash", "zsh", "fish"] {
        let script = story.say(&["completions", shell]).await;
        assert!(script.contains("herald") && script.contains("idempotency-key"), "{shell}");
    }
}

#[tokio::test]
async fn a_token_is_made_with_what_it_may_and_until_when() {
    let story = Story::begin().await;
    let create =
        ["token", "create", "reports", "--sender", "report", "--sender", "order", "--type", "VIEW-NORMAL"];
    let with = |more: &[&'static str]| [&create[..], more].concat();
    let token = story.say(&with(&["--rate", "60", "--expires", "2099-01-31"])).await;
    let listed = story.say(&["token", "list"]).await;
    assert!(!listed.contains(token.trim()), "the secret is told once");
    assert!(
        listed.contains("sends as report, order, only VIEW-NORMAL, 60 a minute  until 2099-02-01"),
        "{listed}"
    );
    for (arguments, named) in [
        (with(&["--type", "NONE"]), "type"),
        (with(&["--rate", "0"]), "--rate"),
        (with(&["--expires", "0"]), "expires"),
        (with(&["--expires", "2001-01-31"]), "expires"),
        (with(&["--expires", "soon"]), "expires"),
        (vec!["token", "create", "reports"], "--sender"),
    ] {
        let said = complaint(&story.run(&arguments).await);
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
}
