//! The schedule and its reminders: raced for by processes, and run by processes whose clocks are wrong.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::model::Model;
use herald_jobs::periodic::{PeriodicJob, PeriodicName};
use herald_jobs::store;
use herald_jobs::store::change::Expect;
use herald_producers::reminders::Reminders;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tempfile::NamedTempFile;

use super::stage::Worker;
use crate::support::herald::{Herald, Story};
use crate::support::{eventually, seed};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Whoever begins its first run waits there until another worker begins one too.
const BOTH: &str = "
    create function public.wait_for_both() returns trigger language plpgsql as $$
    begin
        perform pg_advisory_xact_lock_shared(24, hashtext(new.worker));
        while not exists (select from herald.periodic_run where worker <> new.worker)
              and (select count(distinct objid) from pg_locks where locktype = 'advisory' and classid = 24) < 2 loop
            perform pg_sleep(0.01);
        end loop;
        return new;
    end $$;
    create trigger wait_for_both before insert on herald.periodic_run for each row execute function public.wait_for_both();";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c24_a_thousand_slots_that_two_processes_race_for_run_once_each() {
    let story = Story::begin().await;
    story.execute(BOTH).await;
    let (one, two) = (Worker::start(&story), Worker::start(&story));
    let begin = story.clock.now().trunc_subsecs(0) - TimeDelta::seconds(2_000);
    let push = async || {
        for second in 0..1_000 {
            let slot = begin + TimeDelta::seconds(second);
            story.queues.periodic.push(&PeriodicJob { name: PeriodicName::Reminders, slot }).await.unwrap();
        }
    };
    tokio::join!(push(), push());
    story.drain().await;
    let runs = "select count(*) from herald.periodic_run where finished_at is not null and succeeded";
    assert_eq!(story.count(runs).await, 1_000);
    // Each was pushed twice, and begun by one.
    let took_part = "select count(distinct worker) from herald.periodic_run";
    assert_eq!(story.count(took_part).await, 2, "both took part");
    one.stop().await;
    two.stop().await;
}

/// A process whose clock goes wrong when it is told to, by as many seconds as its file says (libfaketime).
struct Astray {
    part: &'static str,
    process: Worker,
    by: NamedTempFile,
}

impl Astray {
    fn start(herald: &Herald, part: &'static str, settings: &[(&str, &str)]) -> Self {
        let by = NamedTempFile::new().unwrap();
        std::fs::write(by.path(), "+0").unwrap();
        Self { part, process: begin(herald, part, &by, settings), by }
    }

    /// Kills it and starts it again, with the clock as it was.
    async fn again(self, herald: &Herald, settings: &[(&str, &str)]) -> Self {
        let Self { part, process, by } = self;
        process.kill().await;
        Self { part, process: begin(herald, part, &by, settings), by }
    }

    fn set(&self, seconds: i64) {
        std::fs::write(self.by.path(), format!("{seconds:+}")).unwrap();
    }
}

