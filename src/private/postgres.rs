//! A private Postgres server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use super::access::Access;
use super::place::Place;
use super::process::{self, Server};
use super::{Options, Stop, programs};

/// The role that owns everything, and the first database.
const NAME: &str = "herald";

/// What every server is told. It listens on the loopback address only, and leaves nothing outside its directory.
const SETTINGS: [&str; 8] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "cluster_name=herald",
    "max_connections=200",
    "shared_buffers=128MB",
    // The compiler that this needs is large, and `scripts/setup` leaves it out.
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
];

/// What a server is told in addition that need not outlive a power cut. Commits still outlive a crash of the server.
const FAST_SETTINGS: [&str; 2] = ["fsync=off", "full_page_writes=off"];

/// A private Postgres server. Dropping it ends it.
#[derive(Debug)]
pub struct Postgres {
    server: Option<Server>,
    access: Access,
    data: PathBuf,
    programs: PathBuf,
    options: Options,
    place: Place,
}

impl Postgres {
    /// Starts the server in `dir`. The first start makes the cluster, with database `herald`; later ones use it again, on the
    /// same port unless that was taken. A server that an earlier run left behind is stopped first.
    ///
    /// # Errors
    /// When no Postgres is installed or unpacked, when another process uses `dir`, or when the server does not come up;
    /// the message then ends with the last lines of its log.
    pub async fn start(dir: &Path, options: Options) -> Result<Self> {
        let place = Place::take(dir, "postgres")?;
        let data = place.dir.join("data");
        process::end_leftovers(&data, &["postgres"], Signal::SIGINT).await?;
        let access = Access::take(&place)?;
        let version = fs::read_to_string(data.join("PG_VERSION")).ok();
        let programs = programs::postgres(version.as_deref().map(str::trim_end))?;
        if !data.is_dir() {
            make_cluster(&place, &programs, &access, options).await?;
        }
        remove_stale_pid_file(&data)?;
        let mut postgres = Self { server: None, access, data, programs, options, place };
        postgres.spawn().await?;
        postgres.make_first_database().await?;
        Ok(postgres)
    }

    /// Where a database of this server is reached, password included.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let Access { port, password } = &self.access;
        format!("postgres://{NAME}:{password}@127.0.0.1:{port}/{database}")
    }

    /// The process id of the running server.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Server::pid)
    }

    /// Makes an empty database, and answers where it is reached. `name` is of small letters, digits and `_`.
    ///
    /// # Errors
    /// When the name is of another kind or taken, or when the server cannot be reached.
    pub async fn create_database(&self, name: &str) -> Result<String> {
        create_database(&mut self.connect("postgres").await?, name).await?;
        Ok(self.url(name))
    }

    /// Stops the server; its data stay. Stopping a stopped one does nothing.
    ///
    /// # Errors
    /// When the server cannot be signalled. One that does not stop in time is killed, which is no error.
    pub async fn stop(&mut self, how: Stop) -> Result<()> {
        let signal = match how {
            Stop::Orderly => Signal::SIGINT,
            Stop::Abrupt => Signal::SIGQUIT,
        };
        match self.server.take() {
            Some(server) => server.stop(signal).await,
            None => Ok(()),
        }
    }

    /// Starts the stopped server again, on the same port.
    ///
    /// # Errors
    /// As for [`Postgres::start`]; also when another program has taken the port.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.server.is_none(), "the server has not been stopped");
        // Its own processes may take a moment to notice that a killed server is gone.
        process::end_leftovers(&self.data, &["postgres"], Signal::SIGINT).await?;
        self.spawn_once().await
    }

    /// Lets the server outlive this process: it runs until the handle that this returns is closed, by whichever process
    /// has it by then.
    ///
    /// # Errors
    /// When the server has been stopped.
    pub fn outlive(mut self) -> Result<ChildStdin> {
        self.options.temporary = false;
        self.server.take().context("the server is not running")?.outlive()
    }

    async fn spawn(&mut self) -> Result<()> {
        for _ in 1..process::PORT_TRIES {
            match self.spawn_once().await {
                Err(_) if process::lost_port(&self.log()) => self.access.move_on(&self.place)?,
                result => return result,
            }
        }
        self.spawn_once().await
    }

    async fn spawn_once(&mut self) -> Result<()> {
        let mut command = self.place.command(&self.programs.join("postgres"))?;
        command.arg("-D").arg(&self.data).args(["-c", &format!("port={}", self.access.port)]);
        let fast: &[&str] = if self.options.fast { &FAST_SETTINGS } else { &[] };
        command.args(SETTINGS.iter().chain(fast).flat_map(|setting| ["-c", setting]));
        let remove = self.options.temporary.then_some(self.place.dir.as_path());
        let server = Server::spawn(command, &self.log(), (Signal::SIGINT, Signal::SIGQUIT), remove)?;
        let options = options(&self.access, "postgres");
        let answers = async || Ok(options.connect().await?.close().await?);
        let result = self.server.insert(server).ready(answers).await;
        result.map_err(|error| {
            self.server = None;
            error.context(format!("the private Postgres did not start:\n{}", process::tail(&self.log())))
        })
    }

    async fn make_first_database(&self) -> Result<()> {
        let mut connection = self.connect("postgres").await?;
        let found: Option<i32> = sqlx::query_scalar("select 1 from pg_database where datname = $1")
            .bind(NAME)
            .fetch_optional(&mut connection)
            .await?;
        if found.is_none() {
            create_database(&mut connection, NAME).await?;
        }
        Ok(connection.close().await?)
    }

    async fn connect(&self, database: &str) -> Result<PgConnection> {
        options(&self.access, database).connect().await.context("connect to the private Postgres")
    }

    fn log(&self) -> PathBuf {
        self.place.dir.join("log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.options.temporary {
            self.server = None;
            // A directory that cannot be removed harms nobody.
            let _ = fs::remove_dir_all(&self.place.dir);
        }
    }
}

