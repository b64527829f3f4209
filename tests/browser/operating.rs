//! The pages on which administrators look after Herald itself, as they look: wide and on 320 pixels, in light and dark, without a
//! barrier; and the demo's switch.

use herald_jobs::store;
use herald_jobs::store::audit;
use herald_web::access::NewToken;

use super::stage::Stage;
use crate::support::eventually;

async fn administrator() -> Stage {
    let stage = Stage::start().await;
    let mut connection = stage.pool.acquire().await.unwrap();
    store::users::set_roles(&mut *connection, 1, &["admin".to_owned()]).await.unwrap();
    drop(connection);
    stage.log_in().await;
    stage
}

async fn furnish(stage: &Stage) {
    let clock = herald_jobs::clock::Clock::system();
    for (name, rate) in [("ERP", None), ("Nightly reports", Some(600))] {
        let token = NewToken {
            name: name.to_owned(),
            sender: "purchase_order".to_owned(),
            senders: vec!["report_task".to_owned()],
            rate,
            admin: rate.is_none(),
            ..NewToken::default()
        };
        herald_web::access::new_api_token(&stage.pool, &clock, token, "test").await.unwrap();
    }
    for (action, subject) in
        [("user set", "bob"), ("type set", "PO-APPROVE"), ("registry set", "SMTP-SERVER")]
    {
        audit::record(&stage.pool, "ann", action, subject).await.unwrap();
    }
    sqlx::raw_sql(DELIVERIES).execute(&stage.pool).await.unwrap();
    for (key, value) in [("SMTP-SERVER", "smtp.example.com"), ("SMTP-PORT", "587")] {
        store::registry::set(&stage.pool, key, Some(value)).await.unwrap();
    }
}

const DELIVERIES: &str = "
    insert into herald.delivery (id, message_id, channel, address, lane, state, reason, next_attempt_at, created_at)
    select herald.uuid_v7(), herald.uuid_v7(), channel, address, 'normal', state, reason, now(), now() - interval '2 hours'
    from (values ('email', 'ann@example.com', 'sent', '250 2.0.0 Ok: queued as 4F1'),
                 ('email', 'a.rather.long.name.of.somebody@department.subsidiary.example.com', 'failed', '550 5.1.1 User unknown'),
                 ('sms', '+491701234567', 'unknown', 'The worker that was sending this fell silent.'),
                 ('email', 'bob@example.com', 'suppressed', 'The address is suppressed: came back')) v(channel, address, state, reason);
    insert into herald.delivery_attempt (delivery_id, number, started_at, finished_at, outcome, code, reply)
    select id, 1, now(), now(), 'refused', 550, reason from herald.delivery where state = 'failed';
    insert into herald.event (watch_id, handled_at, result, failed, sent_by) values
        (1, now(), 'no rule wanted it', false, '{}'), (1, now(), 'PO-SENT: sent 1', false, '{PO-SENT}'),
        (1, now(), 'PO-SENT: recipient_path: owner.manager leads to no active user', true, '{}')";

pub(super) const PAGES: [(&str, &str); 12] = [
    ("/admin/registry", "registry"),
    ("/admin/registry/edit/email", "registry-email"),
    ("/admin/registry/edit/sms", "registry-sms"),
    ("/admin/schedule", "schedule"),
    ("/admin/tokens", "tokens"),
    ("/admin/tokens/new", "token"),
    ("/admin/audit?actor=ann", "audit"),
    ("/admin/deliveries", "deliveries"),
    ("/admin/deliveries?state=sent&address=nobody@example.com", "no-deliveries"),
    ("/admin/watched?state=all", "watched"),
    ("/admin/users/import", "import"),
    ("/admin/users/edit/bob", "user"),
];

#[tokio::test]
async fn the_pages_of_operation_hold_no_barrier_and_nothing_sideways() {
    let stage = administrator().await;
    furnish(&stage).await;
    for scheme in ["light", "dark"] {
        stage.prefer("prefers-color-scheme", scheme).await;
        for (width, height) in [(1_280, 900), (320, 640)] {
            stage.resize(width, height).await;
            for (path, name) in PAGES {
                stage.go(path).await;
                stage.find("main").await;
                stage.screenshot(&format!("{width}-{scheme}-{name}")).await;
                assert_eq!(stage.barriers().await, Vec::<String>::new(), "{path}, {scheme}, {width}");
                assert!(stage.overflow().await <= 0, "{path} is wider than {width}");
            }
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn a_token_is_made_and_revoked_by_hand() {
    let stage = administrator().await;
    stage.go("/admin/tokens/new").await;
    stage.find("#field-name").await.send_keys("By hand").await.unwrap();
    stage.find("#field-sender").await.send_keys("report_task").await.unwrap();
    stage.leave_by("form.maintain button").await;
    eventually("the token", async || stage.text(".secret code").await.starts_with("hrld_")).await;
    assert_eq!(stage.barriers().await, Vec::<String>::new(), "the token that was made");
    stage.go("/admin/tokens").await;
    stage.find(".sure summary").await.click().await.unwrap();
    assert_eq!(stage.barriers().await, Vec::<String>::new(), "sure?");
    stage.leave_by(".sure button").await;
    eventually("it to be revoked", async || stage.text("tbody").await.contains("revoked")).await;
    stage.end().await;
}

#[tokio::test]
async fn a_file_of_users_is_chosen_looked_at_and_imported() {
    let stage = administrator().await;
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::fs::write(file.path(), "username,email\ncarla,carla@example.com\ndave,nobody\n").unwrap();
    stage.go("/admin/users/import").await;
    stage.find("#file").await.send_keys(file.path().to_str().unwrap()).await.unwrap();
    let typed = "return document.querySelector('#csv').value";
    eventually("the file to be read", async || stage.run(typed, vec![]).await.to_string().contains("dave"))
        .await;
    stage.leave_by("button[value=check]").await;
    eventually("the refusal", async || stage.text("main").await.contains("Row 2: email")).await;
    assert_eq!(stage.barriers().await, Vec::<String>::new(), "a refused import");
    stage.run("document.querySelector('#csv').value = 'username\\ncarla\\n'", vec![]).await;
    stage.leave_by("button.primary").await;
    eventually("the import", async || stage.text("main").await.contains("1 added, 0 changed.")).await;
    stage.end().await;
}
