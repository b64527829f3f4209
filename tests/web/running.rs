//! What runs, as operators and administrators see it and act on it: deliveries, the events of watched tables, and what else an operator
//! may use.

use herald_jobs::store::{self, ledger};
use reqwest::StatusCode;
use uuid::Uuid;

use super::administering::post;
use super::authoring::company;
use crate::support::eventually;
use crate::support::world::{Browser, Page, World, between};

#[tokio::test]
async fn operators_see_what_runs_and_maintain_nothing() {
    let world = World::start().await;
    let operator = world.in_role("oz", "operator").await;
    store::registry::set(&world.pool, "SMTP-SERVER", Some("smtp.example.com")).await.unwrap();
    let menu = operator.get("/").await.body;
    for path in ["deliveries", "watched", "schedule", "registry", "audit"] {
        assert!(menu.contains(&format!("href=\"/admin/{path}\"")), "{path}: {menu}");
        assert_eq!(operator.get(&format!("/admin/{path}")).await.status, StatusCode::OK, "{path}");
    }
    for path in
        ["types", "choices", "users", "templates", "reminders", "events", "watches", "models", "tokens"]
    {
        assert!(!menu.contains(&format!("href=\"/admin/{path}\"")), "{path}: {menu}");
        assert_eq!(operator.get(&format!("/admin/{path}")).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let registry = operator.get("/admin/registry").await;
    assert!(registry.body.contains("smtp.example.com") && registry.body.contains("Send a test mail to"));
    assert!(!registry.body.contains("/admin/registry/edit/"), "{}", registry.body);
    let edit = operator.post("/admin/registry/edit/email", &[("SMTP-SERVER", "evil.example")]).await;
    assert_eq!(edit.status, StatusCode::FORBIDDEN);
    let test = operator.post("/admin/registry/test/email", &[("to", "oz@example.com")]).await;
    assert_eq!(test.location(), "/admin/registry?done=tested&to=email#test-email");
    let run = operator.post("/admin/schedule/run/purge", &[]).await;
    let told = ["ran", "asked"].map(|done| format!("/admin/schedule?done={done}&to=purge"));
    assert!(told.iter().any(|it| it == run.location()), "{}", run.location());
    let log = operator.get("/admin/audit?actor=oz").await.body;
    assert!(log.contains("check email") && log.contains("periodic run"), "{log}");

    let recipient = world.logged_in("ann").await;
    assert!(!recipient.get("/").await.body.contains("/admin/"));
    let page = recipient.get("/admin/deliveries").await;
    assert!(page.status == StatusCode::FORBIDDEN && page.body.contains("for operators and administrators"));
    let administrator = world.administrator("adam").await;
    assert_eq!(administrator.get("/admin/deliveries").await.status, StatusCode::OK);
    let form = administrator.get("/admin/users/new").await.body;
    assert!(
        form.contains("acts on it, and maintains nothing") && form.contains("may do all that operators may"),
        "{form}"
    );
}

/// Copies of messages that are not there.
async fn copies(world: &World, many: i32, state: &str, address: &str) {
    sqlx::query(
        "insert into herald.delivery (id, message_id, channel, address, lane, state, reason, next_attempt_at, created_at)
         select herald.uuid_v7(), herald.uuid_v7(), case when $3 like '+%' then 'sms' else 'email' end, $3, 'normal', $2, 'said ' || $2,
                now(), now() from generate_series(1, $1)",
    )
    .bind(many)
    .bind(state)
    .bind(address)
    .execute(&world.pool)
    .await
    .unwrap();
}

fn rows(page: &Page) -> usize {
    page.body.matches("<p class=\"about\">").count()
}

fn next(page: &Page) -> Option<String> {
    let nav = between(&page.body, "<nav class=\"pager\"", "</nav>")?;
    Some(between(nav, "href=\"", "\"")?.replace("&#38;", "&"))
}

#[tokio::test]
async fn deliveries_are_read_page_by_page_by_state_channel_and_recipient() {
    let world = World::start().await;
    let operator = world.in_role("oz", "operator").await;
    // What is looked for lies further back than one look goes.
    copies(&world, 2, "failed", "Old@example.com").await;
    copies(&world, 20_000, "sent", "many@example.com").await;
    copies(&world, 120, "failed", "new@example.com").await;
    copies(&world, 3, "unknown", "+491701234567").await;

    let mut path = "/admin/deliveries?state=failed".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = operator.get(&path).await;
        assert!(!page.body.contains(">said sent<"), "{path}");
        seen.push(rows(&page));
        let Some(next) = next(&page) else { break };
        assert!(next.contains("state=failed"), "{next}");
        path = next;
    }
    assert_eq!(seen.iter().sum::<usize>(), 122, "{seen:?}");
    assert_eq!(seen[..2], [50, 50]);
    let page = operator.get("/admin/deliveries?channel=sms").await;
    assert!(rows(&page) == 3 && page.body.contains(">unknown</span>"), "{}", page.body);
    let page = operator.get("/admin/deliveries?address=OLD%40example.com").await;
    assert!(rows(&page) == 0 && page.body.contains("Search further back"), "{}", page.body);
    assert_eq!(rows(&operator.get(&next(&page).unwrap()).await), 2);
    let page = operator.get("/admin/deliveries?state=unknown&channel=email").await;
    assert!(page.body.contains("Show all"), "{}", page.body);
    for bad in ["state=lost", "channel=pigeon", "before=x"] {
        let page = operator.get(&format!("/admin/deliveries?{bad}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

async fn set(world: &World, id: Uuid, state: &str) {
    sqlx::query("update herald.delivery set state = $2 where id = $1")
        .bind(id)
        .bind(state)
        .execute(&world.pool)
        .await
        .unwrap();
}

async fn state(world: &World, id: Uuid) -> String {
    ledger::find(&world.pool, id.to_string().parse().unwrap()).await.unwrap().unwrap().state.to_string()
}

#[tokio::test]
async fn a_delivery_is_tried_again_and_withdrawn_on_a_screen() {
    let world = World::start().await;
    world.user("ann").await;
    sqlx::raw_sql("update herald.app_user set email = 'ann@example.com'").execute(&world.pool).await.unwrap();
    // It waits: no mail server is set.
    world.send("ann", "ALERT-EMAIL", "Hello").await;
    let id: Uuid = sqlx::query_scalar("select id from herald.delivery").fetch_one(&world.pool).await.unwrap();
    sqlx::query(
        "insert into herald.delivery_attempt (delivery_id, number, started_at, finished_at, outcome, code, reply)
         values ($1, 1, now() - interval '1.5 s', now(), 'deferred', 450, '<b>try</b> later')",
    )
    .bind(id)
    .execute(&world.pool)
    .await
    .unwrap();
    let operator = world.in_role("oz", "operator").await;
    let act = async |what: &str, seen: &str| {
        operator.get("/admin/deliveries").await;
        operator.post(&format!("/admin/deliveries/{what}/{id}?state={seen}"), &[("state", seen)]).await
    };

    let page = operator.get("/admin/deliveries").await;
    for shown in
        ["ann@example.com", "1 attempt<", "put off after 1.5 s, code 450", "&#60;b&#62;try", "Next attempt"]
    {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
    let refused = act("retry", "pending").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(
        refused.body.contains("ann@example.com is pending: it is tried by itself at"),
        "{}",
        refused.body
    );

    for seen in ["failed", "suppressed", "unknown"] {
        set(&world, id, seen).await;
        let page = operator.get("/admin/deliveries").await;
        let asks_first = page.body.contains("it may arrive twice");
        assert_eq!(asks_first, seen == "unknown", "{seen}: {}", page.body);
        let done = act("retry", seen).await;
        assert_eq!(done.location(), format!("/admin/deliveries?state={seen}&done=retried"), "{}", done.body);
        assert!(operator.get(done.location()).await.body.contains("It is tried again now."));
        assert_eq!(state(&world, id).await, "pending");
    }
    // What became unknown after it was looked at is not sent twice unknowingly.
    set(&world, id, "unknown").await;
    let refused = act("retry", "failed").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.body.contains("is unknown by now"), "{}", refused.body);
    assert_eq!(state(&world, id).await, "unknown");
    let refused = act("cancel", "unknown").await;
    assert!(refused.body.contains("only what is pending can be cancelled"), "{}", refused.body);
    sqlx::raw_sql("insert into herald.suppression (address, reason, created_at) values ('ann@example.com', 'came back', now())")
        .execute(&world.pool)
        .await
        .unwrap();
    assert!(act("retry", "unknown").await.body.contains("gets no copies (came back)"));

    set(&world, id, "pending").await;
    assert_eq!(act("cancel", "pending").await.location(), "/admin/deliveries?state=pending&done=cancelled");
    assert_eq!(state(&world, id).await, "cancelled");
    for (what, path) in [
        ("retry", "/admin/deliveries/retry/x"),
        ("cancel", &*format!("/admin/deliveries/cancel/{}", Uuid::nil())),
    ] {
        assert_eq!(post_after(&operator, path).await.status, StatusCode::NOT_FOUND, "{what}");
    }
    let done: Vec<(String, String)> =
        sqlx::query_as("select actor, action from herald.audit where subject = $1 order by id")
            .bind(id.to_string())
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let done: Vec<_> = done.iter().map(|(actor, action)| (actor.as_str(), action.as_str())).collect();
    let retry = ("oz", "delivery retry");
    assert_eq!(done, [retry, retry, retry, ("oz", "delivery cancel")]);
}

async fn post_after(browser: &Browser, path: &str) -> Page {
    browser.get("/admin/deliveries").await;
    browser.post(path, &[("state", "failed")]).await
}

#[tokio::test]
async fn an_event_that_failed_is_seen_and_replayed_on_a_screen() {
    let (world, administrator) = company().await;
    let watch = [("table", "public.purchase_order"), ("on", "update:status")];
    post(&administrator, "/admin/watches/new", &watch).await;
    let watch = store::watches::list(&world.pool).await.unwrap().remove(0).id.to_string();
    let rule = [
        ("code", "PO-SENT"),
        ("watch", watch.as_str()),
        ("condition", "new.id <= 8"),
        ("message_type", "VIEW-NORMAL"),
        ("message_text", "Order #new.id# is #new.status#."),
        ("syntax", "token"),
        ("recipient_path", "owner"),
        ("enabled", "on"),
    ];
    assert_eq!(post(&administrator, "/admin/events/new", &rule).await.location(), "/admin/events?done=saved");
    world.user("ann").await;
    sqlx::raw_sql("update public.purchase_order set status = 'sent'").execute(&world.pool).await.unwrap();
    let operator = world.in_role("oz", "operator").await;
    let all = format!("/admin/watched?state=all&watch={watch}");
    eventually("the events to be handled", async || {
        let page = operator.get(&all).await;
        rows(&page) == 3 && !page.body.contains(">waits<")
    })
    .await;
    // Of order 7 ann was told; the owner of 8 is nobody; 9 was not wanted.
    let failed = operator.get("/admin/watched").await;
    assert_eq!(rows(&failed), 1, "{}", failed.body);
    assert!(
        failed.body.contains("owner leads to no active user")
            && failed.body.contains("public.purchase_order")
    );
    assert_eq!(rows(&operator.get("/admin/watched?state=waiting").await), 0);
    assert_eq!(rows(&operator.get("/admin/watched?state=all&watch=4711").await), 0);
    let beside = administrator.get(&format!("/admin/watches/edit/{watch}")).await;
    assert_eq!(beside.body.matches(">Replay</button>").count(), 3, "{}", beside.body);

    let nobody = world.logged_in("nobody").await;
    let replay = between(&failed.body, "action=\"/admin/watched/replay/", "\"").unwrap().to_owned();
    let done = operator.post(&format!("/admin/watched/replay/{replay}"), &[]).await;
    assert_eq!(done.location(), "/admin/watched?done=replayed", "{}", done.body);
    assert!(operator.get(done.location()).await.body.contains("The rules see it once more now"));
    eventually("the message", async || nobody.get("/messages").await.body.contains("Order 8 is sent.")).await;
    assert_eq!(rows(&operator.get("/admin/watched").await), 0);
    let audited: i64 = sqlx::query_scalar(
        "select count(*) from herald.audit where actor = 'oz' and action = 'event replay'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(audited, 1);
    for (path, status) in [
        ("/admin/watched?state=lost", StatusCode::BAD_REQUEST),
        ("/admin/watched?watch=x", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(operator.get(path).await.status, status, "{path}");
    }
    assert_eq!(operator.post("/admin/watched/replay/999999", &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn events_that_failed_are_found_however_far_back_they_are() {
    let world = World::start().await;
    let operator = world.in_role("oz", "operator").await;
    sqlx::raw_sql(
        "insert into herald.event (watch_id, handled_at, result, sent_by, failed) values
             (1, now(), 'A: sent 1; B: template: there is none', '{A}', true), (1, now(), 'given up: the table is gone', '{}', true);
         insert into herald.event (watch_id, handled_at, result, sent_by)
         select 2, now(), case when n % 2 = 0 then 'no rule wanted it' else 'A: sent 2 without x@y; B: sent 1' end, '{A,B}'
         from generate_series(1, 20000) n",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let page = operator.get("/admin/watched").await;
    assert!(rows(&page) == 2 && next(&page).is_none(), "{}", page.body);
    assert_eq!(rows(&operator.get("/admin/watched?watch=1").await), 2);
    assert_eq!(rows(&operator.get("/admin/watched?watch=2").await), 0);
    let page = operator.get("/admin/watched?state=all&watch=2").await;
    assert!(
        rows(&page) == 50 && next(&page).is_some_and(|it| it.contains("watch=2") && it.contains("state=all"))
    );
}
