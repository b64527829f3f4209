use herald_jobs::clock::Clock;
use herald_jobs::queues::Queues;
use herald_jobs::store;
use herald_producers::{NewContact, NewMessage, Options, Producer};
use herald_queue::Redis;

/// Sends in each way, over these servers.
pub async fn send(postgres: &str, redis: &str) -> Result<(), Box<dyn std::error::Error>> {
    let pool = store::pool(postgres, "reports", 4)?;
    let queues = Queues::new(Redis::open(redis)?, &herald_queue::Options::default());
    let producer = Producer::new(pool.clone(), queues, Clock::system(), Options::default());

    let message = NewMessage {
        recipient: "ann".into(),
        message_type: "VIEW-NORMAL".into(),
        message_text: "Your report is ready.".into(),
        sender: "report".into(),
        sender_instance: Some("42".into()),
        ..NewMessage::default()
    };
    let id = producer.send(message.clone()).await?;
    println!("{}", producer.standing(id).await?.map_or("gone".into(), |standing| standing.status));

    // Under a key: however often it is repeated, it is one message.
    let first = producer.send_once(message.clone(), "report-42").await?;
    let again = producer.send_once(message.clone(), "report-42").await?;
    assert!(first.id == again.id && again.replayed);

    // Somebody who is no user, now or at any time later.
    let contact = NewContact { contact_reference: "hana@harbour.example".into(), email_mode: "Cc".into() };
    producer.add_recipient(id, &contact).await?;

    // Inside a transaction of one's own: a rollback leaves nothing.
    let mut transaction = pool.begin().await?;
    producer.send_in(&mut transaction, message.clone()).await?;
    transaction.rollback().await?;

    // To many, each answered by itself; what still waits can be cancelled.
    let batch = producer.send_many(message.clone(), &["ann".into(), "bob".into(), "nobody".into()]).await?;
    assert!(batch.answers[2].is_err(), "nobody is no user");
    producer.cancel_batch(batch.id).await?;

    // Straight to Redis, whose promise is then the only one.
    producer.enqueue(message).await?;

    // A program that ends now leaves nothing to the sweep.
    producer.flush().await;
    Ok(())
}
