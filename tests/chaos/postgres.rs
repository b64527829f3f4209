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

/// Tries until it is accepted, as a caller would: after an outage some connections are found broken.
async fn insist<T>(mut accepted: impl AsyncFnMut() -> Result<T, SendError>) -> T {
    loop {
        match accepted().await {
            Ok(accepted) => return accepted,
            Err(SendError::Unavailable(_) | SendError::KeyBusy) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Sends with a key, so that it is sent once however often it is tried.
async fn send_once(herald: &Herald, key: &str) -> Uuid {
    insist(async || herald.producer.send_once(message("ann", "VIEW-NORMAL", key), key).await).await.id.0
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
        let keyed = join_all(keys.iter().map(|key| send_once(&herald, key)));
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
struct WalWriter<'a> {
    herald: &'a Herald,
    pid: i32,
}

impl<'a> WalWriter<'a> {
    async fn hold(herald: &'a Herald) -> Self {
        loop {
            if let Some((pid, _)) = Self::look(herald).await {
                kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
                // Held in the middle of a write, it would keep everybody from writing.
                if Self::look(herald).await == Some((pid, true)) {
                    return Self { herald, pid };
                }
                kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it, upon which the server ends all that it does, forgets what is not on the disk, and recovers.
    async fn crash(self) {
        kill(Pid::from_raw(self.pid), Signal::SIGKILL).unwrap();
        eventually("the server to recover", async || {
            Self::look(self.herald).await.is_some_and(|(pid, _)| pid != self.pid)
        })
        .await;
    }

    /// Its process id, and whether it waits for something to do; nothing while there is none.
    async fn look(herald: &Herald) -> Option<(i32, bool)> {
        let sql = "select pid, wait_event is not distinct from 'WalWriterMain' from pg_stat_activity
                   where backend_type = 'walwriter'";
        sqlx::query_as(sql).fetch_optional(&herald.pool).await.ok().flatten()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_seen_before_it_was_on_the_disk_comes_again_after_a_crash() {
    let (postgres, redis): (Postgres, _) = (servers::postgres().await, servers::redis().await);
    let options = herald_producers::Options::default();
    let herald = Herald::over(&postgres.url("herald"), &redis.url(), options).await;
    // A server recovers only when nobody is left who has just connected to it, as a frozen worker may have.
    for statement in ["alter system set authentication_timeout = '5s'", "select pg_reload_conf()"] {
        sqlx::query(statement).execute(&herald.pool).await.unwrap();
    }
    let worker = Worker::start(&herald);
    let (mut sent, mut lost) = (BTreeSet::new(), 0);
    // Whatever else is committed meanwhile brings the rest to the disk: a round may lose nothing.
    for round in 0..20 {
        let writer = WalWriter::hold(&herald).await;
        let accepted = send_once(&herald, &format!("outbox {round}")).await;
        eventually("it is in the inbox", async || herald.delivered().await.contains(&accepted)).await;
        worker.signal(Signal::SIGSTOP);
        writer.crash().await;
        lost += u32::from(!herald.delivered().await.contains(&accepted));
        worker.signal(Signal::SIGCONT);
        herald.settle_within(AMPLE).await;

        let writer = WalWriter::hold(&herald).await;
        let fast_lane = async || herald.producer.enqueue(message("bob", "VIEW-NORMAL", "fast lane")).await;
        let enqueued = insist(fast_lane).await.0;
        eventually("its entry is gone", async || {
            herald.delivered().await.contains(&enqueued) && herald.depth().await == 0
        })
        .await;
        writer.crash().await;
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