async fn create_database(connection: &mut PgConnection, name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    ensure!(name.bytes().all(plain), "{name} is no name for a database here");
    // Template0, since a copy waits for nobody to be connected to its original.
    let sql = format!("create database \"{name}\" template template0");
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .with_context(|| format!("make database {name}"))?;
    Ok(())
}

/// Built by hand: a parsed address would take what it does not say from `PG...` variables.
fn options(access: &Access, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(access.port)
        .username(NAME)
        .password(&access.password)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

/// Makes the cluster under another name first, so that one which is there is complete.
async fn make_cluster(place: &Place, programs: &Path, access: &Access, options: Options) -> Result<()> {
    let unfinished = place.dir.join("data.new");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    place.own_dir("data.new")?;
    let password = place.own_file("password", &access.password)?;
    let mut command = place.command(&programs.join("initdb"))?;
    command.arg("-D").arg(&unfinished).arg(format!("--pwfile={}", password.display()));
    command.args(["--auth=scram-sha-256", "--encoding=UTF8", "--username", NAME]).args(LOCALE);
    if options.fast {
        command.arg("--no-sync");
    }
    let result = output(command).await;
    fs::remove_file(password)?;
    result?;
    fs::rename(&unfinished, place.dir.join("data"))?;
    Ok(())
}

#[cfg(not(target_os = "macos"))]
const LOCALE: [&str; 1] = ["--locale=C.UTF-8"];

/// Older versions of macOS do not have C.UTF-8.
#[cfg(target_os = "macos")]
const LOCALE: [&str; 2] = ["--locale=C", "--lc-ctype=en_US.UTF-8"];

async fn output(command: Command) -> Result<()> {
    let output =
        tokio::process::Command::from(command).kill_on_drop(true).output().await.context("run initdb")?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "initdb failed: {}", message.trim_end());
    Ok(())
}

/// Postgres refuses to start when its pid file names a process that lives. After a crash or a reboot that number may be
/// another program's; then the file is in the way. That no server runs in `data` is known here.
fn remove_stale_pid_file(data: &Path) -> Result<()> {
    let file = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&file) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.parse().ok());
    if pid.is_some_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)) {
        tracing::info!("Removing {}, which names another program's process", file.display());
        fs::remove_file(&file)?;
    }
    Ok(())
}
