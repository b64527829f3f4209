//! Runs: what the dry run says is what happens, once, whoever runs it and whatever happens in between.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use herald_jobs::send::NewContact;
use herald_jobs::store;
use herald_jobs::store::reminders::Standing;
use herald_producers::reminders::Reminders;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use super::reminders::Shop;
use crate::support::seed;

/// What a reminder is, for comparing.
type Shown = (Vec<String>, DateTime<Utc>, i64, String, usize);

#[tokio::test]
async fn c34_the_run_sends_exactly_what_the_dry_run_says() {
    let shop = Shop::open().await;
    let story = &shop.story;
    let _catcher = story.mail_catcher().await;
    for hours in [10, 60, 71, 73, 80, 200, 500] {
        shop.order(hours).await;
    }
    story.execute("update shop.purchase_order set approver = 'left' where id = 5; update shop.purchase_order set status = 'approved' where id = 6").await;
    shop.rule(json!({"repeat": "2 days", "otherwise": "approver.boss.username", "where": {"path": "id", "op": "<>", "value": 7},
        "contacts": [{"path": "customer.contact_person.email", "mode": "Bcc"}]}))
        .await
        .unwrap();
    let now = shop.reminders.now().await.unwrap();
    for days in [0, 1, 3, 8] {
        let ahead = now + TimeDelta::days(days) - story.clock.now();
        if ahead > TimeDelta::zero() {
            story.clock.advance(ahead);
        }
        let at = shop.reminders.now().await.unwrap();
        let dry = shop.dry_run(at).await;
        assert!(dry.stopped.is_none() && !dry.more);
        assert!(dry.reminders.iter().all(|it| it.problem.is_none() && it.texts.is_some()));
        let said: BTreeSet<Shown> = dry
            .reminders
            .iter()
            .map(|it| {
                (
                    it.record.clone(),
                    it.initial,
                    it.occurrence,
                    it.recipient.clone().unwrap(),
                    it.contacts.len(),
                )
            })
            .collect();
        let before: BTreeSet<_> = shop.sent().await.into_iter().map(|it| it.message_id).collect();
        let ran = shop.run().await;
        let sent: BTreeSet<Shown> = shop
            .sent()
            .await
            .into_iter()
            .filter(|it| !before.contains(&it.message_id))
            .map(|it| {
                (it.record, it.initial, it.occurrence.into(), it.recipient, it.contacts.try_into().unwrap())
            })
            .collect();
        assert_eq!((ran.sent, &sent), (said.len(), &said), "after {days} days");
        assert!(!sent.is_empty());
    }
    let misses: BTreeMap<String, String> = shop
        .dry_run(shop.reminders.now().await.unwrap())
        .await
        .misses
        .into_iter()
        .map(|it| (it.record.join(","), it.reason))
        .collect();
    assert_eq!(misses["6"], "status is \"approved\"");
    assert_eq!(misses["7"], "the further conditions are not true of it");
    assert!(misses["1"].starts_with("was reminded of"), "{misses:?}");
    // What goes out is what was shown.
    let workers = story.work().await;
    story.drain().await;
    let texts: Vec<String> =
        story.pending("ann", false).await.into_iter().map(|it| it.message_text).collect();
    assert!(texts.contains(&"Order 4 of Harbour Coffee waits.".to_owned()), "{texts:?}");
    workers.stop().await;
}

#[tokio::test]
async fn a_dry_run_says_of_one_record_why_it_gets_nothing() {
    let shop = Shop::open().await;
    let young = shop.order(10).await;
    shop.rule(json!({"from": "now"})).await.unwrap();
    let of = async |record: &str| {
        let standing = shop.standing("PO").await;
        let at = shop.reminders.now().await.unwrap();
        let record = [record.to_owned()];
        let run =
            shop.reminders.dry_run(&standing, &shop.story.authoring(), at, Some(&record), 1).await.unwrap();
        run.misses.into_iter().map(|miss| miss.reason).collect::<Vec<_>>()
    };
    assert!(of(&young.to_string()).await[0].starts_with("is due at "), "{:?}", of(&young.to_string()).await);
    assert_eq!(of("99").await, ["there is no such record"]);
    assert_eq!(of("1; drop table shop.customer").await, ["there is no such record"]);
    let old = shop.order(500).await;
    assert!(of(&old.to_string()).await[0].ends_with("before the rule was to send"));
    shop.story.execute("update shop.purchase_order set submitted_at = null").await;
    assert_eq!(of(&young.to_string()).await, ["submitted_at is empty"]);
}

#[tokio::test]
async fn c34_many_runs_at_once_send_each_occurrence_once() {
    let shop = Shop::open().await;
    for _ in 0..300 {
        shop.order(80).await;
    }
    shop.rule(json!({"repeat": "1 hour", "maximum": 3})).await.unwrap();
    let standing = shop.standing("PO").await;
    let runs = (0..4).map(|_| {
        let reminders = Reminders::new(shop.story.producer.clone(), shop.story.reader());
        let standing: Standing = standing.clone();
        tokio::spawn(async move { reminders.run(&standing, None).await.unwrap().sent })
    });
    let sent: usize = futures::future::join_all(runs).await.into_iter().map(Result::unwrap).sum();
    assert_eq!(sent, 900);
    assert_eq!(shop.sent().await.len(), 900);
    assert_eq!(shop.story.count("select count(*) from herald.outbox").await, 900);
}

