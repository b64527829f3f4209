//! Sending from SQL, as programs do it: in their own transaction, under a role of their own.

use std::collections::BTreeSet;
use std::process::Output;

use chrono::{SubsecRound as _, TimeDelta};
use herald_jobs::store;
use herald_producers::{MessageId, NewContact, NewMessage, SendError};
use serde_json::json;
use tokio::process::Command;
use uuid::Uuid;

use crate::support::eventually;
use crate::support::herald::{Story, message};

/// A role of the test's own, which may send as `report`, and how it connects.
struct Role<'a> {
    story: &'a Story,
    name: String,
    url: String,
}

impl<'a> Role<'a> {
    async fn new(story: &'a Story) -> Self {
        let database = story.database_url.rsplit('/').next().unwrap().to_owned();
        let name = format!("reports_{database}");
        story.execute(&format!("create role {name} login password 'x'")).await;
        let mut url: url::Url = story.database_url.parse().unwrap();
        url.set_username(&name).unwrap();
        url.set_password(Some("x")).unwrap();
        Self { story, name, url: url.into() }
    }

    async fn granted(story: &'a Story) -> Self {
        let role = Self::new(story).await;
        story.say(&["grant", "send", &role.name, "--as", "report"]).await;
        role
    }

    async fn gone(self) {
        self.story.execute(&format!("drop owned by {0}; drop role {0}", self.name)).await;
    }

    /// What psql does with this script, stopping at the first error.
    async fn psql(&self, script: &str) -> Output {
        let mut command = Command::new(herald::private::psql().unwrap());
        command.args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-c", script, &self.url]);
        command.output().await.unwrap()
    }

    async fn python(&self, script: &str) -> Output {
        let python = herald::private::home().unwrap().join("pkg/bin/python-psycopg");
        assert!(python.is_file(), "run `scripts/setup python`");
        Command::new(python).args(["-c", script, &self.url]).output().await.unwrap()
    }
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "it succeeded: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn c31_psql_sends_inside_its_own_transaction() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let role = Role::granted(&story).await;
    let send = "select herald.send_message(recipient => 'ann', message_text => 'from psql', message_type => 'VIEW-NORMAL',
                    sender => 'report', sender_instance => '7')";
    printed(&role.psql(&format!("begin; {send}; rollback")).await);
    assert_eq!(story.count("select count(*) from herald.outbox").await, 0, "a rollback leaves nothing");
    let id: Uuid = printed(&role.psql(&format!("begin; {send}; commit")).await).parse().unwrap();
    story.drain().await;
    story.assert_delivered(&BTreeSet::from([id])).await;
    let standing = story.producer.standing(MessageId(id)).await.unwrap().unwrap();
    assert_eq!(standing.sent_by.unwrap(), format!("role {}", role.name));
    let said = complaint(
        &role.psql("select herald.send_message('nobody', 'x', 'VIEW-NORMAL', 'report', '7')").await,
    );
    for part in [
        "ERROR:  22023: recipient: there is no active user of this name",
        "DETAIL:  The argument recipient was refused, and nothing was sent.",
        "HINT:  Add the user",
        "COLUMN NAME:  recipient",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    workers.stop().await;
    role.gone().await;
}

#[tokio::test]
async fn c31_python_sends_inside_its_own_transaction() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let role = Role::granted(&story).await;
    let script = r#"
import sys, psycopg
from psycopg.types.json import Jsonb
send = """select herald.send_message(recipient => %s, message_text => %s, message_type => 'VIEW-NORMAL',
              sender => 'report', sender_instance => '7', recipients => %s)"""
with psycopg.connect(sys.argv[1]) as connection:
    copies = Jsonb([{"contact_reference": "hana@harbour.example", "email_mode": "Cc"}])
    try:
        with connection.transaction():
            connection.execute(send, ["ann", "rolled back", copies])
            raise RuntimeError("the caller's own work failed")
    except RuntimeError:
        pass
    with connection.transaction():
        print(connection.execute(send, ["ann", "from Python", copies]).fetchone()[0])
    try:
        connection.execute(send, ["ann", " ", None])
    except psycopg.Error as error:
        print(error.sqlstate, error.diag.column_name, error.diag.message_primary)
"#;
    let said = printed(&role.python(script).await);
    let (id, refusal) = said.split_once('\n').unwrap();
    assert_eq!(refusal, "22023 message_text message_text: must not be empty");
    let sent = BTreeSet::from([id.parse().unwrap()]);
    eventually("it to arrive", async || story.delivered().await == sent).await;
    let [copy] = story.copies(MessageId(id.parse().unwrap())).await.try_into().unwrap();
    assert_eq!((copy.address.as_str(), copy.mode.as_str()), ("hana@harbour.example", "cc"));
    workers.stop().await;
    role.gone().await;
}

