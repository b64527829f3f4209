//! Postgres restarts, in order and by a crash.

use std::collections::BTreeSet;

use futures::future::join_all;
use herald::private::{Postgres, Stop};
use herald_producers::SendError;
use uuid::Uuid;

use super::stage::{AMPLE, Worker, assert_memory_returns, flood, memory_at_rest};
use crate::support::herald::{Herald, message};
use crate::support::servers;

/// Sends with a key until it is accepted, as a caller would who must know.
async fn insist(herald: &Herald, key: &str) -> Uuid {
    loop {
        match herald.producer.send_once(message("ann", "VIEW-NORMAL", key), key).await {
            Ok(sent) => return sent.id.0,
            Err(SendError::Unavailable(_) | SendError::KeyBusy) => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

async fn restarts(how: Stop) {
    let (mut postgres, redis): (Postgres, _) = (servers::postgres().await, servers::redis().await);
    let options = herald_producers::Options::default();
    let herald = Herald::over(&postgres.url("herald"), &redis.url(), options).await;
    let worker = Worker::start(&herald);
    let before = memory_at_rest(&herald).await;
    let mut accepted = BTreeSet::new();
    for round in 0..2 {
        accepted.extend(flood(&herald, 4_000).await);
        let restart = async {
            postgres.stop(how).await.unwrap();
            postgres.start_again().await.unwrap();
        };
        let keys: Vec<String> = (0..300).map(|n| format!("{round}-{n}")).collect();
        let keyed = join_all(keys.iter().map(|key| insist(&herald, key)));
        let ((), keyed) = tokio::join!(restart, keyed);
        accepted.extend(keyed);
    }
    herald.settle_within(AMPLE).await;
    herald.assert_delivered(&accepted).await;
    assert_eq!(herald.dead().await, [""; 0], "an outage is no job's failure");
    assert_memory_returns(&herald, before).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_be_restarted_in_order() {
    restarts(Stop::Orderly).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_crash_and_recover() {
    restarts(Stop::Abrupt).await;
}
