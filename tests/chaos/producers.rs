//! Two hundred producers go on sending by each way in, while whatever can be killed is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use herald::private::{Postgres, Redis, Stop};
use herald_jobs::store;
use herald_producers::{NewMessage, SendError};
use herald_web::access::NewToken;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::PgPool;
use uuid::Uuid;

use super::stage::{AMPLE, Worker};
use crate::support::herald::{Herald, message};
use crate::support::port::free_port;
use crate::support::servers;

const PRODUCERS: usize = 200;
/// Things that are killed while they send.
const BLOWS: usize = 14;
/// Another one kills in another order.
const SEED: u64 = 7;
/// What one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A way in.
#[derive(Clone, Copy)]
enum Way {
    Rust,
    Sql,
    Http,
}

/// What producers have done: texts that they tried to send, and what was accepted of them.
#[derive(Default)]
struct Done {
    attempted: BTreeSet<String>,
    accepted: BTreeMap<String, Uuid>,
    /// Those sent again under one key until they were accepted.
    keyed: BTreeSet<String>,
}

struct Sending<'a> {
    herald: &'a Herald,
    /// As a program of somebody else's has it: its broken connections are found when they are used.
    sql: PgPool,
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Sending<'_> {
    /// One attempt. `Err`: it was not accepted, or nobody knows.
    async fn attempt(&self, way: Way, text: &str, key: Option<&str>) -> Result<Uuid, ()> {
        let message = message("ann", "VIEW-NORMAL", text);
        let attempt = async {
            match way {
                Way::Rust => self.by_rust(message, key).await,
                Way::Sql => self.by_sql(text, key).await,
                Way::Http => self.by_http(&message, key).await,
            }
        };
        tokio::time::timeout(PATIENCE, attempt).await.map_err(drop)?
    }

    async fn by_rust(&self, message: NewMessage, key: Option<&str>) -> Result<Uuid, ()> {
        let sent = match key {
            Some(key) => self.herald.producer.send_once(message, key).await.map(|sent| sent.id),
            None => self.herald.producer.send(message).await,
        };
        match sent {
            Ok(id) => Ok(id.0),
            Err(SendError::Unavailable(_) | SendError::KeyBusy) => Err(()),
            Err(other) => panic!("{other}"),
        }
    }

    async fn by_sql(&self, text: &str, key: Option<&str>) -> Result<Uuid, ()> {
        let sent = sqlx::query_scalar(
            "select herald.send_message('ann', $1, 'VIEW-NORMAL', 'report', '7', idempotency_key => $2)",
        )
        .bind(text)
        .bind(key)
        .fetch_one(&self.sql)
        .await;
        sent.map_err(|error| {
            let code = error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .unwrap_or_default()
                .into_owned();
            // Without a code the connection broke; 55P03 is a busy key; 57 are shutdowns.
            assert!(code.is_empty() || code == "55P03" || code.starts_with("57"), "{error}");
        })
    }

    async fn by_http(&self, message: &NewMessage, key: Option<&str>) -> Result<Uuid, ()> {
        let mut request = self.http.post(&self.url).bearer_auth(&self.token).json(message);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await.map_err(drop)?;
        let status = answer.status().as_u16();
        let body: serde_json::Value = answer.json().await.map_err(drop)?;
        match status {
            202 => Ok(body["id"].as_str().unwrap().parse().unwrap()),
            409 | 500..=599 => Err(()),
            _ => panic!("{status}: {body}"),
        }
    }

    /// A producer's life: every second message has a key, and is sent until it is accepted.
    async fn produce(&self, number: usize, over: &AtomicBool) -> Done {
        let way = [Way::Rust, Way::Sql, Way::Http][number % 3];
        let mut random = StdRng::seed_from_u64(SEED + number as u64);
        let mut done = Done::default();
        for round in 0.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let text = format!("{number}-{round}");
            done.attempted.insert(text.clone());
            let mut sent = Err(());
            if round % 2 == 0 {
                sent = self.attempt(way, &text, None).await;
            } else {
                done.keyed.insert(text.clone());
                while sent.is_err() {
                    sent = self.attempt(way, &text, Some(&text)).await;
                    // What was accepted is accepted again as the same message.
                    if let (Ok(id), 0) = (sent, random.random_range(0..4)) {
                        let again = self.attempt(way, &text, Some(&text)).await;
                        assert_eq!(again.unwrap_or(id), id, "{text}");
                    }
                }
            }
            done.accepted.extend(sent.ok().map(|id| (text, id)));
            tokio::time::sleep(Duration::from_millis(random.random_range(20..200))).await;
        }
        done
    }
}

