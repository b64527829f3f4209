//! A Herald for one test: a database and a Redis of its own, people, a producer, and workers that run in this process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use herald::catcher::{Catcher, Gateway, Settings};
use herald::private::Redis;
use herald_jobs::address::Username;
use herald_jobs::authoring::Authoring;
use herald_jobs::clock::Clock;
use herald_jobs::id::MessageId;
use herald_jobs::message_type::MessageType;
use herald_jobs::queues::Queues;
use herald_jobs::store;
use herald_jobs::store::deliveries::Delivery;
use herald_jobs::store::inbox::InboxMessage;
use herald_jobs::store::ledger::Attempt;
use herald_jobs::store::users::NewUser;
use herald_producers::{NewMessage, Producer};
use herald_queue::{Depth, Job, Queue};
use herald_workers::{Context, Options, WorkerDied};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::PATIENCE;
use super::servers::{self, Database};

/// What a process of Herald over these servers is, without the servers.
pub(crate) struct Herald {
    /// Where the database is.
    pub(crate) database_url: String,
    /// Where Redis is.
    pub(crate) redis_url: String,
    /// Connections of the test's own.
    pub(crate) pool: PgPool,
    /// All queues.
    pub(crate) queues: Queues,
    /// The time of the producer and of the workers in this process.
    pub(crate) clock: Clock,
    /// Accepts messages.
    pub(crate) producer: Producer,
}

/// A Herald on servers of its own, which go when it is dropped.
pub(crate) struct Story {
    herald: Herald,
    /// Its Redis, for tests that stop it.
    pub(crate) redis: Redis,
    _database: Database,
}

impl std::ops::Deref for Story {
    type Target = Herald;
    fn deref(&self) -> &Herald {
        &self.herald
    }
}

impl Story {
    /// Starts with the standard message types and the users ann and bob, who have e-mail addresses at example.com.
    pub(crate) async fn begin() -> Self {
        Self::with(herald_producers::Options::default()).await
    }

    /// The same with a producer that behaves as told.
    pub(crate) async fn with(options: herald_producers::Options) -> Self {
        super::show_warnings();
        let (database, redis) = (servers::database().await, servers::redis().await);
        let herald = Herald::over(&database.url, &redis.url(), options).await;
        Self { herald, redis, _database: database }
    }
}

/// Workers in this process.
pub(crate) struct Workers {
    pub(super) stop: CancellationToken,
    pub(super) ended: JoinHandle<Result<(), WorkerDied>>,
}

impl Workers {
    /// Stops them in order; fails the test when one of them had died.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.ended).await.unwrap().unwrap().unwrap();
    }
}

impl Herald {
    /// Migrates the database and adds ann and bob.
    pub(crate) async fn over(
        database_url: &str,
        redis_url: &str,
        options: herald_producers::Options,
    ) -> Self {
        let pool = looking(database_url);
        store::migrate(&pool).await.unwrap();
        let redis = herald_queue::Redis::open(redis_url).unwrap();
        let queues = Queues::new(redis, &herald_queue::Options::default());
        let clock = Clock::system();
        let producing = store::pool(database_url, "test producer", 20).unwrap();
        let producer = Producer::new(producing, queues.clone(), clock.clone(), options);
        for name in ["ann", "bob"] {
            let user = NewUser { email: Some(format!("{name}@example.com")), ..NewUser::default() };
            store::users::upsert(&pool, &Username::parse(name).unwrap(), &user).await.unwrap();
        }
        let (database_url, redis_url) = (database_url.to_owned(), redis_url.to_owned());
        Self { database_url, redis_url, pool, queues, clock, producer }
    }

    /// Starts all workers and a relay.
    pub(crate) async fn work(&self) -> Workers {
        self.work_with(Options::default()).await
    }

    /// The same, as told.
    pub(crate) async fn work_with(&self, options: Options) -> Workers {
        let context =
            Context::new(&self.database_url, self.queues.clone(), self.clock.clone(), options).unwrap();
        let stop = CancellationToken::new();
        Workers { ended: tokio::spawn(herald_workers::run(context, stop.clone())), stop }
    }

    /// Waits until everything that is due has been done; fails the test when that does not happen, or when a job has failed
    /// for good.
    pub(crate) async fn drain(&self) {
        self.settle().await;
        let dead = self.dead().await;
        assert!(dead.is_empty(), "jobs failed for good: {dead:#?}");
    }

