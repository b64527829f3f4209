//! Message templates from the file somebody wrote to the mail somebody reads.

use herald_jobs::authoring::{Authoring, AuthoringError};
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::message_type::ExternalDelivery;
use herald_jobs::model::Model;
use herald_jobs::store;
use herald_jobs::store::change::Expect;
use herald_jobs::store::message_templates;
use herald_producers::{MessageId, NewMessage, SendError};
use serde_json::json;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::herald::{Story, Workers, functions_dir};

/// Orders with customers, a type that sends mail, and the template PO-DUE.
async fn company() -> Story {
    let story = Story::begin().await;
    story
        .execute(
            "create table public.customer (id int primary key, name text);
             create table public.purchase_order (id int primary key, customer_id int references public.customer, total numeric(12, 2));
             insert into public.customer values (1, 'Shwe & <b>Co</b>');
             insert into public.purchase_order select n, 1, n * 1.5 from generate_series(1, 600) n",
        )
        .await;
    story.add_type("MAIL", |kind| kind.external_delivery = ExternalDelivery::Email).await;
    for (name, label) in [("customer", Some("name")), ("purchase_order", None)] {
        let model = Model {
            name: name.into(),
            table: format!("public.{name}"),
            key: vec!["id".into()],
            label: label.map(Into::into),
            ..Model::default()
        };
        store::models::register(&story.pool, &model, "test").await.unwrap();
    }
    story.authoring().save(&[due()], "test").await.unwrap();
    story
}

fn due() -> MessageTemplate {
    MessageTemplate {
        code: "PO-DUE".into(),
        model: Some("purchase_order".into()),
        subject: Some("Order #id#".into()),
        message_text: "Order #id# of #customer.name# over @std.number.currency(#total#,'EUR')@ is due."
            .into(),
        external_message: Some("Dear #customer#: order #id# is due.".into()),
        external_html: Some("<p title=\"#customer.name#\">Order <b>#id#</b> of #customer.name#</p>".into()),
        ..MessageTemplate::default()
    }
}

fn of(template: &str, key: i64) -> NewMessage {
    NewMessage {
        recipient: "ann".into(),
        message_type: "MAIL".into(),
        sender: "purchase_order".into(),
        sender_instance: Some(key.to_string()),
        template: Some(template.into()),
        model_key: Some(json!(key)),
        ..NewMessage::default()
    }
}

/// The same, in the inbox only.
fn shown(key: i64) -> NewMessage {
    NewMessage { message_type: "VIEW-NORMAL".into(), ..of("PO-DUE", key) }
}

async fn work(story: &Story) -> Workers {
    let options = herald_workers::Options {
        functions_dir: Some(functions_dir()),
        ..herald_workers::Options::default()
    };
    story.work_with(options).await
}

