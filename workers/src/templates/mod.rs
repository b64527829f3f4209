//! Makes the texts of messages that name a template, or bring their own with an instance.

mod library;

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use herald_jobs::group_commit::is_outage;
use herald_jobs::message_template::{Compiled, MessageTemplate, Texts};
use herald_jobs::model::Catalogue;
use herald_jobs::refusal::Refusal;
use herald_jobs::send::{NewMessage, SendJob};
use herald_jobs::store;
use herald_jobs::store::instances::Loaded;
use herald_jobs::template::{Functions, FunctionsError};
use herald_producers::directory::Directory;
use serde_json::{Map, Value};
use sqlx::PgPool;

pub use self::library::FRESH;
use self::library::{Library, Outcome};

/// How long one batch may look for records, and how long it may render. What is left then is tried again with another batch.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));

/// What came of a template.
pub struct Made {
    /// Its code and version; `None`: the message brought its own texts.
    pub template: Option<(String, i32)>,
    /// The texts, or why there are none.
    pub texts: Result<Texts, Unmade>,
}

/// Why there are no texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmade {
    /// They cannot be made.
    Failed(String),
    /// There was no time.
    NotTried,
}

/// Compiled templates, and what they read through. Clones share it.
#[derive(Clone)]
pub struct Templates {
    reader: PgPool,
    directory: Directory,
    library: Arc<Library>,
}

/// A text that is to be made.
struct Task {
    at: usize,
    template: Option<(String, i32)>,
    over: Result<Over, Unmade>,
}

enum Over {
    /// The message's own texts over its own instance.
    Own,
    /// A template over the message's own instance.
    Sent(Outcome),
    /// A template over a record.
    Record(Outcome, Map<String, Value>),
}

impl Templates {
    /// Reads models over `pool`, their records over `reader`, and functions from `functions_dir`.
    ///
    /// # Errors
    /// A file of functions cannot be used.
    pub fn new(
        pool: PgPool,
        reader: PgPool,
        directory: Directory,
        functions_dir: Option<PathBuf>,
    ) -> Result<Self, FunctionsError> {
        let library = Library::new(pool, reader.clone(), directory.clone(), functions_dir)?;
        Ok(Self { reader, directory, library: Arc::new(library) })
    }

    /// The texts of those jobs that need any made, by position. Records are loaded by one query for each template.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn make(
        &self,
        jobs: &Arc<Vec<SendJob>>,
        now: DateTime<Utc>,
    ) -> Result<HashMap<usize, Made>, sqlx::Error> {
        let mut tasks = Vec::new();
        let mut by_code: HashMap<&str, Vec<(usize, &NewMessage)>> = HashMap::new();
        for (at, SendJob { message, .. }) in jobs.iter().enumerate() {
            match (&message.template, &message.instance) {
                (Some(code), _) => by_code.entry(code).or_default().push((at, message)),
                (None, Some(_)) => tasks.push(Task { at, template: None, over: Ok(Over::Own) }),
                (None, None) => {}
            }
        }
        if tasks.is_empty() && by_code.is_empty() {
            return Ok(HashMap::new());
        }
        let deadline = Instant::now() + PATIENCE.0;
        for (code, messages) in by_code {
            self.prepare(code, &messages, deadline, &mut tasks).await?;
        }
        let functions = self.library.functions().await;
        let jobs = jobs.clone();
        // Rendering is work: it holds up no connection and no other task.
        let rendered = tokio::task::spawn_blocking(move || render(tasks, &jobs, &functions, now));
        // It ends early only with the process: the jobs are handed back.
        rendered.await.map_err(|_| sqlx::Error::WorkerCrashed)
    }

    /// What each of these messages is rendered from.
    async fn prepare(
        &self,
        code: &str,
        messages: &[(usize, &NewMessage)],
        deadline: Instant,
        tasks: &mut Vec<Task>,
    ) -> Result<(), sqlx::Error> {
        let template = self.directory.template(code).await?;
        let version = template.as_ref().map_or(0, |template| template.version);
        let mut task = |at: usize, over: Result<Over, Unmade>| {
            tasks.push(Task { at, template: Some((code.to_owned(), version)), over });
        };
        let failed = |error: &sqlx::Error| format!("model: {}", store::complaint(error));
        let prepared = match &template {
            None => Err(format!("there is no template \"{code}\"")),
            Some(template) => match self.library.compiled(template).await {
                Err(error) if is_outage(&error) => return Err(error),
                compiled => compiled.map_err(|error| failed(&error)),
            },
        };
        let loaded = match prepared.as_ref().map(|compiled| compiled.as_ref().as_ref()) {
            Ok(Ok(compiled)) => match self.load(compiled, messages, deadline).await {
                Err(error) if is_outage(&error) => return Err(error),
                loaded => loaded.unwrap_or_else(|error| vec![Loaded::Failed(failed(&error)); messages.len()]),
            },
            Ok(Err(refusal)) => vec![Loaded::Failed(refusal.to_string()); messages.len()],
            Err(reason) => vec![Loaded::Failed(reason.clone()); messages.len()],
        };
        for ((at, message), loaded) in messages.iter().zip(loaded) {
            let over = match (&prepared, &message.instance, loaded) {
                (Ok(compiled), Some(_), Loaded::Missing) => Ok(Over::Sent(compiled.clone())),
                (Ok(compiled), None, Loaded::Found(record)) => Ok(Over::Record(compiled.clone(), record)),
                (_, _, Loaded::NotTried) => Err(Unmade::NotTried),
                (_, _, Loaded::Failed(reason)) => Err(Unmade::Failed(reason)),
                (_, _, Loaded::Missing | Loaded::Found(_)) => {
                    Err(Unmade::Failed("model_key: there is no such record".to_owned()))
                }
            };
            task(*at, over);
        }
        Ok(())
    }

    /// The records that messages name by their keys, in the order of the messages.
    async fn load(
        &self,
        compiled: &Compiled,
        messages: &[(usize, &NewMessage)],
        deadline: Instant,
    ) -> Result<Vec<Loaded>, sqlx::Error> {
        let mut loaded = vec![Loaded::Missing; messages.len()];
        let (mut keys, mut positions) = (Vec::new(), Vec::new());
        for (position, (_, message)) in messages.iter().enumerate() {
            let (Some(query), Some(key)) = (&compiled.query, &message.model_key) else { continue };
            match query.key(key) {
                Ok(key) => {
                    keys.push(key);
                    positions.push(position);
                }
                Err(problem) => loaded[position] = Loaded::Failed(format!("model_key: {problem}")),
            }
        }
        if let (Some(query), false) = (&compiled.query, keys.is_empty()) {
            for (position, record) in
                positions.into_iter().zip(query.load(&self.reader, &keys, deadline).await?)
            {
                loaded[position] = match record {
                    Loaded::Failed(reason) => Loaded::Failed(format!("model_key: {reason}")),
                    other => other,
                };
            }
        }
        Ok(loaded)
    }
}