#[tokio::test]
async fn sql_takes_all_that_rust_takes_and_shares_its_keys() {
    let story = Story::begin().await;
    // Postgres keeps microseconds.
    let at = story.clock.now().trunc_subsecs(6) + TimeDelta::hours(1);
    let by_rust = NewMessage {
        external_message: Some("Short #n#".into()),
        subject: Some("Numbers".into()),
        instance: json!({"n": 1.5, "none": null}).as_object().cloned(),
        syntax: herald_jobs::send::Syntax::Handlebars,
        recipients: vec![
            NewContact { contact_reference: "a@example.com".into(), email_mode: "Bcc".into() },
            NewContact { contact_reference: "+49 170 1234567".into(), email_mode: "To".into() },
        ],
        deliver_at: Some(at),
        lane: Some(herald_jobs::message_type::Lane::Bulk),
        ..message("ann", "VIEW-NORMAL", "Number {{n}}")
    };
    let by_sql = || {
        sqlx::query_scalar::<_, Uuid>(
            r#"select herald.send_message('ann', 'Number {{n}}', 'VIEW-NORMAL', 'report', '7', external_message => 'Short #n#',
                   subject => 'Numbers', instance => '{"n": 1.5, "none": null}', syntax => 'handlebars', lane => 'bulk',
                   recipients => '[{"contact_reference": "a@example.com", "email_mode": "Bcc"},
                                   {"contact_reference": "+49 170 1234567"}]',
                   deliver_at => $1, idempotency_key => 'k')"#,
        )
        .bind(at)
        .fetch_one(&story.pool)
    };
    let id = by_sql().await.unwrap();
    assert_eq!(by_sql().await.unwrap(), id);
    let sent = story.producer.send_once(by_rust, "k").await.unwrap();
    assert_eq!((sent.id.0, sent.replayed), (id, true));
    assert_eq!(story.count("select count(*) from herald.outbox where lane = 'bulk'").await, 1);
    let workers = story.work().await;
    story.clock.advance(TimeDelta::hours(2));
    eventually("it to arrive", async || story.delivered().await == BTreeSet::from([id])).await;
    let [got] = story.pending("ann", false).await.try_into().unwrap();
    assert_eq!((got.message_text.as_str(), got.subject.as_str()), ("Number 1.5", "Numbers"));
    let mut copies: Vec<String> = story.copies(sent.id).await.into_iter().map(|copy| copy.address).collect();
    copies.sort();
    assert_eq!(copies, ["+491701234567", "a@example.com"]);
    workers.stop().await;
}

#[tokio::test]
async fn a_role_sends_as_its_own_senders_only() {
    let story = Story::begin().await;
    let role = Role::new(&story).await;
    let send =
        |sender: &str| format!("select herald.send_message('ann', 'x', 'VIEW-NORMAL', '{sender}', '7')");
    // Without a grant it may not even look.
    assert!(complaint(&role.psql(&send("report")).await).contains("42501"));
    story.say(&["grant", "send", &role.name, "--as", "report"]).await;
    let own: Uuid = printed(&role.psql(&send("report")).await).parse().unwrap();
    for (script, said) in [
        (send("order"), "sender: the role"),
        (format!("{}; set role none; {}", send("report"), send("order")), "herald grant send"),
        ("select herald.upsert_user('zoe')".to_owned(), "42501"),
        ("select herald.cancel(array[]::uuid[], now())".to_owned(), "42501"),
    ] {
        let complaint = complaint(&role.psql(&script).await);
        assert!(complaint.contains(said), "{script}: {complaint}");
    }
    // Others' messages do not exist for it.
    let others = story
        .producer
        .send(NewMessage { sender: "order".into(), ..message("ann", "VIEW-NORMAL", "x") })
        .await
        .unwrap();
    for call in ["add_recipient('{}', 'a@example.com')", "cancel_message('{}')"] {
        let of = |id: Uuid| format!("select herald.{}", call.replace("{}", &id.to_string()));
        let said = complaint(&role.psql(&of(others.0)).await);
        assert!(said.contains(&format!("message_id: there is no message {others}")), "{said}");
        printed(&role.psql(&of(own)).await);
        if call.starts_with("cancel") {
            assert_eq!(printed(&role.psql(&of(own)).await), "f", "it was cancelled before");
        }
    }
    let listed = story.say(&["grant", "list"]).await;
    assert_eq!(listed, format!("{} sends as report\n", role.name));
    for (arguments, said) in [
        (["grant", "send", "nobody_at_all", "--as", "report"], "role"),
        (["grant", "send", role.name.as_str(), "--as", " "], "sender"),
        (["grant", "revoke", role.name.as_str(), "--as", "order"], "no such grant"),
    ] {
        let complaint = complaint(&story.run(&arguments).await);
        assert!(complaint.contains(said), "{arguments:?}: {complaint}");
    }
    // Who is a member of a role sends as its senders.
    let member = format!("member_{}", role.name);
    story.execute(&format!("create role {member} in role {}", role.name)).await;
    let sends = story.pool.begin().await;
    let mut as_member = sends.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("set session authorization {member}")))
        .execute(&mut *as_member)
        .await
        .unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(send("report"))).execute(&mut *as_member).await.unwrap();
    as_member.rollback().await.unwrap();
    story.execute(&format!("reset session authorization; drop owned by {member}; drop role {member}")).await;

    story.say(&["grant", "revoke", &role.name]).await;
    assert!(complaint(&role.psql(&send("report")).await).contains("permission denied for function"));
    role.gone().await;
}

