//! Outputs: reports and other files that are ready for somebody.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use chrono::TimeDelta;
use clap::{ArgGroup, Args};
use herald_producers::NewMessage;
use herald_producers::output_queue::{Content, Output as Ready};
use tokio::fs::File;

use crate::commands::connect;
use crate::config::Config;

/// `herald output`
#[derive(Args)]
#[command(group = ArgGroup::new("content").required(true))]
pub struct Output {
    /// Whose it is: a username. Nobody else can fetch it.
    #[arg(long)]
    to: String,
    /// The file; Herald keeps a copy.
    #[arg(long, group = "content")]
    file: Option<PathBuf>,
    /// Where it is, instead of a file: the owner is led there.
    #[arg(long, group = "content", requires = "name")]
    url: Option<String>,
    /// What it is called; without it, as the file.
    #[arg(long)]
    name: Option<String>,
    /// The file's media type.
    #[arg(long, default_value = "application/octet-stream")]
    content_type: String,
    /// For how many days it can be fetched.
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    expires: u16,
    /// The message type.
    #[arg(long = "type", default_value = "VIEW-NORMAL")]
    message_type: String,
    /// Who sends: a username, or a model's name together with --instance.
    #[arg(long)]
    sender: String,
    /// The sending model's instance.
    #[arg(long)]
    instance: Option<String>,
}

impl Output {
    /// Keeps the output, tells its owner, and prints the message's id.
    ///
    /// # Errors
    /// It was not accepted; the error names the field.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        let file_name = self.file.as_ref().and_then(|file| file.file_name()).and_then(|name| name.to_str());
        let name = self.name.or(file_name.map(str::to_owned)).unwrap_or_default();
        let content = match (&self.file, self.url) {
            (Some(file), _) => {
                let from = File::open(file).await.with_context(|| format!("open {}", file.display()))?;
                Content::Bytes { content_type: self.content_type, from }
            }
            (None, url) => Content::Url(url.unwrap_or_default()),
        };
        let message = NewMessage {
            recipient: self.to,
            message_type: self.message_type,
            sender: self.sender,
            sender_instance: self.instance,
            ..NewMessage::default()
        };
        let expires_at = wiring.clock.now() + TimeDelta::days(self.expires.into());
        let public_url = Some(wiring.public_url()?);
        let id =
            wiring.producer().output_ready(Ready { message, name, content, expires_at, public_url }).await?;
        println!("{id}");
        Ok(())
    }
}
