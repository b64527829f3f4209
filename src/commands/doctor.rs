//! Looks at everything that Herald stands on.

use std::fmt;

use anyhow::{Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use herald_jobs::clock::Clock;
use herald_jobs::store;
use herald_workers::settings::{self, Access};
use redis::aio::MultiplexedConnection;

use crate::commands::connect;
use crate::config::Config;
use crate::wiring::Wiring;

/// How long an answer may wait to be told before that is worth a word: some attempts have failed then.
const LATE: TimeDelta = TimeDelta::hours(1);
/// How far two clocks may be apart.
const SKEW: TimeDelta = TimeDelta::seconds(2);

/// What one look brought.
enum Finding {
    /// As it should be.
    Ok(String),
    /// Works, but not as well or not as safely as it could.
    Warning(String),
    /// Does not work.
    Wrong(String),
}
use Finding::{Ok as Fine, Warning, Wrong};

/// `herald doctor`: one line for each thing that was looked at.
///
/// # Errors
/// Something is wrong.
pub async fn run(config: Config) -> Result<()> {
    let wiring = connect(config)?;
    let mut findings = database(&wiring).await;
    if findings.iter().all(|finding| !matches!(finding, Wrong(_))) {
        findings.extend(registry(&wiring).await);
        findings.push(models(&wiring).await);
        findings.push(reminders(&wiring).await);
        findings.push(answers(&wiring).await);
    }
    findings.extend(redis(&wiring).await);
    for finding in &findings {
        println!("{finding}");
    }
    match findings.iter().filter(|finding| matches!(finding, Wrong(_))).count() {
        0 => Ok(()),
        1 => bail!("1 thing is wrong"),
        wrong => bail!("{wrong} things are wrong"),
    }
}

async fn database(wiring: &Wiring) -> Vec<Finding> {
    let before = wiring.clock.now();
    let theirs = match store::now(&wiring.pool).await {
        Ok(theirs) => theirs,
        Err(error) => {
            return vec![Wrong(format!("database: cannot be reached ({error}): look at database.url"))];
        }
    };
    let clock = skew("Postgres", &wiring.clock, before, theirs);
    let schema = match store::is_migrated(&wiring.pool).await {
        Ok(true) => Fine("database: reached, and its schema is up to date".into()),
        Ok(false) => Wrong("database: its schema is not that of this version: run `herald migrate`".into()),
        Err(error) => {
            Wrong(format!("database: its schema cannot be read ({error}): may this user read schema herald?"))
        }
    };
    vec![schema, clock]
}

async fn registry(wiring: &Wiring) -> Vec<Finding> {
    let entries = match store::registry::entries(&wiring.pool).await {
        Ok(entries) => entries,
        Err(error) => return vec![Wrong(format!("registry: cannot be read ({error})"))],
    };
    let secrets: Vec<_> = entries
        .iter()
        .filter(|entry| entry.secret)
        .filter_map(|entry| Some((&entry.key, entry.value.as_ref()?)))
        .collect();
    let access = match wiring.registry_access() {
        Ok(access) => access,
        Err(error) => return vec![Wrong(format!("keys: {error:#}"))],
    };
    let mut findings = vec![keys(&access, &secrets)];
    let values = entries.iter().filter_map(|entry| Some((entry.key.clone(), entry.value.clone()?))).collect();
    findings.push(match settings::mail(&values, &access) {
        Ok(mail) => {
            let server = &mail.server;
            Fine(format!("e-mail: goes to {}, port {}, from {}", server.host, server.port, mail.from))
        }
        Err(missing) => {
            Warning(format!("e-mail: waits, not configured: {missing}; see `herald registry list`"))
        }
    });
    findings
}

fn keys(access: &Access, secrets: &[(&String, &String)]) -> Finding {
    let (keys, set) = (access.keys.ids().count(), secrets.len());
    for (key, sealed) in secrets {
        if let Err(error) = access.keys.open(key, sealed) {
            return Wrong(format!("keys: {key} cannot be opened: {error}"));
        }
    }
    if keys == 0 {
        return Warning(
            "keys: there are none, so no password can be set: run `herald registry new-key`, and name its file in \
             secrets.key_file"
                .into(),
        );
    }
    Fine(format!("keys: {keys}, and they open the {set} secrets that are set"))
}

async fn models(wiring: &Wiring) -> Finding {
    let models = match store::models::all(&wiring.pool).await {
        Ok(models) => models.len(),
        Err(error) => return Wrong(format!("models: cannot be read ({error})")),
    };
    match store::models::reader_is_usable(&wiring.pool).await {
        _ if models == 0 => Fine("models: none, so the role herald_reader is not needed".into()),
        Ok(Some(true)) => Fine(format!("models: {models}, read as the role herald_reader")),
        Ok(Some(false)) => {
            Wrong("models: this user may not become herald_reader: grant herald_reader to it".into())
        }
        Ok(None) => {
            Wrong(
                "models: the role herald_reader is missing: `herald model add --replace` makes it, and grants what a model reads"
                    .into(),
            )
        }
        Err(error) => Wrong(format!("models: roles cannot be read ({error})")),
    }
}

async fn reminders(wiring: &Wiring) -> Finding {
    match store::reminders::troubled(&wiring.pool).await {
        Ok((0, 0)) => Fine("reminders: every rule that is enabled does what it should".into()),
        Ok((paused, 0)) => Warning(format!(
            "reminders: {paused} rules have paused themselves: `herald reminder list` says why, `herald reminder enable` ends it"
        )),
        Ok((paused, failed)) => Wrong(format!(
            "reminders: {failed} rules failed and {paused} are paused: see `herald reminder list`"
        )),
        Err(error) => Wrong(format!("reminders: cannot be read ({error})")),
    }
}

async fn answers(wiring: &Wiring) -> Finding {
    match store::answer_events::troubled(&wiring.pool, wiring.clock.now() - LATE).await {
        Ok((0, 0)) => Fine("answers: all were told, or are about to be".into()),
        Ok((failed, late)) => Warning(format!(
            "answers: {failed} could not be told and were given up, {late} have waited for more than an hour: \
             `herald webhook events --state failed` (or pending) says which, `herald webhook show` why; `herald webhook replay` \
             tells them again"
        )),
        Err(error) => Wrong(format!("answers: cannot be read ({error})")),
    }
}

async fn redis(wiring: &Wiring) -> Vec<Finding> {
    match ask_redis(wiring).await {
        Ok(findings) => findings,
        Err(error) => vec![Wrong(format!("Redis: cannot be reached ({error}): look at redis.url"))],
    }
}

async fn ask_redis(wiring: &Wiring) -> Result<Vec<Finding>, redis::RedisError> {
    let client = redis::Client::open(wiring.config.redis.url.as_str())?;
    let mut redis = client.get_multiplexed_async_connection().await?;
    let before = wiring.clock.now();
    let (seconds, micros): (i64, u32) = redis::cmd("TIME").query_async(&mut redis).await?;
    let theirs = DateTime::from_timestamp(seconds, micros.saturating_mul(1_000)).unwrap_or_default();
    let clock = skew("Redis", &wiring.clock, before, theirs);
    let (persistence, memory) = (info(&mut redis, "persistence").await?, info(&mut redis, "memory").await?);
    let aof = match field(&persistence, "aof_enabled") {
        Some("1") => Fine("Redis: reached, and what it holds survives its end (AOF)".into()),
        Some(_) => Warning(
            "Redis: the fast lane loses what it holds when Redis ends (all else comes again from Postgres): set appendonly yes"
                .into(),
        ),
        None => Warning("Redis: does not say whether AOF is on: make sure of appendonly yes".into()),
    };
    let policy = match field(&memory, "maxmemory_policy") {
        Some("noeviction") => Fine("Redis: evicts nothing (noeviction)".into()),
        Some(policy) => Wrong(format!(
            "Redis: throws jobs away when it is full ({policy}): set maxmemory-policy noeviction"
        )),
        None => {
            Warning("Redis: does not say what it evicts: make sure of maxmemory-policy noeviction".into())
        }
    };
    Ok(vec![aof, policy, clock])
}

async fn info(redis: &mut MultiplexedConnection, section: &str) -> Result<String, redis::RedisError> {
    redis::cmd("INFO").arg(section).query_async(redis).await
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// How far `theirs` is from this machine's time, where the question was asked at `before` and answered now.
fn skew(whose: &str, clock: &Clock, before: DateTime<Utc>, theirs: DateTime<Utc>) -> Finding {
    let after = clock.now();
    let apart = if theirs < before { before - theirs } else { (theirs - after).max(TimeDelta::zero()) };
    if apart > SKEW {
        let seconds = apart.num_seconds();
        return Warning(format!("clocks: {whose} and this machine are {seconds} s apart: set both by NTP"));
    }
    Fine(format!("clocks: {whose} and this machine agree"))
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fine(text) => write!(f, "ok       {text}"),
            Warning(text) => write!(f, "warning  {text}"),
            Wrong(text) => write!(f, "wrong    {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_two_seconds_apart_are_told() {
        let clock = Clock::system();
        for (seconds, agrees) in [(0, true), (-1, true), (1, true), (-10, false), (10, false)] {
            let now = clock.now();
            let finding = skew("Redis", &clock, now, now + TimeDelta::seconds(seconds));
            assert_eq!(matches!(finding, Fine(_)), agrees, "{seconds}: {finding}");
        }
    }
}
