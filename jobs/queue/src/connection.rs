use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, RedisError, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};
use thiserror::Error;
use tracing::{info, warn};

use crate::reply;

/// How long a connection attempt may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long a push or a question may wait for its answer before it is an error.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Connection attempts that one push makes before it gives up, so that callers learn within a second.
const ATTEMPTS: usize = 2;
/// The longest wait between two attempts of a consumer to reach Redis.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const SHORTEST_WAIT: Duration = Duration::from_millis(20);

/// Connection settings, and two multiplexed connections that are shared by all clones: one for single pushes and
/// questions, one for pushes of many jobs, so that the former never wait behind the latter.
///
/// Connects when first used, from inside a tokio runtime, and again whenever the connection was lost. While Redis
/// is down each use is an error.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    single: OnceLock<ConnectionManager>,
    bulk: OnceLock<ConnectionManager>,
}

/// The address of Redis is not one.
#[derive(Debug, Error)]
#[error("not an address of Redis: {0}")]
pub struct OpenError(#[source] RedisError);

/// Why Redis could not be asked, or a job not be pushed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QueueError {
    /// Redis could not be reached, did not answer in time, or refused the command. A push that failed so may have
    /// reached the stream nevertheless.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// The job could not be written as JSON.
    #[error("the job cannot be written as JSON: {0}")]
    Encode(#[source] serde_json::Error),
    /// Redis answered something that the command never answers.
    #[error("Redis gave an unexpected answer to {0}")]
    Answer(&'static str),
    /// The task carries a time to run at, which a stream cannot keep.
    #[error("a stream holds no job back until a later time")]
    Scheduled,
    /// The text is not the id of an entry.
    #[error("`{0}` is not the id of an entry")]
    NotAnId(String),
    /// The push was cut off because its runtime is shutting down.
    #[error("the runtime is shutting down")]
    Cancelled,
}

impl Redis {
    /// Takes an address such as `redis://127.0.0.1:6379/0`, `rediss://...` or `unix:///run/redis.sock`, without
    /// connecting. Only an address that cannot be read is an error.
    pub fn open(url: &str) -> Result<Self, OpenError> {
        let client = Client::open(url).map_err(OpenError)?;
        Ok(Self { inner: Arc::new(Inner { client, single: OnceLock::new(), bulk: OnceLock::new() }) })
    }

    /// The time since the epoch by Redis's own clock.
    pub async fn time(&self) -> Result<Duration, QueueError> {
        let answer = redis::cmd("TIME").query_async(&mut self.single()?).await?;
        reply::time(answer)
    }

    /// Ok when Redis answers.
    pub async fn ping(&self) -> Result<(), QueueError> {
        Ok(redis::cmd("PING").exec_async(&mut self.single()?).await?)
    }

    /// Appends an entry to a stream that is no queue, and keeps about the last `keep` entries of it.
    pub async fn append(&self, stream: &str, fields: &[(&str, &str)], keep: usize) -> Result<(), QueueError> {
        let mut command = redis::cmd("XADD");
        command.arg(stream).arg("MAXLEN").arg("~").arg(keep).arg("*");
        for (name, value) in fields {
            command.arg(name).arg(value);
        }
        Ok(command.exec_async(&mut self.single()?).await?)
    }

    pub(crate) fn single(&self) -> Result<ConnectionManager, QueueError> {
        self.manager(&self.inner.single)
    }

    pub(crate) fn bulk(&self) -> Result<ConnectionManager, QueueError> {
        self.manager(&self.inner.bulk)
    }

    fn manager(&self, slot: &OnceLock<ConnectionManager>) -> Result<ConnectionManager, QueueError> {
        if let Some(manager) = slot.get() {
            return Ok(manager.clone());
        }
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(ATTEMPTS)
            .set_max_delay(LONGEST_WAIT)
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(ANSWER_LIMIT));
        let made = ConnectionManager::new_lazy_with_config(self.inner.client.clone(), config)?;
        Ok(slot.get_or_init(|| made).clone())
    }

    async fn connect(&self, answer_limit: Duration) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_LIMIT))
            .set_response_timeout(Some(answer_limit));
        self.inner.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

impl fmt::Debug for Redis {
    /// The address alone: the settings hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&self.inner.client.get_connection_info().addr().to_string()).finish()
    }
}

/// A connection of one task's own, which it makes again after each failure.
pub(crate) struct Link {
    redis: Redis,
    /// What the connection is for, as the log names it.
    purpose: String,
    answer_limit: Duration,
    longest_wait: Duration,
    connection: Option<MultiplexedConnection>,
    failures: u32,
}

impl Link {
    /// A connection for `purpose`. An answer may take up to `answer_limit`, and the wait between two attempts up
    /// to `longest_wait`, or a second.
    pub(crate) fn new(
        redis: &Redis,
        purpose: String,
        answer_limit: Duration,
        longest_wait: Duration,
    ) -> Self {
        let longest_wait = longest_wait.min(LONGEST_WAIT);
        Self { redis: redis.clone(), purpose, answer_limit, longest_wait, connection: None, failures: 0 }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    pub(crate) async fn get(&mut self) -> RedisResult<MultiplexedConnection> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let made = self.redis.connect(self.answer_limit).await?;
        Ok(self.connection.insert(made).clone())
    }

    /// Notes that a command went through.
    pub(crate) fn succeeded(&mut self) {
        if self.failures > 0 {
            info!("Redis answers again ({})", self.purpose);
            self.failures = 0;
        }
    }

    /// Drops the connection and waits, longer after each failure in a row, so that a server that comes back is
    /// not trampled.
    pub(crate) async fn failed(&mut self, error: &QueueError) {
        self.connection = None;
        if self.failures == 0 {
            warn!(%error, "Redis failed, trying again until it answers ({})", self.purpose);
        }
        let wait = SHORTEST_WAIT.saturating_mul(1 << self.failures.min(8)).min(self.longest_wait);
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(wait).await;
    }
}

/// Whether the stream or its group has vanished (`FLUSHALL`, `DEL`, `XGROUP DESTROY`). Older servers report this
/// from inside a script as text only.
pub(crate) fn is_group_missing(error: &QueueError) -> bool {
    matches!(error, QueueError::Redis(error) if {
        let text = error.to_string();
        text.contains("NOGROUP") || text.contains("UNBLOCKED")
    })
}