#[tokio::test]
async fn c13_what_waits_can_be_cancelled() {
    let story = Story::begin().await;
    story
        .add_type("MAIL", |kind| kind.external_delivery = herald_jobs::message_type::ExternalDelivery::Email)
        .await;
    let cancel = async |id: MessageId| story.producer.cancel(id).await;
    let status = async |id: MessageId| story.producer.standing(id).await.unwrap().unwrap().status;
    // On its way, for later, with a copy that was asked for already.
    let later = NewMessage {
        deliver_at: Some(story.clock.now() + TimeDelta::hours(1)),
        ..message("ann", "MAIL", "later")
    };
    let waits = story.producer.send(later).await.unwrap();
    let contact = NewContact { contact_reference: "a@example.com".into(), email_mode: "To".into() };
    story.producer.add_recipient(waits, &contact).await.unwrap();
    // In its inbox; its copy cannot go out, since there is no mail server.
    let there = story.producer.send(message("ann", "MAIL", "there")).await.unwrap();
    let acted = story.producer.send(message("ann", "VIEW-NORMAL", "acted")).await.unwrap();
    let workers = story.work().await;
    eventually("both to arrive", async || story.pending("ann", false).await.len() == 2).await;
    store::inbox::act(&story.pool, story.user("ann").await, &[(acted.0, None)], story.clock.now())
        .await
        .unwrap();

    // The caller's transaction decides.
    let mut transaction = story.pool.begin().await.unwrap();
    sqlx::query("select herald.cancel_message($1)").bind(there.0).execute(&mut *transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(status(there).await, "pending");
    for id in [waits, there] {
        assert!(cancel(id).await.unwrap());
        assert_eq!(status(id).await, "cancelled");
        let [copy] = story.copies(id).await.try_into().unwrap();
        assert_eq!(copy.state.as_str(), "cancelled");
        assert!(!cancel(id).await.unwrap(), "it was cancelled before");
    }
    assert!(story.pending("ann", false).await.is_empty());
    match cancel(acted).await {
        Err(SendError::TooLate(said)) => assert_eq!(said, "the message was acted"),
        other => panic!("{other:?}"),
    }
    match cancel(MessageId(Uuid::nil())).await {
        Err(SendError::Refused(refusal)) => assert_eq!(refusal.field, "message_id"),
        other => panic!("{other:?}"),
    }
    story.clock.advance(TimeDelta::hours(2));
    let last = story.producer.send(message("ann", "VIEW-NORMAL", "last")).await.unwrap();
    eventually("the last one to arrive", async || status(last).await == "pending").await;
    assert_eq!(story.pending("ann", false).await.len(), 1, "what was cancelled does not come later");
    workers.stop().await;
}

#[tokio::test]
async fn c13_a_role_cancels_batches_of_its_own_senders_alone() {
    let story = Story::begin().await;
    let role = Role::granted(&story).await;
    let recipients = ["ann", "bob"].map(str::to_owned);
    let own = story.producer.send_many(message("", "VIEW-NORMAL", "x"), &recipients).await.unwrap();
    let other = NewMessage { sender: "payroll".into(), ..message("", "VIEW-NORMAL", "x") };
    let other = story.producer.send_many(other, &recipients).await.unwrap();
    let cancel = |id: Uuid| format!("select herald.cancel_batch('{id}')");
    let said = complaint(&role.psql(&cancel(other.id)).await);
    assert!(said.contains(&format!("22023: batch_id: there is no batch {}", other.id)), "{said}");
    assert_eq!(printed(&role.psql(&format!("begin; {}; rollback", cancel(own.id))).await), "t");
    let status = async |id: &Result<MessageId, SendError>| {
        story.producer.standing(*id.as_ref().unwrap()).await.unwrap().unwrap().status
    };
    assert_eq!(status(&own.answers[0]).await, "accepted", "the caller's transaction decides");
    assert_eq!(printed(&role.psql(&cancel(own.id)).await), "t");
    assert_eq!(printed(&role.psql(&cancel(own.id)).await), "f");
    assert_eq!(
        (status(&own.answers[0]).await, status(&other.answers[0]).await),
        ("cancelled".into(), "accepted".into())
    );
    role.gone().await;
}
