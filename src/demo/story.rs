//! What happens in the company.

use std::time::Duration;

use anyhow::Result;
use herald_producers::{MessageId, NewMessage, Producer};
use serde_json::Value;
use sqlx::PgPool;

/// The pause between two events while the audience warms up, and later.
const PAUSE: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(45));
/// How many events come at the quicker pace.
const WARM_UP: usize = 6;

/// The first message: somebody says hello.
pub(super) async fn first(producer: &Producer) -> Result<MessageId> {
    Ok(producer
        .send(message("VIEW-NORMAL", "Welcome to Herald. Messages arrive here while you watch.", "bob", None))
        .await?)
}

/// One event after the other, until its future is dropped.
pub(super) async fn go_on(producer: &Producer, pool: &PgPool) -> Result<()> {
    for event in 0_usize.. {
        let (quick, slow) = PAUSE;
        tokio::time::sleep(if event < WARM_UP { quick } else { slow }).await;
        let happened = match event % 4 {
            0 => report(producer, pool).await,
            1 => order(producer, pool).await,
            2 => reminder(pool).await,
            _ => alert(producer).await,
        };
        if let Err(error) = happened {
            tracing::warn!("The demo skips an event: {error:#}");
        }
    }
    Ok(())
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

/// A purchase order needs somebody's authorisation.
async fn order(producer: &Producer, pool: &PgPool) -> Result<()> {
    let id: i32 = sqlx::query_scalar(
        "insert into demo.purchase_order (customer, subject, amount, requester)
         values (1, 'Espresso machine', 12400, 'bob baker') returning id",
    )
    .fetch_one(pool)
    .await?;
    producer
        .send(NewMessage {
            action_parameters: Some(vec![Value::from(id), Value::from(1)]),
            ..made_by("PO-AUTHORISE", "PO-AUTHORISE", "purchase_order", id)
        })
        .await?;
    Ok(())
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
