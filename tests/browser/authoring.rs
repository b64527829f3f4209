//! Templates and rules, written and tried in a real browser.

use herald_jobs::clock::Clock;
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::model::Model;
use herald_jobs::store;
use herald_jobs::store::change::Expect;
use serde_json::json;

use super::stage::Stage;
use crate::support::eventually;

/// Ann administers, and there are orders of customers that templates may read.
pub(crate) async fn company() -> Stage {
    let stage = Stage::start().await;
    sqlx::raw_sql(
        "create table public.customer (id int primary key, name text);
         create table public.purchase_order (id int primary key, customer_id int references public.customer, status text, owner text,
             since timestamptz);
         insert into public.customer values (1, 'Jane & Sons');
         insert into public.purchase_order select number, 1, case when number % 3 = 0 then 'done' else 'submitted' end, 'ann',
             now() - number * interval '1 day' from generate_series(4711, 4719) as number",
    )
    .execute(&stage.pool)
    .await
    .unwrap();
    for (name, label) in [("customer", Some("name")), ("purchase_order", None)] {
        let model = Model {
            name: name.into(),
            table: format!("public.{name}"),
            key: vec!["id".into()],
            label: label.map(str::to_owned),
            ..Model::default()
        };
        store::models::register(&stage.pool, &model, "test").await.unwrap();
    }
    let template = MessageTemplate {
        code: "PO-WAITS".into(),
        model: Some("purchase_order".into()),
        subject: Some("Order #id#".into()),
        message_text: "Order #id# of #customer.name# waits.".into(),
        external_html: Some("<h1 style=\"color: #c00; font-family: sans-serif\">Order #id#</h1><p>waits at <b>#customer.name#</b>.</p>".into()),
        ..MessageTemplate::default()
    };
    store::message_templates::put(&stage.pool, &[template], "test").await.unwrap();
    let mut connection = stage.pool.acquire().await.unwrap();
    store::users::set_roles(&mut *connection, 1, &["admin".to_owned()]).await.unwrap();
    drop(connection);
    stage.log_in().await;
    stage
}

