//! Rules by which events become messages.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use herald_jobs::event_rule::EventRule;
use herald_jobs::send::NewMessage;
use herald_jobs::store;
use herald_jobs::store::change::Expect;
use herald_jobs::store::{event_rules, events};
use herald_producers::event_trial::{Made, try_on_last};

use crate::commands::{ACTOR, connect, gone, one_line, print_json};
use crate::config::Config;
use crate::wiring::Wiring;

/// `herald event-rule`
#[derive(Subcommand)]
pub enum Rule {
    /// Checks and saves rules from TOML files, each under its code.
    Import {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Lists the rules.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Removes a rule.
    Remove {
        /// Which.
        code: String,
    },
    /// Lets the rules see an event once more, but for those that have sent something for it.
    Replay {
        /// The event, as `dry-run` shows it.
        event: i64,
    },
    /// Says what a rule would have made of the last events. Nothing is sent.
    DryRun {
        /// A TOML file, or the code of a rule that is saved.
        rule: String,
        /// How many events.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=1_000))]
        last: i64,
    },
}

impl Rule {
    /// Imports, lists, removes or tries rules.
    ///
    /// # Errors
    /// A rule cannot be as it was written, or there is none of this code.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        let pool = &wiring.pool;
        match self {
            Self::Import { files } => {
                let mut transaction = pool.begin().await?;
                for file in files {
                    let rule = read(&file)?;
                    event_rules::put(&mut transaction, &rule).await.with_context(|| rule.code.clone())?;
                    store::audit::record(&mut *transaction, ACTOR, "event rule", &rule.code).await?;
                    println!("{}", rule.code);
                }
                transaction.commit().await?;
            }
            Self::List { json } => {
                let rules = event_rules::all(pool, None).await?;
                if json {
                    return print_json(&rules);
                }
                for rule in rules {
                    let to = rule.recipient.or(rule.recipient_path).unwrap_or_default();
                    let off = if rule.enabled { "" } else { "  (off)" };
                    let when = rule.condition.map_or(String::new(), |it| format!("  when {}", one_line(&it)));
                    println!("{}  watch {}  {} to {to}{when}{off}", rule.code, rule.watch, rule.message_type);
                }
            }
            Self::Remove { code } => {
                let removed = event_rules::remove(pool, &code, &Expect::Anything, ACTOR).await?;
                gone(removed, "event rule", &code)?;
            }
            Self::Replay { event } => {
                let mut transaction = pool.begin().await?;
                let replayed = events::replay(&mut *transaction, event).await?;
                anyhow::ensure!(replayed, "event: there is no event {event} that was handled");
                store::audit::record(&mut *transaction, ACTOR, "event replay", &event.to_string()).await?;
                transaction.commit().await?;
            }
            Self::DryRun { rule, last } => dry_run(&wiring, &rule, last).await?,
        }
        Ok(())
    }
}

fn read(file: &std::path::Path) -> Result<EventRule> {
    let shown = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(shown)?;
    let rule: EventRule = toml::from_str(&text).with_context(shown)?;
    rule.validate().with_context(shown)?;
    Ok(rule)
}

async fn dry_run(wiring: &Wiring, rule: &str, last: i64) -> Result<()> {
    let saved = event_rules::all(&wiring.pool, None).await?.into_iter().find(|it| it.code == rule);
    let rule = match saved {
        Some(rule) => rule,
        None => read(std::path::Path::new(rule))
            .with_context(|| format!("there is no event rule {rule}, nor such a file"))?,
    };
    let (producer, authoring) = (wiring.producer(), wiring.authoring()?);
    for tried in try_on_last(&producer, &authoring, &rule, last, wiring.clock.now()).await? {
        let said = match &tried.made {
            Made::Not => "no message: the condition does not hold".to_owned(),
            Made::Cannot(problem) => format!("no message: {}", one_line(problem)),
            Made::Sends(sends) => sends.messages.iter().map(told).collect::<Vec<_>>().join("; "),
        };
        println!("{}  {}  {said}", tried.id, tried.at.format("%Y-%m-%d %H:%M:%SZ"));
        let Made::Sends(sends) = &tried.made else { continue };
        for skipped in &sends.skipped {
            println!("    no copy: {}", one_line(skipped));
        }
        match &sends.texts {
            Some(Ok(texts)) => {
                let subject =
                    texts.subject.as_ref().map_or(String::new(), |it| format!("{}: ", one_line(it)));
                println!("    {subject}{}", one_line(&texts.message_text));
            }
            Some(Err(problem)) => println!("    the fallback text, since {}", one_line(problem)),
            None => {}
        }
    }
    Ok(())
}

fn told(message: &NewMessage) -> String {
    let contacts: Vec<&str> = message.recipients.iter().map(|it| it.contact_reference.as_str()).collect();
    let copies =
        if contacts.is_empty() { String::new() } else { format!(", copies to {}", contacts.join(", ")) };
    one_line(&format!("{} to {}{copies}", message.message_type, message.recipient))
}
