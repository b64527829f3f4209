//! Message types.

use std::str::FromStr as _;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use herald_jobs::message_type::{
    CompleteOn, DeliveryMethod, ExternalDelivery, Lane, MessageType, OnUnknown, RequiredAction,
};
use herald_jobs::store;
use herald_jobs::store::change::{Expect, version};

use crate::commands::{ACTOR, ALL, connect, filled, gone, one_line, print_json};
use crate::config::Config;

/// `herald type`
#[derive(Subcommand)]
pub enum Type {
    /// Lists the message types.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows one message type.
    Show {
        /// Its code.
        code: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Adds a message type.
    Add {
        /// Its code, as in PO-AUTHORISE.
        code: String,
        /// How its messages behave.
        #[command(flatten)]
        settings: Settings,
    },
    /// Changes what is said of a message type; the rest stays. Messages that were sent stay as they are.
    Set {
        /// Its code.
        code: String,
        /// How its messages behave.
        #[command(flatten)]
        settings: Settings,
    },
    /// Deletes a message type: not those that are shipped.
    Rm {
        /// Its code.
        code: String,
    },
}

/// How messages of a type behave. An empty value takes a setting away.
#[derive(Args)]
pub struct Settings {
    /// The subject of its e-mails where the message has none.
    #[arg(long)]
    description: Option<String>,
    /// Where it is shown: queue (with the messages) or alert.
    #[arg(long = "method", value_parser = DeliveryMethod::from_str)]
    delivery_method: Option<DeliveryMethod>,
    /// What the recipient must do: view, reply or action.
    #[arg(long = "action", value_parser = RequiredAction::from_str)]
    required_action: Option<RequiredAction>,
    /// Days until a view message is purged.
    #[arg(long, value_name = "DAYS")]
    expiry_days: Option<String>,
    /// Copies besides the inbox: none, email, sms or both.
    #[arg(long = "external", value_parser = ExternalDelivery::from_str)]
    external_delivery: Option<ExternalDelivery>,
    /// The choice set that replies are chosen from; without one, a reply is free text.
    #[arg(long = "choices", value_name = "SET")]
    choice_set: Option<String>,
    /// What an action opens, as in `/po/approve?id=&level=`.
    #[arg(long = "url")]
    action_url: Option<String>,
    /// When an action counts as done: click or callback.
    #[arg(long, value_parser = CompleteOn::from_str)]
    complete_on: Option<CompleteOn>,
    /// What becomes of a copy that may have arrived: retry_once or hold.
    #[arg(long, value_parser = OnUnknown::from_str)]
    on_unknown: Option<OnUnknown>,
    /// alert, normal or bulk.
    #[arg(long, value_parser = Lane::from_str)]
    lane: Option<Lane>,
    /// Hours after which a copy that is put off again and again is given up.
    #[arg(long, value_name = "HOURS")]
    retry_hours: Option<i32>,
    /// What is delivered when a template cannot be rendered.
    #[arg(long)]
    fallback_text: Option<String>,
}

impl Type {
    /// Lists, shows, adds, changes or deletes message types.
    ///
    /// # Errors
    /// There is no such type, or the settings do not go together; the error names the field.
    pub async fn run(self, config: Config) -> Result<()> {
        let pool = connect(config)?.pool;
        match self {
            Self::List { json } => {
                let kinds = store::message_types::list(&pool, "", ALL).await?;
                if json {
                    return print_json(&kinds);
                }
                for kind in kinds {
                    let (method, action) = (kind.delivery_method, kind.required_action);
                    let external = match kind.external_delivery {
                        ExternalDelivery::None => String::new(),
                        external => format!(" + {external}"),
                    };
                    println!("{}  {method}, {action}{external}  {}", kind.code, one_line(&kind.description));
                }
            }
            Self::Show { code, json } => {
                let kind = find(&pool, &code).await?;
                if json { print_json(&kind)? } else { show(&kind) }
            }
            Self::Add { code, settings } => {
                let kind = settings.over(MessageType { code, ..MessageType::default() })?;
                store::message_types::save(&pool, kind, &Expect::Nothing, ACTOR).await?;
            }
            Self::Set { code, settings } => {
                let kind = find(&pool, &code).await?;
                let expect = Expect::Version(vec![version(&kind)]);
                store::message_types::save(&pool, settings.over(kind)?, &expect, ACTOR).await?;
            }
            Self::Rm { code } => {
                let removed = store::message_types::remove(&pool, &code, &Expect::Anything, ACTOR).await?;
                gone(removed, "message type", &code)?;
            }
        }
        Ok(())
    }
}

async fn find(pool: &store::PgPool, code: &str) -> Result<MessageType> {
    let found = store::message_types::get(pool, code).await?;
    found.with_context(|| format!("there is no message type {code}"))
}

impl Settings {
    /// The type with these settings instead of its own.
    fn over(self, kind: MessageType) -> Result<MessageType> {
        let days = self.expiry_days.map(filled).map(|text| text.map(|text| text.parse()).transpose());
        let days = days.transpose().context("expiry_days: must be a number")?;
        Ok(MessageType {
            description: self.description.unwrap_or(kind.description),
            delivery_method: self.delivery_method.unwrap_or(kind.delivery_method),
            required_action: self.required_action.unwrap_or(kind.required_action),
            expiry_days: days.unwrap_or(kind.expiry_days),
            external_delivery: self.external_delivery.unwrap_or(kind.external_delivery),
            choice_set: self.choice_set.map_or(kind.choice_set, filled),
            action_url: self.action_url.map_or(kind.action_url, filled),
            complete_on: self.complete_on.unwrap_or(kind.complete_on),
            on_unknown: self.on_unknown.unwrap_or(kind.on_unknown),
            lane: self.lane.unwrap_or(kind.lane),
            retry_hours: self.retry_hours.unwrap_or(kind.retry_hours),
            fallback_text: self.fallback_text.map_or(kind.fallback_text, filled),
            ..kind
        })
    }
}

fn show(kind: &MessageType) {
    println!("{}  {}", kind.code, one_line(&kind.description));
    println!("shown as  {}", kind.delivery_method);
    println!("asks for  {}", kind.required_action);
    if let Some(days) = kind.expiry_days {
        println!("expires   after {days} days");
    }
    if let Some(set) = &kind.choice_set {
        println!("choices   {set}");
    }
    if let Some(url) = &kind.action_url {
        println!("opens     {}, done on {}", one_line(url), kind.complete_on);
    }
    println!(
        "copies    {}, unknown outcome: {}, given up after {} h",
        kind.external_delivery, kind.on_unknown, kind.retry_hours
    );
    println!("lane      {}", kind.lane);
    if let Some(text) = &kind.fallback_text {
        println!("fallback  {}", one_line(text));
    }
    if kind.standard {
        println!("shipped with Herald: can be adjusted, not deleted");
    }
}
