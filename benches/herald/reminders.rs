//! A reminder rule over a table of a million rows, and the purge of a million messages while others arrive.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::model::Model;
use herald_jobs::reminder::Plan;
use herald_jobs::retention::Retention;
use herald_jobs::store;
use herald_jobs::store::change::Expect;
use herald_jobs::store::occurrences;
use herald_producers::Producer;
use herald_producers::reminders::Reminders;

use crate::latency::measure;
use crate::report::{Report, percentile};
use crate::setup::{Bench, USERS, message};

/// Rows of the table, and how many of them are due.
const ORDERS: usize = 1_000_000;
const DUE: usize = 1_000;
/// Messages that are purged.
const EXPIRED: usize = 1_000_000;
/// Messages that arrive meanwhile, at 200 a second.
const ARRIVE: usize = 800;

/// A thousand of a million are due: how long finding them takes, and sending them.
pub(crate) async fn rule(bench: &Bench, report: &mut Report) -> Result<()> {
    let statements = format!(
        "create schema rules;
         create table rules.purchase_order (id int primary key, status text, submitted_at timestamptz, approver text);
         insert into rules.purchase_order
             select n, case when n % {} = 0 then 'submitted' else 'approved' end, now() - interval '9 days' - make_interval(secs => n), 'u1'
             from generate_series(1, {ORDERS}) as n;
         create index on rules.purchase_order (status, submitted_at);
         analyze rules.purchase_order",
        ORDERS / DUE
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&bench.pool).await?;
    let model = Model {
        name: "ordered".into(),
        table: "rules.purchase_order".into(),
        key: vec!["id".into()],
        ..Model::default()
    };
    store::models::register(&bench.pool, &model, "bench").await?;
    let template = MessageTemplate {
        code: "ORDERED".into(),
        model: Some("ordered".into()),
        message_text: "Order #id# waits.".into(),
        ..MessageTemplate::default()
    };
    store::message_templates::put(&bench.pool, &[template], "bench").await?;
    let options = herald_producers::Options::default();
    let producer = Producer::new(bench.pool.clone(), bench.queues.clone(), bench.clock.clone(), options);
    let reminders = Reminders::new(producer, bench.reader()?);
    let rule = serde_json::from_value(serde_json::json!({
        "code": "ORDERED", "model": "ordered", "initial": "submitted_at", "status": "status", "unchanged": ["submitted"],
        "interval": "3 days", "recipient": "approver", "message_type": "VIEW-NORMAL", "template": "ORDERED", "from": "all",
    }))?;
    reminders.save(rule, &Expect::Anything, "bench").await?;
    let (mut find, mut send, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 {
        sqlx::raw_sql("truncate herald.reminder_log, herald.outbox").execute(&bench.pool).await?;
        let Some(standing) = store::reminders::get(&bench.pool, "ORDERED").await? else { continue };
        let reader = bench.reader()?;
        let catalogue = store::catalogue::read(&bench.pool, &reader).await?;
        let plan = Plan::new(standing.rule.clone(), &catalogue)?;
        let span = standing.span(store::now(&bench.pool).await?);
        let mut snapshot = occurrences::snapshot(&reader).await?;
        let begun = Instant::now();
        let found = occurrences::due(&mut snapshot, &plan, &span, DUE + 1).await?;
        find.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(found.len() == DUE, "{} are due", found.len());
        snapshot.rollback().await?;
        let begun = Instant::now();
        let ran = reminders.run(&standing, None).await?;
        send.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(ran.sent == DUE, "{ran}");
        let begun = Instant::now();
        let ran = reminders.run(&standing, None).await?;
        again.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(ran.sent == 0, "{ran}");
    }
    sqlx::raw_sql("truncate herald.outbox").execute(&bench.pool).await?;
    report.figure("reminder_find_ms", &find);
    report.figure("reminder_run_ms", &send);
    report.figure("reminder_idle_run_ms", &again);
    Ok(())
}

/// Messages arrive and are acted on, without and with a purge beside them.
pub(crate) async fn purge(bench: &Bench, report: &mut Report) -> Result<()> {
    let options = herald_producers::Options::default();
    let producer = Producer::new(bench.pool.clone(), bench.queues.clone(), bench.clock.clone(), options);
    let worker = bench.worker().await?;
    let (mut without, mut with, mut took) = (Vec::new(), Vec::new(), Vec::new());
    let pause = Duration::from_millis(5);
    let arriving = async || {
        measure(bench, (0, ARRIVE), pause, async |user| {
            producer.enqueue(message(user, "VIEW-NORMAL")).await?;
            act(bench, user).await
        })
        .await
    };
    for round in 0..4 {
        bench.clean().await?;
        fill(bench).await?;
        let quiet = arriving().await?;
        let begun = Instant::now();
        let purging = herald_workers::purge::purge(&bench.pool, Retention::default(), bench.clock.now());
        let rounds = async {
            let mut all = arriving().await?;
            all.extend(arriving().await?);
            anyhow::Ok(all)
        };
        let (gone, busy) = tokio::join!(async { (purging.await, begun.elapsed()) }, rounds);
        let purged = gone.0?.into_iter().map(|(_, many)| many).sum::<u64>();
        ensure!(purged >= EXPIRED as u64, "{purged} were purged");
        // The first round warms up.
        if round > 0 {
            without.push(percentile(&quiet, 0.99));
            with.push(percentile(&busy?, 0.99));
            took.push(gone.1.as_secs_f64());
        }
    }
    drop(worker);
    let growth: Vec<f64> = with.iter().zip(&without).map(|(with, without)| with / without).collect();
    report.figure("arrival_beside_purge_ms_p99", &with);
    report.ratio("arrival_beside_purge_growth", &growth);
    report.figure("purge_million_s", &took);
    Ok(())
}

/// The recipient acts on what came before.
async fn act(bench: &Bench, user: usize) -> Result<()> {
    sqlx::query(
        "update herald.message set status = 'acted', acted_at = now() where id = (
             select m.id from herald.message m join herald.app_user u on u.id = m.recipient_id
             where u.username = $1 and m.status = 'pending' and not m.alert and m.expires_at > now() order by m.id desc limit 1)",
    )
    .bind(format!("u{user}"))
    .execute(&bench.pool)
    .await?;
    Ok(())
}

async fn fill(bench: &Bench) -> Result<()> {
    let statement = format!(
        "insert into herald.message (id, recipient_id, message_type, alert, required_action, complete_on, on_unknown, lane, subject,
                                     message_text, sender, status, created_at, expires_at)
         select herald.uuid_v7(), n % {USERS} + 1, 'VIEW-NORMAL', false, 'view', 'click', 'hold', 'normal', 'Old', repeat('x', 150), 'report',
                'pending', now() - interval '20 days', now() - interval '10 days'
         from generate_series(1, {EXPIRED}) as n;
         analyze herald.message; checkpoint"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&bench.pool).await?;
    Ok(())
}
