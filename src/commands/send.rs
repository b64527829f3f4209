//! Sends a message.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use herald_producers::{NewAttachment, NewContact, NewMessage};

use crate::commands::connect;
use crate::commands::template::{fields, model_key};
use crate::config::Config;

/// `herald send`
#[derive(Args)]
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
    #[arg(long = "parameter")]
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
        let id = match (&self.idempotency_key, self.fast) {
            (Some(key), _) => producer.send_once(message, key).await?.id,
            (None, true) => producer.enqueue(message).await?,
            (None, false) => producer.send(message).await?,
        };
        producer.flush().await;
        println!("{id}");
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
            ..NewMessage::default()
        })
    }
}
