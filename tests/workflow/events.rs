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
    sqlx::query_scalar(
        "select case when handled_at is null then 'waits' else result end from herald.event order by id",
    )
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
async fn c03d_a_change_of_a_row_becomes_a_message_once() {
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
async fn c03d_a_rule_that_fails_is_told_and_holds_up_no_other() {
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
        "B-NOBODY: recipient_path: requester leads to no active user",
        "D-GONE: recipient: nobody is no active user",
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
async fn c03d_a_watch_survives_dump_and_restore() {
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
    let [watch] = store::watches::list(&pool).await.unwrap().try_into().unwrap();
    assert!(watch.has_trigger && watch.id.to_string() == inserts);
    assert_eq!(store::event_rules::all(&pool, Some(watch.id)).await.unwrap().len(), 1);
    pool.close().await;
    story.execute(&format!("drop database {restored}")).await;
}

#[tokio::test]
async fn c03d_a_contact_that_is_none_costs_nobody_else_the_message() {
    let story = shop().await;
    let workers = story.work().await;
    let inserts = watch(&story, "insert").await;
    let contacts =
        "message_text = 'x'\nrecipient = 'ann'\ncontacts = ['customer.email', 'audit@example.com']";
    rule(&story, "COPIES", &inserts, contacts).await.1.unwrap();
    story.execute("update shop.customer set email = 'not an address'").await;
    story.execute("insert into shop.purchase_order values (1, 1, 'submitted', 1, 'bob', 'x')").await;
    settled(&story, 1).await;
    let told = results(&story).await.remove(0);
    assert!(told.starts_with("COPIES: sent 1 without \"not an address\" at contacts "), "{told}");
    let [message] = story.pending("ann", false).await.try_into().unwrap();
    let copies = story.copies(herald_producers::MessageId(message.id)).await;
    assert_eq!(copies.iter().map(|copy| copy.address.as_str()).collect::<Vec<_>>(), ["audit@example.com"]);
    workers.stop().await;
}

#[tokio::test]
async fn c03d_an_event_waits_for_a_locked_table_and_others_do_not_wait_for_it() {
    let story = shop().await;
    let workers = story.work().await;
    let (inserts, updates) = (watch(&story, "insert").await, watch(&story, "update").await);
    let manager = "message_text = 'new'\nrecipient_path = 'customer.account_manager'";
    rule(&story, "NEW", &inserts, manager).await.1.unwrap();
    rule(&story, "CHANGED", &updates, "message_text = 'changed'\nrecipient = 'bob'").await.1.unwrap();
    let mut lock = story.pool.begin().await.unwrap();
    sqlx::query("lock table shop.customer in access exclusive mode").execute(&mut *lock).await.unwrap();
    // The foreign key would wait for the lock too.
    story.execute("alter table shop.purchase_order disable trigger all; alter table shop.purchase_order enable trigger user").await;
    story.execute("insert into shop.purchase_order values (1, 1, 'submitted', 1, 'bob', 'x')").await;
    story.execute("update shop.purchase_order set status = 'checked'").await;
    eventually("the other event to be handled", async || story.pending("bob", false).await.len() == 1).await;
    eventually("the event to be left for later", async || {
        story.count("select count(*) from herald.event where tries > 0 and handled_at is null").await == 1
    })
    .await;
    assert!(story.pending("ann", false).await.is_empty());
    lock.rollback().await.unwrap();
    story.clock.advance(chrono::TimeDelta::minutes(6));
    settled(&story, 2).await;
    assert_eq!(results(&story).await, ["NEW: sent 1", "CHANGED: sent 1"]);
    assert_eq!(story.pending("ann", false).await.len(), 1);
    workers.stop().await;
}

#[tokio::test]
async fn c03d_what_failed_is_replayed_and_what_was_sent_is_not_sent_again() {
    let story = shop().await;
    let workers = story.work().await;
    let inserts = watch(&story, "insert").await;
    rule(&story, "GOOD", &inserts, "message_text = 'x'\nrecipient = 'ann'").await.1.unwrap();
    rule(&story, "LATE", &inserts, "message_text = 'x'\nrecipient_path = 'requester'").await.1.unwrap();
    story.execute("insert into shop.purchase_order values (1, 1, 'submitted', 1, 'carl', 'x')").await;
    settled(&story, 1).await;
    assert_eq!(
        results(&story).await,
        ["GOOD: sent 1; LATE: recipient_path: requester leads to no active user"]
    );
    story.execute("select herald.upsert_user('carl')").await;
    let id = story.count("select id from herald.event").await.to_string();
    story.say(&["event-rule", "replay", &id]).await;
    settled(&story, 1).await;
    assert_eq!(results(&story).await, ["LATE: sent 1"]);
    assert_eq!((story.pending("ann", false).await.len(), story.pending("carl", false).await.len()), (1, 1));
    let none = story.run(&["event-rule", "replay", "99"]).await;
    assert!(String::from_utf8(none.stderr).unwrap().contains("event: there is no event 99"));
    workers.stop().await;
}

#[tokio::test]
async fn c03d_code_of_the_hosts_types_runs_with_the_rights_of_who_changes_the_row() {
    let story = shop().await;
    watch(&story, "insert").await;
    let role = format!("host_{}", story.database_url.rsplit('/').next().unwrap());
    story
        .execute(&format!(
            "create role {role};
             create table shop.ran_as (name text);
             grant usage, create on schema shop to {role};
             grant all on shop.purchase_order, shop.ran_as to {role};
             set role {role};
             create type shop.mood as enum ('good');
             create function shop.told(shop.mood) returns json language plpgsql as
                 $$ begin insert into shop.ran_as values (current_user); return '\"good\"'; end $$;
             create cast (shop.mood as json) with function shop.told(shop.mood);
             reset role;
             alter table shop.purchase_order add mood shop.mood default 'good';
             set role {role};
             insert into shop.purchase_order values (1, 1, 'submitted', 1, 'bob', 'x');
             reset role"
        ))
        .await;
    let ran_as: Vec<String> =
        sqlx::query_scalar("select name from shop.ran_as").fetch_all(&story.pool).await.unwrap();
    assert_eq!(ran_as, [role.as_str()]);
    assert_eq!(story.count("select count(*) from herald.event where new->>'mood' = 'good'").await, 1);
    story.execute("drop schema shop cascade").await;
    story.execute(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test]
async fn c03d_a_watch_follows_its_table_when_that_is_made_anew_or_renamed() {
    let story = shop().await;
    let inserts = watch(&story, "insert").await;
    story.execute("alter table shop.purchase_order rename to old_order; create table shop.purchase_order (like shop.old_order)").await;
    assert!(story.say(&["watch", "list"]).await.contains("trigger"), "it is told that the trigger is gone");
    assert_eq!(watch(&story, "insert").await, inserts, "the same watch, on the new table");
    story.execute("insert into shop.purchase_order values (1, 1, 'submitted', 1, 'bob', 'x')").await;
    assert_eq!(results(&story).await.len(), 1);
    story.say(&["watch", "remove", &inserts]).await;
    let left = "select count(*) from pg_trigger where tgname like 'herald_watch%'";
    assert_eq!(story.count(left).await, 0, "neither there nor on the table that was renamed");
}