#[tokio::test]
async fn a_rule_that_is_disabled_meanwhile_sends_nothing_more() {
    let shop = Shop::open().await;
    shop.order(80).await;
    let before = shop.rule(json!({})).await.unwrap();
    let now = shop.reminders.now().await.unwrap();
    assert!(store::reminders::disable(&shop.story.pool, "PO", "test", now).await.unwrap());
    assert_eq!(
        shop.reminders.run(&before, None).await.unwrap().sent,
        0,
        "the run had begun with the rule as it was"
    );
    assert!(shop.sent().await.is_empty());
    let count = shop.story.count("select count(*) from herald.outbox").await;
    assert_eq!(count, 0);
}

#[tokio::test]
async fn c34_over_random_outages_and_status_changes_each_due_occurrence_is_sent_once_and_none_early() {
    let mut random = StdRng::seed_from_u64(seed());
    let mut draw = |below: u32| random.random_range(0..below);
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
        let shop = Shop::open().await;
        shop.rule(json!({"interval": "1 day", "repeat": "1 day", "maximum": 3, "zone": zone})).await.unwrap();
        let begin = shop.reminders.now().await.unwrap();
        let mut orders: Vec<(i32, DateTime<Utc>, bool)> = Vec::new();
        // What should be sent, as a person with a calendar would say.
        let mut expected: BTreeMap<(i32, DateTime<Utc>, i32), DateTime<Utc>> = BTreeMap::new();
        for _ in 0..40 {
            // Some time passes; sometimes long, as in an outage.
            let hours = if draw(4) == 0 { 24 * 20 } else { 12 };
            shop.story.clock.advance(TimeDelta::minutes(i64::from(draw(hours * 60) + 1)));
            for _ in 0..draw(3) {
                let hours = i64::from(draw(48));
                let id = shop.order(hours).await;
                let at: DateTime<Utc> =
                    sqlx::query_scalar("select submitted_at from shop.purchase_order where id = $1")
                        .bind(id)
                        .fetch_one(&shop.story.pool)
                        .await
                        .unwrap();
                orders.push((id, at, true));
            }
            for order in &mut orders {
                if draw(4) == 0 {
                    order.2 = !order.2;
                    let status = if order.2 { "submitted" } else { "draft" };
                    shop.story
                        .execute(&format!(
                            "update shop.purchase_order set status = '{status}' where id = {}",
                            order.0
                        ))
                        .await;
                }
            }
            if draw(3) == 0 {
                // Nobody runs this time.
                continue;
            }
            let before = shop.reminders.now().await.unwrap();
            let standing = shop.standing("PO").await;
            let runs = (0..1 + draw(3)).map(|_| shop.reminders.run(&standing, None));
            for ran in futures::future::join_all(runs).await {
                ran.unwrap();
            }
            for (id, at, submitted) in &orders {
                for n in 1..=3 {
                    let due = by_calendar(*at, n, zone);
                    if *submitted && due <= before {
                        expected.insert((*id, *at, n), due);
                    }
                }
            }
        }
        assert!(shop.reminders.now().await.unwrap() - begin > TimeDelta::days(30));
        let sent = shop.sent().await;
        let found: BTreeMap<_, _> = sent
            .iter()
            .map(|it| ((it.record[0].parse::<i32>().unwrap(), it.initial, it.occurrence), it.due_at))
            .collect();
        assert_eq!(found.len(), sent.len(), "each once");
        assert!(sent.iter().all(|it| it.due_at <= it.sent_at), "none early");
        assert_eq!(found, expected, "{zone}");
        assert_eq!(
            shop.story.count("select count(*) from herald.outbox").await,
            i64::try_from(found.len()).unwrap()
        );
        assert!(found.len() > 20, "{}", found.len());
    }
}

/// The same time of day `days` later. Where clocks jump over it: as much later as they jump; where they show it twice: the second time.
fn by_calendar(at: DateTime<Utc>, days: i32, zone: &str) -> DateTime<Utc> {
    use chrono::{LocalResult, TimeZone as _};
    let zone: chrono_tz::Tz = zone.parse().unwrap();
    let local = at.with_timezone(&zone).naive_local() + TimeDelta::days(days.into());
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) => at.to_utc(),
        LocalResult::Ambiguous(_, last) => last.to_utc(),
        LocalResult::None => {
            // As the clocks were before they jumped.
            let before = zone.from_local_datetime(&(local - TimeDelta::hours(3))).unwrap();
            before.to_utc() + TimeDelta::hours(3)
        }
    }
}

#[tokio::test]
async fn contacts_each_get_one_copy_and_a_hundred_at_most() {
    let shop = Shop::open().await;
    shop.story
        .execute("insert into shop.contact_person select 100 + n, 1, 'p' || n || '@harbour.example.com' from generate_series(1, 150) as n")
        .await;
    shop.order(80).await;
    shop.rule(json!({"contacts": [{"path": "customer.contact_person.email", "mode": "Bcc"}, {"path": "customer.contact_person.email"}]}))
        .await
        .unwrap();
    let found = &shop.dry_run(shop.reminders.now().await.unwrap()).await.reminders[0];
    assert_eq!(found.contacts.len(), 100);
    let first = NewContact { contact_reference: "hana@harbour.example.com".into(), email_mode: "bcc".into() };
    assert_eq!(found.contacts[0], first);
    assert!(found.skipped.iter().any(|why| why.contains("more than 100")), "{:?}", found.skipped);
    assert_eq!(shop.run().await.sent, 1);
}
