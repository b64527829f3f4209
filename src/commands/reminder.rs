//! Reminder rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use herald_jobs::reminder::{ReminderRule, Since};
use herald_jobs::store;
use herald_jobs::store::change::Expect;
use herald_jobs::store::reminders::{Floor, Standing};
use herald_producers::reminders::{DryRun, Reminders};

use crate::commands::{ACTOR, ALL, connect, gone, one_line, print_json};
use crate::config::Config;
use crate::wiring::Wiring;

/// `herald reminder`
#[derive(Subcommand)]
pub enum Reminder {
    /// Lists the rules: whether each fires, and what its last run did.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows a rule as a file, and how it stands.
    Show {
        /// Its code.
        code: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Saves rules from files: TOML with the fields of a rule. Without a code, the file's name is the code.
    Set {
        /// Files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Whether what was due before is sent too: now (from now on) or all. Without this, what the file says, or now.
        #[arg(long, value_parser = Since::from_str)]
        from: Option<Since>,
    },
    /// Checks rules against models, templates and message types; says how much is overdue, and which index would help.
    Check {
        /// Files, or codes of saved rules; without any, all saved ones.
        which: Vec<String>,
        /// Shows how Postgres finds what is due.
        #[arg(long)]
        explain: bool,
    },
    /// Shows what a rule would send at a time, and why it would not send the rest.
    DryRun(DryRunArgs),
    /// Sends now what is due, whether the rule is enabled or not.
    Run {
        /// Its code.
        code: String,
        /// Messages at most, instead of the rule's own cap.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        cap: Option<u32>,
    },
    /// Shows what a rule has sent, newest first.
    History {
        /// Its code.
        code: String,
        /// Of one record: its key; the columns of a key of several separated by commas.
        #[arg(long)]
        record: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
        limit: i64,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lets a rule fire from now on, and ends its pause.
    Enable {
        /// Its code.
        code: String,
        /// Also sends what came due while it stood still.
        #[arg(long)]
        catch_up: bool,
    },
    /// Lets a rule fire no more.
    Disable {
        /// Its code.
        code: String,
    },
    /// Removes a rule, and what it has recorded.
    Rm {
        /// Its code.
        code: String,
    },
}

/// `herald reminder dry-run`
#[derive(Args)]
pub struct DryRunArgs {
    /// A code, or a file that need not be saved.
    which: String,
    /// When, as in 2027-01-31T09:00:00Z; without this, now.
    #[arg(long, value_parser = DateTime::<Utc>::from_str)]
    at: Option<DateTime<Utc>>,
    /// One record alone: its key; the columns of a key of several separated by commas.
    #[arg(long)]
    record: Option<String>,
    /// Of how many the texts are shown.
    #[arg(long, default_value_t = 3)]
    texts: usize,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Reminder {
    /// Lists, shows, saves, checks, tries, runs, enables, disables or removes rules.
    ///
    /// # Errors
    /// There is no such rule, or something in it cannot be; the error names the field.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        let pool = &wiring.pool;
        match self {
            Self::List { json } => {
                let rules = store::reminders::list(pool, "", ALL).await?;
                if json {
                    return print_json(&rules);
                }
                rules.iter().for_each(list);
            }
            Self::Show { code, json } => {
                let standing = find(&wiring, &code).await?;
                if json { print_json(&standing)? } else { show(&standing)? }
            }
            Self::Set { files, from } => set(&wiring, &files, from).await?,
            Self::Check { which, explain } => check(&wiring, &which, explain).await?,
            Self::DryRun(arguments) => dry_run(&wiring, &arguments).await?,
            Self::Run { code, cap } => {
                let standing = find(&wiring, &code).await?;
                let cap = cap.map(|cap| usize::try_from(cap).unwrap_or(usize::MAX));
                let ran = wiring.reminders()?.run(&standing, cap).await?;
                println!("{}", one_line(&ran.to_string()));
                ensure!(ran.paused.is_none(), "nothing was sent");
            }
            Self::History { code, record, limit, json } => {
                find(&wiring, &code).await?;
                let record = record.as_deref().map(key);
                let history = store::reminder_log::history(pool, &code, record.as_deref(), limit).await?;
                if json {
                    return print_json(&history);
                }
                for sent in history {
                    let at = sent.sent_at.format("%Y-%m-%d %H:%M:%S");
                    let record = one_line(&sent.record.join(","));
                    println!("{at}  {record}  #{}  {}  {}", sent.occurrence, sent.recipient, sent.message_id);
                }
            }
            Self::Enable { code, catch_up } => {
                let floor = if catch_up { Floor::Kept } else { Floor::Now };
                let now = wiring.reminders()?.now().await?;
                gone(store::reminders::enable(pool, &code, floor, ACTOR, now).await?, "rule", &code)?;
            }
            Self::Disable { code } => {
                let now = wiring.clock.now();
                gone(store::reminders::disable(pool, &code, ACTOR, now).await?, "rule", &code)?;
            }
            Self::Rm { code } => {
                gone(store::reminders::remove(pool, &code, &Expect::Anything, ACTOR).await?, "rule", &code)?;
            }
        }
        Ok(())
    }
}

async fn set(wiring: &Wiring, files: &[PathBuf], from: Option<Since>) -> Result<()> {
    let reminders = wiring.reminders()?;
    let rules = files.iter().map(|file| Ok((file, read(file)?))).collect::<Result<Vec<_>>>()?;
    for (file, rule) in rules {
        let rule = ReminderRule { from: from.unwrap_or(rule.from), ..rule };
        let (from, at) = (rule.from, || file.display().to_string());
        let checked = reminders.check(rule.clone(), reminders.now().await?).await.with_context(at)?;
        let saved = reminders.save(rule, &Expect::Anything, ACTOR).await.with_context(at)?;
        let done = if saved.created { "added" } else { "changed" };
        println!("{}  {done}", saved.value.code);
        let many = overdue(checked.overdue, checked.more);
        match from {
            Since::All if checked.overdue > 0 => println!("  {many} overdue: the next run sends them"),
            Since::Now if checked.overdue > 0 => {
                println!("  {many} overdue: not sent, unless saved with --from all");
            }
            _ => {}
        }
        if let Some(index) = checked.index {
            println!("  reads the whole table each time, without: {index}");
        }
    }
    Ok(())
}

async fn check(wiring: &Wiring, which: &[String], explain: bool) -> Result<()> {
    let reminders = wiring.reminders()?;
    let rules = if which.is_empty() {
        let all = store::reminders::list(&wiring.pool, "", ALL).await?;
        all.into_iter().map(|standing| standing.rule).collect()
    } else {
        let mut rules = Vec::new();
        for one in which {
            rules.push(find_any(wiring, &reminders, one).await?.rule);
        }
        rules
    };
    let mut wrong = 0;
    for rule in &rules {
        match reminders.check(rule.clone(), reminders.now().await?).await {
            Ok(checked) => {
                println!("{}  good, {} overdue", rule.code, overdue(checked.overdue, checked.more));
                if let Some(index) = checked.index {
                    println!("  reads the whole table each time, without: {index}");
                }
                if explain {
                    checked.plan.iter().for_each(|line| println!("  {line}"));
                }
            }
            Err(error) => {
                wrong += 1;
                println!("{}  {error}", rule.code);
            }
        }
    }
    ensure!(wrong == 0, "{wrong} of {} cannot be used", rules.len());
    Ok(())
}

async fn dry_run(wiring: &Wiring, arguments: &DryRunArgs) -> Result<()> {
    let reminders = wiring.reminders()?;
    let standing = find_any(wiring, &reminders, &arguments.which).await?;
    let at = match arguments.at {
        Some(at) => at,
        None => reminders.now().await?,
    };
    let record = arguments.record.as_deref().map(key);
    let authoring = wiring.authoring()?;
    let run = reminders.dry_run(&standing, &authoring, at, record.as_deref(), arguments.texts).await?;
    if arguments.json {
        return print_json(&run);
    }
    print(&run);
    Ok(())
}

fn print(run: &DryRun) {
    let time = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    println!("At {}: {} due", time(run.at), overdue(run.reminders.len(), run.more));
    if let Some(why) = &run.stopped {
        println!("Nothing would be sent: {}", one_line(why));
    }
    for it in &run.reminders {
        let to = it.recipient.as_deref().unwrap_or("nobody");
        let record = one_line(&it.record.join(","));
        println!(
            "\n{record}  #{}  since {}, due {}  to {to}",
            it.occurrence,
            time(it.initial),
            time(it.due_at)
        );
        for contact in &it.contacts {
            println!("  {}: {}", contact.email_mode, one_line(&contact.contact_reference));
        }
        for why in it.skipped.iter().chain(&it.problem) {
            println!("  ! {}", one_line(why));
        }
        if let Some(texts) = &it.texts {
            println!(
                "  Subject: {}",
                texts.subject.as_deref().unwrap_or("(the description of the message's type)")
            );
            texts.message_text.lines().for_each(|line| println!("  | {}", one_line(line)));
            if !it.contacts.is_empty() && texts.external_message != texts.message_text {
                texts.external_message.lines().for_each(|line| println!("  > {}", one_line(line)));
            }
        }
    }
    if !run.misses.is_empty() {
        println!("\nNot due:");
    }
    for miss in &run.misses {
        println!("  {}  {}", one_line(&miss.record.join(",")), one_line(&miss.reason));
    }
}

fn list(standing: &Standing) {
    let rule = &standing.rule;
    println!("{}  {}  {}, after {}", rule.code, state(standing), rule.model, rule.interval);
    if let Some(why) = &standing.pause_reason {
        println!("  paused: {}", one_line(why));
    } else if let (Some(at), Some(result)) = (standing.last_run_at, &standing.last_result) {
        let failed = if standing.last_failed { "failed: " } else { "" };
        println!("  {}  {failed}{}", at.format("%Y-%m-%d %H:%M:%S"), one_line(result));
    }
}

fn show(standing: &Standing) -> Result<()> {
    println!("# {}", state(standing));
    if let Some(at) = standing.armed_at {
        println!("# sends what comes due after {}", at.format("%Y-%m-%d %H:%M:%S UTC"));
    }
    if let Some(why) = &standing.pause_reason {
        println!("# {}; `herald reminder enable {}` ends the pause", one_line(why), standing.rule.code);
    }
    if let (Some(at), Some(result)) = (standing.last_run_at, &standing.last_result) {
        println!("# last run {}: {}", at.format("%Y-%m-%d %H:%M:%S UTC"), one_line(result));
    }
    print!("{}", toml::to_string_pretty(&standing.rule)?);
    Ok(())
}

fn state(standing: &Standing) -> &'static str {
    match (standing.rule.enabled, standing.paused_at) {
        (false, _) => "disabled",
        (true, Some(_)) => "paused",
        (true, None) => "enabled",
    }
}

fn overdue(many: usize, more: bool) -> String {
    if more { format!("more than {many}") } else { many.to_string() }
}

async fn find(wiring: &Wiring, code: &str) -> Result<Standing> {
    let found = store::reminders::get(&wiring.pool, code).await?;
    found.with_context(|| format!("there is no rule {code}"))
}

/// A rule by its file, which is checked then, or by its code.
async fn find_any(wiring: &Wiring, reminders: &Reminders, which: &str) -> Result<Standing> {
    let file = Path::new(which);
    if !(file.extension().is_some_and(|extension| extension == "toml") || file.is_file()) {
        return find(wiring, which).await.context("and no file of this name");
    }
    let (rule, now) = (read(file)?, reminders.now().await?);
    reminders.check(rule.clone(), now).await.with_context(|| file.display().to_string())?;
    Ok(Standing::unsaved(rule, now))
}

fn read(file: &Path) -> Result<ReminderRule> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut rule: ReminderRule = toml::from_str(&text).with_context(|| file.display().to_string())?;
    if rule.code.is_empty() {
        rule.code = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    }
    Ok(rule)
}

fn key(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}
