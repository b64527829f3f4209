//! What happens in the host's tables becomes messages, without code.

use std::process::Stdio;

use herald_jobs::model::Model;
use herald_jobs::store;
use tokio::process::Command;

use crate::support::eventually;
use crate::support::herald::Story;

/// A shop whose orders are a model.
async fn shop() -> Story {
    let story = Story::begin().await;
    story
        .execute(
            "create schema shop;
             create table shop.customer (id int primary key, name text, account_manager text, email text);
             create table shop.purchase_order (id int primary key, customer int references shop.customer, status text not null,
                                               amount numeric(12, 2) not null, requester text, secret text);
             insert into shop.customer values (1, 'Harbour', 'ann', 'hana@harbour.example')",
        )
        .await;
    for (name, hidden) in [("customer", vec![]), ("purchase_order", vec!["secret".to_owned()])] {
        let (table, key) = (format!("shop.{name}"), vec!["id".to_owned()]);
        let model = Model { name: name.into(), table, key, hidden, ..Model::default() };
        store::models::register(&story.pool, &model, "test").await.unwrap();
    }
    story
}

async fn watch(story: &Story, on: &str) -> String {
    story.say(&["watch", "shop.purchase_order", "--on", on]).await.trim().to_owned()
}

/// Saves a rule; `rest` is TOML.
async fn rule(
    story: &Story,
    code: &str,
    watch: &str,
    rest: &str,
) -> (tempfile::NamedTempFile, Result<String, String>) {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let text = format!("code = \"{code}\"\nwatch = {watch}\nmessage_type = \"VIEW-NORMAL\"\n{rest}");
    std::fs::write(file.path(), text).unwrap();
    let output = story.run(&["event-rule", "import", file.path().to_str().unwrap()]).await;
    let said = if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    };
    (file, said)
}

async fn results(story: &Story) -> Vec<String> {
    sqlx::query_scalar("select coalesce(result, 'waits') from herald.event order by id")
        .fetch_all(&story.pool)
        .await
        .unwrap()
}

async fn settled(story: &Story, many: usize) {
    eventually("the events to be handled", async || {
        let results = results(story).await;
        results.len() == many && results.iter().all(|result| result != "waits")
    })
    .await;
    // Copies to contacts stay: there is no mail server.
    eventually("the messages to arrive", async || {
        story.count("select count(*) from herald.outbox").await == 0
    })
    .await;
}

