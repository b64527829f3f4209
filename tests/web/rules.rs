//! The pages on which reminder rules and event rules are written, tried and run.

use herald_jobs::store;
use reqwest::StatusCode;

use super::administering::{post, version, with};
use super::authoring::{company, problem};
use crate::support::world::World;

/// A form for a rule over the orders, whose template is `PO-WAITS`.
pub(crate) const RULE: [(&str, &str); 16] = [
    ("code", "PO-OVERDUE"),
    ("description", "Orders that wait"),
    ("model", "purchase_order"),
    ("initial", "since"),
    ("status", "status"),
    ("unchanged", "open\r\nheld"),
    ("where", "id > 1\r\ncustomer.name is not null"),
    ("interval", "1 week"),
    ("recipient", "owner"),
    ("contacts", "customer.name Cc email"),
    ("message_type", "VIEW-NORMAL"),
    ("template", "PO-WAITS"),
    ("zone", "Europe/Berlin"),
    ("catch_up", "all"),
    ("from", "all"),
    ("cap", "1000"),
];

/// Saves the template of `RULE`.
pub(crate) async fn template(world: &World) {
    let template = herald_jobs::message_template::MessageTemplate {
        code: "PO-WAITS".into(),
        model: Some("purchase_order".into()),
        message_text: "Order #id# waits.".into(),
        ..Default::default()
    };
    store::message_templates::put(&world.pool, &[template], "test").await.unwrap();
}

