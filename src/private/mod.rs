//! Private servers: a Postgres and a Redis of Herald's own, in a directory of Herald's own.
//!
//! `herald serve` runs on them when no servers are configured; the demo and the tests always do. They listen on the
//! loopback address only, behind random passwords, keep their data from one start to the next, and end with the process
//! that started them, even when that one is killed.
//!
//! ```text
//! DIR/postgres/   access (port and password, mode 0600)   data/   log   log.1   lock
//! DIR/redis/      the same, and redis.conf
//! ```

mod access;
mod place;
mod postgres;
mod process;
mod programs;
mod redis;

use std::path::{Path, PathBuf};

use anyhow::Result;

pub use self::postgres::Postgres;
pub use self::redis::Redis;

/// How private servers are run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Leaves out every `fsync`: faster, but a power cut may destroy the data. For tests.
    pub fast: bool,
    /// Removes the servers' directories when they end, however they end.
    pub temporary: bool,
}

/// How a server is made to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Clients are disconnected, and the data is written out first.
    Orderly,
    /// As in a crash: nothing is written out, and the next start recovers. (Postgres: `immediate`; Redis: `SIGKILL`.)
    Abrupt,
}

/// A running pair of private servers. Dropping it ends them.
#[derive(Debug)]
pub struct Private {
    redis: Redis,
    postgres: Postgres,
}

impl Private {
    /// Starts Postgres and Redis below `dir`, with the data that an earlier start left there.
    ///
    /// # Errors
    /// When a program cannot be found, when another process runs the servers of this directory, or when one does not
    /// come up; the message then ends with the last lines of its log.
    pub async fn start(dir: &Path, options: Options) -> Result<Self> {
        let (postgres, redis) = (dir.join("postgres"), dir.join("redis"));
        let (postgres, redis) =
            tokio::try_join!(Postgres::start(&postgres, options), Redis::start(&redis, options))?;
        Ok(Self { redis, postgres })
    }

    /// Where database `herald` is reached, password included.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.postgres.url("herald")
    }

    /// Where Redis is reached, password included.
    #[must_use]
    pub fn redis_url(&self) -> String {
        self.redis.url()
    }

    /// The Postgres server.
    #[must_use]
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// The Postgres server, to stop it and start it again.
    #[must_use]
    pub fn postgres_mut(&mut self) -> &mut Postgres {
        &mut self.postgres
    }

    /// The Redis server.
    #[must_use]
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Stops both in order: Redis, then Postgres.
    ///
    /// # Errors
    /// When a server cannot be signalled. One that does not stop in time is killed, which is no error.
    pub async fn stop(mut self) -> Result<()> {
        self.redis.stop(Stop::Orderly).await?;
        self.postgres.stop(Stop::Orderly).await
    }
}

/// How a person calls `psql` in a shell of their own, where there is one.
#[must_use]
pub fn psql() -> Option<PathBuf> {
    programs::psql()
}

/// Herald's own directory: `HERALD_HOME`, else the nearest `.herald` in the working directory or above it, else `.herald`
/// in the working directory. It need not exist.
///
/// # Errors
/// When the working directory cannot be read.
pub fn home() -> Result<PathBuf> {
    let current = std::env::current_dir()?;
    if let Some(home) = std::env::var_os("HERALD_HOME") {
        return Ok(current.join(home));
    }
    let found = current.ancestors().map(|dir| dir.join(".herald")).find(|dir| dir.is_dir());
    Ok(found.unwrap_or_else(|| current.join(".herald")))
}
