//! How a private server is reached: its port and password, kept from one start to the next so that what was printed or written
//! down stays true.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::place::Place;
use super::process;

const FILE: &str = "access";

/// A port on the loopback address, and a password.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) port: u16,
    pub(super) password: String,
}

impl Access {
    /// What the last start used, if the port is still free; else another port. The first start makes up a password.
    pub(super) fn take(place: &Place) -> Result<Self> {
        let known = read(&place.dir.join(FILE))?;
        let last = known.as_ref().map(|access| access.port);
        let port = process::free_port(last)?;
        let password = known.map_or_else(process::password, |access| Ok(access.password))?;
        let access = Self { port, password };
        if last != Some(port) {
            access.keep(place)?;
        }
        Ok(access)
    }

    /// Takes another port: the one at hand was lost to another program.
    pub(super) fn move_on(&mut self, place: &Place) -> Result<()> {
        self.port = process::free_port(None)?;
        self.keep(place)
    }

    fn keep(&self, place: &Place) -> Result<()> {
        place.secret_file(FILE, &format!("{}\n{}\n", self.port, self.password))?;
        Ok(())
    }
}

fn read(file: &Path) -> Result<Option<Access>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
    };
    let mut lines = text.lines();
    let (Some(port), Some(password)) = (lines.next().and_then(|line| line.parse().ok()), lines.next()) else {
        bail!("{} is damaged: without its password the data beside it is of no use", file.display());
    };
    Ok(Some(Access { port, password: password.to_owned() }))
}
