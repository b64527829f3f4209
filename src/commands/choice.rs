//! Choice sets: what replies are chosen from.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use herald_jobs::choice_set::{Choice as Reply, ChoiceSet};
use herald_jobs::store;
use herald_jobs::store::change::{Expect, version};

use crate::commands::{ACTOR, ALL, connect, gone, one_line, print_json};
use crate::config::Config;

/// `herald choice`
#[derive(Subcommand)]
pub enum Choice {
    /// Lists the choice sets.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shows the choices of a set.
    Show {
        /// Its code.
        code: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Adds a choice set.
    Add {
        /// Its code, as in SIZE-CHOICES.
        code: String,
        /// What the set holds.
        #[command(flatten)]
        settings: Settings,
    },
    /// Changes a choice set: the choices that are given replace all that were there.
    Set {
        /// Its code.
        code: String,
        /// What the set holds.
        #[command(flatten)]
        settings: Settings,
    },
    /// Deletes a choice set: not those that are shipped, nor those that are in use.
    Rm {
        /// Its code.
        code: String,
    },
}

/// What a set holds.
#[derive(Args)]
pub struct Settings {
    /// For whoever picks a set.
    #[arg(long)]
    description: Option<String>,
    /// A reply, in the order of the list: `Yes`, or `yes=Yes, please` with what is recorded before the sign; repeat it for more.
    #[arg(long = "choice", value_name = "REPLY")]
    choices: Vec<String>,
}

impl Choice {
    /// Lists, shows, adds, changes or deletes choice sets.
    ///
    /// # Errors
    /// There is no such set, or a choice cannot be; the error names the field.
    pub async fn run(self, config: Config) -> Result<()> {
        let pool = connect(config)?.pool;
        match self {
            Self::List { json } => {
                let sets = store::choice_sets::list(&pool, "", ALL).await?;
                if json {
                    return print_json(&sets);
                }
                for set in sets {
                    let values: Vec<&str> = set.choices.iter().map(|choice| choice.value.as_str()).collect();
                    println!("{}  {}", set.code, one_line(&values.join(", ")));
                }
            }
            Self::Show { code, json } => {
                let set = find(&pool, &code).await?;
                if json {
                    return print_json(&set);
                }
                println!("{}  {}", set.code, one_line(&set.description));
                for choice in set.choices {
                    println!("{}  {}", one_line(&choice.value), one_line(&choice.label));
                }
            }
            Self::Add { code, settings } => {
                let set = settings.over(ChoiceSet { code, ..ChoiceSet::default() });
                store::choice_sets::save(&pool, set, &Expect::Nothing, ACTOR).await?;
            }
            Self::Set { code, settings } => {
                let set = find(&pool, &code).await?;
                let expect = Expect::Version(vec![version(&set)]);
                store::choice_sets::save(&pool, settings.over(set), &expect, ACTOR).await?;
            }
            Self::Rm { code } => {
                let removed = store::choice_sets::remove(&pool, &code, &Expect::Anything, ACTOR).await?;
                gone(removed, "choice set", &code)?;
            }
        }
        Ok(())
    }
}

async fn find(pool: &store::PgPool, code: &str) -> Result<ChoiceSet> {
    let found = store::choice_sets::get(pool, code).await?;
    found.with_context(|| format!("there is no choice set {code}"))
}

impl Settings {
    fn over(self, set: ChoiceSet) -> ChoiceSet {
        let given = self.choices.iter().map(|text| {
            let (value, label) = text.split_once('=').unwrap_or((text, ""));
            Reply { value: value.to_owned(), label: label.to_owned() }
        });
        let choices = if self.choices.is_empty() { set.choices } else { given.collect() };
        ChoiceSet { description: self.description.unwrap_or(set.description), choices, ..set }
    }
}
