//! Users.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use herald_jobs::account::Account;
use herald_jobs::address::Username;
use herald_jobs::store;
use herald_jobs::store::change::{Expect, version};
use herald_producers::people::{People, Person};

use crate::commands::{ACTOR, connect, filled, gone, one_line, print_json};
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
    /// Changes what is said of a user; the rest stays.
    Set(Set),
    /// Shows one user.
    Show {
        /// Whom.
        username: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Deactivates a user, who then gets no further messages and cannot log in. Users are never deleted: messages name them.
    Rm {
        /// Whom.
        username: String,
    },
    /// Lists all users.
    List {
        /// As JSON, one user a line.
        #[arg(long)]
        json: bool,
    },
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

/// `herald user set`. An empty value takes a setting away.
#[derive(Args)]
pub struct Set {
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
    /// admin, operator, and roles of your own such as manager, with commas between; these replace all that were there.
    #[arg(long, value_delimiter = ',')]
    roles: Option<Vec<String>>,
    /// true: receives messages and may log in.
    #[arg(long)]
    active: Option<bool>,
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
            Self::Set(set) => set.run(&wiring).await,
            Self::Show { username, json } => show(&find(&wiring, &username).await?, json),
            Self::Rm { username } => {
                let name = username.trim().to_lowercase();
                let there =
                    store::accounts::deactivate(&wiring.pool, &name, &Expect::Anything, ACTOR).await?;
                gone(there, "user", &name)
            }
            Self::List { json } => list(&wiring, json).await,
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
        let person = Person {
            username: self.username,
            display_name: self.display_name,
            email: self.email,
            mobile: self.mobile,
            locale: self.locale,
            time_zone: self.time_zone,
        };
        let (name, user) = person.parse(wiring.region)?;
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
    let people = People::read(input, wiring.region).checked(&wiring.pool).await?;
    if !people.problems.is_empty() {
        let problems: Vec<String> = people.problems.iter().map(ToString::to_string).collect();
        bail!("nobody was imported:\n{}", problems.join("\n"));
    }
    let imported = people.save(&wiring.pool, ACTOR).await?;
    println!("{} users imported", imported.added + imported.changed);
    if imported.inactive > 0 {
        println!("deactivated, as before: {}", imported.inactive);
    }
    Ok(())
}

impl Set {
    async fn run(self, wiring: &Wiring) -> Result<()> {
        let account = find(wiring, &self.username).await?;
        let expect = Expect::Version(vec![version(&account)]);
        let roles = self.roles.map(|roles| roles.into_iter().filter_map(filled).collect());
        let account = Account {
            display_name: self.display_name.unwrap_or(account.display_name),
            email: self.email.map_or(account.email, filled),
            mobile: self.mobile.map_or(account.mobile, filled),
            locale: self.locale.unwrap_or(account.locale),
            time_zone: self.time_zone.unwrap_or(account.time_zone),
            roles: roles.unwrap_or(account.roles),
            active: self.active.unwrap_or(account.active),
            username: account.username,
        };
        store::accounts::save(&wiring.pool, account, &expect, ACTOR).await?;
        Ok(())
    }
}

async fn find(wiring: &Wiring, username: &str) -> Result<Account> {
    let name = username.trim().to_lowercase();
    let found = store::accounts::get(&wiring.pool, &name).await?;
    found.with_context(|| format!("there is no user \"{name}\""))
}

fn show(account: &Account, json: bool) -> Result<()> {
    if json {
        return print_json(account);
    }
    let text = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), one_line);
    println!("{}  {}", account.username, one_line(&account.display_name));
    println!("e-mail     {}", text(&account.email));
    println!("mobile     {}", text(&account.mobile));
    println!("locale     {}, {}", account.locale, account.time_zone);
    if !account.roles.is_empty() {
        println!("roles      {}", account.roles.join(", "));
    }
    if !account.active {
        println!("inactive: gets no messages and cannot log in");
    }
    Ok(())
}

async fn list(wiring: &Wiring, json: bool) -> Result<()> {
    let mut after = String::new();
    loop {
        let users = store::accounts::list(&wiring.pool, &after, PAGE).await?;
        let Some(last) = users.last() else { return Ok(()) };
        after.clone_from(&last.username);
        for user in users {
            if json {
                println!("{}", serde_json::to_string(&user)?);
                continue;
            }
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
