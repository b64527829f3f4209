//! Servers for tests.
//!
//! All tests of a checkout share one Postgres, each with a database of its own, however many processes the test runner starts. The
//! first test starts the server and gives it to a keeper, a small shell process, which stops it a second after the last
//! process that uses it has gone. A Redis starts in a few milliseconds, so each test has its own. A test that stops or kills
//! Postgres starts one of its own too.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use herald::private::{Options, Postgres, Redis};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::OnceCell;

const OPTIONS: Options = Options { fast: true, temporary: true };

/// Holds the server (its standard output is the server's leash) while any process has the pipe `$1/users` open for writing, and
/// for a second after the last one. Each newcomer writes a line. Then it moves the pipe away, so that nobody can come any
/// more, waits for whoever came at the last moment, and ends.
const KEEPER: &str = r#"
trap '' INT TERM HUP
exec 3<"$1/users"
idle=0
while [ "$idle" -lt 10 ]; do
  if read -r _ <&3; then idle=0; else idle=$((idle + 1)); sleep 0.1; fi
done
mv "$1/users" "$1/closed"
while read -r _ <&3; do :; done
"#;

static SHARED: OnceCell<Shared> = OnceCell::const_new();

/// The shared server, which stays as long as this process has the pipe open.
struct Shared {
    /// The address of the server without a database.
    address: String,
    _users: File,
}

/// An empty database, which goes soon after this is dropped.
pub(crate) struct Database {
    /// Where it is reached, password included.
    pub(crate) url: String,
    name: String,
    admin: String,
}

/// Makes an empty database on the shared Postgres.
pub(crate) async fn database() -> Database {
    let shared = SHARED.get_or_init(join_or_start).await;
    // Not by the process: the ids of those that went come again while their databases may still stand.
    let name = format!("t_{}", uuid::Uuid::now_v7().simple());
    let admin = format!("{}/postgres", shared.address);
    execute(&admin, format!("create database {name} template template0")).await.unwrap();
    Database { url: format!("{}/{name}", shared.address), name, admin }
}

/// Starts a Redis for one test, which goes when it is dropped.
pub(crate) async fn redis() -> Redis {
    Redis::start(&temporary_dir(), OPTIONS).await.unwrap()
}

/// Starts a Postgres for one test that stops or kills it.
pub(crate) async fn postgres() -> Postgres {
    Postgres::start(&temporary_dir(), OPTIONS).await.unwrap()
}

/// A directory that the servers' user can reach, whoever runs the tests. Its owner removes it.
pub(crate) fn temporary_dir() -> PathBuf {
    let dir = tempfile::Builder::new().prefix("herald-test-").tempdir().unwrap().keep();
    fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

impl Drop for Database {
    fn drop(&mut self) {
        let (admin, sql) = (self.admin.clone(), format!("drop database {} with (force)", self.name));
        // Not waited for: a connection that the test's runtime was just making keeps every drop on the server waiting until
        // that runtime ends. What is not dropped when the process ends goes with the server.
        std::thread::spawn(move || -> anyhow::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(execute(&admin, sql))
        });
    }
}

async fn execute(url: &str, sql: String) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

async fn join_or_start() -> Shared {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres");
    fs::create_dir_all(&dir).unwrap();
    let lock = File::create(dir.join("lock")).unwrap();
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno).unwrap();
    match join(&dir) {
        Some(shared) => shared,
        None => start(&dir).await,
    }
}

/// Without a keeper there is no pipe, or nobody reads from it.
fn join(dir: &Path) -> Option<Shared> {
    let pipe = OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(dir.join("users"));
    match pipe {
        Ok(mut users) => {
            users.write_all(b"\n").unwrap();
            Some(Shared { address: fs::read_to_string(dir.join("address")).unwrap(), _users: users })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) if error.raw_os_error() == Some(Errno::ENXIO as i32) => None,
        Err(error) => panic!("{error}"),
    }
}

#[expect(clippy::zombie_processes, reason = "the keeper outlives this process")]
async fn start(dir: &Path) -> Shared {
    let postgres = postgres().await;
    let address = postgres.url("").trim_end_matches('/').to_owned();
    fs::write(dir.join("address"), &address).unwrap();
    let pipe = dir.join("users");
    let _ = fs::remove_file(&pipe);
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let mut keeper = Command::new("/bin/sh");
    keeper.args(["-c", KEEPER, "keeper"]).arg(dir).current_dir("/").process_group(0);
    keeper.stdin(Stdio::null()).stdout(postgres.outlive().unwrap()).stderr(Stdio::null());
    keeper.spawn().unwrap();
    // Waits until the keeper has opened its end.
    let users = OpenOptions::new().write(true).open(&pipe).unwrap();
    Shared { address, _users: users }
}
