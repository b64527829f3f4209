//! The Application Registry from the command line: what it keeps sealed, and how workers follow it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use herald::catcher::{Catcher, Settings, show};
use herald_jobs::deliver::DeliveryState;
use herald_jobs::message_type::{ExternalDelivery, Lane};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use crate::support::herald::{Story, message};
use crate::support::{PATIENCE, eventually};

const CANARY: &str = "canary-p4ss wörd";

/// A key file of the test's own.
struct Keys {
    dir: TempDir,
}

impl Keys {
    fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    fn write(&self, keys: &str, mode: u32) {
        fs::write(self.path(), keys).unwrap();
        fs::set_permissions(self.path(), fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Runs `herald registry` with this key file.
async fn registry(story: &Story, keys: &Keys, arguments: &[&str], input: &str) -> Output {
    let mut command = story.command(&[&["registry"], arguments].concat());
    command.env("HERALD__SECRETS__KEY_FILE", keys.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses at once does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap()
}

async fn says(story: &Story, keys: &Keys, arguments: &[&str], input: &str) -> String {
    let output = registry(story, keys, arguments, input).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn complains(story: &Story, keys: &Keys, arguments: &[&str], input: &str) -> String {
    let output = registry(story, keys, arguments, input).await;
    assert!(!output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains(CANARY) && !said.contains("panicked"), "{said}");
    said
}

async fn with_keys() -> (Story, Keys) {
    let (story, keys) = (Story::begin().await, Keys::new());
    keys.write(&story.say(&["registry", "new-key"]).await, 0o600);
    (story, keys)
}

async fn password(story: &Story) -> Option<String> {
    sqlx::query_scalar("select value from herald.registry where key = 'SMTP-PASSWORD'")
        .fetch_one(&story.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn c20_keys_are_set_shown_and_unset_and_wrong_ones_are_refused_by_name() {
    let (story, keys) = with_keys().await;
    says(&story, &keys, &["set", "SMTP-SERVER", "mail.example.com"], "").await;
    says(&story, &keys, &["set", "SMTP-REPLY-TO", "-"], "desk@example.com\n").await;
    assert_eq!(says(&story, &keys, &["get", "SMTP-SERVER"], "").await, "mail.example.com\n");
    assert_eq!(says(&story, &keys, &["get", "SMTP-REPLY-TO"], "").await, "desk@example.com\n");
    let listed = says(&story, &keys, &["list"], "").await;
    assert!(listed.contains("SMTP-SERVER = mail.example.com\n"), "{listed}");
    assert!(listed.contains("SMTP-PORT (not set): Port of the SMTP server; 25 where unset\n"), "{listed}");

    for (arguments, expected) in [
        (&["set", "SMTP-SEVER", "x"][..], "did you mean SMTP-SERVER?"),
        (&["set", "smtp_server", "x"], "did you mean SMTP-SERVER?"),
        (&["get", "COLOUR"], "`herald registry list` shows all"),
        (&["get", "SMTP-FROM"], "SMTP-FROM is not set"),
        (&["set", "SMTP-PORT", "70000"], "SMTP-PORT must be a port number from 1 to 65535"),
        (&["set", "SMTP-FROM", "me"], "SMTP-FROM must be an e-mail address"),
        (&["set", "SMTP-HELO", "two words"], "SMTP-HELO must be a host name"),
        (&["set", "SMTP-SECURITY", "ssl"], "SMTP-SECURITY must be starttls, tls or none"),
        (&["set", "SMTP-SECURITY", "none"], "email.allow_plaintext"),
        (&["set", "SMTP-SERVER", "a\nb"], "SMTP-SERVER must be one line"),
        (&["seal", "SMTP-SERVER"], "SMTP-SERVER is not secret"),
    ] {
        let said = complains(&story, &keys, arguments, "").await;
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    says(&story, &keys, &["set", "SMTP-SERVER", "127.0.0.1"], "").await;
    says(&story, &keys, &["set", "SMTP-SECURITY", "none"], "").await;
    let said = complains(&story, &keys, &["set", "SMTP-SERVER", "10.0.0.1"], "").await;
    assert!(said.contains("10.0.0.1 is another machine"), "{said}");
    says(&story, &keys, &["set", "SMTP-SERVER"], "").await;
    complains(&story, &keys, &["get", "SMTP-SERVER"], "").await;
}

#[tokio::test]
async fn c21_a_password_is_kept_sealed_for_its_key_alone_and_never_shown() {
    let (story, keys) = with_keys().await;
    let said = complains(&story, &keys, &["set", "SMTP-PASSWORD", "in clear"], "").await;
    assert!(said.contains("arguments can be seen by others") && !said.contains("in clear"), "{said}");

    // What `seal` prints can be pasted; `set -` seals by itself.
    let sealed = says(&story, &keys, &["seal", "SMTP-PASSWORD"], CANARY).await;
    let sealed = sealed.trim();
    assert!(sealed.starts_with("herald:1:") && !sealed.contains(CANARY), "{sealed}");
    says(&story, &keys, &["set", "SMTP-PASSWORD", sealed], "").await;
    assert_eq!(password(&story).await.as_deref(), Some(sealed));
    says(&story, &keys, &["set", "SMTP-PASSWORD", "-"], &format!("{CANARY}\n")).await;
    let itself = password(&story).await.unwrap();
    assert!(itself.starts_with("herald:1:") && itself != sealed);

    assert!(says(&story, &keys, &["list"], "").await.contains("SMTP-PASSWORD = ***\n"));
    let said = complains(&story, &keys, &["get", "SMTP-PASSWORD"], "").await;
    assert!(said.contains("never shown"), "{said}");

    // Sealed text opens for no other key of the registry, and not when a character of it was changed.
    story.execute("insert into herald.registry (key, secret) values ('SMS-TOKEN', true)").await;
    let said = complains(&story, &keys, &["set", "SMS-TOKEN", sealed], "").await;
    assert!(said.contains("does not open as SMS-TOKEN"), "{said}");
    let end = if sealed.ends_with("AA") { "BB" } else { "AA" };
    let tampered = format!("{}{end}", &sealed[..sealed.len() - 2]);
    let said = complains(&story, &keys, &["set", "SMTP-PASSWORD", &tampered], "").await;
    assert!(said.contains("does not open"), "{said}");
    // The database itself refuses a secret in clear.
    let direct = sqlx::query("update herald.registry set value = 'clear' where key = 'SMTP-PASSWORD'");
    assert!(direct.execute(&story.pool).await.is_err());
    assert_eq!(password(&story).await, Some(itself));
    says(&story, &keys, &["set", "SMTP-PASSWORD"], "").await;
    assert_eq!(password(&story).await, None);
}

#[tokio::test]
async fn c21_keys_are_changed_by_sealing_again_and_a_lost_key_is_named() {
    let (story, keys) = with_keys().await;
    let old = fs::read_to_string(keys.path()).unwrap();
    says(&story, &keys, &["set", "SMTP-PASSWORD", "-"], CANARY).await;
    let before = password(&story).await.unwrap();

    let new = says(&story, &keys, &["new-key"], "").await;
    keys.write(&new, 0o600);
    let said = complains(&story, &keys, &["reseal"], "").await;
    assert!(
        said.contains("SMTP-PASSWORD (nothing was changed)") && said.contains("not among the keys here"),
        "{said}"
    );
    assert_eq!(password(&story).await.as_ref(), Some(&before));

    keys.write(&format!("# the new one first\n{new}{old}"), 0o600);
    let said = says(&story, &keys, &["reseal"], "").await;
    assert!(said.starts_with("1 sealed with key "), "{said}");
    let after = password(&story).await.unwrap();
    assert_ne!(before, after);
    keys.write(&new, 0o600);
    says(&story, &keys, &["reseal"], "").await;
    says(&story, &keys, &["set", "SMTP-PASSWORD", &after], "").await;
    complains(&story, &keys, &["set", "SMTP-PASSWORD", &before], "").await;
}

#[tokio::test]
async fn c21_without_keys_or_with_keys_that_others_can_read_secrets_are_refused() {
    let (story, keys) = with_keys().await;
    let without = story.run_with_input(&["registry", "set", "SMTP-PASSWORD", "-"], CANARY).await;
    let said = String::from_utf8(without.stderr).unwrap();
    assert!(
        !without.status.success() && said.contains("secrets.key_file") && said.contains("HERALD_KEYS"),
        "{said}"
    );
    assert!(said.contains("herald registry new-key") && !said.contains(CANARY), "{said}");

    let key = fs::read_to_string(keys.path()).unwrap();
    for mode in [0o640, 0o604, 0o660] {
        keys.write(&key, mode);
        let said = complains(&story, &keys, &["set", "SMTP-PASSWORD", "-"], CANARY).await;
        assert!(said.contains(&format!("run chmod 600 {}", keys.path().display())), "{said}");
    }
    keys.write("not a key", 0o600);
    let said = complains(&story, &keys, &["set", "SMTP-PASSWORD", "-"], CANARY).await;
    assert!(said.contains("entry 1 is no key") && !said.contains("not a key\n"), "{said}");
    assert_eq!(password(&story).await, None);

    // Keys may stand in the environment too, but not in both places.
    keys.write(&key, 0o600);
    let mut command = story.command(&["registry", "reseal"]);
    assert!(command.env("HERALD_KEYS", &key).output().await.unwrap().status.success());
    let both = command.env("HERALD__SECRETS__KEY_FILE", keys.path()).output().await.unwrap();
    assert!(String::from_utf8(both.stderr).unwrap().contains("are both set"));
}

/// A mail server that wants a password, and the registry that knows it.
async fn with_a_strict_server(story: &Story, keys: &Keys) -> Catcher {
    let credentials = Some(("herald".to_owned(), CANARY.to_owned()));
    let settings = Settings { credentials, ..Settings::new(story.clock.clone()) };
    let catcher = Catcher::start(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
    let port = catcher.address().port().to_string();
    for (key, value) in [
        ("SMTP-SERVER", "127.0.0.1"),
        ("SMTP-PORT", &port),
        ("SMTP-SECURITY", "none"),
        ("SMTP-USERNAME", "herald"),
        ("SMTP-FROM", "herald@herald.test"),
        ("SMTP-REPLY-TO", "desk@herald.test"),
        ("SMTP-HELO", "greeter.herald.test"),
    ] {
        says(story, keys, &["set", key, value], "").await;
    }
    story.add_type("MAIL", |kind| kind.external_delivery = ExternalDelivery::Email).await;
    catcher
}

/// Every value of every column of every table of Herald, as one text.
async fn dump(story: &Story) -> String {
    sqlx::query_scalar(
        "select string_agg(query_to_xml(format('select * from %I.%I', table_schema, table_name), true, false, '')::text, '')
         from information_schema.tables where table_schema = 'herald'",
    )
    .fetch_one(&story.pool)
    .await
    .unwrap()
}

/// Every key and value of Redis, as one text.
async fn dump_redis(story: &Story) -> String {
    let mut redis = story.plain_redis().await;
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query_async(&mut redis).await.unwrap();
    let mut text = Vec::new();
    for key in keys {
        let value: Option<Vec<u8>> = redis::cmd("DUMP").arg(&key).query_async(&mut redis).await.unwrap();
        text.extend(key);
        text.extend(value.unwrap_or_default());
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn c20_c21_mail_goes_out_signed_in_and_the_password_is_nowhere_to_be_read() {
    let (story, keys) = with_keys().await;
    let catcher = with_a_strict_server(&story, &keys).await;
    says(&story, &keys, &["set", "SMTP-PASSWORD", "-"], "wr0ng-canary").await;
    let log = keys.dir.path().join("log");
    let mut worker = story.command(&["worker"]);
    worker
        .env("HERALD__SECRETS__KEY_FILE", keys.path())
        .env("HERALD__LOG__FILTER", "trace")
        .env("HERALD__WEB__OPS_LISTEN", "")
        .stderr(fs::File::create(&log).unwrap())
        .stdout(Stdio::null());
    let mut worker = worker.spawn().unwrap();

    let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    eventually("the wrong password to be refused", async || {
        fs::read_to_string(&log).unwrap().contains("did not let \"herald\" sign in")
    })
    .await;
    assert_eq!(story.copies(id).await[0].state, DeliveryState::Pending);
    says(&story, &keys, &["set", "SMTP-PASSWORD", "-"], CANARY).await;
    eventually("the mail", async || catcher.mailbox().taken() == 1).await;
    eventually("its record", async || story.copies(id).await[0].state == DeliveryState::Sent).await;

    let mail = catcher.mailbox().get(1).unwrap();
    let raw = String::from_utf8_lossy(&mail.raw).into_owned();
    assert!(raw.contains("Reply-To: desk@herald.test\r\n"), "{raw}");
    assert_eq!(show(&mail.raw).unwrap().from, ["herald@herald.test"]);
    let (tables, redis) = (dump(&story).await, dump_redis(&story).await);
    assert!(
        tables.contains("herald@herald.test") && tables.contains("herald:1:"),
        "the dump holds the registry"
    );
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(worker.id().unwrap().try_into().unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    tokio::time::timeout(PATIENCE, worker.wait()).await.unwrap().unwrap();
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("TRACE") && log.len() > 10_000, "everything was logged");
    // The passwords, and what AUTH PLAIN and LOGIN make of them.
    let encoded = ["Y2FuYXJ5LXA0c3Mgd8O2cmQ", "AGhlcmFsZABjYW5hcnktcDRzcyB3w7ZyZA", "d3IwbmctY2FuYXJ5"];
    for secret in [&[CANARY, "canary-p4ss", "wr0ng-canary"][..], &encoded].concat() {
        for (place, text) in [("log", &log), ("tables", &tables), ("redis", &redis)] {
            assert!(!text.contains(secret), "{secret} stands in the {place}");
        }
    }
}

#[tokio::test]
async fn c21_mail_waits_while_a_worker_cannot_open_the_password() {
    let (story, keys) = with_keys().await;
    let catcher = with_a_strict_server(&story, &keys).await;
    says(&story, &keys, &["set", "SMTP-PASSWORD", "-"], CANARY).await;
    // Workers without keys, in this process.
    let workers = story.work().await;
    let id = story.producer.send(message("ann", "MAIL", "x")).await.unwrap();
    eventually("the inbox", async || story.delivered().await.contains(&id.0)).await;
    eventually("the copy to be looked at", async || {
        story.queues.email.lane(Lane::Normal).depth().await.unwrap().parked == 1
    })
    .await;
    let [copy] = story.copies(id).await.try_into().unwrap();
    assert_eq!((copy.state, copy.attempts), (DeliveryState::Pending, 0));
    workers.stop().await;

    let keys = fs::read_to_string(keys.path()).unwrap().parse().unwrap();
    let registry = herald_workers::settings::Access { keys: std::sync::Arc::new(keys), ..Default::default() };
    let workers = story.work_with(herald_workers::Options { registry, ..Default::default() }).await;
    eventually("the mail", async || catcher.mailbox().taken() == 1).await;
    story.drain().await;
    assert_eq!(story.copies(id).await[0].state, DeliveryState::Sent);
    workers.stop().await;
}