/// Kills at random, and brings back what it killed.
struct Blows {
    random: StdRng,
    postgres: Postgres,
    redis: Redis,
    workers: Vec<Worker>,
    web: Option<Worker>,
    listen: SocketAddr,
}

impl Blows {
    async fn strike(&mut self, herald: &Herald) {
        tokio::time::sleep(Duration::from_millis(self.random.random_range(300..1_500))).await;
        let how = if self.random.random() { Stop::Abrupt } else { Stop::Orderly };
        match self.random.random_range(0..5) {
            0 => {
                self.postgres.stop(how).await.unwrap();
                self.postgres.start_again().await.unwrap();
            }
            1 => {
                self.redis.stop(how).await.unwrap();
                self.redis.start_again().await.unwrap();
            }
            2 => {
                let mut redis = herald.plain_redis().await;
                redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
            }
            3 => {
                self.web.take().unwrap().kill().await;
                self.web = Some(Worker::web(herald, self.listen));
            }
            _ => {
                self.workers.remove(0).kill().await;
                self.workers.push(Worker::start(herald));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_producers_lose_and_double_nothing_while_everything_is_killed() {
    // Another test of the process may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (postgres, redis) = (servers::postgres().await, servers::redis().await);
    let database_url = postgres.url("herald");
    let herald = Herald::over(&database_url, &redis.url(), herald_producers::Options::default()).await;
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let token = NewToken { name: "test".into(), sender: "report".into(), ..NewToken::default() };
    let sending = Sending {
        herald: &herald,
        sql: store::pool(&database_url, "another", 20).unwrap(),
        http: reqwest::Client::new(),
        url: format!("http://{listen}/api/v1/messages"),
        token: herald_web::access::new_api_token(&herald.pool, &herald.clock, token, "test").await.unwrap(),
    };
    let mut blows = Blows {
        random: StdRng::seed_from_u64(SEED),
        postgres,
        redis,
        workers: vec![Worker::start(&herald), Worker::start(&herald)],
        web: Some(Worker::web(&herald, listen)),
        listen,
    };
    let over = AtomicBool::new(false);
    let producers = join_all((0..PRODUCERS).map(|number| sending.produce(number, &over)));
    let killing = async {
        for _ in 0..BLOWS {
            blows.strike(&herald).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let (all, ()) = tokio::join!(producers, killing);

    herald.settle_within(AMPLE).await;
    assert_eq!(herald.dead().await, [""; 0]);
    let rows: Vec<(Uuid, String)> =
        sqlx::query_as("select id, message_text from herald.message").fetch_all(&herald.pool).await.unwrap();
    let mut messages: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    for (id, text) in rows {
        messages.entry(text).or_default().push(id);
    }
    for done in &all {
        for (text, id) in &done.accepted {
            assert_eq!(messages.get(text), Some(&vec![*id]), "{text} was accepted as {id}");
        }
        for text in &done.keyed {
            assert!(done.accepted.contains_key(text), "{text} was sent until it was accepted");
        }
        for text in &done.attempted {
            // Without a key, and without an answer: it may be there or not, but not twice.
            assert!(messages.remove(text).is_none_or(|ids| ids.len() == 1), "{text} is there twice");
        }
    }
    assert!(messages.is_empty(), "{messages:?}: nobody sent these");
    let accepted: usize = all.iter().map(|done| done.accepted.len()).sum();
    let unanswered: usize = all.iter().map(|done| done.attempted.len() - done.accepted.len()).sum();
    assert!(accepted > PRODUCERS, "only {accepted} were accepted");
    assert!(all.iter().all(|done| !done.accepted.is_empty()), "each way was open at times");
    println!("{accepted} accepted, {unanswered} not, or nobody knows");
    for worker in blows.workers.into_iter().chain(blows.web) {
        worker.stop().await;
    }
}
