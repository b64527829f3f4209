//! A private Redis server.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use super::access::Access;
use super::place::Place;
use super::process::{self, Server};
use super::{Options, Stop, programs};

/// The names of the program.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// A private Redis server. Dropping it ends it.
#[derive(Debug)]
pub struct Redis {
    server: Option<Server>,
    access: Access,
    data: PathBuf,
    program: PathBuf,
    options: Options,
    place: Place,
}

impl Redis {
    /// Starts the server in `dir`, with the data that an earlier start left there, on the same port unless that was taken. A
    /// server that an earlier run left behind is stopped first.
    ///
    /// # Errors
    /// When no Redis is installed or unpacked, when another process uses `dir`, or when the server does not come up; the
    /// message then ends with the last lines of its log.
    pub async fn start(dir: &Path, options: Options) -> Result<Self> {
        let place = Place::take(dir, "redis")?;
        let data = place.own_dir("data")?;
        process::end_leftovers(&data, &PROGRAMS, Signal::SIGTERM).await?;
        let access = Access::take(&place)?;
        let mut redis = Self { server: None, access, data, program: programs::redis()?, options, place };
        redis.spawn().await?;
        Ok(redis)
    }

    /// Where the server is reached, password included.
    #[must_use]
    pub fn url(&self) -> String {
        let Access { port, password } = &self.access;
        format!("redis://:{password}@127.0.0.1:{port}/0")
    }

    /// The process id of the running server.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Server::pid)
    }

    /// Stops the server; its data stay. Stopping a stopped one does nothing.
    ///
    /// # Errors
    /// When the server cannot be signalled. One that does not stop in time is killed, which is no error.
    pub async fn stop(&mut self, how: Stop) -> Result<()> {
        let signal = match how {
            Stop::Orderly => Signal::SIGTERM,
            Stop::Abrupt => Signal::SIGKILL,
        };
        match self.server.take() {
            Some(server) => server.stop(signal).await,
            None => Ok(()),
        }
    }

    /// Starts the stopped server again, on the same port.
    ///
    /// # Errors
    /// As for [`Redis::start`]; also when another program has taken the port.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.server.is_none(), "the server has not been stopped");
        self.spawn_once().await
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
        let mut command = self.place.command(&self.program)?;
        // A file, since the password would show in the list of processes.
        command.arg(self.place.own_file("redis.conf", &self.settings()?)?);
        let remove = self.options.temporary.then_some(self.place.dir.as_path());
        let server = Server::spawn(command, &self.log(), (Signal::SIGTERM, Signal::SIGTERM), remove)?;
        let client = redis::Client::open(self.url())?;
        let result = self.server.insert(server).ready(async || ping(&client).await).await;
        result.map_err(|error| {
            self.server = None;
            error.context(format!("the private Redis did not start:\n{}", process::tail(&self.log())))
        })
    }

    fn settings(&self) -> Result<String> {
        let Access { port, password } = &self.access;
        let data = self
            .data
            .to_str()
            .filter(|path| !path.contains(['"', '\\']))
            .context("a path that Redis can read")?;
        let sync = if self.options.fast { "no" } else { "everysec" };
        Ok(format!(
            "bind 127.0.0.1\nport {port}\nrequirepass {password}\ndaemonize no\ndir \"{data}\"\nsave \"\"\n\
             appendonly yes\nappendfsync {sync}\nmaxmemory-policy noeviction\n"
        ))
    }

    fn log(&self) -> PathBuf {
        self.place.dir.join("log")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if self.options.temporary {
            self.server = None;
            // A directory that cannot be removed harms nobody.
            let _ = std::fs::remove_dir_all(&self.place.dir);
        }
    }
}

async fn ping(client: &redis::Client) -> Result<()> {
    let mut connection = client.get_multiplexed_async_connection().await?;
    Ok(redis::cmd("PING").query_async(&mut connection).await?)
}