fn begin(herald: &Herald, part: &str, by: &NamedTempFile, settings: &[(&str, &str)]) -> Worker {
    let library = herald::private::home().unwrap().join("pkg/lib/libfaketime.so.1");
    assert!(library.is_file(), "{} is not there: run scripts/setup clock", library.display());
    let mut all = vec![
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", by.path().to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        // What measures how long something takes is no clock that anybody sets.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ];
    all.extend(settings);
    if part == "web" { Worker::web_with(herald, ANY_PORT, &all) } else { Worker::start_with(herald, &all) }
}

const ORDERS: &str = "
    create schema shop;
    create table shop.purchase_order (
        id int primary key, approver text not null, status text not null default 'submitted', submitted_at timestamptz not null,
        approved_at timestamptz);";

/// Orders that want to be approved, with a reminder a day.
async fn shop(story: &Story) -> Reminders {
    story.execute(ORDERS).await;
    let model = Model {
        name: "purchase_order".into(),
        table: "shop.purchase_order".into(),
        key: vec!["id".into()],
        ..Model::default()
    };
    store::models::register(&story.pool, &model, "test").await.unwrap();
    let template = MessageTemplate {
        code: "PO-DUE".into(),
        model: Some("purchase_order".into()),
        message_text: "Order #id# waits.".into(),
        ..MessageTemplate::default()
    };
    story.authoring().save(&[template], "test").await.unwrap();
    let reminders = Reminders::new(story.producer.clone(), story.reader());
    let rule = json!({"code": "PO", "model": "purchase_order", "initial": "submitted_at", "status": "status",
        "unchanged": ["submitted"], "interval": "24 hours", "repeat": "24 hours", "maximum": 3, "recipient": "approver",
        "message_type": "VIEW-NORMAL", "template": "PO-DUE", "from": "all"});
    reminders.save(serde_json::from_value(rule).unwrap(), &Expect::Anything, "test").await.unwrap();
    reminders
}

/// What was sent: record, occurrence.
async fn sent(story: &Story) -> BTreeSet<(i64, i64)> {
    let rows: Vec<(i64, i64)> =
        sqlx::query_as("select record[1]::bigint, occurrence::bigint from herald.reminder_log")
            .fetch_all(&story.pool)
            .await
            .unwrap();
    let sent: BTreeSet<_> = rows.iter().copied().collect();
    assert_eq!(sent.len(), rows.len(), "each once");
    sent
}

/// Occurrences come due while the clocks of two schedulers and two workers jump by days, and while they are killed: by less than the
/// ten days after which a view expires.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c34_processes_with_wrong_clocks_send_each_reminder_once_and_none_early() {
    let mut random = StdRng::seed_from_u64(seed());
    let story = Story::begin().await;
    let _reminders = shop(&story).await;
    // The last of one to three occurrences comes due within half a minute; those before it were missed.
    let begin = store::now(&story.pool).await.unwrap();
    let mut all = BTreeSet::new();
    for id in 1..=90 {
        let many = i64::from(random.random_range(1..=3));
        let due = begin + TimeDelta::milliseconds(random.random_range(3_000..30_000));
        all.extend((1..=many).map(|n| (id, n)));
        sqlx::query("insert into shop.purchase_order (id, approver, submitted_at) values ($1, 'ann', $2)")
            .bind(i32::try_from(id).unwrap())
            .bind(due - TimeDelta::hours(24 * many))
            .execute(&story.pool)
            .await
            .unwrap();
    }
    let every_second = [("HERALD__PERIODIC__REMINDERS__EVERY", "1")];
    let mut processes: Vec<_> = ["web", "web", "worker", "worker"]
        .into_iter()
        .map(|part| Astray::start(&story, part, &every_second))
        .collect();
    for _ in 0..70 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let one = random.random_range(0..processes.len());
        if random.random_range(0..6) == 0 {
            let process = processes.swap_remove(one);
            processes.push(process.again(&story, &every_second).await);
        } else {
            processes[one].set(random.random_range(-8..=8) * 86_400 + random.random_range(-3_600..=3_600));
        }
        // Some are approved before their time comes, or after.
        let id: i32 = random.random_range(1..=90);
        for statement in [
            "update shop.purchase_order set status = 'approved' where id = $1",
            // After that is committed: a run that begins later sees it.
            "update shop.purchase_order set approved_at = coalesce(approved_at, clock_timestamp()) where id = $1",
        ] {
            sqlx::query(statement).bind(id).execute(&story.pool).await.unwrap();
        }
    }
    processes.iter().for_each(|process| process.set(0));
    let approved: BTreeSet<i64> =
        sqlx::query_scalar("select id::bigint from shop.purchase_order where status = 'approved'")
            .fetch_all(&story.pool)
            .await
            .unwrap()
            .into_iter()
            .collect();
    assert!(approved.len() > 20 && approved.len() < 80, "{}", approved.len());
    let of_the_waiting = |sent: &BTreeSet<(i64, i64)>| -> BTreeSet<(i64, i64)> {
        sent.iter().filter(|(id, _)| !approved.contains(id)).copied().collect()
    };
    eventually("all that are due to be sent", async || {
        of_the_waiting(&sent(&story).await) == of_the_waiting(&all)
    })
    .await;
    let sent = sent(&story).await;
    assert!(sent.is_subset(&all));
    assert!(all.difference(&sent).count() > 3, "what was approved in time is left alone");
    let early = "select count(*) from herald.reminder_log where sent_at < due_at";
    assert_eq!(story.count(early).await, 0);
    let late = "select count(*) from herald.reminder_log as l join shop.purchase_order as o on o.id = l.record[1]::int
                where l.sent_at > o.approved_at";
    assert_eq!(story.count(late).await, 0, "none for what was approved before the run began");
    story.drain().await;
    assert_eq!(story.pending("ann", false).await.len(), sent.len());
    for process in processes {
        process.process.stop().await;
    }
}

/// A clock that is set forward past a slot: it runs when that is seen, not when it would have come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c24_a_slot_that_a_clock_was_set_over_runs_soon() {
    let story = Story::begin().await;
    let now: DateTime<Utc> = store::now(&story.pool).await.unwrap();
    let start = (now + TimeDelta::hours(20)).format("%H:%M:%S").to_string();
    let daily = [("HERALD__PERIODIC__PURGE__EVERY", "86400"), ("HERALD__PERIODIC__PURGE__START", &*start)];
    let (worker, web) = (Worker::start(&story), Astray::start(&story, "web", &daily));
    let runs = "select count(*) from herald.periodic_run where job = 'purge' and succeeded";
    eventually("the slot of yesterday to be made up for", async || story.count(runs).await == 1).await;
    web.set(21 * 3_600);
    eventually("the slot of today to run", async || story.count(runs).await == 2).await;
    worker.stop().await;
    web.process.stop().await;
}
