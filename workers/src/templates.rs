//! Makes the texts of messages that name a template, or bring their own with an instance.

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use herald_jobs::group_commit::is_outage;
use herald_jobs::message_template::{Compiled, MessageTemplate, Texts};
use herald_jobs::model::Catalogue;
use herald_jobs::refusal::Refusal;
use herald_jobs::send::{NewMessage, SendJob};
use herald_jobs::store;
use herald_jobs::store::instances::Loaded;
use herald_jobs::template::Functions;
use herald_producers::directory::Directory;
use sqlx::PgPool;

/// How long it is before changed tables and function files are noticed.
const FRESH: Duration = Duration::from_secs(2);
/// Most compiled templates kept.
const MOST: usize = 2_000;

/// What came of a template.
pub struct Made {
    /// Its code and version; `None`: the message brought its own texts.
    pub template: Option<(String, i32)>,
    /// The texts, or why there are none.
    pub texts: Result<Texts, String>,
}

/// Compiled templates, and what they read through. Clones share it.
#[derive(Clone)]
pub struct Templates {
    pool: PgPool,
    reader: PgPool,
    directory: Directory,
    functions_dir: Option<PathBuf>,
    known: Arc<RwLock<Known>>,
}

#[derive(Default)]
struct Known {
    catalogue: Arc<Catalogue>,
    functions: Option<Functions>,
    /// The files of functions cannot be used as they are.
    broken: bool,
    compiled: HashMap<String, (i32, Arc<Result<Compiled, Refusal>>)>,
    /// When the catalogue and the functions were last looked at, and of which generation of the directory they are.
    looked: Option<Instant>,
    generation: u64,
}

impl Templates {
    /// Reads models over `pool`, their records over `reader`, and functions from `functions_dir`.
    pub fn new(pool: PgPool, reader: PgPool, directory: Directory, functions_dir: Option<PathBuf>) -> Self {
        Self { pool, reader, directory, functions_dir, known: Arc::default() }
    }

