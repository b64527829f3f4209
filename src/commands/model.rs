//! Models: tables that templates may read.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use herald_jobs::model::{Model as Registered, NamedRelation, Relation, Table};
use herald_jobs::store;
use herald_jobs::store::change::Expect;

use crate::commands::{ACTOR, connect};
use crate::config::Config;

/// `herald model`
#[derive(Subcommand)]
pub enum Model {
    /// Lets templates read a table or view, or changes what they may read of it.
    Add(Add),
    /// Lists the models.
    List,
    /// Shows which fields and relations a template can name.
    Show {
        /// The model.
        name: String,
    },
    /// Forgets a model. The table itself stays as it is.
    Remove {
        /// The model.
        name: String,
    },
}

/// `herald model add`
#[derive(Args)]
pub struct Add {
    /// What templates call it.
    name: String,
    /// The table or view, as in SQL: `public.purchase_order`.
    #[arg(long)]
    table: String,
    /// The columns that identify a record, with commas between several.
    #[arg(long, value_delimiter = ',', required = true)]
    key: Vec<String>,
    /// The column that a relation to this model prints by itself.
    #[arg(long)]
    label: Option<String>,
    /// Columns that nothing may reach, with commas between several.
    #[arg(long, value_delimiter = ',')]
    hide: Vec<String>,
    /// Changes the model of this name: it has then what is said here, and nothing else.
    #[arg(long)]
    replace: bool,
    /// A relation that no foreign key tells: `approver=approver_name>app_user.username`; repeat it for more.
    #[arg(long = "relation", value_parser = NamedRelation::parse)]
    relations: Vec<NamedRelation>,
}

impl Model {
    /// Adds, lists, shows or removes models.
    ///
    /// # Errors
    /// There is no such table, column or model; the error names the field.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        match self {
            Self::Add(add) => {
                let all = store::models::all(&wiring.pool).await?;
                if !add.replace && all.iter().any(|(model, _)| model.name == add.name) {
                    bail!(
                        "there is a model {0}: see `herald model show {0}`; --replace changes it",
                        add.name
                    );
                }
                let model = Registered {
                    name: add.name,
                    table: add.table,
                    key: add.key,
                    label: add.label,
                    hidden: add.hide,
                    relations: add.relations,
                };
                let model = store::models::register(&wiring.pool, &model, ACTOR).await?;
                println!("{} reads {}", model.name, model.table);
                let environment = wiring.authoring()?.environment().await?;
                for template in store::message_templates::all(&wiring.pool).await? {
                    if let Err(error) = environment.check(&template).await {
                        println!("this template cannot be used any more: {error}");
                    }
                }
            }
            Self::List => {
                for (model, _) in store::models::all(&wiring.pool).await? {
                    println!("{}  {}  key {}", model.name, model.table, model.key.join(", "));
                }
            }
            Self::Show { name } => {
                let catalogue = wiring.authoring()?.catalogue().await?;
                let table = catalogue.tables.get(&name);
                show(table.with_context(|| format!("there is no model {name}"))?);
            }
            Self::Remove { name } => {
                if !store::models::remove(&wiring.pool, &name, &Expect::Anything, ACTOR).await? {
                    bail!("there is no model {name}");
                }
            }
        }
        Ok(())
    }
}

fn show(table: &Table) {
    let model = &table.model;
    println!("{} reads {}", model.name, model.table);
    println!("key     {}", model.key.join(", "));
    println!("label   {}", model.label.as_deref().unwrap_or("none"));
    if !model.hidden.is_empty() {
        println!("hidden  {}", model.hidden.join(", "));
    }
    if table.columns.is_empty() {
        println!("\nThe table is gone, or herald_reader may not read it.");
    }
    println!("\nfields");
    for column in &table.columns {
        println!("  {}  {}", column.spoken(), column.sql_type);
    }
    if !table.relations.is_empty() {
        println!("\nrelations");
    }
    for Relation { names, target, columns, many, .. } in &table.relations {
        let by = columns.iter().map(|(here, there)| format!("{here} = {target}.{there}"));
        let many = if *many { "a list of " } else { "" };
        println!("  {}  {many}{target}, by {}", names.join(" or "), by.collect::<Vec<_>>().join(" and "));
    }
}