async fn standing(story: &Story, id: MessageId) -> herald_jobs::store::messages::Standing {
    story.producer.standing(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn c27_a_template_makes_the_inbox_text_the_mail_and_its_html() {
    let story = company().await;
    let (workers, catcher) = (work(&story).await, story.mail_catcher().await);
    let id = story.producer.send(of("PO-DUE", 42)).await.unwrap();
    story.drain().await;

    let [message] = story.pending("ann", false).await.try_into().unwrap();
    assert_eq!(message.subject, "Order 42");
    assert_eq!(message.message_text, "Order 42 of Shwe & <b>Co</b> over 63.00 EUR is due.");
    let mails = catcher.mailbox().list();
    let mail = herald::catcher::show(&mails[0].raw).unwrap();
    assert_eq!(mail.subject, "Order 42");
    assert_eq!(mail.text.as_deref().map(str::trim_end), Some("Dear Shwe & <b>Co</b>: order 42 is due."));
    assert_eq!(
        mail.html.as_deref().map(str::trim_end),
        Some(
            "<p title=\"Shwe &amp; &lt;b&gt;Co&lt;/b&gt;\">Order <b>42</b> of Shwe &amp; &lt;b&gt;Co&lt;/b&gt;</p>"
        )
    );
    let raw = String::from_utf8_lossy(&mails[0].raw).into_owned();
    assert!(raw.contains("multipart/alternative"), "{raw}");
    assert!(raw.find("text/plain") < raw.find("text/html"), "plain text comes first: {raw}");
    let standing = standing(&story, id).await;
    assert_eq!((standing.template.as_deref(), standing.template_version), (Some("PO-DUE"), Some(1)));
    workers.stop().await;
}

#[tokio::test]
async fn c27_many_records_are_rendered_each_with_its_own() {
    let story = company().await;
    let mut ids = Vec::new();
    for key in 1..=600 {
        ids.push(story.producer.send(shown(key)).await.unwrap());
    }
    let workers = work(&story).await;
    story.drain().await;
    for (id, key) in ids.into_iter().zip(1..) {
        let text = standing(&story, id).await.message_text;
        assert!(text.starts_with(&format!("Order {key} of Shwe & <b>Co</b> over ")), "{text}");
    }
    workers.stop().await;
}

#[tokio::test]
async fn a_message_tells_which_version_made_it_and_a_change_is_followed_at_once() {
    let story = company().await;
    let workers = work(&story).await;
    let first = story.producer.send(shown(1)).await.unwrap();
    story.drain().await;
    let changed = MessageTemplate { version: 1, message_text: "Now: #customer#".into(), ..due() };
    assert_eq!(story.authoring().save(&[changed], "ann").await.unwrap(), [2]);
    let second = story.producer.send(shown(1)).await.unwrap();
    story.drain().await;
    let (first, second) = (standing(&story, first).await, standing(&story, second).await);
    assert_eq!((first.template_version, second.template_version), (Some(1), Some(2)));
    assert_eq!(second.message_text, "Now: Shwe & <b>Co</b>");
    let kept = message_templates::version(&story.pool, "PO-DUE", 1).await.unwrap().unwrap();
    assert_eq!(kept.message_text, due().message_text);
    workers.stop().await;
}

#[tokio::test]
async fn two_people_who_change_one_template_do_not_overwrite_each_other() {
    let story = company().await;
    let authoring = story.authoring();
    let from_first = |text: &str| MessageTemplate { version: 1, message_text: text.into(), ..due() };
    assert_eq!(authoring.save(&[from_first("ann's")], "ann").await.unwrap(), [2]);
    let fresh = MessageTemplate { code: "NEW".into(), ..due() };
    let late = authoring.save(&[fresh.clone(), from_first("bob's")], "bob").await.unwrap_err();
    assert!(
        matches!(&late, AuthoringError::Conflict { code, current: Some(saved) }
                     if code == "PO-DUE" && saved.version == 2 && saved.saved_by == "ann"),
        "{late}"
    );
    assert!(late.to_string().contains("version 2 was saved by ann"), "{late}");
    // All or none.
    assert!(message_templates::get(&story.pool, "NEW").await.unwrap().is_none());
    // A new one whose code is taken, one that was never there, and one that is the same.
    for (template, wrong) in [
        (due(), true),
        (MessageTemplate { version: 3, ..fresh.clone() }, true),
        (MessageTemplate { version: 2, ..from_first("ann's") }, false),
    ] {
        let saved = authoring.save(&[template], "bob").await;
        assert_eq!(saved.is_err(), wrong, "{saved:?}");
    }
    // Taken out of use, and its code taken again.
    assert!(message_templates::retire(&story.pool, "PO-DUE", &Expect::Anything, "ann").await.unwrap());
    assert!(!message_templates::retire(&story.pool, "PO-DUE", &Expect::Anything, "ann").await.unwrap());
    assert!(message_templates::get(&story.pool, "PO-DUE").await.unwrap().is_none());
    assert!(
        matches!(story.producer.send(of("PO-DUE", 1)).await, Err(SendError::Refused(refusal)) if refusal.field == "template")
    );
    assert_eq!(authoring.save(&[due()], "bob").await.unwrap(), [4]);
    // At the same time: one wins.
    let (one, other) = (
        MessageTemplate { version: 4, ..from_first("one") },
        MessageTemplate { version: 4, ..from_first("other") },
    );
    let (one, other) = (std::slice::from_ref(&one), std::slice::from_ref(&other));
    let (one, other) = tokio::join!(authoring.save(one, "ann"), authoring.save(other, "bob"));
    assert_ne!(one.is_ok(), other.is_ok(), "{one:?} {other:?}");
}

#[tokio::test]
async fn a_template_that_fails_does_not_lose_its_message() {
    let story = company().await;
    let (workers, catcher) = (work(&story).await, story.mail_catcher().await);
    story.add_type("OWN", |kind| kind.fallback_text = Some("Look at your orders.".into())).await;
    // The record is gone; the field is missing; the function fails; the template's table went after it was saved.
    let gone = of("PO-DUE", 4711);
    let missing = NewMessage {
        model_key: None,
        instance: json!({"id": 1}).as_object().cloned(),
        message_type: "OWN".into(),
        ..of("PO-DUE", 1)
    };
    let own = NewMessage {
        template: None,
        model_key: None,
        message_text: "@std.number.round(#name#)@".into(),
        instance: json!({"name": "Ann"}).as_object().cloned(),
        ..of("", 7)
    };
    let mut ids = Vec::new();
    for message in [&gone, &missing, &own] {
        ids.push(story.producer.send(message.clone()).await.unwrap());
    }
    story.drain().await;
    for (id, text, reason) in [
        (
            ids[0],
            "Message: there is a message from purchase_order 4711, whose text could not be made.",
            "model_key: there is no such record",
        ),
        (ids[1], "Look at your orders.", "message_text: line 1, column 15: there is no field `customer`"),
        (
            ids[2],
            "Message: there is a message from purchase_order 7, whose text could not be made.",
            "message_text: line 1, column 1: std.number.round",
        ),
    ] {
        let standing = standing(&story, id).await;
        assert_eq!((standing.status.as_str(), standing.message_text.as_str()), ("pending", text));
        let found = standing.template_error.unwrap();
        assert!(found.starts_with(reason), "{found}");
    }
    // The mail carries it too.
    let mails = catcher.mailbox().list();
    assert_eq!(mails.len(), 2);
    for mail in &mails {
        assert!(herald::catcher::show(&mail.raw).unwrap().text.unwrap().contains("could not be made"));
    }
    let listed = story.say(&["template", "failures"]).await;
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(
        listed.contains(&ids[0].to_string())
            && listed.contains("PO-DUE 1  model_key: there is no such record"),
        "{listed}"
    );

    // What a value holds may be anything: the reason is kept without what Postgres cannot keep.
    let odd = NewMessage { message_text: "@std.date.format(#due#,#pattern#)@".into(), ..own.clone() };
    let odd = NewMessage {
        instance: json!({"due": "2026-03-01", "pattern": "%Q\u{1}".repeat(300)}).as_object().cloned(),
        ..odd
    };
    let odd = story.producer.send(odd).await.unwrap();
    story.execute("drop table public.purchase_order").await;
    let dropped = story.producer.send(of("PO-DUE", 1)).await.unwrap();
    story.drain().await;
    for id in [odd, dropped] {
        let standing = standing(&story, id).await;
        assert!(standing.message_text.contains("could not be made"), "{standing:?}");
        let reason = standing.template_error.unwrap();
        assert!(reason.chars().count() <= 500 && !reason.contains(char::is_control), "{reason}");
    }
    workers.stop().await;
}

#[tokio::test]
async fn functions_are_read_again_when_their_files_change() {
    let story = company().await;
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("acme/orders.rhai");
    std::fs::create_dir(dir.path().join("acme")).unwrap();
    let options = herald_workers::Options {
        functions_dir: Some(dir.path().to_owned()),
        ..herald_workers::Options::default()
    };
    std::fs::write(&file, "fn mark(id) { \"first \" + id }").unwrap();
    let authoring = Authoring::new(story.pool.clone(), story.reader(), Some(dir.path().to_owned()));
    let marked = MessageTemplate {
        code: "MARKED".into(),
        model: Some("purchase_order".into()),
        message_text: "@acme.orders.mark(#id#)@".into(),
        ..MessageTemplate::default()
    };
    authoring.save(&[marked], "test").await.unwrap();
    let workers = story.work_with(options).await;
    let made = async || {
        let message = NewMessage { template: Some("MARKED".into()), ..shown(7) };
        let id = story.producer.send(message).await.unwrap();
        story.drain().await;
        standing(&story, id).await.message_text
    };
    assert_eq!(made().await, "first 7");
    // A file that cannot be used leaves what was there.
    std::fs::write(&file, "fn mark(id) {").unwrap();
    tokio::time::sleep(herald_workers::templates::FRESH).await;
    assert_eq!(made().await, "first 7");
    assert!(
        matches!(authoring.environment().await.unwrap().check(&due()).await, Err(AuthoringError::Functions(said)) if said.contains("orders.rhai"))
    );
    std::fs::write(&file, "fn mark(id) { \"second \" + id }").unwrap();
    eventually("the new function to be used", async || made().await == "second 7").await;
    workers.stop().await;
}

#[tokio::test]
async fn a_send_names_what_is_wrong_with_its_template() {
    let story = company().await;
    let plain =
        MessageTemplate { code: "PLAIN".into(), message_text: "#x#".into(), ..MessageTemplate::default() };
    story.authoring().save(&[plain], "test").await.unwrap();
    for (bad, field) in [
        (of("NONE", 1), "template"),
        (of("PLAIN", 1), "model_key"),
        (NewMessage { model_key: None, ..of("PO-DUE", 1) }, "model_key"),
        (NewMessage { model_key: Some(json!({"id": 1})), ..of("PO-DUE", 1) }, "model_key"),
        (NewMessage { message_text: "x".into(), ..of("PO-DUE", 1) }, "message_text"),
        (NewMessage { subject: Some("x".into()), ..of("PO-DUE", 1) }, "subject"),
        (NewMessage { template: None, message_text: "x".into(), ..of("", 1) }, "model_key"),
    ] {
        match story.producer.send(bad.clone()).await {
            Err(SendError::Refused(refusal)) => assert_eq!(refusal.field, field, "{refusal}"),
            other => panic!("{other:?}"),
        }
        let by_sql = sqlx::query(
            "select herald.send_message(recipient => 'ann', message_type => 'MAIL', sender => 'purchase_order', sender_instance => '1',
                                        message_text => $1, subject => $2, template => $3, model_key => $4)",
        )
        .bind(Some(&bad.message_text).filter(|text| !text.is_empty()))
        .bind(&bad.subject)
        .bind(&bad.template)
        .bind(&bad.model_key)
        .execute(&story.pool)
        .await;
        let said = by_sql.unwrap_err().to_string();
        assert!(said.contains(&format!("{field}: ")), "{field}: {said}");
    }
    assert_eq!(story.count("select count(*) from herald.outbox").await, 0);
}

#[tokio::test]
async fn c27_sql_and_the_command_line_send_with_a_template() {
    let story = company().await;
    let workers = work(&story).await;
    let send = |more: &str| {
        format!(
            "select count(herald.send_message(recipient => 'ann', message_type => 'VIEW-NORMAL', sender => 'purchase_order',
                                              sender_instance => '7', {more}))"
        )
    };
    story.count(&send("template => 'PO-DUE', model_key => '7'")).await;
    story.count(&send("template => 'PO-DUE', model_key => '\"8\"'")).await;
    let fields = r##"{"id": 9, "total": null, "customer": {"#": "C", "name": "N"}}"##;
    story.count(&send(&format!("template => 'PO-DUE', instance => '{fields}'"))).await;
    story.count(&send(r##"message_text => 'Own: [#a##b#]', instance => '{"a": null, "b": 1}'"##)).await;
    let arguments = ["--sender", "purchase_order", "--instance", "7", "--to", "bob"];
    let with = |more: &[&'static str]| [&["send"], &arguments[..], more].concat();
    story.say(&with(&["--template", "PO-DUE", "--model-key", "10"])).await;
    let output = story.run_with_input(&with(&["--template", "PO-DUE", "--fields", "-"]), fields).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = story.run_with_input(&with(&["--text", "own #id#", "--fields", "-"]), fields).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    story.drain().await;
    let texts = async |name: &str| -> Vec<String> {
        let mut texts: Vec<_> =
            story.pending(name, false).await.into_iter().map(|it| it.message_text).collect();
        texts.sort();
        texts
    };
    assert_eq!(
        texts("ann").await,
        [
            "Order 7 of Shwe & <b>Co</b> over 10.50 EUR is due.",
            "Order 8 of Shwe & <b>Co</b> over 12.00 EUR is due.",
            "Order 9 of N over  is due.",
            "Own: [1]",
        ]
    );
    assert_eq!(
        texts("bob").await,
        ["Order 10 of Shwe & <b>Co</b> over 15.00 EUR is due.", "Order 9 of N over  is due.", "own 9"]
    );
    workers.stop().await;
}

#[tokio::test]
async fn templates_are_exported_changed_checked_previewed_and_imported() {
    let story = company().await;
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_str().unwrap();
    story.say(&["template", "export", "--dir", path]).await;
    let file = dir.path().join("PO-DUE.toml");
    let name = file.to_str().unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), story.say(&["template", "show", "PO-DUE"]).await);
    assert_eq!(story.say(&["template", "import", path]).await, "PO-DUE  version 1, unchanged\n");

    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("is due.", "is überfällig €.")).unwrap();
    let preview = story.say(&["template", "preview", name, "--model-key", "42"]).await;
    let expected = "\
== Inbox
Subject: Order 42

