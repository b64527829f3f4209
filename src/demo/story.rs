//! What happens in the company.

use std::time::Duration;

use anyhow::Result;
use chrono::TimeDelta;
use herald_jobs::clock::Clock;
use herald_jobs::store::answers::Answers;
use herald_producers::{MessageId, NewMessage, Producer};
use serde_json::Value;
use sqlx::PgPool;

/// The pause between two events while the audience warms up, and later.
const PAUSE: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(45));
/// The pause before the database is asked again that went away.
const AGAIN: Duration = Duration::from_secs(1);
/// How many events come at the quicker pace.
const WARM_UP: usize = 6;

/// The first message: somebody says hello.
pub(super) async fn first(producer: &Producer) -> Result<MessageId> {
    Ok(producer
        .send(message("VIEW-NORMAL", "Welcome to Herald. Messages arrive here while you watch.", "bob", None))
        .await?)
}

/// One event after the other, until its future is dropped.
pub(super) async fn go_on(producer: &Producer, pool: &PgPool, clock: &Clock) {
    for event in 0_usize.. {
        let (quick, slow) = PAUSE;
        tokio::time::sleep(if event < WARM_UP { quick } else { slow }).await;
        let happened = match event % 4 {
            0 => report(producer, pool).await,
            1 => order(pool, clock).await,
            2 => reminder(pool).await,
            _ => alert(producer).await,
        };
        if let Err(error) = happened {
            tracing::warn!("The demo skips an event: {error:#}");
        }
    }
}

/// The task queue has finished a report.
async fn report(producer: &Producer, pool: &PgPool) -> Result<()> {
    let id: i32 = sqlx::query_scalar(
        "with task as (
             insert into demo.report_task (owner, title, finished) values ('ann', 'Sales by region', now()) returning id
         ), lines as (
             insert into demo.report_line (report_task, region, amount)
             select id, region, amount from task, (values ('North', 81200), ('South', 64900)) as line(region, amount)
         )
         select id from task",
    )
    .fetch_one(pool)
    .await?;
    producer.send(made_by("REPORT-READY", "REPORT-READY", "report_task", id)).await?;
    Ok(())
}

/// Above this a purchase order is for its manager to decide.
const LIMIT: i32 = 10_000;

/// A purchase order over the limit asks its manager, in the transaction that submits it.
async fn order(pool: &PgPool, clock: &Clock) -> Result<()> {
    sqlx::query(
        "with submitted as (
             insert into demo.purchase_order (customer, subject, amount, requester)
             values (1, 'Espresso machine', 12400, 'bob') returning id, amount
         ), asked as (
             select id, herald.request_authorisation(
                 model => 'purchase_order', model_key => to_jsonb(id), requester => 'bob', approvers => '{\"path\": \"manager\"}',
                 message_type => 'PO-DECIDE', template => 'PO-AUTHORISE', answer_to => 'notify',
                 due_at => $2) as authorisation
             from submitted where amount > $1
         )
         insert into demo.asked select id, authorisation from asked",
    )
    .bind(LIMIT)
    .bind(clock.now() + TimeDelta::days(2))
    .execute(pool)
    .await?;
    Ok(())
}

/// What the purchasing program does with decisions: it listens, and sets the order's status. The watch on that tells who asked.
pub(super) async fn follow_decisions(pool: &PgPool) {
    loop {
        if let Err(error) = listen(pool).await {
            tracing::debug!("Listens for decisions again: {error:#}");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn listen(pool: &PgPool) -> Result<()> {
    let mut answers = Answers::listen(pool).await?;
    let mut told = None;
    loop {
        sqlx::query(
            "update demo.purchase_order o set status = a.status from herald.authorisation a join demo.asked q on q.authorisation = a.id
             where o.id = q.purchase_order and o.status = 'submitted' and a.status in ('approved', 'refused')
               and ($1::uuid is null or a.id = $1)",
        )
        .bind(told)
        .execute(pool)
        .await?;
        // Some may have been missed where it does not say which.
        told = answers.next().await?;
    }
}

/// An order that nobody has confirmed for three days: the rule PO-UNCONFIRMED finds it, and asks its requester and the customer's contacts.
async fn reminder(pool: &PgPool) -> Result<()> {
    sqlx::query(
        "insert into demo.purchase_order (customer, subject, amount, requester, ordered_on)
         values (2, 'Lanterns, 20 pieces', 1590.25, 'ann', current_date - 4)",
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Something that cannot wait.
async fn alert(producer: &Producer) -> Result<()> {
    producer
        .send(message("ALERT-SMS", "The warehouse's cold room is at 9 °C and rising.", "cold_room", Some(1)))
        .await?;
    Ok(())
}

fn made_by(kind: &str, template: &str, sender: &str, id: i32) -> NewMessage {
    let (template, model_key) = (Some(template.to_owned()), Some(Value::from(id)));
    NewMessage { template, model_key, ..message(kind, "", sender, Some(id)) }
}

fn message(kind: &str, text: &str, sender: &str, instance: Option<i32>) -> NewMessage {
    NewMessage {
        recipient: "ann".into(),
        message_type: kind.into(),
        message_text: text.into(),
        sender: sender.into(),
        sender_instance: instance.map(|id| id.to_string()),
        ..NewMessage::default()
    }
}
