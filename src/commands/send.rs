//! Sends a message.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use clap::Args;
use herald_jobs::message_type::Lane;
use herald_jobs::send::Syntax;
use herald_producers::{NewAttachment, NewContact, NewMessage, Sent};
use serde_json::json;

use crate::commands::connect;
use crate::commands::template::{fields, model_key};
use crate::config::Config;

/// What the program's end says of a send.
const EXITS: &str = "Exit codes: 0 accepted, and not lost from then on; 2 refused, the message names the field; 75 not accepted now,
try again (with --idempotency-key, so that it cannot be sent twice); 1 anything else, such as settings that cannot be read.";

/// `herald send`. Ends with 0 when the message was accepted, with 2 when it was refused, with 75 when trying again may help.
#[derive(Args)]
#[command(after_help = EXITS)]
pub struct Send {
    /// Who receives it: a username.
    #[arg(long)]
    to: String,
    /// The message type's code.
    #[arg(long = "type", default_value = "VIEW-NORMAL")]
    message_type: String,
    /// What the inbox shows; `-` reads it from standard input.
    #[arg(long, required_unless_present = "template")]
    text: Option<String>,
    /// The code of a message template, which makes the texts.
    #[arg(long)]
    template: Option<String>,
    /// The key of the record that the template reads; a list such as `["DE", 7]` for a key of several columns.
    #[arg(long, requires = "template")]
    model_key: Option<String>,
    /// A JSON file with the fields that the template, or else the text, reads; `-` reads standard input.
    #[arg(long, conflicts_with = "model_key")]
    fields: Option<PathBuf>,
    /// What e-mail and SMS carry.
    #[arg(long)]
    external: Option<String>,
    /// The subject.
    #[arg(long)]
    subject: Option<String>,
    /// Who sends: a username, or a model's name together with --instance.
    #[arg(long)]
    sender: String,
    /// The sending model's instance.
    #[arg(long)]
    instance: Option<String>,
    /// A value for the action's URL; repeat it for more. Numbers and true/false are sent as such.
    #[arg(long = "parameter", allow_negative_numbers = true)]
    parameters: Vec<String>,
    /// An outside contact who gets a copy: `a@b.example`, `Cc:a@b.example` or `+491701234567`; repeat it for more.
    #[arg(long = "copy")]
    copies: Vec<String>,
    /// A file that its e-mails carry; repeat it for more.
    #[arg(long = "attach", conflicts_with = "fast")]
    files: Vec<PathBuf>,
    /// The same key, sender and message again sends nothing, and answers the first one's id.
    #[arg(long)]
    idempotency_key: Option<String>,
    /// Not before this time, as in 2027-01-31T09:00:00Z.
    #[arg(long, value_name = "TIME")]
    deliver_at: Option<DateTime<Utc>>,
    /// Instead of the type's lane: alert, normal or bulk.
    #[arg(long, value_parser = Lane::from_str)]
    lane: Option<Lane>,
    /// How a text with --fields is written: token or handlebars.
    #[arg(long, value_parser = Syntax::from_str)]
    syntax: Option<Syntax>,
    /// Where the answer goes: webhook:NAME, stream:NAME or notify.
    #[arg(long, conflicts_with = "fast")]
    answer_to: Option<String>,
    /// Prints the answer as JSON.
    #[arg(long)]
    json: bool,
    /// Skips Postgres: faster, but what Redis loses is lost.
    #[arg(long, conflicts_with = "idempotency_key")]
    fast: bool,
}

/// A file with its bytes: the workers need not see it.
fn attachment(file: &Path) -> Result<NewAttachment> {
    let shown = file.display();
    let name = file.file_name().and_then(|name| name.to_str());
    let name =
        name.with_context(|| format!("--attach {shown}: is no file, or has no UTF-8 name"))?.to_owned();
    let content = std::fs::read(file).with_context(|| format!("--attach {shown}"))?;
    Ok(NewAttachment { name, content: Some(BASE64_STANDARD.encode(content)), ..NewAttachment::default() })
}

impl Send {
    /// Sends the message and prints its id.
    ///
    /// # Errors
    /// The message was not accepted; the error names the field.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        let producer = wiring.producer();
        let message = self.message()?;
        let fresh = |id| Sent { id, replayed: false };
        let sent = match (&self.idempotency_key, self.fast) {
            (Some(key), _) => producer.send_once(message, key).await?,
            (None, true) => fresh(producer.enqueue(message).await?),
            (None, false) => fresh(producer.send(message).await?),
        };
        producer.flush().await;
        if self.json {
            println!("{}", json!({"id": sent.id, "status": "accepted", "replayed": sent.replayed}));
        } else {
            println!("{}", sent.id);
        }
        Ok(())
    }

    fn message(&self) -> Result<NewMessage> {
        let mut message_text = self.text.clone().unwrap_or_default();
        if message_text == "-" {
            message_text.clear();
            std::io::stdin()
                .read_to_string(&mut message_text)
                .context("read the text from standard input")?;
        }
        let parameters = self.parameters.iter().map(|value| {
            serde_json::from_str(value)
                .ok()
                .filter(|value: &serde_json::Value| value.is_number() || value.is_boolean())
                .unwrap_or_else(|| value.as_str().into())
        });
        let copies = self.copies.iter().map(|copy| {
            let (mode, reference) = copy.split_once(':').unwrap_or(("To", copy));
            NewContact { contact_reference: reference.to_owned(), email_mode: mode.to_owned() }
        });
        Ok(NewMessage {
            recipient: self.to.clone(),
            message_type: self.message_type.clone(),
            message_text,
            external_message: self.external.clone(),
            subject: self.subject.clone(),
            sender: self.sender.clone(),
            sender_instance: self.instance.clone(),
            action_parameters: (!self.parameters.is_empty()).then(|| parameters.collect()),
            recipients: copies.collect(),
            template: self.template.clone(),
            model_key: self.model_key.as_deref().map(model_key).transpose()?,
            instance: self.fields.as_deref().map(fields).transpose()?,
            attachments: self.files.iter().map(|file| attachment(file)).collect::<Result<_>>()?,
            syntax: self.syntax.unwrap_or_default(),
            deliver_at: self.deliver_at,
            lane: self.lane,
            answer_to: self.answer_to.clone(),
        })
    }
}