#[tokio::test]
async fn c03e_a_change_of_a_row_becomes_a_message_once() {
    let story = shop().await;
    let workers = story.work().await;
    let (inserts, approvals) = (watch(&story, "insert").await, watch(&story, "update:status=approved").await);
    assert_eq!(watch(&story, "insert").await, inserts, "the same watch");
    let (_file, said) = rule(&story, "PO-LARGE", &inserts,
        "condition = 'new.amount > 1000'\nmessage_text = 'Order #new.id# over #new.amount#'\nrecipient_path = 'customer.account_manager'\n\
         contacts = ['customer.email', 'audit@example.com']").await;
    assert_eq!(said.unwrap(), "PO-LARGE\n");
    let (_file, said) = rule(&story, "PO-APPROVED", &approvals,
        "message_text = '#old.status# became #new.status#'\nrecipient_path = 'requester'\nsubject = 'Order #new.id#'").await;
    said.unwrap();

    // Who changes the table needs no rights here, and a rollback leaves nothing.
    let role = format!("clerk_{}", story.database_url.rsplit('/').next().unwrap());
    story.execute(&format!("create role {role}; grant usage on schema shop to {role}; grant all on shop.purchase_order to {role}")).await;
    let insert = "insert into shop.purchase_order values (1, 1, 'submitted', 12400, 'bob', 'x'), (2, 1, 'submitted', 12, 'bob', 'x')";
    story.execute(&format!("begin; set local role {role}; {insert}; rollback")).await;
    story.execute(&format!("begin; set local role {role}; {insert}; commit")).await;
    settled(&story, 2).await;
    let [large] = story.pending("ann", false).await.try_into().unwrap();
    assert_eq!(large.message_text, "Order 1 over 12400.0");
    assert_eq!((large.sender.as_str(), large.sender_instance.as_deref()), ("purchase_order", Some("1")));
    let mut copies: Vec<String> = story
        .copies(herald_producers::MessageId(large.id))
        .await
        .into_iter()
        .map(|copy| copy.address)
        .collect();
    copies.sort();
    assert_eq!(copies, ["audit@example.com", "hana@harbour.example"]);
    assert_eq!(results(&story).await, ["PO-LARGE: sent 1", "no rule wanted it"]);

    // Only a change to this value counts, and each once.
    for status in ["checked", "approved", "approved", "closed", "approved"] {
        story.execute(&format!("update shop.purchase_order set status = '{status}' where id = 1")).await;
    }
    settled(&story, 4).await;
    let mut texts: Vec<String> =
        story.pending("bob", false).await.into_iter().map(|it| it.message_text).collect();
    texts.sort();
    assert_eq!(texts, ["checked became approved", "closed became approved"]);

    let dry = story.say(&["event-rule", "dry-run", "PO-LARGE", "--last", "5"]).await;
    let lines: Vec<&str> = dry.lines().collect();
    assert!(lines[0].ends_with("no message: the condition does not hold"), "{dry}");
    assert!(
        lines[1].ends_with("VIEW-NORMAL to ann, copies to hana@harbour.example, audit@example.com"),
        "{dry}"
    );
    assert_eq!(story.delivered().await.len(), 3, "nothing is sent by that");

    // What rules read is not removed under them; without a watch nothing is recorded.
    let kept = story.run(&["watch", "remove", &approvals]).await;
    assert!(String::from_utf8(kept.stderr).unwrap().contains("watch: is read by rules"));
    story.say(&["event-rule", "remove", "PO-APPROVED"]).await;
    story.say(&["watch", "remove", &approvals]).await;
    story.execute("update shop.purchase_order set status = 'checked'; update shop.purchase_order set status = 'approved'").await;
    assert_eq!(results(&story).await.len(), 4);
    let listed = story.say(&["watch", "list"]).await;
    assert_eq!(listed, format!("{inserts}  shop.purchase_order  insert\n"));
    workers.stop().await;
    story.execute(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test]
async fn c03e_a_rule_that_fails_is_told_and_holds_up_no_other() {
    let story = shop().await;
    let workers = story.work().await;
    let inserts = watch(&story, "insert").await;
    for (code, rest) in [
        ("A-TYPE", "condition = 'new.status > 5 + true'\nmessage_text = 'x'\nrecipient = 'ann'"),
        ("B-NOBODY", "message_text = 'x'\nrecipient_path = 'requester'"),
        ("C-HIDDEN", "condition = 'new.secret == \"x\"'\nmessage_text = 'x'\nrecipient = 'ann'"),
        ("D-GONE", "message_text = 'x'\nrecipient = 'nobody'"),
        ("E-PATH", "message_text = 'x'\nrecipient_path = 'customer.colour'"),
        ("F-GOOD", "message_text = 'Order #new.id#'\nrecipient = 'ann'"),
    ] {
        rule(&story, code, &inserts, rest).await.1.unwrap();
    }
    story.execute("insert into shop.purchase_order values (1, 1, 'submitted', 1, null, 'x')").await;
    settled(&story, 1).await;
    let told = results(&story).await.remove(0);
    for part in [
        "A-TYPE: condition: ",
        "B-NOBODY: recipient_path: requester leads to no username",
        "D-GONE: recipient: there is no active user",
        "E-PATH: ",
        "F-GOOD: sent 1",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("C-HIDDEN"), "what a model hides is not there for rules: {told}");
    assert_eq!(story.pending("ann", false).await.len(), 1);
    assert!(story.say(&["watch", "events", "--last", "1"]).await.contains("F-GOOD: sent 1"));
    for (rest, said) in [
        ("message_text = 'x'", "recipient"),
        ("recipient = 'ann'", "message_text"),
        ("message_text = 'x'\nrecipient = 'ann'\ncondition = 'new.'", "condition"),
        ("message_text = 'x'\nrecipient = 'ann'\ncolour = 'blue'", "colour"),
        ("template = 'NONE'\nrecipient = 'ann'", "template"),
    ] {
        let complaint = rule(&story, "BAD", &inserts, rest).await.1.unwrap_err();
        assert!(complaint.contains(said), "{rest}: {complaint}");
    }
    let complaint = rule(&story, "BAD", "99", "message_text = 'x'\nrecipient = 'ann'").await.1.unwrap_err();
    assert!(complaint.contains("watch: there is no watch 99"), "{complaint}");
    for (arguments, said) in [
        (["watch", "shop.nothing", "--on", "insert"], "table"),
        (["watch", "herald.message", "--on", "insert"], "table"),
        (["watch", "shop.customer", "--on", "update:colour"], "column"),
        (["watch", "shop.customer", "--on", "truncate"], "--on"),
    ] {
        let output = story.run(&arguments).await;
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && complaint.contains(said), "{arguments:?}: {complaint}");
    }
    workers.stop().await;
}

#[tokio::test]
async fn c03e_a_watch_survives_dump_and_restore() {
    let story = shop().await;
    let inserts = watch(&story, "insert").await;
    rule(&story, "NEW", &inserts, "message_text = 'Order #new.id#'\nrecipient = 'ann'").await.1.unwrap();
    let restored = format!("{}_restored", story.database_url.rsplit('/').next().unwrap());
    story.execute(&format!("create database {restored}")).await;
    let mut url: url::Url = story.database_url.parse().unwrap();
    url.set_path(&restored);
    let psql = herald::private::psql().unwrap();
    let mut dump = Command::new(psql.with_file_name("pg_dump"))
        .arg(&story.database_url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let from: Stdio = dump.stdout.take().unwrap().try_into().unwrap();
    let arguments = ["-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=1"];
    let loaded = Command::new(&psql).args(arguments).arg(url.as_str()).stdin(from).output().await.unwrap();
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    assert!(dump.wait().await.unwrap().success());

    let pool = store::pool(url.as_str(), "test", 2).unwrap();
    sqlx::query("insert into shop.purchase_order values (1, 1, 'submitted', 1, 'bob', 'x')")
        .execute(&pool)
        .await
        .unwrap();
    let event = store::events::last(&pool, None, 1).await.unwrap().pop().unwrap();
    assert_eq!(event.happened.new.unwrap()["status"], "submitted");
    let [watch] = store::events::watches(&pool).await.unwrap().try_into().unwrap();
    assert!(watch.has_trigger && watch.id.to_string() == inserts);
    assert_eq!(store::events::rules(&pool, Some(watch.id)).await.unwrap().len(), 1);
    pool.close().await;
    story.execute(&format!("drop database {restored}")).await;
}