Order 42 of Shwe & <b>Co</b> over 63.00 EUR is überfällig €.

== E-mail, plain text
Subject: Order 42

Dear Shwe & <b>Co</b>: order 42 is überfällig €.

== E-mail, HTML
<p title=\"Shwe &amp; &lt;b&gt;Co&lt;/b&gt;\">Order <b>42</b> of Shwe &amp; &lt;b&gt;Co&lt;/b&gt;</p>

== SMS: 1 of GSM-7, 49 characters
Dear Shwe & <b>Co</b>: order 42 is überfällig €.

== Tokens
";
    let (texts, tokens) = preview.split_at(expected.len().min(preview.len()));
    assert_eq!(texts, expected);
    for line in [
        "message_text  #customer.name# = Shwe & <b>Co</b>",
        "external_message  #customer# = Shwe & <b>Co</b>",
        "subject  #id# = 42",
    ] {
        assert!(tokens.contains(line), "{tokens}");
    }
    assert_eq!(story.say(&["template", "check", name]).await, "PO-DUE  good\n");
    assert_eq!(story.say(&["template", "import", name]).await, "PO-DUE  version 2\n");
    // The file is now of the version that was saved.
    assert_eq!(story.say(&["template", "import", name]).await, "PO-DUE  version 2, unchanged\n");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("version = 2", "version = 1")).unwrap();
    let late = story.run(&["template", "import", name]).await;
    assert!(
        String::from_utf8_lossy(&late.stderr).contains("version 2 was saved by command line"),
        "{late:?}"
    );
    let new = dir.path().join("NEW.toml");
    std::fs::write(&new, "message_text = \"\"\"\nversion = 7\n\"\"\"").unwrap();
    story.say(&["template", "import", new.to_str().unwrap()]).await;
    let written = std::fs::read_to_string(&new).unwrap();
    assert_eq!(written, "version = 1\nmessage_text = \"\"\"\nversion = 7\n\"\"\"");
    story.say(&["template", "remove", "NEW"]).await;
    assert_eq!(story.say(&["template", "history", "PO-DUE"]).await.lines().count(), 2);
    assert!(story.say(&["template", "list"]).await.contains("PO-DUE  version 2  purchase_order  token"));

    // What the database no longer has is found when all are checked.
    story.execute("alter table public.customer rename column name to title").await;
    let checked = story.run(&["template", "check"]).await;
    assert!(!checked.status.success());
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        said.contains("PO-DUE: message_text: line 1, column 15: there is no field `name` in customer"),
        "{said}"
    );
    for (arguments, complaint) in [
        (vec!["template", "preview", "PO-DUE"], "--model-key"),
        (vec!["template", "preview", "NONE", "--model-key", "1"], "there is no template NONE"),
        (vec!["template", "show", "NONE"], "NONE"),
        (vec!["template", "history", "NONE"], "NONE"),
        (vec!["template", "export", "NONE"], "NONE"),
        (vec!["template", "import", "/nowhere.toml"], "/nowhere.toml"),
    ] {
        let output = story.run(&arguments).await;
        assert!(!output.status.success(), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(complaint), "{arguments:?}: {output:?}");
    }
    let shown = story.say(&["model", "show", "purchase_order"]).await;
    assert!(
        shown.contains("  total  numeric")
            && shown.contains("customer or customer_id  customer, by customer_id = customer.id"),
        "{shown}"
    );
}
