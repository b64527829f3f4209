//! Relay and sweep against a model: sends are accepted in every way while Redis loses things, the clock jumps, relays die and the
//! consumer pauses, all in random order. Whatever happens, everything accepted is consumed, and Redis never holds more than
//! it should.
//!
//! The clock that is moved is Herald's own, which decides what is due. The clocks of Postgres and Redis, by which the sweep
//! tells what was lost, cannot be moved here; the test waits for them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use herald_producers::relay::Relay;
use herald_producers::{NewMessage, Options};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use redis::aio::MultiplexedConnection;
use serde::Deserialize;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::eventually;
use crate::support::herald::{Story, message};

const SEEDS: [u64; 4] = [1, 20, 300, 4_000];
const STEPS: usize = 110;
/// Entries that a lane may hold in Redis.
const MAX_DEPTH: u64 = 200;
/// Most sends accepted at once.
const BURST: u64 = 80;
/// Most entries consumed at once.
const BATCH: u64 = 50;
/// The lanes in use, with a message type of each.
const LANES: [(&str, &str); 2] =
    [("herald:{send:normal:0}", "VIEW-NORMAL"), ("herald:{send:alert:0}", "ALERT-VIEW")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_accepted_is_consumed_whatever_happens_to_redis_and_the_relays() {
    join_all(SEEDS.map(play)).await;
}

async fn play(seed: u64) {
    println!("seed {seed}");
    let story = Story::with(Options { max_depth: MAX_DEPTH, ..Options::default() }).await;
    let mut model = Model {
        random: StdRng::seed_from_u64(seed),
        accepted: BTreeSet::new(),
        redis: story.plain_redis().await,
        relays: vec![Running::start(&story)],
        story: &story,
    };
    let consumer = Consumer::start(&story).await;
    let watch =
        tokio::spawn(watch(seed, story.pool.clone(), story.plain_redis().await, consumer.taken.clone()));
    for _ in 0..STEPS {
        model.step(&consumer).await;
        assert!(!watch.is_finished(), "seed {seed}: {:?}", watch.await);
        let pause = model.random.random_range(1..120);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let Model { accepted, relays, .. } = model;
    // What was sent for later becomes due, and one relay and the consumer work on.
    story.clock.advance(TimeDelta::hours(2));
    let _relay = Running::start(&story);
    drop(relays);
    consumer.paused.store(false, Ordering::Relaxed);
    eventually("everything to be consumed", async || story.waiting().await == 0 && story.depth().await == 0)
        .await;
    watch.abort();
    let (consumed, duplicates) = consumer.finish().await;
    let lost = accepted.difference(&consumed).count();
    let strange = consumed.difference(&accepted).count();
    assert!(
        lost == 0 && strange == 0,
        "seed {seed}: of {} accepted {lost} were lost, {strange} are unknown",
        accepted.len()
    );
    println!("seed {seed}: {} accepted, {duplicates} jobs came twice", accepted.len());
    // Two relays may take the same rows once, when one takes over from another that is still at work.
    assert!(duplicates <= MAX_DEPTH, "seed {seed}: {duplicates} jobs came twice");
}

struct Model<'a> {
    random: StdRng,
    accepted: BTreeSet<Uuid>,
    redis: MultiplexedConnection,
    relays: Vec<Running>,
    story: &'a Story,
}

impl Model<'_> {
    async fn step(&mut self, consumer: &Consumer) {
        match self.random.random_range(0..100) {
            0..30 => self.send().await,
            30..50 => self.send_by_sql(true, false).await,
            50..58 => self.send_by_sql(true, true).await,
            58..62 => self.send_by_sql(false, false).await,
            62..70 => self.send_for_later().await,
            70..75 => redis::cmd("FLUSHALL").exec_async(&mut self.redis).await.unwrap(),
            75..81 => {
                let (stream, _) = self.lane();
                redis::cmd("DEL").arg(stream).exec_async(&mut self.redis).await.unwrap();
            }
            81..88 => {
                consumer.paused.fetch_xor(true, Ordering::Relaxed);
            }
            88..94 => {
                let seconds = self.random.random_range(-120..600);
                self.story.clock.advance(TimeDelta::seconds(seconds));
            }
            _ => self.change_relays().await,
        }
    }

    fn lane(&mut self) -> (&'static str, &'static str) {
        LANES[self.random.random_range(0..LANES.len())]
    }

    fn burst(&mut self) -> u64 {
        self.random.random_range(1..=BURST)
    }

    /// Accepted, and pushed by the producer while there is room.
    async fn send(&mut self) {
        let (burst, (_, kind)) = (self.burst(), self.lane());
        let sends = (0..burst).map(|_| self.story.producer.send(message("ann", kind, "x")));
        self.accepted.extend(join_all(sends).await.into_iter().map(|sent| sent.unwrap().0));
    }

    /// Left to the relay; or rolled back; or `lost`: it counts as pushed, but its producer died before it had pushed it.
    async fn send_by_sql(&mut self, commit: bool, lost: bool) {
        let (burst, (_, kind)) = (self.burst(), self.lane());
        let mut transaction = self.story.pool.begin().await.unwrap();
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "select herald.send_message('ann', 'x', $1, 'report', '7') from generate_series(1, $2)",
        )
        .bind(kind)
        .bind(i64::try_from(burst).unwrap())
        .fetch_all(&mut *transaction)
        .await
        .unwrap();
        if lost {
            sqlx::query("update herald.outbox set pushed_at = clock_timestamp() where id = any($1)")
                .bind(&ids)
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        if commit {
            transaction.commit().await.unwrap();
            self.accepted.extend(ids);
        } else {
            transaction.rollback().await.unwrap();
        }
    }

    async fn send_for_later(&mut self) {
        let (burst, (_, kind)) = (self.burst(), self.lane());
        let deliver_at =
            Some(self.story.clock.now() + TimeDelta::seconds(self.random.random_range(1..3_000)));
        let sends = (0..burst)
            .map(|_| self.story.producer.send(NewMessage { deliver_at, ..message("ann", kind, "x") }));
        self.accepted.extend(join_all(sends).await.into_iter().map(|sent| sent.unwrap().0));
    }

    /// A relay dies without a word, or stops in order, or another one comes.
    async fn change_relays(&mut self) {
        match self.random.random_range(0..3) {
            0 => drop(self.relays.pop()),
            1 => {
                if let Some(mut relay) = self.relays.pop() {
                    relay.stop.cancel();
                    (&mut relay.task).await.unwrap();
                }
            }
            _ => {}
        }
        if self.relays.len() < 2 {
            self.relays.push(Running::start(self.story));
        }
    }
}