    /// The texts of those jobs that need any made, by position. Records are loaded by one query for each template.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn make(
        &self,
        jobs: &[SendJob],
        now: DateTime<Utc>,
    ) -> Result<HashMap<usize, Made>, sqlx::Error> {
        let mut made = HashMap::new();
        let mut by_code: HashMap<&str, Vec<(usize, &NewMessage)>> = HashMap::new();
        for (at, SendJob { message, .. }) in jobs.iter().enumerate() {
            match (&message.template, &message.instance) {
                (Some(code), _) => by_code.entry(code).or_default().push((at, message)),
                (None, Some(instance)) => {
                    let (_, functions) = self.surroundings().await?;
                    let texts = caught(|| own_texts(message, &functions)?.render(instance, now));
                    made.insert(at, Made { template: None, texts });
                }
                (None, None) => {}
            }
        }
        for (code, messages) in by_code {
            self.make_by(code, &messages, now, &mut made).await?;
        }
        Ok(made)
    }

    async fn make_by(
        &self,
        code: &str,
        messages: &[(usize, &NewMessage)],
        now: DateTime<Utc>,
        made: &mut HashMap<usize, Made>,
    ) -> Result<(), sqlx::Error> {
        let template = self.directory.template(code).await?;
        let version = template.as_ref().map_or(0, |template| template.version);
        let mut all_fail = |reason: String| {
            made.extend(messages.iter().map(|(at, _)| {
                (*at, Made { template: Some((code.to_owned(), version)), texts: Err(reason.clone()) })
            }));
            Ok(())
        };
        let Some(template) = template else { return all_fail(format!("there is no template \"{code}\"")) };
        let compiled = match self.compiled(&template).await {
            Ok(compiled) => compiled,
            Err(error) if is_outage(&error) => return Err(error),
            Err(error) => return all_fail(format!("model: {}", store::complaint(&error))),
        };
        let compiled = match compiled.as_ref() {
            Ok(compiled) => compiled,
            Err(refusal) => return all_fail(refusal.to_string()),
        };
        let loaded = match self.load(compiled, messages).await {
            Ok(loaded) => loaded,
            Err(error) if is_outage(&error) => return Err(error),
            Err(error) => return all_fail(format!("model: {}", store::complaint(&error))),
        };
        for ((at, message), loaded) in messages.iter().zip(loaded) {
            let texts = match (&message.instance, loaded) {
                (Some(instance), _) => caught(|| compiled.render(instance, now)),
                (None, Ok(Some(instance))) => caught(|| compiled.render(&instance, now)),
                (None, Ok(None)) => Err("model_key: there is no such record".to_owned()),
                (None, Err(reason)) => Err(format!("model_key: {reason}")),
            };
            made.insert(*at, Made { template: Some((code.to_owned(), version)), texts });
        }
        Ok(())
    }

    /// The records that messages name by their keys, in the order of the messages.
    async fn load(
        &self,
        compiled: &Compiled,
        messages: &[(usize, &NewMessage)],
    ) -> Result<Vec<Loaded>, sqlx::Error> {
        let mut loaded: Vec<Loaded> = Vec::with_capacity(messages.len());
        let (mut keys, mut positions) = (Vec::new(), Vec::new());
        for (position, (_, message)) in messages.iter().enumerate() {
            loaded.push(Ok(None));
            let (Some(query), Some(key)) = (&compiled.query, &message.model_key) else { continue };
            match query.key(key) {
                Ok(key) => {
                    keys.push(key);
                    positions.push(position);
                }
                Err(problem) => loaded[position] = Err(problem),
            }
        }
        if let (Some(query), false) = (&compiled.query, keys.is_empty()) {
            for (position, record) in positions.into_iter().zip(query.load(&self.reader, &keys).await?) {
                loaded[position] = record;
            }
        }
        Ok(loaded)
    }

    async fn compiled(
        &self,
        template: &MessageTemplate,
    ) -> Result<Arc<Result<Compiled, Refusal>>, sqlx::Error> {
        let (catalogue, functions) = self.surroundings().await?;
        let read = |known: &Known| {
            let (version, compiled) = known.compiled.get(&template.code)?;
            (*version == template.version).then(|| compiled.clone())
        };
        if let Some(compiled) = read(&self.known.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(compiled);
        }
        let compiled = Arc::new(Compiled::new(Cow::Borrowed(template), &catalogue, &functions));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.compiled.len() >= MOST {
            known.compiled.clear();
        }
        known.compiled.insert(template.code.clone(), (template.version, compiled.clone()));
        Ok(compiled)
    }

    /// Models and functions as they are now, give or take two seconds; when they have changed, what was compiled is forgotten.
    async fn surroundings(&self) -> Result<(Arc<Catalogue>, Functions), sqlx::Error> {
        let generation = self.directory.generation();
        {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            let fresh = known.looked.is_some_and(|looked| looked.elapsed() < FRESH);
            if let (true, Some(functions)) = (fresh && known.generation == generation, &known.functions) {
                return Ok((known.catalogue.clone(), functions.clone()));
            }
        }
        let looked = Instant::now();
        let catalogue = Arc::new(store::catalogue::read(&self.pool, &self.reader).await?);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let functions = match known.functions.take() {
            Some(functions) if !known.broken && !functions.is_stale() => functions,
            earlier => {
                let read = self.read_functions();
                known.broken = read.is_none();
                known.compiled.clear();
                read.or(earlier).unwrap_or_else(Functions::std)
            }
        };
        known.functions = Some(functions.clone());
        if known.catalogue != catalogue {
            known.compiled.clear();
            known.catalogue = catalogue.clone();
        }
        known.looked = Some(looked);
        known.generation = generation;
        Ok((catalogue, functions))
    }

    /// The functions as they are on disk; none where a file cannot be used, and the log says why.
    fn read_functions(&self) -> Option<Functions> {
        let Some(dir) = &self.functions_dir else { return Some(Functions::std()) };
        let read = Functions::read(dir);
        read.inspect_err(|error| tracing::error!("The functions below {}: {error}", dir.display())).ok()
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
fn caught<T>(make: impl FnOnce() -> Result<T, Refusal>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(make))
        .unwrap_or_else(|_| Err(Refusal::new("template", "made the renderer panic")))
        .map_err(|refusal| refusal.to_string())
}