#[tokio::test]
async fn c34_a_reminder_rule_is_written_tried_and_run_on_a_screen() {
    let (world, browser) = company().await;
    world.user("ann").await;
    template(&world).await;
    let path = "/admin/reminders/new";
    let rule = with(&RULE, &[("enabled", "on")]);

    // A dry run of what was typed: whom it would reach, and why not the rest. Nothing is saved.
    let page = post(&browser, path, &with(&rule, &[("do", "try")])).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    for shown in [
        "2 reminders are due.",
        "<strong>7</strong>",
        "to ann",
        "Order 7 waits.",
        "owner is &#34;nobody&#34;, who is no active user",
        "status is &#34;done&#34;",
        "No copy:",
        "Overdue now",
        "create index",
    ] {
        assert!(page.body.contains(shown), "{shown} in {}", page.body);
    }
    for (changes, shown) in [
        (vec![("from", "now")], "before the rule was to send"),
        (vec![("at", "2020-01-01")], "is due at"),
        (vec![("record", "4711")], "there is no such record"),
        (vec![("record", "8")], "no active user"),
        (vec![("window", "00:00-00:01"), ("at", "2027-01-01 12:00")], "the window is closed"),
        (
            vec![("where", "{\"any\": [{\"path\": \"id\", \"op\": \"=\", \"value\": 8}]}")],
            "1 reminder is due.",
        ),
    ] {
        let page = post(&browser, path, &with(&with(&rule, &[("do", "try")]), &changes)).await;
        assert!(page.status == StatusCode::OK && page.body.contains(shown), "{changes:?}: {}", page.body);
    }

    // What cannot be is told at its field and line, by a dry run and by a save.
    for (changes, field, said) in [
        (vec![("interval", "soon")], "interval", ""),
        (vec![("interval", "")], "interval", "is needed"),
        (vec![("unchanged", "")], "unchanged", "1 to 100"),
        (vec![("where", "id > 1\r\nid ~ 5")], "where", "line 2: must be written"),
        (vec![("where", "id > 1\r\nid = x")], "where", "line 2: cannot be compared"),
        (vec![("where", "gone = 1")], "where", "line 1:"),
        (vec![("where", "{\"any\": []}")], "where", "must not be empty"),
        (vec![("contacts", "owner Copy")], "contacts", "line 1:"),
        (vec![("initial", "owner")], "initial", ""),
        (vec![("status", "a b")], "status", "must be a path"),
        (vec![("model", "")], "model", ""),
        (vec![("template", "NONE")], "template", "there is no template"),
        (vec![("maximum", "many")], "maximum", "must be a whole number"),
        (vec![("zone", "Mars/Olympus")], "zone", "must be a time zone"),
        (vec![("valid_from", "soon")], "valid_from", "must be a time"),
        (vec![("from", "never")], "from", "must be one of"),
        (vec![("cap", "0")], "cap", "must be 1 to"),
    ] {
        for doing in ["try", "save"] {
            let page = post(&browser, path, &with(&with(&rule, &[("do", doing)]), &changes)).await;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{changes:?}: {}", page.body);
            let problem = problem(&page, field);
            assert!(
                !problem.is_empty() && problem.contains(said),
                "{changes:?}: {problem:?} in {}",
                page.body
            );
            assert!(page.body.contains("value=\"Orders that wait\""));
        }
    }
    let page = post(&browser, path, &with(&rule, &[("do", "try"), ("at", "tomorrow")])).await;
    assert!(problem(&page, "at").contains("must be a time"), "{}", page.body);
    assert_eq!(store::reminders::list(&world.pool, "", 9).await.unwrap().len(), 0);

    let page = post(&browser, path, &with(&rule, &[("enabled", "")])).await;
    assert_eq!(page.location(), "/admin/reminders?done=saved", "{}", page.body);
    let path = "/admin/reminders/edit/PO-OVERDUE";
    let opened = browser.get(path).await;
    assert!(
        opened.body.contains("State: disabled") && opened.body.contains("Sends all that is overdue."),
        "{}",
        opened.body
    );
    assert!(opened.body.contains("id &#62; 1\ncustomer.name is not null</textarea>"), "{}", opened.body);
    assert!(browser.get("/admin/reminders").await.body.contains("disabled"));

    // The form as it was opened, posted again, changes nothing; who is slower than another is told.
    let made_from = version(&opened);
    let before = store::reminders::get(&world.pool, "PO-OVERDUE").await.unwrap().unwrap().rule;
    let same = with(&rule, &[("enabled", ""), ("version", &made_from)]);
    assert_eq!(post(&browser, path, &same).await.location(), "/admin/reminders?done=saved");
    assert_eq!(store::reminders::get(&world.pool, "PO-OVERDUE").await.unwrap().unwrap().rule, before);
    let first = with(&same, &[("description", "First")]);
    assert_eq!(post(&browser, path, &first).await.status, StatusCode::SEE_OTHER);
    let page = post(&browser, path, &with(&same, &[("description", "Second")])).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(
        page.body.contains("Somebody changed this") && page.body.contains("value=\"Second\""),
        "{}",
        page.body
    );

    let doing = "/admin/reminders/do/PO-OVERDUE";
    assert_eq!(
        browser.post(doing, &[("do", "enable"), ("catch_up", "on")]).await.location(),
        format!("{path}?done=enabled")
    );
    let page = browser.get(path).await;
    assert!(page.body.contains("State: enabled"), "{}", page.body);
    assert_eq!(browser.post(doing, &[("do", "run")]).await.location(), format!("{path}?done=ran"));
    let page = browser.get(path).await;
    assert!(
        page.body.contains("sent 1, 1 not sent") && page.body.contains("<strong>7</strong>"),
        "{}",
        page.body
    );
    assert_eq!(browser.post(doing, &[("do", "disable")]).await.location(), format!("{path}?done=disabled"));
    assert_eq!(browser.post(doing, &[("do", "dance")]).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        browser.post("/admin/reminders/do/NONE", &[("do", "run")]).await.status,
        StatusCode::NOT_FOUND
    );
    let made_from = version(&browser.get(path).await);
    let page = browser.post(path, &[("do", "remove"), ("version", &made_from)]).await;
    assert_eq!(page.location(), "/admin/reminders?done=removed");

    let ann = world.browser();
    ann.log_in("ann", crate::support::world::PASSWORD).await;
    assert_eq!(ann.post(doing, &[("do", "run")]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_event_rule_is_written_on_a_screen_and_tried_on_what_happened() {
    let (world, browser) = company().await;
    world.user("ann").await;
    let path = "/admin/watches/new";
    for (table, on, field, said) in [
        ("public.gone", "insert", "table", "there is no table"),
        ("a/b.c.d", "insert", "table", "cross-database"),
        ("herald.message", "insert", "table", "one of Herald&#39;s own"),
        ("public.purchase_order", "sometimes", "on", "must be insert"),
        ("public.purchase_order", "update:gone", "on", "has no column"),
        ("a\0b", "insert", "table", "U+0000"),
    ] {
        let page = post(&browser, path, &[("table", table), ("on", on)]).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{table} {on}");
        assert!(
            problem(&page, field).contains(said) || page.body.contains(said),
            "{table} {on}: {}",
            page.body
        );
    }
    let page = post(&browser, path, &[("table", "public.purchase_order"), ("on", "update:status")]).await;
    assert_eq!(page.location(), "/admin/watches?done=saved", "{}", page.body);
    let watch = store::watches::list(&world.pool).await.unwrap().remove(0).id.to_string();
    let list = browser.get("/admin/watches").await.body;
    assert!(list.contains("public.purchase_order") && list.contains("is there"), "{list}");
    sqlx::raw_sql("update public.purchase_order set status = 'sent' where id in (7, 8)")
        .execute(&world.pool)
        .await
        .unwrap();

    let rule = [
        ("code", "PO-SENT"),
        ("watch", watch.as_str()),
        ("condition", "old.status == \"open\" &&\r\nnew.id == 7"),
        ("message_type", "VIEW-NORMAL"),
        ("subject", "Order #new.id#"),
        ("message_text", "Order #new.id# is #new.status#."),
        ("syntax", "token"),
        ("recipient_path", "owner"),
        ("contacts", "a@example.com"),
        ("enabled", "on"),
    ];
    let path = "/admin/events/new";
    let page = post(&browser, path, &with(&rule, &[("do", "try")])).await;
    for shown in [
        "VIEW-NORMAL to ann",
        "To: a@example.com",
        "<p class=\"subject\">Order 7</p><div class=\"text\">Order 7 is sent.</div>",
        "the condition does not hold",
        "public.purchase_order update:status",
    ] {
        assert!(page.body.contains(shown), "{shown} in {}", page.body);
    }
    // A contact that is none gets no copy, and it says so: here as on the command line.
    let tries = with(&rule, &[("contacts", "a@example.com\r\nstatus"), ("do", "try")]);
    let page = post(&browser, path, &tries).await;
    assert!(page.body.contains("No copy: &#34;sent&#34; at contacts"), "{}", page.body);
    assert!(page.body.contains("To: a@example.com") && !page.body.contains("To: sent"), "{}", page.body);
    // What cannot be rendered is told as well.
    let tries = with(&rule, &[("message_text", "Order #new.gone#"), ("do", "try")]);
    let page = post(&browser, path, &tries).await;
    assert!(page.body.contains("The fallback text comes instead:"), "{}", page.body);
    for (changes, field, said) in [
        (("code", "po"), "code", "must begin"),
        (("condition", "new.id >"), "condition", ""),
        (("message_text", ""), "message_text", "this or a template"),
        (("recipient_path", ""), "recipient", "this or a recipient_path"),
        (("contacts", "b@example.com\r\na b"), "contacts", "line 2:"),
        (("watch", "one"), "watch", "must be one of the watches"),
        (("syntax", "x"), "syntax", "must be one of"),
    ] {
        for doing in ["try", "save"] {
            let page = post(&browser, path, &with(&with(&rule, &[changes]), &[("do", doing)])).await;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{changes:?}");
            let problem = problem(&page, field);
            assert!(!problem.is_empty() && problem.contains(said), "{changes:?}: {}", page.body);
        }
    }
    for (changes, field) in [(("watch", "4711"), "watch"), (("message_type", "NONE"), "message_type")] {
        let page = post(&browser, path, &with(&rule, &[changes])).await;
        assert!(problem(&page, field).contains("there is no"), "{changes:?}: {}", page.body);
    }
    assert_eq!(post(&browser, path, &rule).await.location(), "/admin/events?done=saved");
    let output =
        world.command(&["event-rule", "dry-run", "PO-SENT"].map(str::to_owned)).output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("VIEW-NORMAL to ann, copies to a@example.com\n    Order 7: Order 7 is sent.\n"),
        "{said}"
    );
    let path = "/admin/events/edit/PO-SENT";
    let made_from = version(&browser.get(path).await);
    let changed = with(&rule, &[("version", &made_from), ("condition", "")]);
    assert_eq!(post(&browser, path, &changed).await.location(), "/admin/events?done=saved");
    assert_eq!(post(&browser, path, &changed).await.status, StatusCode::CONFLICT);

    // It works: what happens from now on becomes messages.
    sqlx::raw_sql("update public.purchase_order set status = 'late' where id = 9")
        .execute(&world.pool)
        .await
        .unwrap();
    let ann = world.browser();
    ann.log_in("ann", crate::support::world::PASSWORD).await;
    crate::support::eventually("the message", async || {
        ann.get("/messages").await.body.contains("Order 9 is late.")
    })
    .await;

    let path_of_watch = format!("/admin/watches/edit/{watch}");
    let page = browser.get(&path_of_watch).await;
    assert!(page.body.contains("The last events") && !page.body.contains(">Save<"), "{}", page.body);
    let made_from = version(&page);
    let page = browser.post(&path_of_watch, &[("do", "remove"), ("version", &made_from)]).await;
    assert!(page.body.contains("is read by rules"), "{}", page.body);
    let made_from = version(&browser.get(path).await);
    assert_eq!(
        browser.post(path, &[("do", "remove"), ("version", &made_from)]).await.location(),
        "/admin/events?done=removed"
    );
    let made_from = version(&browser.get(&path_of_watch).await);
    let page = browser.post(&path_of_watch, &[("do", "remove"), ("version", &made_from)]).await;
    assert_eq!(page.location(), "/admin/watches?done=removed", "{}", page.body);
}
