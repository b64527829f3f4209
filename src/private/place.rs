//! Where a server keeps its files, and who it runs as.
//!
//! Postgres refuses to run as root. So as root the servers run as an unprivileged user, who must then be able to reach both
//! the data and the programs. Where that user cannot (a checkout under `/root`, say), both go to a temporary directory.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Uid, User};

use super::programs;

/// Tried in this order when the data cannot stay where it was wanted: the first survives a reboot.
const ELSEWHERE: [&str; 2] = ["/var/tmp", "/tmp"];

/// A server's directory, held by this process alone.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory: absolute, without links.
    pub(super) dir: PathBuf,
    server: &'static str,
    account: Option<User>,
    _lock: Flock<File>,
}

impl Place {
    /// Makes `dir` for `server` (`postgres`, `redis`) where it is missing, takes its lock, and moves on to another directory
    /// if the server's user cannot work there.
    ///
    /// # Errors
    /// When the directory cannot be made, or when another process holds it.
    pub(super) fn take(dir: &Path, server: &'static str) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let wanted = dir.canonicalize()?;
        let lock = lock(&wanted)?;
        let account = account()?;
        let dir = match &account {
            Some(account) if !reaches(account, &wanted)? => elsewhere(&wanted, account)?,
            _ => wanted,
        };
        Ok(Self { dir, server, account, _lock: lock })
    }

    /// Makes the subdirectory `name` for the server alone.
    pub(super) fn own_dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        if !dir.is_dir() {
            fs::create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
            fs::set_permissions(&dir, Permissions::from_mode(0o700))?;
            self.give(&dir)?;
        }
        Ok(dir)
    }

    /// Writes a file that only the server (and root) may read.
    pub(super) fn own_file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.secret_file(name, text)?;
        self.give(&path)?;
        Ok(path)
    }

    /// Writes a file that only this process's user may read.
    pub(super) fn secret_file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let (path, new) = (self.dir.join(name), self.dir.join(format!("{name}.new")));
        // What a killed process left here would keep its owner and mode.
        if let Err(error) = fs::remove_file(&new) {
            ensure!(error.kind() == ErrorKind::NotFound, "replace {}: {error}", new.display());
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        Ok(path)
    }

    fn give(&self, path: &Path) -> Result<()> {
        let Some(account) = &self.account else { return Ok(()) };
        std::os::unix::fs::chown(path, Some(account.uid.as_raw()), Some(account.gid.as_raw()))
            .with_context(|| format!("give {} to user {}", path.display(), account.name))
    }

    /// A command that runs `program` as the server's user, from a copy when that user cannot reach the original.
    ///
    /// # Errors
    /// When the program can neither be run where it is nor be copied.
    pub(super) fn command(&self, program: &Path) -> Result<Command> {
        let Some(account) = &self.account else { return Ok(command(program, None)) };
        if runs(program, account) {
            return Ok(command(program, Some(account)));
        }
        let copy = self.copied(program)?;
        ensure!(runs(&copy, account), "{} does not run as user {}", program.display(), account.name);
        Ok(command(&copy, Some(account)))
    }

    /// The same program in a copy of what `scripts/setup` unpacked: its wrappers find the packages beside them.
    fn copied(&self, program: &Path) -> Result<PathBuf> {
        let (unpacked, copy) = (programs::unpacked()?, self.dir.join("pkg"));
        let name = program.strip_prefix(&unpacked).with_context(|| {
            format!("{} cannot be reached by the user that the servers run as", program.display())
        })?;
        let copied = copy.join("bin").join(name);
        if !copied.is_file() {
            fs::create_dir_all(&copy)?;
            let packages = unpacked.with_file_name(self.server);
            // Links cost nothing, but only work within one file system.
            let done = ["-RPl", "-RP"].iter().any(|flags| {
                let mut cp = Command::new("cp");
                cp.args(["-f", flags]).args([&packages, &unpacked]).arg(&copy).stderr(Stdio::null());
                cp.status().is_ok_and(|status| status.success())
            });
            ensure!(done, "copying {} to {} failed", packages.display(), copy.display());
        }
        Ok(copied)
    }
}

/// The lock ends with the process, so that it tells a server in use from one that a killed process left behind.
fn lock(dir: &Path) -> Result<Flock<File>> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join("lock"))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => bail!("{} is in use by another herald", dir.display()),
        Err((_, errno)) => bail!("lock {}: {errno}", dir.display()),
    }
}

/// Whom the servers run as: somebody else when this process is root.
fn account() -> Result<Option<User>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some(user));
        }
    }
    bail!("Postgres refuses to run as root, and there is no user postgres or nobody to run it as")
}

fn command(program: &Path, account: Option<&User>) -> Command {
    let mut command = Command::new(program);
    // Variables that would change a server's settings; its messages stay in English, since some are looked for.
    command.env_remove("PGDATA").env_remove("PGPORT").env("LC_ALL", "C");
    // The working directory may be one that the user cannot read.
    command.current_dir("/").stdin(Stdio::null());
    if let Some(account) = account {
        command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
    }
    command
}

fn runs(program: &Path, account: &User) -> bool {
    let mut command = command(program, Some(account));
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn reaches(account: &User, dir: &Path) -> Result<bool> {
    let mut shell = command(Path::new("/bin/sh"), Some(account));
    shell.args(["-c", "cd \"$1\"", "sh"]).arg(dir).stderr(Stdio::null());
    Ok(shell.status().context("run /bin/sh")?.success())
}

/// The directory that stands for `wanted`, the same one at every start.
fn elsewhere(wanted: &Path, account: &User) -> Result<PathBuf> {
    let record = wanted.join("moved-to");
    if let Ok(moved) = fs::read_to_string(&record) {
        let moved = PathBuf::from(moved.trim_end());
        // Temporary directories are anybody's: what is not ours any more is not used.
        if fs::symlink_metadata(&moved).is_ok_and(|it| it.is_dir() && it.uid() == Uid::effective().as_raw()) {
            return Ok(moved);
        }
    }
    let made = ELSEWHERE.iter().find_map(|base| {
        let made = tempfile::Builder::new().prefix("herald-").tempdir_in(base).ok()?;
        fs::set_permissions(made.path(), Permissions::from_mode(0o755)).ok()?;
        reaches(account, made.path()).ok()?.then(|| made.keep())
    });
    let made = made.context("there is no temporary directory for the private servers")?;
    fs::write(&record, format!("{}\n", made.display()))?;
    tracing::warn!(
        "User {} cannot reach {}: the server's files are in {}",
        account.name,
        wanted.display(),
        made.display()
    );
    Ok(made)
}
