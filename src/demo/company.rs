//! The company: its tables, its people, and what Herald knows of them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use herald_jobs::authoring::Authoring;
use herald_jobs::event_rule::EventRule;
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::model::Model;
use herald_jobs::reminder::ReminderRule;
use herald_jobs::store;
use herald_jobs::store::change::Expect;
use herald_jobs::store::{event_rules, watches};
use herald_producers::reminders::Reminders;
use sqlx::PgPool;

/// Who is named when the demo changes something.
const ACTOR: &str = "demo";
const RULE: &str = include_str!("../../config/demo/reminders/PO-UNCONFIRMED.toml");
const FUNCTIONS: &str = include_str!("../../config/demo/functions/demo/orders.rhai");

/// The templates, by their codes.
pub const TEMPLATES: [(&str, &str); 3] = [
    ("PO-AUTHORISE", include_str!("../../config/demo/templates/PO-AUTHORISE.toml")),
    ("PO-REMINDER", include_str!("../../config/demo/templates/PO-REMINDER.toml")),
    ("REPORT-READY", include_str!("../../config/demo/templates/REPORT-READY.toml")),
];

/// Founds the company, or brings an earlier one up to date.
///
/// # Errors
/// The database refuses something.
pub async fn found(pool: &PgPool, authoring: &Authoring) -> Result<()> {
    sqlx::raw_sql(include_str!("../../config/demo/company.sql"))
        .execute(pool)
        .await
        .context("load the company")?;
    for (name, label) in [
        ("customer", Some("name")),
        ("contact_person", Some("name")),
        ("purchase_order", Some("subject")),
        ("report_task", Some("title")),
        ("report_line", None),
    ] {
        let model = Model {
            name: name.to_owned(),
            table: format!("demo.{name}"),
            key: vec!["id".to_owned()],
            label: label.map(str::to_owned),
            ..Model::default()
        };
        store::models::register(pool, &model, ACTOR).await?;
    }
    tell_decisions(pool).await?;
    for (code, file) in TEMPLATES {
        let saved = store::message_templates::get(pool, code).await?;
        let template = MessageTemplate {
            code: code.to_owned(),
            version: saved.map_or(0, |saved| saved.version),
            ..toml::from_str(file).with_context(|| code.to_owned())?
        };
        authoring.save(&[template], ACTOR).await?;
    }
    Ok(())
}

/// Makes the company's reminder rule.
///
/// # Errors
/// The database refuses something.
pub async fn remind(reminders: &Reminders) -> Result<()> {
    let rule: ReminderRule = toml::from_str(RULE).context("the rule PO-UNCONFIRMED")?;
    reminders.save(rule, &Expect::Anything, ACTOR).await?;
    Ok(())
}

/// Who asked for an order is told how it was decided, by a watch on its status.
async fn tell_decisions(pool: &PgPool) -> Result<()> {
    let mut transaction = pool.begin().await?;
    let on = "update:status".parse().map_err(anyhow::Error::msg)?;
    let watch = watches::watch(&mut transaction, "demo.purchase_order", &on).await?;
    let rule = EventRule {
        code: "PO-DECIDED".to_owned(),
        watch,
        condition: Some(r#"old.status == "submitted""#.to_owned()),
        message_type: "VIEW-NORMAL".to_owned(),
        subject: Some("Purchase order #new.id#: #new.status#".to_owned()),
        message_text: Some("Your purchase order #new.id# (#new.subject#) was #new.status#.".to_owned()),
        recipient_path: Some("requester".to_owned()),
        enabled: true,
        ..EventRule::default()
    };
    rule.validate()?;
    event_rules::put(&mut transaction, &rule).await?;
    Ok(transaction.commit().await?)
}

/// Writes the functions that the templates call below `dir`.
///
/// # Errors
/// The files cannot be written.
pub fn write_functions(dir: &Path) -> Result<()> {
    let package = dir.join("demo");
    fs::create_dir_all(&package)
        .and_then(|()| fs::write(package.join("orders.rhai"), FUNCTIONS))
        .with_context(|| package.display().to_string())
}
