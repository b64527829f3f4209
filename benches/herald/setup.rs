//! Private servers, a database with a thousand users, and a worker process.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use herald::private::{Options, Private};
use herald_jobs::clock::Clock;
use herald_jobs::id::MessageId;
use herald_jobs::message_type::Lane;
use herald_jobs::queues::Queues;
use herald_jobs::send::{NewMessage, Origin, SendJob};
use herald_jobs::store;
use herald_queue::Redis;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::PgPool;
use tempfile::TempDir;
use uuid::Uuid;

/// Recipients: `u0` and so on.
pub(crate) const USERS: usize = 1_000;

/// All that a measurement needs.
pub(crate) struct Bench {
    pub(crate) pool: PgPool,
    pub(crate) queues: Queues,
    pub(crate) redis_url: String,
    pub(crate) clock: Clock,
    database_url: String,
    private: Private,
    _dir: TempDir,
}

impl Bench {
    pub(crate) async fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("herald-bench-").tempdir()?;
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let private = Private::start(dir.path(), Options::default()).await?;
        let (database_url, redis_url) = (private.database_url(), private.redis_url());
        let pool = store::pool(&database_url, "bench", 20)?;
        store::migrate(&pool).await?;
        let statements = format!(
            "select herald.upsert_user('u' || n, email => 'u' || n || '@bench.example') from generate_series(0, {USERS} - 1) n;
             insert into herald.message_type (code, description, lane, expiry_days) values ('BULK', 'Bulk', 'bulk', 10);
             insert into herald.message_type (code, description, lane, external_delivery) values ('MAIL', 'Mail', 'normal', 'email');
             insert into herald.message_type (code, description, lane, external_delivery) values ('BULK-MAIL', 'Mail', 'bulk', 'email');
             analyze;"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&pool).await?;
        let queues = Queues::new(Redis::open(&redis_url)?, &herald_queue::Options::default());
        Ok(Self { pool, queues, redis_url, clock: Clock::system(), database_url, private, _dir: dir })
    }

    /// One connection as templates read records.
    pub(crate) fn reader(&self) -> Result<PgPool> {
        Ok(store::catalogue::reader(&self.database_url, "bench models", 1)?)
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.pool.close().await;
        self.private.stop().await
    }

    /// Empties the tables, and makes Postgres write out what it owes, so that each run finds the same.
    pub(crate) async fn clean(&self) -> Result<()> {
        sqlx::raw_sql("truncate herald.message, herald.outbox, herald.delivery cascade; checkpoint")
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Sends all mail to this port.
    pub(crate) async fn mail_to(&self, port: u16) -> Result<()> {
        let port = port.to_string();
        for (key, value) in [
            ("SMTP-SERVER", "127.0.0.1"),
            ("SMTP-PORT", port.as_str()),
            ("SMTP-SECURITY", "none"),
            ("SMTP-FROM", "herald@bench.example"),
        ] {
            store::registry::set(&self.pool, key, Some(value)).await?;
        }
        Ok(())
    }

    /// A worker process of its own, as it runs in production.
    pub(crate) async fn worker(&self) -> Result<Worker> {
        let child = Command::new(env!("CARGO_BIN_EXE_herald"))
            .arg("worker")
            .env("HERALD__DATABASE__URL", &self.database_url)
            .env("HERALD__REDIS__URL", &self.redis_url)
            .env("HERALD__WEB__OPS_LISTEN", "")
            .env("HERALD__LOG__FILTER", "warn")
            .stdin(Stdio::null())
            .spawn()?;
        let worker = Worker { child };
        // Ready when a message has gone through each lane.
        for &lane in Lane::ALL {
            self.queues.send.lane(lane).push(&self.job(0, "VIEW-NORMAL", Some(lane))).await?;
        }
        self.drained(Duration::from_secs(30)).await?;
        Ok(worker)
    }

    /// A fast lane job of about 400 bytes.
    pub(crate) fn job(&self, number: usize, kind: &str, lane: Option<Lane>) -> SendJob {
        let now = self.clock.now();
        let message = NewMessage { lane, ..message(number, kind) };
        SendJob {
            id: MessageId::new(now),
            accepted_at: now.timestamp_millis(),
            origin: Origin::FastLane,
            batch_id: None,
            sent_by: None,
            message,
        }
    }

    /// Waits until no send job is left anywhere.
    pub(crate) async fn drained(&self, patience: Duration) -> Result<()> {
        let begun = Instant::now();
        loop {
            let mut left = 0;
            for (_, queue) in self.queues.send.iter() {
                left += queue.jobs().await?;
            }
            if left == 0 {
                return Ok(());
            }
            ensure!(begun.elapsed() < patience, "{left} jobs are left after {patience:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The key of a recipient.
    pub(crate) async fn user(&self, number: usize) -> Result<i64> {
        let user = sqlx::query_scalar("select id from herald.app_user where username = $1");
        Ok(user.bind(format!("u{number}")).fetch_one(&self.pool).await?)
    }

    /// What this counts of a batch.
    pub(crate) async fn count(&self, sql: &'static str, batch: Uuid) -> Result<i64> {
        Ok(sqlx::query_scalar(sql).bind(batch).fetch_one(&self.pool).await?)
    }

    /// How many messages are in inboxes.
    pub(crate) async fn messages(&self) -> Result<usize> {
        let count: i64 =
            sqlx::query_scalar("select count(*) from herald.message").fetch_one(&self.pool).await?;
        Ok(usize::try_from(count)?)
    }
}

/// A message of ordinary length.
pub(crate) fn message(number: usize, kind: &str) -> NewMessage {
    NewMessage {
        recipient: format!("u{}", number % USERS),
        message_type: kind.to_owned(),
        message_text: format!(
            "The report {number} that you asked for is ready. It holds the sales of the last quarter by region and by customer, and the returns."
        ),
        sender: "report_task".to_owned(),
        sender_instance: Some(number.to_string()),
        ..NewMessage::default()
    }
}

/// A worker process.
pub(crate) struct Worker {
    child: Child,
}

impl Worker {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Holds the process while a backlog is made.
    pub(crate) fn pause(&self) -> Result<()> {
        Ok(kill(self.pid(), Signal::SIGSTOP)?)
    }

    pub(crate) fn go_on(&self) -> Result<()> {
        Ok(kill(self.pid(), Signal::SIGCONT)?)
    }

    /// CPU seconds used so far, in user and kernel mode.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .context("this needs Linux' /proc")?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks: f64 = [11, 12].iter().filter_map(|&field| fields.get(field)?.parse::<f64>().ok()).sum();
        Ok(ticks / 100.0)
    }

    /// The most memory it has held, in megabytes.
    pub(crate) fn peak_rss(&self) -> Result<f64> {
        self.memory("VmHWM:")
    }

    /// The memory it holds, in megabytes.
    pub(crate) fn rss(&self) -> Result<f64> {
        self.memory("VmRSS:")
    }

    fn memory(&self, which: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(which)).context("no such figure")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1_024.0)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = kill(self.pid(), Signal::SIGCONT);
        let _ = kill(self.pid(), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}