    /// The same, but jobs may have failed.
    pub(crate) async fn settle(&self) {
        self.settle_within(PATIENCE).await;
    }

    /// The same, for more work than the usual patience is for.
    pub(crate) async fn settle_within(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.has_work().await {
            if Instant::now() > deadline {
                panic!("{} rows and {} entries are left", self.waiting().await, self.depth().await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether sends or copies that are due have not ended, or entries are left.
    async fn has_work(&self) -> bool {
        if self.depth().await > 0 {
            return true;
        }
        let waits: bool = sqlx::query_scalar(
            "select exists (select from herald.outbox where failed_at is null and due_at <= $1)
                 or exists (select from herald.delivery where (state = 'sending' or state = 'pending' and next_attempt_at <= $1))",
        )
        .bind(self.clock.now())
        .fetch_one(&self.pool)
        .await
        .unwrap();
        // What was counted as pushed may have come meanwhile.
        waits || self.depth().await > 0
    }

    /// Sends and copies that are due and have not ended.
    pub(crate) async fn waiting(&self) -> i64 {
        sqlx::query_scalar(
            "select (select count(*) from herald.outbox where failed_at is null and due_at <= $1)
                  + (select count(*) from herald.delivery
                     where (state = 'sending' or state = 'pending' and next_attempt_at <= $1))",
        )
        .bind(self.clock.now())
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// Entries in all queues; dead ones do not count.
    pub(crate) async fn depth(&self) -> u64 {
        self.depths().await.iter().map(|depth| depth.jobs).sum()
    }

    async fn depths(&self) -> Vec<Depth> {
        let mut depths = vec![depth(&self.queues.periodic).await, depth(&self.queues.check).await];
        for (_, queue) in self.queues.send.iter() {
            depths.push(depth(queue).await);
        }
        for queue in self.queues.all_copies() {
            depths.push(depth(queue).await);
        }
        depths
    }

    /// Why jobs failed for good: those with an outbox row, and those without.
    pub(crate) async fn dead(&self) -> Vec<String> {
        let rows = store::outbox::failed(&self.pool, 1_000).await.unwrap();
        let mut dead: Vec<String> =
            rows.into_iter().map(|row| format!("{}: {}", row.id, row.reason)).collect();
        for (_, queue) in self.queues.send.iter() {
            dead.extend(queue.dead(None, 1_000).await.unwrap().into_iter().map(|entry| entry.reason));
        }
        for queue in self.queues.all_copies() {
            dead.extend(queue.dead(None, 1_000).await.unwrap().into_iter().map(|entry| entry.reason));
        }
        dead.extend(self.queues.periodic.dead(None, 1_000).await.unwrap().into_iter().map(|it| it.reason));
        dead.extend(self.queues.check.dead(None, 1_000).await.unwrap().into_iter().map(|it| it.reason));
        dead
    }

    /// Where templates are checked and saved, with the functions that are shipped.
    pub(crate) fn authoring(&self) -> Authoring {
        Authoring::new(self.pool.clone(), self.reader(), Some(functions_dir()))
    }

    /// The host's tables, as templates read them.
    pub(crate) fn reader(&self) -> PgPool {
        store::catalogue::reader(&self.database_url, "test reader", 3).unwrap()
    }

    /// The key of a user.
    pub(crate) async fn user(&self, name: &str) -> i64 {
        sqlx::query_scalar("select id from herald.app_user where username = $1")
            .bind(name)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// What is pending for a user: alerts, or messages; newest first.
    pub(crate) async fn pending(&self, name: &str, alert: bool) -> Vec<InboxMessage> {
        store::inbox::pending(&self.pool, self.user(name).await, alert, None, 1_000).await.unwrap()
    }

    /// The ids of all messages that ever reached an inbox and were not purged.
    pub(crate) async fn delivered(&self) -> BTreeSet<Uuid> {
        let ids: Vec<Uuid> =
            sqlx::query_scalar("select id from herald.message").fetch_all(&self.pool).await.unwrap();
        ids.into_iter().collect()
    }

    /// Fails the test unless exactly these messages are in inboxes. (That none is there twice is the key's doing.)
    pub(crate) async fn assert_delivered(&self, accepted: &BTreeSet<Uuid>) {
        let delivered = self.delivered().await;
        let lost = accepted.difference(&delivered).count();
        let strange = delivered.difference(accepted).count();
        assert!(
            lost == 0 && strange == 0,
            "of {} accepted, {lost} are not in an inbox; {strange} are that nobody sent",
            accepted.len()
        );
    }

    /// The copies of a message in the ledger.
    pub(crate) async fn copies(&self, message: MessageId) -> Vec<Delivery> {
        store::deliveries::of_message(&self.pool, message).await.unwrap()
    }

    /// The attempts at one copy.
    pub(crate) async fn attempts(&self, copy: &Delivery) -> Vec<Attempt> {
        store::ledger::attempts(&self.pool, &[copy.id]).await.unwrap()
    }

    /// The number that a query answers.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&self.pool).await.unwrap()
    }

    /// Runs statements.
    pub(crate) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap();
    }

    /// Adds a message type, made from VIEW-NORMAL.
    pub(crate) async fn add_type(&self, code: &str, change: impl FnOnce(&mut MessageType)) {
        let all = store::message_types::all(&self.pool).await.unwrap();
        let mut kind = all.into_iter().find(|kind| kind.code == "VIEW-NORMAL").unwrap();
        code.clone_into(&mut kind.code);
        change(&mut kind);
        store::message_types::put(&self.pool, &kind).await.unwrap();
    }

    /// Sets keys of the Application Registry.
    pub(crate) async fn register(&self, values: &[(&str, Option<&str>)]) {
        for (key, value) in values {
            store::registry::set(&self.pool, key, *value).await.unwrap();
        }
    }

    /// Starts a mail catcher, and sends all mail to it.
    pub(crate) async fn mail_catcher(&self) -> Catcher {
        let settings = Settings { keep_mails: 100_000, ..Settings::new(self.clock.clone()) };
        let catcher = Catcher::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
        let port = catcher.address().port().to_string();
        self.register(&[
            ("SMTP-SERVER", Some("127.0.0.1")),
            ("SMTP-PORT", Some(&port)),
            ("SMTP-SECURITY", Some("none")),
            ("SMTP-FROM", Some("herald@herald.test")),
        ])
        .await;
        catcher
    }

    /// Starts an SMS gateway, and sends all SMS to it as JSON.
    pub(crate) async fn sms_gateway(&self) -> Gateway {
        let gateway = Gateway::start(self.clock.clone()).await.unwrap();
        self.register(&[
            ("SMS-PROVIDER", Some("http")),
            ("SMS-URL", Some(&gateway.url())),
            ("SMS-FROM", Some("Herald")),
            ("SMS-BODY", Some(r##"{"to": "#to#", "from": "#from#", "text": "#text#", "ref": "#id#"}"##)),
            ("SMS-ID", Some("/messages/0/id")),
        ])
        .await;
        gateway
    }

    /// A connection that goes behind the queues' back.
    pub(crate) async fn plain_redis(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.redis_url.as_str()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// The program with these servers configured, whatever the test's own environment says.
    pub(crate) fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_herald"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("HERALD_")) {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .env("HERALD__DATABASE__URL", &self.database_url)
            .env("HERALD__REDIS__URL", &self.redis_url)
            // A settings file of whoever runs the tests does not count.
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .kill_on_drop(true);
        command
    }

    /// Runs a command of the program to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, "").await
    }

    /// The same, with this on its standard input.
    pub(crate) async fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap()
    }

    /// What a command that succeeds prints.
    pub(crate) async fn say(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// Where the functions that are shipped are.
pub(crate) fn functions_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo/functions")
}

/// How full a queue is. A connection that broke when Redis died says so when it is used next.
pub(crate) async fn depth<J: Job>(queue: &Queue<J>) -> Depth {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match queue.depth().await {
            Ok(depth) => return depth,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A message from the model `report`, instance 7.
pub(crate) fn message(recipient: &str, message_type: &str, text: &str) -> NewMessage {
    NewMessage {
        recipient: recipient.into(),
        message_type: message_type.into(),
        message_text: text.into(),
        sender: "report".into(),
        sender_instance: Some("7".into()),
        ..NewMessage::default()
    }
}

/// Connections that are asked whether they still stand each time: tests end connections, and servers, and look what became of it.
fn looking(database_url: &str) -> PgPool {
    let pool = store::pool(database_url, "test", 20).unwrap();
    let options = pool.options().clone().test_before_acquire(true);
    options.connect_lazy_with(pool.connect_options().as_ref().clone())
}
