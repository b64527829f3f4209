//! The private servers, and the harness that the other tests stand on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use herald::private::{Options, Postgres, Private, Redis, Stop};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use redis::AsyncCommands as _;
use sqlx::{Connection as _, PgConnection};
use support::browser::Browser;
use support::eventually;
use support::servers::{self, temporary_dir};

const KEPT: Options = Options { fast: true, temporary: false };

#[tokio::test]
async fn a_second_start_finds_the_data_of_the_first_at_the_same_address() {
    let dir = temporary_dir();
    let private = Private::start(&dir, Options::default()).await.unwrap();
    let addresses = (private.database_url(), private.redis_url());
    write(&addresses.0, &addresses.1).await;
    private.stop().await.unwrap();

    let start = Instant::now();
    let private = Private::start(&dir, Options::default()).await.unwrap();
    println!("the second start took {:?}; the goal is 2 s", start.elapsed());
    assert_eq!((private.database_url(), private.redis_url()), addresses);
    assert_written(&addresses.0, &addresses.1).await;
    private.stop().await.unwrap();
    fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn nothing_runs_after_stop_and_nothing_after_drop() {
    let dir = temporary_dir();
    let private = Private::start(&dir, KEPT).await.unwrap();
    let servers = processes_below(&dir);
    assert_eq!(leashes_of(&servers).len(), 2);
    private.stop().await.unwrap();
    assert_eq!([processes_below(&dir), leashes_of(&servers)], [[], []]);

    let private = Private::start(&dir, KEPT).await.unwrap();
    let servers = processes_below(&dir);
    drop(private);
    assert_eq!([processes_below(&dir), leashes_of(&servers)], [[], []]);
    fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn temporary_servers_take_their_directories_with_them() {
    let (postgres, redis) = (temporary_dir(), temporary_dir());
    let options = Options { fast: true, temporary: true };
    drop(Postgres::start(&postgres, options).await.unwrap());
    drop(Redis::start(&redis, options).await.unwrap());
    assert!(!postgres.exists() && !redis.exists());
}

#[tokio::test]
async fn servers_end_with_a_process_that_is_killed() {
    if hold_servers_if_asked().await {
        return;
    }
    let dir = temporary_dir();
    let mut holder = Holder::start(&dir, "servers_end_with_a_process_that_is_killed");
    assert!(!processes_below(&dir).is_empty());
    holder.kill();
    eventually("the servers to end", async || processes_below(&dir).is_empty()).await;
    fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn servers_that_a_killed_process_left_are_stopped_and_their_data_are_used() {
    if hold_servers_if_asked().await {
        return;
    }
    let dir = temporary_dir();
    let mut holder =
        Holder::start(&dir, "servers_that_a_killed_process_left_are_stopped_and_their_data_are_used");
    write(&holder.addresses.0, &holder.addresses.1).await;
    for leash in leashes_of(&processes_below(&dir)) {
        kill(leash, Signal::SIGKILL).unwrap();
    }
    holder.kill();
    let left = processes_below(&dir);
    assert!(!left.is_empty());

    let private = Private::start(&dir, KEPT).await.unwrap();
    assert_eq!((private.database_url(), private.redis_url()), holder.addresses);
    assert_written(&holder.addresses.0, &holder.addresses.1).await;
    assert!(processes_below(&dir).iter().all(|pid| !left.contains(pid)));
    private.stop().await.unwrap();
    fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn a_stale_pid_file_that_names_a_stranger_is_in_nobodys_way() {
    let dir = temporary_dir();
    let mut postgres = Postgres::start(&dir, KEPT).await.unwrap();
    let pid_file = dir.join("data/postmaster.pid");
    let text = fs::read_to_string(&pid_file).unwrap();
    postgres.stop(Stop::Orderly).await.unwrap();
    drop(postgres);
    let owner = fs::metadata(dir.join("data")).unwrap();
    let mut stranger = Command::new("sleep").arg("600").uid(owner.uid()).current_dir("/").spawn().unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(&pid_file, format!("{}\n{rest}", stranger.id())).unwrap();
    std::os::unix::fs::chown(&pid_file, Some(owner.uid()), Some(owner.gid())).unwrap();

    let postgres = Postgres::start(&dir, KEPT).await.unwrap();
    PgConnection::connect(&postgres.url("herald")).await.unwrap();
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger was ended");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    drop(postgres);
    fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn one_process_at_a_time_runs_the_servers_of_a_directory() {
    let dir = temporary_dir();
    let private = Private::start(&dir, KEPT).await.unwrap();
    let refusal = Private::start(&dir, KEPT).await.unwrap_err().to_string();
    assert!(refusal.contains("is in use by another herald"), "{refusal}");
    PgConnection::connect(&private.database_url()).await.unwrap();
    private.stop().await.unwrap();
    fs::remove_dir_all(dir).unwrap();
}

#[tokio::test]
async fn as_root_the_servers_run_as_somebody_else() {
    if !Uid::effective().is_root() {
        return;
    }
    // What a checkout below /root is like.
    let dir = temporary_dir();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let private = Private::start(&dir, KEPT).await.unwrap();
    for pid in [private.postgres().pid(), private.redis().pid()] {
        assert_ne!(fs::metadata(format!("/proc/{}", pid.unwrap())).unwrap().uid(), 0);
    }
    let moved: Vec<String> = ["postgres", "redis"]
        .map(|server| fs::read_to_string(dir.join(server).join("moved-to")).unwrap().trim().to_owned())
        .to_vec();
    write(&private.database_url(), &private.redis_url()).await;
    private.stop().await.unwrap();

    let private = Private::start(&dir, KEPT).await.unwrap();
    assert_written(&private.database_url(), &private.redis_url()).await;
    private.stop().await.unwrap();
    for dir in moved.iter().map(Path::new).chain([dir.as_path()]) {
        fs::remove_dir_all(dir).unwrap();
    }
}

#[tokio::test]
async fn a_crashed_server_comes_back_at_its_address_with_its_data() {
    let (mut postgres, mut redis) = (servers::postgres().await, servers::redis().await);
    let addresses = (postgres.url("herald"), redis.url());
    write(&addresses.0, &addresses.1).await;
    postgres.stop(Stop::Abrupt).await.unwrap();
    redis.stop(Stop::Abrupt).await.unwrap();
    assert!(PgConnection::connect(&addresses.0).await.is_err());

    postgres.start_again().await.unwrap();
    redis.start_again().await.unwrap();
    assert_eq!((postgres.url("herald"), redis.url()), addresses);
    assert_written(&addresses.0, &addresses.1).await;
}

#[tokio::test]
async fn the_servers_ask_for_a_password_that_only_its_owner_can_read() {
    let (postgres, redis) = (temporary_dir(), temporary_dir());
    let options = Options { fast: true, temporary: true };
    let server = Postgres::start(&postgres, options).await.unwrap();
    let redis_server = Redis::start(&redis, options).await.unwrap();
    for dir in [&postgres, &redis] {
        assert_eq!(fs::metadata(dir.join("access")).unwrap().mode() & 0o777, 0o600);
    }
    let (address, redis_address) = (server.url("herald"), redis_server.url());
    let (mut wrong, mut open) =
        (url::Url::parse(&address).unwrap(), url::Url::parse(&redis_address).unwrap());
    wrong.set_password(Some("wrong")).unwrap();
    open.set_password(None).unwrap();
    let refusal = PgConnection::connect(wrong.as_str()).await.unwrap_err().to_string();
    assert!(refusal.contains("password authentication failed"), "{refusal}");
    let client = redis::Client::open(open.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let refusal = redis::cmd("PING").query_async::<()>(&mut connection).await.unwrap_err().to_string();
    assert!(refusal.contains("NOAUTH"), "{refusal}");
}

#[tokio::test]
async fn each_test_has_a_database_of_its_own_which_goes_with_it() {
    let (one, other) = (servers::database().await, servers::database().await);
    let mut connection = PgConnection::connect(&one.url).await.unwrap();
    sqlx::query("create table note (text text)").execute(&mut connection).await.unwrap();
    let mut connection = PgConnection::connect(&other.url).await.unwrap();
    assert!(sqlx::query("select * from note").execute(&mut connection).await.is_err());
    let url = one.url.clone();
    drop(one);
    eventually("the database to go", async || PgConnection::connect(&url).await.is_err()).await;
}

#[tokio::test]
async fn a_browser_opens_a_page() {
    let browser = Browser::start().await;
    let page = "data:text/html,<title>t</title><h1>hello</h1><script>document.title = 40 + 2</script>";
    browser.client.goto(page).await.unwrap();
    assert_eq!(browser.client.title().await.unwrap(), "42");
    let picture = fs::read(browser.screenshot("setup").await).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
}

/// docs/behaviours.md numbers what Herald does; the name of a test begins with the number of what it proves: `c07_`, `c03a_c31_`.
#[test]
fn every_numbered_behaviour_has_a_test_of_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/behaviours.md")).unwrap();
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric());
    let told: BTreeSet<String> = words.filter(|word| is_number(word)).map(str::to_owned).collect();
    assert!(told.len() >= 36, "{told:?}");

    let mut proved = BTreeSet::new();
    let mut dirs: Vec<_> =
        ["tests", "jobs", "producers", "workers", "web", "src"].map(|dir| root.join(dir)).into();
    while let Some(dir) = dirs.pop() {
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                for name in fs::read_to_string(path).unwrap().split("fn c").skip(1) {
                    let parts = name.split('_').map(|part| format!("C{part}"));
                    let parts = parts.map(|part| part.replacen("Cc", "C", 1));
                    proved.extend(parts.take_while(|part| is_number(part)));
                }
            }
        }
    }
    // `C03` is proved by what proves its letters, and tells of them.
    let unproved = told.iter().filter(|it| !proved.iter().any(|number| number.starts_with(*it)));
    assert_eq!(unproved.collect::<Vec<_>>(), [""; 0], "no test has this number");
    let untold = proved.iter().filter(|it| !told.contains(*it) && !told.contains(&it[..3]));
    assert_eq!(untold.collect::<Vec<_>>(), [""; 0], "docs/behaviours.md does not tell of this number");
    let producers = ('a'..='f').filter(|letter| !proved.contains(&format!("C03{letter}")));
    assert_eq!(producers.collect::<String>(), "", "each producer has a test");
}

/// `C07`, `C03a`.
fn is_number(word: &str) -> bool {
    match word.as_bytes() {
        [b'C', tens, ones, letter @ ..] => {
            tens.is_ascii_digit() && ones.is_ascii_digit() && matches!(letter, [] | [b'a'..=b'f'])
        }
        _ => false,
    }
}

/// Another process that runs the servers of a directory until it is killed.
struct Holder {
    process: Child,
    addresses: (String, String),
}

impl Holder {
    /// Runs this very test in another process, which finds in its environment that it is to be the holder.
    fn start(dir: &Path, test: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env("HERALD_TEST_HOLD", dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut address = |scheme: &str| lines.find(|line| line.starts_with(scheme)).unwrap();
        let addresses = (address("postgres://"), address("redis://"));
        Self { process, addresses }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

async fn hold_servers_if_asked() -> bool {
    let Some(dir) = std::env::var_os("HERALD_TEST_HOLD") else { return false };
    let private = Private::start(Path::new(&dir), KEPT).await.unwrap();
    println!("\n{}\n{}", private.database_url(), private.redis_url());
    std::future::pending::<()>().await;
    true
}

async fn write(database_url: &str, redis_url: &str) {
    let mut connection = PgConnection::connect(database_url).await.unwrap();
    sqlx::raw_sql("create table note (text text); insert into note values ('kept')")
        .execute(&mut connection)
        .await
        .unwrap();
    redis_connection(redis_url).await.set::<_, _, ()>("note", "kept").await.unwrap();
}

async fn assert_written(database_url: &str, redis_url: &str) {
    let mut connection = PgConnection::connect(database_url).await.unwrap();
    let text: String = sqlx::query_scalar("select text from note").fetch_one(&mut connection).await.unwrap();
    let copy: String = redis_connection(redis_url).await.get("note").await.unwrap();
    assert_eq!((text.as_str(), copy.as_str()), ("kept", "kept"));
}

async fn redis_connection(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// The processes that work in `dir` or below it.
fn processes_below(dir: &Path) -> Vec<Pid> {
    processes(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir)))
}

/// The shells that will end one of `servers` when the process that started it is gone.
fn leashes_of(servers: &[Pid]) -> Vec<Pid> {
    processes(|process| {
        let command = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        servers.iter().any(|server| command.contains(&format!("\0leash\0{server}\0")))
    })
}

fn processes(matches: impl Fn(&Path) -> bool) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter(|entry| matches(&entry.path()));
    pids.filter_map(|entry| Some(Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))).collect()
}
