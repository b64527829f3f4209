//! Rules that cannot be are refused, and those that can do no harm.

use herald_jobs::model::Model;
use herald_jobs::reminder::ReminderRule;
use herald_jobs::store::change::Expect;
use herald_jobs::store::occurrences::{self, Span};
use herald_jobs::store::{self, message_templates, message_types};
use serde_json::{Value, json};

use super::models::model;
use super::reminders::{Shop, rule};

#[tokio::test]
async fn what_does_not_fit_the_models_is_refused_by_its_field() {
    let shop = Shop::open().await;
    let elsewhere = |field: &str, value: Value| {
        let mut fields = json!({});
        fields[field] = value;
        fields
    };
    let of_where = |path: &str, op: &str, value: Value| json!({"where": {"all": [{"path": path, "op": op, "value": value}]}});
    for (fields, said) in [
        (elsewhere("model", json!("payroll")), "model: there is no model payroll"),
        (elsewhere("model", json!("pg_authid")), "model: there is no model pg_authid"),
        (
            elsewhere("initial", json!("submitted")),
            "initial: there is no field `submitted` in purchase_order; did you mean `submitted_at`?",
        ),
        (
            elsewhere("initial", json!("amount")),
            "initial: `amount` is numeric: a date, or a date and time, is needed",
        ),
        (
            elsewhere("initial", json!("customer.contact_person.id")),
            "initial: `customer.contact_person.id` leads to several records: one is needed",
        ),
        (elsewhere("status", json!("secret")), "status: there is no field `secret` in purchase_order"),
        (
            elsewhere("status", json!("customer")),
            "status: `customer` is a record of customer: name one of its fields, as in customer.id",
        ),
        (
            elsewhere("recipient", json!("approver.secret")),
            "recipient: there is no field `secret` in employee",
        ),
        (
            elsewhere("recipient", json!("customer.contact_person.email")),
            "recipient: `customer.contact_person.email` leads to several records",
        ),
        (
            elsewhere("otherwise", json!("status.boss")),
            "otherwise: `status` in purchase_order is a value: it leads nowhere",
        ),
        (
            elsewhere("contacts", json!([{"path": "customer.phone"}])),
            "contacts/0/path: there is no field `phone` in customer",
        ),
        (
            elsewhere("unchanged", json!(["submitted", "1; drop table shop.customer"])),
            "unchanged/1: cannot be compared: invalid input value for enum",
        ),
        (elsewhere("message_type", json!("NONE")), "message_type: there is no message type \"NONE\""),
        (elsewhere("template", json!("NONE")), "template: there is no template \"NONE\""),
        (
            of_where("secret", "is null", json!(null)),
            "where/all/0/path: there is no field `secret` in purchase_order",
        ),
        (
            of_where("customer.name); select pg_sleep(9)--", "=", json!(1)),
            "where/all/0/path: must be a path of names",
        ),
        (
            of_where("amount", "=", json!("1; drop table shop.customer")),
            "where/all/0/value: cannot be compared: invalid input syntax for type numeric",
        ),
        (of_where("amount", "in", json!([1, "pg_sleep(9)"])), "where/all/0/value: cannot be compared"),
        (of_where("submitted_at", ">", json!("tomorrow or so")), "where/all/0/value: cannot be compared"),
    ] {
        let error = shop.rule(fields.clone()).await.unwrap_err();
        assert!(error.starts_with(said), "{fields}: {error}");
    }
    let known = store::reminders::list(&shop.story.pool, "", 10).await.unwrap();
    assert!(known.is_empty(), "nothing was saved");
    let other = serde_json::from_value::<ReminderRule>(rule(
        json!({"where": {"path": "a", "op": "= 1 or", "value": 1}}),
    ));
    assert!(other.is_err(), "an operator is one of a list");
}

#[tokio::test]
async fn hostile_names_and_values_are_inert() {
    let shop = Shop::open().await;
    shop.story
        .execute(
            r#"create table shop."Order; drop table x" ("Id" int primary key, "st""atus" text, "when" timestamptz, "who' or 1=1" text);
               insert into shop."Order; drop table x" values (1, 'o''pen"', now() - interval '9 days', 'ann'), (2, 'x', now() - interval '9 days', 'ann')"#,
        )
        .await;
    let table = "shop.\"Order; drop table x\"";
    let registered = Model { ..model("strange", table, &["Id"]) };
    store::models::register(&shop.story.pool, &registered, "test").await.unwrap();
    let template = herald_jobs::message_template::MessageTemplate {
        code: "STRANGE".into(),
        model: Some("strange".into()),
        message_text: "#Id#".into(),
        ..Default::default()
    };
    shop.story.authoring().save(&[template], "test").await.unwrap();
    for (unchanged, due) in
        [("o'pen\"", 1), ("') or true --", 0), ("x\\", 0), ("$1", 0), ("{x,y}", 0), ("NULL", 0)]
    {
        let fields = json!({"model": "strange", "initial": "when", "status": "st_atus", "recipient": "who__or_1_1", "template": "STRANGE",
            "unchanged": [unchanged], "where": {"path": "st_atus", "op": "<>", "value": "'; delete from shop.customer; --"}});
        shop.rule(fields).await.unwrap_or_else(|error| panic!("{unchanged}: {error}"));
        assert_eq!(shop.dry_run(shop.story.clock.now()).await.reminders.len(), due, "{unchanged}");
    }
    assert_eq!(shop.story.count("select count(*) from shop.customer").await, 2);
}

