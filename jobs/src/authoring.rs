//! Where templates are written: checked against the models and functions there are, previewed on a record, saved.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::PgPool;

use crate::group_commit::is_outage;
use crate::message_template::{Compiled, MessageTemplate};
use crate::model::Catalogue;
use crate::refusal::Refusal;
use crate::sms::{self, Segments};
use crate::store;
use crate::store::instances::Loaded;
use crate::store::message_templates::{Put, Saved};
use crate::template::Functions;

/// How long a preview may look for its record.
const PATIENCE: Duration = Duration::from_secs(10);

/// Models and functions as templates are checked against them.
#[derive(Clone)]
pub struct Authoring {
    pool: PgPool,
    reader: PgPool,
    functions_dir: Option<PathBuf>,
}

/// Why a template was not saved or previewed.
#[derive(Debug, thiserror::Error)]
pub enum AuthoringError {
    /// Something in it cannot be.
    #[error("{code}: {refusal}")]
    Refused {
        /// Which template.
        code: String,
        /// What, and where.
        refusal: Refusal,
    },
    /// Somebody else saved it meanwhile, or it is not there any more.
    #[error("{code}: version: {}", conflict(current))]
    Conflict {
        /// Which template.
        code: String,
        /// The version in force.
        current: Option<Saved>,
    },
    /// A function file cannot be used.
    #[error("the functions cannot be used: {0}")]
    Functions(String),
    /// The database cannot be reached.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

fn conflict(current: &Option<Saved>) -> String {
    match current {
        None => "there is no such template; leave the version out to make a new one".to_owned(),
        Some(saved) => format!(
            "version {} was saved by {} on {}: begin from that one",
            saved.version,
            saved.saved_by,
            saved.saved_at.format("%Y-%m-%d at %H:%M")
        ),
    }
}

/// What a template is previewed on.
#[derive(Clone, Debug)]
pub enum Sample {
    /// The record of its model with this key.
    Key(Value),
    /// These fields.
    Instance(Map<String, Value>),
}

/// What people would receive.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub struct Preview {
    /// The subject; `None`: the description of the message's type.
    pub subject: Option<String>,
    /// What the inbox would show.
    pub message_text: String,
    /// What e-mail would carry as plain text, and SMS as the whole.
    pub external_message: String,
    /// What e-mail would carry beside that.
    pub external_html: Option<String>,
    /// What it would take as SMS.
    pub sms: Segments,
    /// What each token came to.
    pub tokens: Vec<Token>,
}

/// A token of a text, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Token {
    /// Of which text: `subject`, `message_text`, `external_message` or `external_html`.
    pub text: &'static str,
    /// As it was written.
    pub token: String,
    /// What stands in its place.
    pub value: String,
}

impl Authoring {
    /// Over the models and templates in `pool`, the records that `reader` may read, and the functions in `functions_dir`.
    pub fn new(pool: PgPool, reader: PgPool, functions_dir: Option<PathBuf>) -> Self {
        Self { pool, reader, functions_dir }
    }

    /// What reads the host's tables.
    pub fn reader(&self) -> &PgPool {
        &self.reader
    }

    /// Models and functions as they are now, for several templates.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn environment(&self) -> Result<Environment, sqlx::Error> {
        let functions = match &self.functions_dir {
            Some(dir) => Functions::read(dir).map_err(|error| error.to_string()),
            None => Ok(Functions::std()),
        };
        Ok(Environment { catalogue: self.catalogue().await?, functions, reader: self.reader.clone() })
    }

    /// All models, with what may be read of them.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn catalogue(&self) -> Result<Catalogue, sqlx::Error> {
        store::catalogue::read(&self.pool, &self.reader).await
    }

    /// Checks templates and saves them, all or none. Answers their versions.
    ///
    /// # Errors
    /// [`AuthoringError`]; nothing was saved then.
    pub async fn save(&self, templates: &[MessageTemplate], actor: &str) -> Result<Vec<i32>, AuthoringError> {
        let environment = self.environment().await?;
        for template in templates {
            environment.check(template).await?;
        }
        match store::message_templates::put(&self.pool, templates, actor).await? {
            Put::Saved(versions) => Ok(versions),
            Put::Conflict { code, current } => Err(AuthoringError::Conflict { code, current }),
        }
    }
}

/// What templates are checked against and rendered with.
pub struct Environment {
    /// All models, with what may be read of them.
    pub catalogue: Catalogue,
    functions: Result<Functions, String>,
    reader: PgPool,
}

impl Environment {
    /// The functions that templates may call.
    ///
    /// # Errors
    /// A function file cannot be used.
    pub fn functions(&self) -> Result<&Functions, AuthoringError> {
        self.functions.as_ref().map_err(|problem| AuthoringError::Functions(problem.clone()))
    }

    /// Checks a template that is saved or is to be.
    ///
    /// # Errors
    /// [`AuthoringError`].
    pub async fn check(&self, template: &MessageTemplate) -> Result<(), AuthoringError> {
        let Some(query) = self.compile(template)?.query else { return Ok(()) };
        // Postgres knows whether the columns of a relation compare.
        match query.probe(&self.reader).await {
            Err(error) if is_outage(&error) => Err(error.into()),
            Err(error) => {
                let refusal = Refusal::new("model", format!("cannot be read: {}", store::complaint(&error)));
                Err(AuthoringError::Refused { code: template.code.clone(), refusal })
            }
            Ok(()) => Ok(()),
        }
    }

    /// What people would receive now.
    ///
    /// # Errors
    /// [`AuthoringError`]: what would make the fallback text be delivered instead is a refusal.
    pub async fn preview(
        &self,
        template: &MessageTemplate,
        sample: Sample,
        now: DateTime<Utc>,
    ) -> Result<Preview, AuthoringError> {
        let compiled = self.compile(template)?;
        let refuse = |refusal: Refusal| AuthoringError::Refused { code: template.code.clone(), refusal };
        let instance = match sample {
            Sample::Instance(instance) => instance,
            Sample::Key(key) => {
                let refuse_key = |problem: String| refuse(Refusal::new("model_key", problem));
                let query = compiled
                    .query
                    .as_ref()
                    .ok_or_else(|| refuse_key("the template has no model: give an instance".to_owned()))?;
                let key = query.key(&key).map_err(refuse_key)?;
                let deadline = Instant::now() + PATIENCE;
                match query.load(&self.reader, &[key], deadline).await?.pop() {
                    Some(Loaded::Found(record)) => record,
                    Some(Loaded::Failed(problem)) => return Err(refuse_key(problem)),
                    _ => return Err(refuse_key("there is no such record".to_owned())),
                }
            }
        };
        let texts = compiled.render(&instance, now).map_err(refuse)?;
        let external_message = texts.external_message.unwrap_or_else(|| texts.message_text.clone());
        let tokens = compiled.resolved(&instance, now).into_iter().map(|(text, token, value)| Token {
            text,
            token,
            value: value.unwrap_or_else(|problem| problem),
        });
        Ok(Preview {
            sms: sms::segments(&external_message),
            subject: texts.subject,
            message_text: texts.message_text,
            external_message,
            external_html: texts.external_html,
            tokens: tokens.collect(),
        })
    }

    fn compile(&self, template: &MessageTemplate) -> Result<Compiled, AuthoringError> {
        let functions = self.functions()?;
        template
            .validate()
            .and_then(|()| Compiled::new(Cow::Borrowed(template), &self.catalogue, functions))
            .map_err(|refusal| AuthoringError::Refused { code: template.code.clone(), refusal })
    }
}
