//! Users.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use herald_jobs::address::{self, Username};
use herald_jobs::store;
use herald_jobs::store::users::NewUser;
use herald_producers::numbers::{self, Region};
use serde::Deserialize;

use crate::commands::{ACTOR, connect};
use crate::config::Config;
use crate::wiring::Wiring;

/// How many users are listed by one query.
const PAGE: i64 = 1_000;

/// `herald user`
#[derive(Subcommand)]
pub enum User {
    /// Adds a user, or changes the one of this name.
    Add(Add),
    /// Adds or changes users from a CSV file with the columns username, display_name, email, mobile, locale, time_zone.
    Import {
        /// The file; `-` is standard input. Its first line names the columns.
        file: PathBuf,
    },
    /// Lists all users.
    List,
    /// Prints a link by which a user can log in once.
    Link {
        /// Whose.
        username: String,
    },
}

/// `herald user add`
#[derive(Args)]
pub struct Add {
    username: String,
    /// The name shown to people.
    #[arg(long)]
    display_name: Option<String>,
    /// Where e-mail goes.
    #[arg(long)]
    email: Option<String>,
    /// Where SMS goes, as in +491701234567.
    #[arg(long)]
    mobile: Option<String>,
    /// Language and region, as in en-GB.
    #[arg(long)]
    locale: Option<String>,
    /// An IANA name, as in Europe/Berlin.
    #[arg(long)]
    time_zone: Option<String>,
    /// May administer Herald; prints a link to log in by, once.
    #[arg(long)]
    admin: bool,
    /// Reads a password from standard input.
    #[arg(long)]
    password: bool,
}

/// One line of an import.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    username: String,
    #[serde(default)]
    display_name: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    mobile: Option<String>,
    #[serde(default)]
    locale: Option<String>,
    #[serde(default)]
    time_zone: Option<String>,
}

impl Row {
    /// The user in valid form. Empty columns keep what is there.
    fn parse(self, region: Option<Region>) -> Result<(Username, NewUser)> {
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let checked =
            |text: Option<String>, check: &dyn Fn(&str) -> Result<String, String>, column: &'static str| {
                filled(text).map(|text| check(&text)).transpose().map_err(anyhow::Error::msg).context(column)
            };
        let name = Username::parse(&self.username).map_err(anyhow::Error::msg).context("username")?;
        let user = NewUser {
            display_name: filled(self.display_name),
            email: checked(self.email, &address::email, "email")?,
            mobile: checked(self.mobile, &|text| numbers::e164(text, region), "mobile")?,
            locale: filled(self.locale),
            time_zone: filled(self.time_zone),
        };
        Ok((name, user))
    }
}

impl User {
    /// Adds, imports or lists users.
    ///
    /// # Errors
    /// A value is not valid; the error names it, and nothing is changed.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        match self {
            Self::Add(add) => add.run(&wiring).await,
            Self::Import { file } => import(&wiring, &file).await,
            Self::List => list(&wiring).await,
            Self::Link { username } => {
                let name = Username::parse(&username).map_err(anyhow::Error::msg).context("username")?;
                let user = store::users::by_name(&wiring.pool, &name).await?;
                link(&wiring, user.with_context(|| format!("there is no user \"{name}\""))?.id).await
            }
        }
    }
}

impl Add {
    async fn run(self, wiring: &Wiring) -> Result<()> {
        let row = Row {
            username: self.username,
            display_name: self.display_name,
            email: self.email,
            mobile: self.mobile,
            locale: self.locale,
            time_zone: self.time_zone,
        };
        let (name, user) = row.parse(wiring.region)?;
        let mut transaction = wiring.pool.begin().await?;
        let id = store::users::upsert(&mut *transaction, &name, &user).await?;
        if self.admin {
            store::users::set_roles(&mut *transaction, id, &["admin".to_owned()]).await?;
        }
        if self.password {
            let password = std::io::read_to_string(std::io::stdin())?;
            let hash = herald_web::access::hash_password(password.trim_end_matches(['\r', '\n']))?;
            store::users::set_password_hash(&mut *transaction, id, &hash).await?;
        }
        store::audit::record(&mut *transaction, ACTOR, "user add", name.as_str()).await?;
        transaction.commit().await?;
        if self.admin { link(wiring, id).await } else { Ok(()) }
    }
}

/// Prints a login link that works once.
async fn link(wiring: &Wiring, user: i64) -> Result<()> {
    let link =
        herald_web::access::new_login_link(&wiring.pool, &wiring.clock, &wiring.public_url()?, user).await?;
    println!("{link}");
    Ok(())
}

/// All lines or none.
async fn import(wiring: &Wiring, file: &std::path::Path) -> Result<()> {
    let input: Box<dyn std::io::Read> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).with_context(|| format!("open {}", file.display()))?)
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let mut transaction = wiring.pool.begin().await?;
    let mut imported = 0;
    for (number, row) in reader.deserialize().enumerate() {
        let line = || format!("row {}", number + 1);
        let row: Row = row.with_context(line)?;
        let (name, user) = row.parse(wiring.region).with_context(line)?;
        store::users::upsert(&mut *transaction, &name, &user).await.with_context(line)?;
        imported += 1;
    }
    if imported == 0 {
        bail!("{} holds no users", file.display());
    }
    store::audit::record(&mut *transaction, ACTOR, "user import", &imported.to_string()).await?;
    transaction.commit().await?;
    println!("{imported} users imported");
    Ok(())
}

async fn list(wiring: &Wiring) -> Result<()> {
    let mut after = String::new();
    loop {
        let users = store::users::list(&wiring.pool, &after, PAGE).await?;
        let Some(last) = users.last() else { return Ok(()) };
        after.clone_from(&last.username);
        for user in users {
            let none = || "-".to_owned();
            println!(
                "{}  {}  {}  {}  {}{}",
                user.username,
                if user.display_name.is_empty() { "-" } else { &user.display_name },
                user.email.unwrap_or_else(none),
                user.mobile.unwrap_or_else(none),
                user.roles.join(","),
                if user.active { "" } else { "  (inactive)" },
            );
        }
    }
}