fn render(
    tasks: Vec<Task>,
    jobs: &[SendJob],
    functions: &Functions,
    now: DateTime<Utc>,
) -> HashMap<usize, Made> {
    let deadline = Instant::now() + PATIENCE.1;
    let one = |Task { at, template, over }: Task| {
        let message = jobs.get(at).map(|job| &job.message);
        let instance = message.and_then(|message| message.instance.as_ref());
        let texts = match (over, message, instance) {
            (Err(unmade), _, _) => Err(unmade),
            _ if Instant::now() > deadline => Err(Unmade::NotTried),
            (Ok(Over::Record(compiled, record)), _, _) => over_instance(&compiled, &record, now),
            (Ok(Over::Sent(compiled)), _, instance) => {
                over_instance(&compiled, instance.unwrap_or(&Map::new()), now)
            }
            (Ok(Over::Own), Some(message), Some(instance)) => {
                caught(|| own_texts(message, functions)?.render(instance, now))
            }
            (Ok(Over::Own), _, _) => Err(Unmade::Failed("instance: is missing".to_owned())),
        };
        (at, Made { template, texts })
    };
    tasks.into_iter().map(one).collect()
}

fn over_instance(
    compiled: &Outcome,
    instance: &Map<String, Value>,
    now: DateTime<Utc>,
) -> Result<Texts, Unmade> {
    match compiled.as_ref() {
        Ok(compiled) => caught(|| compiled.render(instance, now)),
        Err(refusal) => Err(Unmade::Failed(refusal.to_string())),
    }
}

/// The texts that a message brings, as a template over its instance.
fn own_texts(message: &NewMessage, functions: &Functions) -> Result<Compiled, Refusal> {
    let template = MessageTemplate {
        syntax: message.syntax,
        subject: message.subject.clone(),
        message_text: message.message_text.clone(),
        external_message: message.external_message.clone(),
        ..MessageTemplate::default()
    };
    Compiled::new(Cow::Owned(template), &Catalogue::default(), functions)
}

/// A panic over one message is that message's failure.
fn caught<T>(make: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Unmade> {
    catch_unwind(AssertUnwindSafe(make))
        .unwrap_or_else(|_| Err(Refusal::new("template", "made the renderer panic")))
        .map_err(|refusal| Unmade::Failed(refusal.to_string()))
}
