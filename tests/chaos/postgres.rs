//! Postgres restarts, in order and by a crash.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use herald::private::{Postgres, Stop};
use herald_producers::SendError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use uuid::Uuid;

use super::stage::{AMPLE, Worker, assert_memory_returns, flood, memory_at_rest};
use crate::support::eventually;
use crate::support::herald::{Herald, message};
use crate::support::servers;

/// Sends with a key until it is accepted, as a caller would who must know.
async fn insist(herald: &Herald, key: &str) -> Uuid {
    loop {
        match herald.producer.send_once(message("ann", "VIEW-NORMAL", key), key).await {
            Ok(sent) => return sent.id.0,
            Err(SendError::Unavailable(_) | SendError::KeyBusy) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
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

/// Postgres' own process that brings to the disk what no commit waited for: held until the server crashes.
struct Writer(Pid);

impl Writer {
    async fn hold(herald: &Herald) -> Self {
        let pid = "select pid from pg_stat_activity where backend_type = 'walwriter'";
        let writer = Self(Pid::from_raw(sqlx::query_scalar(pid).fetch_one(&herald.pool).await.unwrap()));
        kill(writer.0, Signal::SIGSTOP).unwrap();
        writer
    }

    async fn crash(self, postgres: &mut Postgres) {
        let go_on = async {
            // It has been told to end by then.
            tokio::time::sleep(Duration::from_millis(200)).await;
            kill(self.0, Signal::SIGCONT).unwrap();
        };
        let (stopped, ()) = tokio::join!(postgres.stop(Stop::Abrupt), go_on);
        stopped.unwrap();
        postgres.start_again().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_before_it_was_on_the_disk_comes_again_after_a_crash() {
    let (mut postgres, redis): (Postgres, _) = (servers::postgres().await, servers::redis().await);
    let options = herald_producers::Options::default();
    let herald = Herald::over(&postgres.url("herald"), &redis.url(), options).await;
    let worker = Worker::start(&herald);
    let (mut sent, mut lost) = (BTreeSet::new(), 0);
    // Whatever else is committed meanwhile brings the rest to the disk: not each round loses something.
    for round in 0..20 {
        let writer = Writer::hold(&herald).await;
        let accepted = herald.producer.send(message("ann", "VIEW-NORMAL", "outbox")).await.unwrap().0;
        eventually("it is in the inbox", async || herald.delivered().await.contains(&accepted)).await;
        writer.crash(&mut postgres).await;
        lost += u32::from(!herald.delivered().await.contains(&accepted));
        herald.settle_within(AMPLE).await;

        let writer = Writer::hold(&herald).await;
        let enqueued = herald.producer.enqueue(message("bob", "VIEW-NORMAL", "fast lane")).await.unwrap().0;
        eventually("its entry is gone", async || {
            herald.delivered().await.contains(&enqueued) && herald.depth().await == 0
        })
        .await;
        writer.crash(&mut postgres).await;
        assert!(herald.delivered().await.contains(&enqueued), "round {round}: there was no entry any more");

        sent.extend([enqueued, accepted]);
        herald.assert_delivered(&sent).await;
        if lost > 0 && round > 1 {
            break;
        }
    }
    assert!(lost > 0, "nothing was lost, so nothing came again");
    worker.stop().await;
}
