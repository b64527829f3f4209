//! Leave to send from SQL.

use anyhow::{Result, bail};
use clap::Subcommand;
use herald_jobs::store;
use herald_jobs::store::send_grants::SendGrant;

use crate::commands::{ACTOR, connect, print_json};
use crate::config::Config;

/// `herald grant`
#[derive(Subcommand)]
pub enum Grant {
    /// Lets a role of the database send from SQL as a sender, and add recipients to its messages and cancel them.
    Send {
        /// The role: those who are members of it may send too.
        role: String,
        /// The sender: a model's name or a username; `*`: any.
        #[arg(long = "as", value_name = "SENDER")]
        sender: String,
    },
    /// Lists who may send as whom.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Takes back the leave to send as one sender, or as all.
    Revoke {
        /// The role.
        role: String,
        /// The sender; without it, all.
        #[arg(long = "as", value_name = "SENDER")]
        sender: Option<String>,
    },
}

impl Grant {
    /// Grants, lists or revokes.
    ///
    /// # Errors
    /// There is no such role or grant, or this database user may not grant.
    pub async fn run(self, config: Config) -> Result<()> {
        let pool = connect(config)?.pool;
        match self {
            Self::Send { role, sender } => {
                store::send_grants::grant(&pool, &SendGrant { role, sender }, ACTOR).await?;
            }
            Self::List { json } => {
                let grants = store::send_grants::all(&pool).await?;
                if json {
                    return print_json(&grants);
                }
                for grant in grants {
                    println!("{} sends as {}", grant.role, grant.sender);
                }
            }
            Self::Revoke { role, sender } => {
                if store::send_grants::revoke(&pool, &role, sender.as_deref(), ACTOR).await? == 0 {
                    bail!("there is no such grant: see `herald grant list`");
                }
            }
        }
        Ok(())
    }
}