impl Stage {
    pub(crate) async fn fill(&self, field: &str, text: &str) {
        let element = self.find(&format!("#field-{field}")).await;
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// Fills a field by one input, which is looked at once.
    pub(crate) async fn paste(&self, field: &str, text: &str) {
        let script = "const it = document.querySelector(`#field-${arguments[0]}`);
            it.value = arguments[1];
            it.dispatchEvent(new Event('input', { bubbles: true }));";
        self.run(script, vec![json!(field), json!(text)]).await;
    }

    pub(crate) async fn choose(&self, field: &str, value: &str) {
        self.find(&format!("#field-{field}")).await.select_by_value(value).await.unwrap();
    }

    pub(crate) async fn shows(&self, selector: &str, text: &str) {
        eventually(text, async || self.text(selector).await.contains(text)).await;
    }
}

#[tokio::test]
async fn c27_a_template_is_previewed_while_it_is_typed() {
    let stage = company().await;
    stage.go("/admin/templates/new").await;
    stage.fill("code", "PO-NEW").await;
    stage.choose("model", "purchase_order").await;
    stage.shows("[data-beside]", "#customer#").await;
    stage.fill("message_text", "Order #id# of #customer.name#").await;
    stage.shows("[data-beside]", "Order 4719 of Jane & Sons").await;
    stage.shows("[data-beside]", "1 SMS: 25 places of GSM-7").await;
    stage.fill("sample", "4712").await;
    stage.shows("[data-beside]", "Order 4712 of Jane & Sons").await;
    stage.paste("external_html", "<p id=\"told\" style=\"color: rgb(1, 2, 3)\">#customer.name#</p><script>top.document.title = 'ran'</script>").await;
    let frame = stage.find("iframe.mail").await;
    frame.enter_frame().await.unwrap();
    stage.shows("#told", "Jane & Sons").await;
    let color = stage.run("return getComputedStyle(document.querySelector('#told')).color", vec![]).await;
    assert_eq!(color, json!("rgb(1, 2, 3)"), "the mail's own styles count");
    stage.client.clone().enter_parent_frame().await.unwrap();
    assert_eq!(stage.client.title().await.unwrap(), "New template · Herald", "and its scripts do not run");

    // A mistake is told at its field while it is there, and what is typed is never touched.
    stage.paste("message_text", "Order\n  #gone#").await;
    stage.shows("#problem-message_text", "line 2, column 3").await;
    assert_eq!(stage.barriers().await, Vec::<String>::new(), "with a mistake");
    stage.screenshot("template-mistake").await;
    stage.fill("message_text", "Order #id#").await;
    stage.shows("[data-beside]", "Order 4712").await;
    assert_eq!(stage.many("#problem-message_text").await, 0);
    assert_eq!(
        store::message_templates::all(&stage.pool)
            .await
            .unwrap()
            .iter()
            .filter(|it| it.code == "PO-NEW")
            .count(),
        0
    );
    stage.leave_by(".maintain .primary").await;
    stage.address_becomes("/admin/templates?done=saved").await;
    let saved = store::message_templates::get(&stage.pool, "PO-NEW").await.unwrap().unwrap();
    assert_eq!(saved.message_text, "Order #id#");
    stage.end().await;
}

#[tokio::test]
async fn c34_a_rule_is_tried_before_it_is_saved_with_and_without_javascript() {
    let stage = company().await;
    for without in [false, true] {
        stage.devtools("Emulation.setScriptExecutionDisabled", json!({"value": without})).await;
        stage.go("/admin/reminders/new").await;
        let code = if without { "PLAIN" } else { "SCRIPTED" };
        for (field, text) in [
            ("code", code),
            ("initial", "since"),
            ("status", "status"),
            ("unchanged", "submitted"),
            ("where", "id > 4712"),
            ("recipient", "owner"),
        ] {
            stage.fill(field, text).await;
        }
        stage.choose("model", "purchase_order").await;
        stage.choose("message_type", "VIEW-NORMAL").await;
        stage.choose("template", "PO-WAITS").await;
        stage.choose("from", "all").await;
        stage.leave_by("button[value=try]").await;
        stage.shows("[data-beside]", "4 reminders are due.").await;
        stage.shows("[data-beside]", "status is \"done\"").await;
        if !without {
            let typed = stage.find("#field-where").await.prop("value").await.unwrap();
            assert_eq!(typed.as_deref(), Some("id > 4712"), "what was typed stays");
            stage.screenshot("rule-tried").await;
            assert_eq!(stage.barriers().await, Vec::<String>::new(), "a dry run");
        }
        stage.leave_by(".maintain .primary").await;
        stage.address_becomes("/admin/reminders?done=saved").await;
        stage.go("/admin/templates/edit/PO-WAITS").await;
        stage.leave_by("button[value=try]").await;
        stage.shows("[data-beside]", "Order 4719 of Jane & Sons waits.").await;
    }
    assert!(store::reminders::get(&stage.pool, "PLAIN").await.unwrap().is_some());
    stage.end().await;
}

/// WATCH stands for a watch's number.
pub(super) const PAGES: [(&str, &str); 16] = [
    ("/admin/templates", "templates"),
    ("/admin/templates/new", "new-template"),
    ("/admin/templates/edit/PO-WAITS", "template"),
    ("/admin/templates/edit/PO-WAITS/versions/1", "earlier-template"),
    ("/admin/reminders", "rules"),
    ("/admin/reminders/new", "new-rule"),
    ("/admin/reminders/edit/PO-OVERDUE", "rule"),
    ("/admin/events", "event-rules"),
    ("/admin/events/new", "event-rule"),
    ("/admin/events/edit/PO-LATE", "known-event-rule"),
    ("/admin/watches", "watches"),
    ("/admin/watches/new", "new-watch"),
    ("/admin/watches/edit/WATCH", "watch"),
    ("/admin/models", "models"),
    ("/admin/models/new", "new-model"),
    ("/admin/models/edit/purchase_order", "model"),
];

#[tokio::test]
async fn the_pages_that_rules_are_written_on_hold_no_barrier_and_fit_a_small_screen() {
    let stage = company().await;
    let mut transaction = stage.pool.begin().await.unwrap();
    let on = "update:status".parse().unwrap();
    let watch = store::watches::watch(&mut transaction, "public.purchase_order", &on).await.unwrap();
    transaction.commit().await.unwrap();
    let late = json!({"code": "PO-LATE", "watch": watch, "message_type": "VIEW-NORMAL", "message_text": "#new.id#", "recipient": "ann"});
    let late = serde_json::from_value(late).unwrap();
    store::event_rules::save(&stage.pool, late, &Expect::Anything, "test").await.unwrap();
    sqlx::raw_sql("update public.purchase_order set status = 'late' where id = 4711")
        .execute(&stage.pool)
        .await
        .unwrap();
    let rule = json!({"code": "PO-OVERDUE", "model": "purchase_order", "initial": "since", "status": "status", "unchanged": ["submitted"],
        "interval": "3 days", "recipient": "owner", "message_type": "VIEW-NORMAL", "template": "PO-WAITS", "enabled": false});
    let (rule, now) = (serde_json::from_value(rule).unwrap(), Clock::system().now());
    store::reminders::save(&stage.pool, rule, &Expect::Anything, "test", now).await.unwrap();
    for (width, height) in [(1440, 900), (320, 640)] {
        stage.resize(width, height).await;
        for scheme in ["light", "dark"] {
            stage.prefer("prefers-color-scheme", scheme).await;
            for (path, name) in PAGES {
                stage.go(&path.replace("WATCH", &watch.to_string())).await;
                stage.find("main :is(form, table, .empty)").await;
                stage.screenshot(&format!("{width}-{scheme}-{name}")).await;
                assert_eq!(stage.barriers().await, Vec::<String>::new(), "{path}, {scheme}, {width}");
                assert!(stage.overflow().await <= 0, "{path} is wider than {width} pixels");
            }
        }
    }
    stage.end().await;
}
