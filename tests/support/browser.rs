//! A headless browser for tests, driven over WebDriver.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fantoccini::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use nix::unistd::Uid;
use serde_json::json;
use tempfile::TempDir;

/// Runs chromedriver until the test's process closes its input or is gone, then ends its process group: a chromedriver that
/// is ended leaves its browser behind.
const LEASH: &str = r#"
exec 3<&0
"$1" --port=0 </dev/null &
exec >/dev/null
read -r _ <&3
kill -s KILL 0
"#;

/// A browser with a fresh profile. Dropping it ends it.
pub(crate) struct Browser {
    /// The WebDriver session.
    pub(crate) client: Client,
    leash: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts chromedriver on a free port, and a browser with one window of 1280 by 900.
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut leash = Command::new("/bin/sh")
            .args(["-c", LEASH, "leash"])
            .arg(find(&["chromedriver"]))
            .env("XDG_CONFIG_HOME", profile.path())
            .env("TMPDIR", profile.path())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = port(&mut leash);
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--window-size=1280,900".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        if !can_sandbox() {
            arguments.push("--no-sandbox".to_owned());
        }
        let binary = find(&["chromium", "google-chrome", "google-chrome-stable"]);
        let capabilities = json!({ "goog:chromeOptions": { "binary": binary, "args": arguments } });
        let client = fantoccini::ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        Self { client, leash, _profile: profile }
    }

    /// Writes what the window shows to `target/screenshots/NAME.png`, and answers that path.
    pub(crate) async fn screenshot(&self, name: &str) -> PathBuf {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots");
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join(format!("{name}.png"));
        fs::write(&file, self.client.screenshot().await.unwrap()).unwrap();
        file
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.leash.stdin.take());
        let _ = self.leash.wait();
    }
}

/// Chromedriver says which port it took.
fn port(leash: &mut Child) -> u16 {
    let mut said = String::new();
    for line in BufReader::new(leash.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return port.trim_end_matches('.').parse().unwrap();
        }
        said.push_str(&line);
    }
    panic!("chromedriver did not start: {said}")
}

/// What `scripts/setup` unpacked goes first, since a browser and its driver must come from one place. A snap's browser does not
/// count: it cannot read folders outside its own.
fn find(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs = vec![herald::private::home().unwrap().join("pkg/bin")];
    dirs.extend(std::env::split_paths(&path).filter(|dir| !dir.starts_with("/snap")));
    let mut programs = names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    programs
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("no {names:?}: run scripts/setup browser"))
}

/// Chromium's sandbox refuses root, and needs user namespaces, which containers and some kernels refuse.
fn can_sandbox() -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    !Uid::effective().is_root()
        && (cfg!(target_os = "macos") || unshare.status().is_ok_and(|status| status.success()))
}
