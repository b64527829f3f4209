//! What happens in the company.

use std::time::Duration;

use anyhow::Result;
use herald_jobs::send::{NewContact, Syntax};
use herald_producers::{MessageId, NewMessage, Producer};
use serde_json::{Value, json};
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
            2 => reminder(producer, pool).await,
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
        "insert into demo.report_task (owner, title, finished) values ('ann', 'Sales by region', now()) returning id",
    )
    .fetch_one(pool)
    .await?;
    let instance = json!({"title": "Sales by region", "rows": [{"region": "North", "sum": "81,200"}, {"region": "South", "sum": "64,900"}]});
    producer
        .send(NewMessage {
            external_message: Some(
                "Your report \"{{title}}\" is ready:\n\n{{#each rows}}{{region}}: {{sum}}\n{{/each}}\nThe inbox has the link.".into(),
            ),
            instance: instance.as_object().cloned(),
            syntax: Syntax::Handlebars,
            ..message("REPORT-READY", "Your report \"{{title}}\" is ready.", "report_task", Some(id))
        })
        .await?;
    Ok(())
}

/// A purchase order needs somebody's authorisation.
async fn order(producer: &Producer, pool: &PgPool) -> Result<()> {
    let id: i32 = sqlx::query_scalar(
        "insert into demo.purchase_order (customer, subject, amount, requester)
         values (1, 'Espresso machine', 12400, 'bob') returning id",
    )
    .fetch_one(pool)
    .await?;
    producer
        .send(NewMessage {
            action_parameters: Some(vec![Value::from(id), Value::from(1)]),
            ..message(
                "PO-AUTHORISE",
                "Bob Baker asks you to authorise a purchase: Espresso machine, 12,400.00 EUR.",
                "purchase_order",
                Some(id),
            )
        })
        .await?;
    Ok(())
}

/// A question, and a copy of the reminder to the customer's contact.
async fn reminder(producer: &Producer, pool: &PgPool) -> Result<()> {
    let contact: String = sqlx::query_scalar("select email from demo.contact_person where customer = 2")
        .fetch_one(pool)
        .await?;
    producer
        .send(NewMessage {
            subject: Some("Your order awaits your confirmation".into()),
            external_message: Some(
                "Dear customer, your order has been waiting for your confirmation for three days.".into(),
            ),
            recipients: vec![NewContact { contact_reference: contact, email_mode: "To".into() }],
            ..message(
                "REPLY-YESNO",
                "Nordlicht GmbH has not confirmed its order for three days. Shall we keep it open?",
                "customer",
                Some(2),
            )
        })
        .await?;
    Ok(())
}

/// Something that cannot wait.
async fn alert(producer: &Producer) -> Result<()> {
    producer
        .send(message("ALERT-VIEW", "The warehouse's cold room is at 9 °C and rising.", "cold_room", Some(1)))
        .await?;
    Ok(())
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