/// A relay at work. Dropping it ends it in the middle of whatever it does.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(story: &Story) -> Self {
        let stop = CancellationToken::new();
        let relay = Relay::new(story.pool.clone(), story.queues.clone(), story.clock.clone(), MAX_DEPTH);
        Self { task: tokio::spawn(relay.run(stop.clone())), stop }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes entries from the streams and deletes their rows: the least that a worker does.
struct Consumer {
    paused: Arc<AtomicBool>,
    /// Entries whose rows it has deleted or is about to.
    taken: Arc<AtomicU64>,
    duplicates: Arc<AtomicU64>,
    stop: CancellationToken,
    consuming: JoinHandle<BTreeSet<Uuid>>,
}

impl Consumer {
    async fn start(story: &Story) -> Self {
        let paused = Arc::new(AtomicBool::new(false));
        let (taken, duplicates) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let stop = CancellationToken::new();
        let (pool, mut redis) = (story.pool.clone(), story.plain_redis().await);
        let (is_paused, stopped) = (paused.clone(), stop.clone());
        let (takes, doubles) = (taken.clone(), duplicates.clone());
        let consuming = tokio::spawn(async move {
            let mut consumed = BTreeSet::new();
            while !stopped.is_cancelled() {
                for (stream, _) in LANES {
                    if !is_paused.load(Ordering::Relaxed) {
                        consume(&pool, &mut redis, stream, &mut consumed, &takes, &doubles).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            consumed
        });
        Self { paused, taken, duplicates, stop, consuming }
    }

    async fn finish(self) -> (BTreeSet<Uuid>, u64) {
        self.stop.cancel();
        (self.consuming.await.unwrap(), self.duplicates.load(Ordering::Relaxed))
    }
}

async fn consume(
    pool: &PgPool,
    redis: &mut MultiplexedConnection,
    stream: &str,
    consumed: &mut BTreeSet<Uuid>,
    taken: &AtomicU64,
    duplicates: &AtomicU64,
) {
    #[derive(Deserialize)]
    struct Job {
        id: Uuid,
    }
    let entries = entries(redis, stream, BATCH).await;
    if entries.is_empty() {
        return;
    }
    let jobs = entries.iter().flat_map(|(_, jobs)| jobs);
    let ids: Vec<Uuid> = jobs.map(|job| serde_json::from_str::<Job>(job).unwrap().id).collect();
    // Before they are deleted: the watch must never see fewer rows than it was told of.
    taken.fetch_add(ids.len() as u64, Ordering::SeqCst);
    let deleted: Vec<Uuid> = sqlx::query_scalar("delete from herald.outbox where id = any($1) returning id")
        .bind(&ids)
        .fetch_all(pool)
        .await
        .unwrap();
    duplicates.fetch_add((ids.len() - deleted.len()) as u64, Ordering::Relaxed);
    for id in deleted {
        assert!(consumed.insert(id), "a row came back");
    }
    let mut delete = redis::cmd("XDEL");
    delete.arg(stream).arg(entries.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>());
    delete.exec_async(redis).await.unwrap();
    // Of what was taken, all but one for each entry are counted as packed.
    let mut uncount = redis::cmd("DECRBY");
    uncount.arg(format!("{stream}:packed")).arg(ids.len() - entries.len());
    uncount.exec_async(redis).await.unwrap();
}

/// The oldest entries of a stream, each with its jobs.
async fn entries(redis: &mut MultiplexedConnection, stream: &str, most: u64) -> Vec<(String, Vec<String>)> {
    let mut read = redis::cmd("XRANGE");
    read.arg(stream).arg("-").arg("+").arg("COUNT").arg(most);
    let entries: Vec<(String, Vec<(String, String)>)> = read.query_async(redis).await.unwrap();
    let jobs = |fields: Vec<(String, String)>| {
        fields.into_iter().filter(|(name, _)| name == "job").map(|(_, job)| job).collect()
    };
    entries.into_iter().map(|(id, fields)| (id, jobs(fields))).collect()
}

/// Looks at the streams all the time; ends by a panic when they hold too much.
async fn watch(seed: u64, pool: PgPool, mut redis: MultiplexedConnection, taken: Arc<AtomicU64>) {
    // What one burst may add behind the look at the depth, what a second relay's round may, and what a consumer has in hand.
    let (one_round, in_hand) = (MAX_DEPTH + BURST, BURST + BATCH);
    loop {
        let (mut held, before) = (0, taken.load(Ordering::SeqCst));
        for (stream, _) in LANES {
            let depth: usize =
                entries(&mut redis, stream, u64::MAX >> 1).await.iter().map(|(_, jobs)| jobs.len()).sum();
            assert!(depth as u64 <= MAX_DEPTH + one_round, "seed {seed}: {stream} holds {depth} jobs");
            held += depth as u64;
        }
        let rows: i64 =
            sqlx::query_scalar("select count(*) from herald.outbox").fetch_one(&pool).await.unwrap();
        let rows = u64::try_from(rows).unwrap();
        // The consumer does not wait while this looks from the one to the other.
        let meanwhile = taken.load(Ordering::SeqCst) - before;
        assert!(
            held <= rows + meanwhile + in_hand + MAX_DEPTH,
            "seed {seed}: {held} jobs for {rows} rows, {meanwhile} taken meanwhile"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
