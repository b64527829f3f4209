//! Where the programs of the servers are: on `PATH`, in the places where packages put them, or unpacked by
//! `scripts/setup` under `.herald/pkg`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

/// Folders of packages that are not on `PATH`, each with a part that stands for the version.
const VERSIONED: [(&str, &str, &str); 3] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];

/// The folder that holds both `postgres` and `initdb`: of major version `version` where that is given, else the first found.
///
/// # Errors
/// When there is none, saying how to get it.
pub(super) fn postgres(version: Option<&str>) -> Result<PathBuf> {
    let mut dirs = path();
    for (base, prefix, bin) in VERSIONED {
        dirs.extend(newest_first(Path::new(base), prefix).into_iter().map(|dir| dir.join(bin)));
    }
    dirs.push(unpacked()?);
    let mut complete =
        dirs.into_iter().filter(|dir| dir.join("postgres").is_file() && dir.join("initdb").is_file());
    match version {
        None => complete.next().ok_or_else(|| missing("Postgres (postgres and initdb)")),
        Some(version) => complete.find(|dir| major_version(&dir.join("postgres")).as_deref() == Some(version)).ok_or_else(
            || anyhow!("the data was written by Postgres {version}, which is not here: get it, or remove the data"),
        ),
    }
}

/// `redis-server`, or Valkey's.
///
/// # Errors
/// When there is none, saying how to get it.
pub(super) fn redis() -> Result<PathBuf> {
    let mut dirs = path();
    dirs.push(unpacked()?);
    let mut candidates = ["redis-server", "valkey-server"]
        .into_iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    candidates.find(|program| program.is_file()).ok_or_else(|| missing("redis-server"))
}

/// How a person calls `psql` in a shell of their own: by name alone where it is on `PATH`.
pub(super) fn psql() -> Option<PathBuf> {
    let unpacked = unpacked().ok()?;
    if path().iter().any(|dir| *dir != unpacked && dir.join("psql").is_file()) {
        return Some("psql".into());
    }
    let beside = postgres(None).ok().map(|dir| dir.join("psql"));
    beside.into_iter().chain([unpacked.join("psql")]).find(|program| program.is_file())
}

/// The folder of the programs that `scripts/setup` unpacked.
pub(super) fn unpacked() -> Result<PathBuf> {
    Ok(super::home()?.join("pkg/bin"))
}

fn path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// The folders `BASE/PREFIX<number>`, the highest number first.
fn newest_first(base: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(base) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name.strip_prefix(prefix)?.parse().ok()?, entry.path()))
        })
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// `postgres (PostgreSQL) 15.18 (Debian ...)` is `15`.
fn major_version(postgres: &Path) -> Option<String> {
    let output = Command::new(postgres).arg("--version").output().context("ask its version").ok()?;
    let answer = String::from_utf8(output.stdout).ok()?;
    let version = answer.split_whitespace().nth(2)?;
    version.split('.').next().map(str::to_owned)
}

fn missing(what: &str) -> anyhow::Error {
    anyhow!(
        "{what} is not on PATH, and not under .herald: run `scripts/setup servers` in Herald's checkout, install it, or \
         configure servers that run elsewhere"
    )
}
