//! Where the keys are that seal secrets: a file that only its owner can read, or the environment.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use herald_jobs::seal::{self, KeyRing};
use ring::rand::SystemRandom;

use crate::config::Secrets;

/// Holds keys instead of a file.
const VARIABLE: &str = "HERALD_KEYS";

/// Whether somebody said where the keys are.
pub(crate) fn are_configured(secrets: &Secrets) -> bool {
    !secrets.key_file.as_os_str().is_empty() || in_environment().is_some()
}

/// The keys, where any are configured.
///
/// # Errors
/// They cannot be read, others can read them, or they are no keys.
pub(crate) fn load(secrets: &Secrets) -> Result<Option<KeyRing>> {
    let has_file = !secrets.key_file.as_os_str().is_empty();
    match in_environment() {
        Some(_) if has_file => bail!("secrets.key_file and {VARIABLE} are both set: set one of them"),
        Some(keys) => keys.parse().context(VARIABLE).map(Some),
        None if has_file => read(&secrets.key_file).map(Some),
        None => Ok(None),
    }
}

/// The key file in `dir`, made with one key where there is none.
///
/// # Errors
/// It cannot be written.
pub(crate) fn provide(dir: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(dir.join("registry.key"))?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            let key = seal::new_key(&SystemRandom::new())?;
            writeln!(file, "{}", key.expose()).with_context(|| format!("write {}", path.display()))?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| format!("make {}", path.display())),
    }
    Ok(path)
}

fn read(path: &Path) -> Result<KeyRing> {
    let shown = path.display();
    let mut file = File::open(path).with_context(|| format!("secrets.key_file: {shown} cannot be read"))?;
    let metadata = file.metadata()?;
    if metadata.permissions().mode() & 0o077 != 0 {
        bail!("secrets.key_file: others than its owner can read {shown}: run chmod 600 {shown}");
    }
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(|| format!("secrets.key_file: {shown} cannot be read"))?;
    text.parse().with_context(|| format!("secrets.key_file: {shown}"))
}

fn in_environment() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|keys| !keys.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_of_its_own_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = provide(dir.path()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let first = std::fs::read_to_string(&path).unwrap();
        assert_eq!(provide(dir.path()).unwrap(), path);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
        assert_eq!(read(&path).unwrap().ids().count(), 1);
    }
}
