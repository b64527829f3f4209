//! Settings: the defaults, then a file, then the environment.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use config::{Environment, File, FileFormat};
use serde::{Deserialize, Serialize};

use crate::keys;
use crate::servers;

/// Every setting with its default and a comment.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// What Herald was told. The fields are documented in `config/default.toml`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Config {
    pub database: Server,
    pub redis: Redis,
    pub web: Web,
    pub worker: Worker,
    pub secrets: Secrets,
    pub email: Email,
    pub sms: Sms,
    pub webhook: Webhook,
    pub delivery: Delivery,
    pub templates: Templates,
    pub periodic: Periodic,
    pub purge: Purge,
    pub log: Log,
}

/// `[database]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Server {
    pub url: String,
}

/// `[redis]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Redis {
    pub url: String,
    pub prefix: String,
}

/// `[web]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Web {
    pub listen: String,
    pub ops_listen: String,
    pub public_url: String,
    pub application_url: String,
    pub action_hosts: Vec<String>,
    pub refresh: u64,
    pub session_idle_hours: u32,
    pub session_days: u32,
    pub trusted_proxies: Vec<std::net::IpAddr>,
    pub user_header: String,
    pub frame_ancestors: Vec<String>,
    pub panels: Vec<Panel>,
}

/// `[[web.panels]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Panel {
    pub title: String,
    pub url: String,
}

/// `[worker]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Worker {
    pub batch: usize,
    pub commits: usize,
    pub sessions: usize,
    pub max_depth: u64,
    pub takeover_after: f64,
    pub grace: u64,
}

/// `[secrets]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Secrets {
    pub key_file: PathBuf,
}

/// `[email]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Email {
    pub allow_plaintext: bool,
    pub message_id_domain: String,
    pub authorities_file: PathBuf,
    pub attachment_limit: u64,
    pub attachment_root: PathBuf,
    pub answer_link_days: u32,
}

/// `[sms]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Sms {
    pub region: String,
    pub allow_private: bool,
}

/// `[webhook]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Webhook {
    pub allow_private: bool,
}

/// `[delivery]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Delivery {
    pub email: Hours,
    pub sms: Hours,
}

/// `[delivery.<channel>]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Hours {
    pub window: String,
    pub zone: chrono_tz::Tz,
}

/// `[templates]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Templates {
    pub functions: PathBuf,
}

/// `[periodic]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Periodic {
    pub purge: Slot,
    pub reminders: Slot,
}

/// `[periodic.<job>]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Slot {
    pub enabled: bool,
    pub start: chrono::NaiveTime,
    pub every: u64,
    pub zone: chrono_tz::Tz,
}

/// `[purge]`
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Purge {
    pub history_days: u32,
    pub ledger_days: u32,
    pub token_days: u32,
    pub audit_days: u32,
    pub run_days: u32,
    pub event_days: u32,
    pub answer_days: u32,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key has its comment in config/default.toml")]
pub struct Log {
    pub filter: String,
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Config {
    /// Reads the settings. `file` must exist where it is given; `herald.toml` in the working directory need not.
    ///
    /// # Errors
    /// A setting is unknown or of the wrong kind; the error names it.
    pub fn load(file: Option<&Path>) -> Result<Self> {
        let mut layers = config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        layers = match file {
            Some(file) => layers.add_source(File::from(file).format(FileFormat::Toml)),
            None => layers.add_source(File::new("herald.toml", FileFormat::Toml).required(false)),
        };
        let environment =
            Environment::with_prefix("HERALD").prefix_separator("__").separator("__").try_parsing(true);
        let environment = environment
            .list_separator(",")
            .with_list_parse_key("web.action_hosts")
            .with_list_parse_key("web.trusted_proxies")
            .with_list_parse_key("web.frame_ancestors");
        layers
            .add_source(environment)
            .build()
            .and_then(config::Config::try_deserialize)
            .context("the settings (herald config --defaults shows all there are)")
    }

    /// Whether servers were configured; without any, Herald runs its own.
    ///
    /// # Errors
    /// Only one of the two was.
    pub fn has_servers(&self) -> Result<bool> {
        match (self.database.url.is_empty(), self.redis.url.is_empty()) {
            (true, true) => Ok(false),
            (false, false) => Ok(true),
            (true, false) => anyhow::bail!("redis.url is set, but database.url is not: set both, or neither"),
            (false, true) => anyhow::bail!("database.url is set, but redis.url is not: set both, or neither"),
        }
    }

    /// For a command that talks to a Herald that runs: without configured servers, to the private ones that run now.
    ///
    /// # Errors
    /// No servers are configured, and no private ones run.
    pub fn with_running_servers(mut self) -> Result<Self> {
        if !self.has_servers()? {
            let running = servers::running()?.context(
                "no servers are configured (database.url, redis.url), and no `herald serve` runs here",
            )?;
            self.database.url = running.database;
            self.redis.url = running.redis;
            if !keys::are_configured(&self.secrets) {
                self.secrets.key_file = running.key_file;
            }
        }
        Ok(self)
    }

    /// The same with passwords masked, for people's eyes.
    #[must_use]
    pub fn masked(mut self) -> Self {
        for url in [&mut self.database.url, &mut self.redis.url] {
            if let Ok(mut parsed) = url::Url::parse(url)
                && parsed.password().is_some()
                && parsed.set_password(Some("***")).is_ok()
            {
                *url = parsed.to_string();
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_settings_are_refused_by_name() {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(file.path(), "[web]\nlisten_on = \"x\"").unwrap();
        let error = format!("{:#}", Config::load(Some(file.path())).unwrap_err());
        assert!(error.contains("listen_on"), "{error}");
    }

    #[test]
    fn passwords_are_masked() {
        let mut config = Config::load(None).unwrap();
        config.database.url = "postgres://herald:s3cret@db/herald".into();
        let shown = format!("{:?}", config.masked());
        assert!(!shown.contains("s3cret") && shown.contains("***"));
    }
}
