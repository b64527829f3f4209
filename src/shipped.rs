//! What comes with Herald besides its tables: a reminder rule, with the models and the template that it reads.

use anyhow::{Context as _, Result, ensure};
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::model::{Model, NamedRelation};
use herald_jobs::reminder::ReminderRule;
use herald_jobs::store;
use herald_jobs::store::change::Expect;

use crate::wiring::Wiring;

/// Who is named when it is installed.
const ACTOR: &str = "herald";
/// What is noted when it was.
const NAME: &str = "reminder ACTION-WAITS";

const RULE: &str = include_str!("../config/shipped/ACTION-WAITS.rule.toml");
const TEMPLATE: &str = include_str!("../config/shipped/ACTION-WAITS.template.toml");

/// Installs the rule that reminds of actions which nobody has acted on for 14 days; once, so that it stays as people leave it. Where
/// this user may not do what it takes, Herald runs without it: the next start tries again.
///
/// # Errors
/// The database cannot be reached.
pub async fn install(wiring: &Wiring) -> Result<()> {
    if store::reminders::is_installed(&wiring.pool, NAME).await? {
        return Ok(());
    }
    if let Err(error) = try_to(wiring).await {
        tracing::warn!("The reminder of actions that wait is not installed: {error:#}");
    }
    Ok(())
}

async fn try_to(wiring: &Wiring) -> Result<()> {
    for model in models() {
        let known = store::models::all(&wiring.pool).await?;
        match known.iter().find(|(known, _)| known.name == model.name) {
            Some((known, _)) => {
                ensure!(
                    known.table == model.table,
                    "the model {} is another table, {}",
                    model.name,
                    known.table
                );
            }
            None => {
                let registered = store::models::register(&wiring.pool, &model, ACTOR).await;
                registered.with_context(|| format!("the model {}", model.name))?;
            }
        }
    }
    let template: MessageTemplate = toml::from_str(TEMPLATE).context("its template")?;
    if store::message_templates::get(&wiring.pool, &template.code).await?.is_none() {
        wiring.authoring()?.save(&[template], ACTOR).await?;
    }
    let rule: ReminderRule = toml::from_str(RULE).context("its rule")?;
    if store::reminders::get(&wiring.pool, &rule.code).await?.is_none() {
        wiring.reminders()?.save(rule, &Expect::Anything, ACTOR).await?;
    }
    store::reminders::note_installed(&wiring.pool, NAME, wiring.clock.now()).await?;
    Ok(())
}

/// Herald's own messages, and whom they are for.
fn models() -> [Model; 2] {
    let model = |name: &str, table: &str, label: &str| Model {
        name: name.to_owned(),
        table: table.to_owned(),
        key: vec!["id".to_owned()],
        label: Some(label.to_owned()),
        ..Model::default()
    };
    let recipient = NamedRelation {
        name: "recipient".to_owned(),
        columns: vec!["recipient_id".to_owned()],
        model: "app_user".to_owned(),
        references: vec!["id".to_owned()],
    };
    [
        model("app_user", "herald.app_user", "display_name"),
        Model { relations: vec![recipient], ..model("message", "herald.current_message", "subject") },
    ]
}
