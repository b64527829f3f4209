//! Records of all sorts: many of them, with keys of several columns, and with their dates elsewhere.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::model::Model;
use herald_jobs::store;
use serde_json::json;

use super::models::model;
use super::reminders::Shop;

#[tokio::test]
async fn c34_records_are_read_page_by_page_and_none_is_left_out_or_doubled() {
    let shop = Shop::open().await;
    // Many of the same moment, over several pages.
    shop.story
        .execute(
            "insert into shop.purchase_order (customer_id, approver, submitted_at)
             select 1, 'ann', date_trunc('hour', now()) - make_interval(days => 10 + n / 1200) from generate_series(1, 2500) as n",
        )
        .await;
    shop.rule(json!({"cap": 10_000, "repeat": "5 days"})).await.unwrap();
    let ran = shop.run().await;
    let expected = "select sum(1 + floor((extract(epoch from now() - submitted_at) / 86400 - 3) / 5))::int8 from shop.purchase_order";
    assert_eq!(i64::try_from(ran.sent).unwrap(), shop.story.count(expected).await);
    assert!(ran.sent >= 5_000, "{ran}");
    assert_eq!(
        shop.story.count("select count(*) from herald.outbox").await,
        i64::try_from(ran.sent).unwrap()
    );
    assert_eq!(shop.story.count("select count(distinct record) from herald.reminder_log").await, 2_500);
    assert_eq!(shop.run().await.sent, 0);
}

#[tokio::test]
async fn c34_keys_of_several_columns_and_dates_of_related_records() {
    let shop = Shop::open().await;
    let order = shop.order(80).await;
    let young = shop.order(10).await;
    shop.story
        .execute(&format!(
            "create table shop.line (order_id int references shop.purchase_order, sku text, state text, done boolean, primary key (order_id, sku));
             insert into shop.line values ({order}, 'a,b', 'open', false), ({order}, 'c', 'open', true), ({order}, 'd', null, false),
                 ({young}, 'a,b', 'open', false)"
        ))
        .await;
    let registered = Model { ..model("line", "shop.line", &["order_id", "sku"]) };
    store::models::register(&shop.story.pool, &registered, "test").await.unwrap();
    let template = MessageTemplate {
        code: "LINE".into(),
        model: Some("line".into()),
        message_text: "Line #sku# of order #order_id#".into(),
        ..MessageTemplate::default()
    };
    shop.story.authoring().save(&[template], "test").await.unwrap();
    let fields = json!({"model": "line", "initial": "order.submitted_at", "status": "done", "unchanged": ["false"],
        "recipient": "order.approver", "template": "LINE", "where": {"path": "state", "op": "=", "value": "open"},
        "contacts": [{"path": "order.customer.contact_person.email"}]});
    shop.rule(fields).await.unwrap();
    let now = shop.reminders.now().await.unwrap();
    let dry = shop.dry_run(now).await;
    assert_eq!(dry.reminders.len(), 1, "{dry:#?}");
    assert_eq!(dry.reminders[0].record, [order.to_string(), "a,b".to_owned()]);
    assert_eq!(dry.reminders[0].texts.as_ref().unwrap().message_text, format!("Line a,b of order {order}"));
    assert_eq!(dry.reminders[0].contacts.len(), 2);
    let reasons: BTreeSet<String> = dry.misses.into_iter().map(|miss| miss.reason).collect();
    assert!(
        reasons.contains("done is \"true\"") && reasons.contains("the further conditions are not true of it"),
        "{reasons:?}"
    );
    assert_eq!(shop.run().await.sent, 1);
    let workers = shop.story.work().await;
    crate::support::eventually("the message", async || !shop.story.pending("ann", false).await.is_empty())
        .await;
    let message = shop.story.pending("ann", false).await.remove(0);
    assert_eq!(
        (message.message_text, message.sender_instance),
        (format!("Line a,b of order {order}"), Some(format!("{order},a,b")))
    );
    workers.stop().await;
}

#[tokio::test]
async fn c34_times_without_a_zone_are_of_the_rules_zone_and_another_zone_repeats_nothing() {
    let shop = Shop::open().await;
    shop.story
        .execute(
            "alter table shop.purchase_order add column local_at timestamp;
             insert into shop.purchase_order (approver, local_at) values ('ann', '2026-03-28 09:00'), ('ann', '2026-10-25 02:30')",
        )
        .await;
    // What is added to a table later has to be let read, as one column is hidden.
    let again =
        Model { hidden: vec!["secret".into()], ..model("purchase_order", "shop.purchase_order", &["id"]) };
    store::models::register(&shop.story.pool, &again, "test").await.unwrap();
    for (interval, zone, expected) in [
        // 02:30 came twice on 25 October, and is meant the second time.
        ("0 days", "Europe/Berlin", ["2026-03-28T08:00:00Z", "2026-10-25T01:30:00Z"]),
        ("24 hours", "Europe/Berlin", ["2026-03-29T08:00:00Z", "2026-10-26T01:30:00Z"]),
        ("1 day", "Europe/Berlin", ["2026-03-29T07:00:00Z", "2026-10-26T01:30:00Z"]),
        ("1 day", "Pacific/Kiritimati", ["2026-03-28T19:00:00Z", "2026-10-25T12:30:00Z"]),
        ("1 day", "Pacific/Honolulu", ["2026-03-29T19:00:00Z", "2026-10-26T12:30:00Z"]),
    ] {
        let fields = json!({"initial": "local_at", "interval": interval, "zone": zone});
        shop.rule(fields).await.unwrap();
        let at = "2026-12-31T00:00:00Z".parse().unwrap();
        let due: Vec<DateTime<Utc>> = shop.dry_run(at).await.reminders.iter().map(|it| it.due_at).collect();
        let expected: Vec<DateTime<Utc>> = expected.iter().map(|at| at.parse().unwrap()).collect();
        assert_eq!(due, expected, "{interval} in {zone}");
        for at in expected {
            let before = shop.dry_run(at - TimeDelta::seconds(1)).await.reminders.len();
            assert_eq!(shop.dry_run(at).await.reminders.len(), before + 1, "{interval} in {zone}");
        }
    }
    let ahead = "2027-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() - shop.story.clock.now();
    shop.story.clock.advance(ahead.max(TimeDelta::zero()));
    let sent = shop.run().await.sent;
    shop.rule(json!({"initial": "local_at", "interval": "1 day", "zone": "Europe/Berlin"})).await.unwrap();
    assert_eq!((sent, shop.run().await.sent), (2, 0), "the same occurrences by another zone");
}