#[tokio::test]
async fn a_rule_reads_as_a_role_that_may_do_nothing_else() {
    let shop = Shop::open().await;
    shop.rule(json!({})).await.unwrap();
    let mut snapshot = occurrences::snapshot(&shop.story.reader()).await.unwrap();
    for forbidden in [
        "select secret from shop.purchase_order",
        "select * from herald.app_user",
        "select * from herald.reminder_rule",
        "delete from herald.reminder_log",
        "update shop.purchase_order set status = 'approved'",
    ] {
        let mut savepoint = sqlx::Connection::begin(&mut *snapshot).await.unwrap();
        let error = sqlx::query(forbidden).execute(&mut *savepoint).await.unwrap_err();
        savepoint.rollback().await.unwrap();
        let said = error.to_string();
        assert!(said.contains("permission denied") || said.contains("read-only"), "{forbidden}: {said}");
    }
}

#[tokio::test]
async fn a_model_stays_while_a_rule_needs_it_and_a_view_that_fails_fails_its_rule_alone() {
    let shop = Shop::open().await;
    shop.order(80).await;
    shop.rule(json!({})).await.unwrap();
    shop.rule(json!({"code": "OTHER"})).await.unwrap();
    let error = store::models::remove(&shop.story.pool, "purchase_order", &Expect::Anything, "test")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("needs the model purchase_order"), "{error}");
    shop.story
        .execute(
            "update herald.reminder_rule set definition = jsonb_set(definition, '{where}', '{\"path\": \"gone\", \"op\": \"is null\"}') where code = 'OTHER'",
        )
        .await;
    let ran = shop.reminders.run_all().await.unwrap();
    let said = ran.unwrap_err();
    assert!(
        said.starts_with("sent 1 reminders by 2 rules; OTHER: where/path: there is no field `gone`"),
        "{said}"
    );
    let other = shop.standing("OTHER").await;
    assert!(other.last_failed && other.last_result.unwrap().contains("gone"));
    assert_eq!(store::reminders::troubled(&shop.story.pool).await.unwrap(), (0, 1));
}

#[tokio::test]
async fn what_a_rule_names_stays_and_a_rule_without_it_fails() {
    let shop = Shop::open().await;
    shop.order(80).await;
    let standing = shop.rule(json!({})).await.unwrap();
    let (pool, code) = (&shop.story.pool, standing.rule.template.as_str());
    let kept = message_templates::retire(pool, code, &Expect::Anything, "test").await.unwrap_err();
    assert_eq!(kept.to_string(), format!("the reminder rule {} needs {code}", standing.rule.code));
    shop.story.add_type("OWN", |_| {}).await;
    shop.rule(json!({"message_type": "OWN"})).await.unwrap();
    let kept = message_types::remove(pool, "OWN", &Expect::Anything, "test").await.unwrap_err();
    assert_eq!(kept.to_string(), format!("the reminder rule {} needs OWN", standing.rule.code));
    // Somebody did it by SQL.
    shop.story.execute("delete from herald.message_type where code = 'OWN'").await;
    let said = shop.reminders.run_all().await.unwrap().unwrap_err();
    assert!(said.contains("message_type: there is no message type \"OWN\""), "{said}");
    let standing = shop.standing(&standing.rule.code).await;
    assert!(standing.last_failed, "{:?}", standing.last_result);
}

#[tokio::test]
async fn a_rule_goes_by_the_index_that_its_check_asks_for() {
    let shop = Shop::open().await;
    shop.story
        .execute(
            "insert into shop.purchase_order (customer_id, approver, status, submitted_at)
             select 1, 'ann', case when n % 100 = 0 then 'submitted' else 'approved' end::shop.state, now() - make_interval(mins => n)
             from generate_series(1, 50000) as n; analyze shop.purchase_order",
        )
        .await;
    let fields = json!({"cap": 1000, "contacts": [{"path": "customer.contact_person.email"}]});
    let now = shop.reminders.now().await.unwrap();
    let check = async || {
        let rule = serde_json::from_value(rule(fields.clone())).unwrap();
        shop.reminders.check(rule, now).await.unwrap()
    };
    let asked = check().await;
    let index = asked.index.unwrap();
    assert_eq!(index, "create index concurrently on shop.purchase_order (\"status\", \"submitted_at\");");
    assert!(asked.plan.iter().any(|line| line.contains("Seq Scan on purchase_order")), "{:#?}", asked.plan);
    shop.story.execute(&index).await;
    shop.story.execute("analyze shop.purchase_order").await;
    let good = check().await;
    assert_eq!(good.index, None);
    assert!(!good.plan.iter().any(|line| line.contains("Seq Scan on purchase_order")), "{:#?}", good.plan);
    // The same with what was sent already, page by page.
    let standing = shop.rule(fields.clone()).await.unwrap();
    assert_eq!(shop.run().await.sent, 457);
    shop.story.execute("analyze herald.reminder_log").await;
    let mut snapshot = occurrences::snapshot(&shop.story.reader()).await.unwrap();
    let catalogue = store::catalogue::read(&shop.story.pool, &shop.story.reader()).await.unwrap();
    let plan = herald_jobs::reminder::Plan::new(standing.rule, &catalogue).unwrap();
    let span = Span { now, ..Span::default() };
    assert!(occurrences::due(&mut snapshot, &plan, &span, 10).await.unwrap().is_empty());
    let lines = occurrences::explain(&mut snapshot, &plan, &span).await.unwrap();
    assert!(!lines.iter().any(|line| line.contains("Seq Scan on purchase_order")), "{lines:#?}");
    let saved =
        shop.reminders.save(serde_json::from_value(rule(fields)).unwrap(), &Expect::Nothing, "test").await;
    assert!(saved.is_err(), "there is one of this name");
}
