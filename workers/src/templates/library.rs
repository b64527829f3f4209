use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use herald_jobs::message_template::{Compiled, MessageTemplate};
use herald_jobs::model::Catalogue;
use herald_jobs::refusal::Refusal;
use herald_jobs::store;
use herald_jobs::template::{Functions, FunctionsError};
use herald_producers::directory::Directory;
use sqlx::PgPool;

/// How long it is before changed tables and function files are noticed.
pub const FRESH: Duration = Duration::from_secs(2);
/// Most compiled templates kept.
const MOST: usize = 2_000;

/// A template that was compiled, or what is wrong with it.
pub(super) type Outcome = Arc<Result<Compiled, Refusal>>;

/// Compiled templates, and what they were compiled against.
pub(super) struct Library {
    pool: PgPool,
    reader: PgPool,
    directory: Directory,
    functions_dir: Option<PathBuf>,
    known: RwLock<Known>,
}

struct Known {
    functions: Functions,
    functions_read: Instant,
    catalogue: Arc<Catalogue>,
    /// When the catalogue was read, and of which generation of models it is.
    catalogue_read: Option<(Instant, u64)>,
    /// By code, with the version.
    compiled: HashMap<String, (i32, Outcome)>,
    /// How often what templates are compiled against has changed.
    epoch: u64,
}

impl Library {
    pub(super) fn new(
        pool: PgPool,
        reader: PgPool,
        directory: Directory,
        functions_dir: Option<PathBuf>,
    ) -> Result<Self, FunctionsError> {
        let known = Known {
            functions: functions_dir.as_deref().map_or_else(|| Ok(Functions::std()), Functions::read)?,
            functions_read: Instant::now(),
            catalogue: Arc::default(),
            catalogue_read: None,
            compiled: HashMap::new(),
            epoch: 0,
        };
        Ok(Self { pool, reader, directory, functions_dir, known: RwLock::new(known) })
    }

    /// The functions there are. Files that cannot be used leave what was there before.
    pub(super) async fn functions(&self) -> Functions {
        let functions = {
            let known = self.read();
            if known.functions_read.elapsed() < FRESH {
                return known.functions.clone();
            }
            known.functions.clone()
        };
        let Some(dir) = self.functions_dir.clone() else { return functions };
        let earlier = functions.clone();
        let read = tokio::task::spawn_blocking(move || functions.is_stale().then(|| Functions::read(&dir)));
        self.write().functions_read = Instant::now();
        match read.await {
            Ok(Some(Ok(functions))) => {
                let mut known = self.write();
                known.functions = functions.clone();
                known.forget();
                functions
            }
            Ok(Some(Err(error))) => {
                tracing::error!("The functions stay as they were: {error}");
                earlier
            }
            Ok(None) | Err(_) => earlier,
        }
    }

    /// The template as it is rendered.
    pub(super) async fn compiled(&self, template: &MessageTemplate) -> Result<Outcome, sqlx::Error> {
        let functions = self.functions().await;
        let catalogue = match template.model {
            Some(_) => self.catalogue().await?,
            None => Arc::default(),
        };
        let epoch = {
            let known = self.read();
            if let Some((version, compiled)) = known.compiled.get(&template.code)
                && *version == template.version
            {
                return Ok(compiled.clone());
            }
            known.epoch
        };
        let compiled = Arc::new(Compiled::new(Cow::Borrowed(template), &catalogue, &functions));
        let mut known = self.write();
        if known.compiled.len() >= MOST {
            known.compiled.clear();
        }
        // What changed meanwhile is not in this one.
        if known.epoch == epoch {
            known.compiled.insert(template.code.clone(), (template.version, compiled.clone()));
        }
        Ok(compiled)
    }

    async fn catalogue(&self) -> Result<Arc<Catalogue>, sqlx::Error> {
        let models = self.directory.models();
        {
            let known = self.read();
            if known.catalogue_read.is_some_and(|(read, of)| of == models && read.elapsed() < FRESH) {
                return Ok(known.catalogue.clone());
            }
        }
        let read = Instant::now();
        let catalogue = store::catalogue::read(&self.pool, &self.reader).await?;
        let mut known = self.write();
        if *known.catalogue != catalogue {
            known.catalogue = Arc::new(catalogue);
            known.forget();
        }
        known.catalogue_read = Some((read, models));
        Ok(known.catalogue.clone())
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget(&mut self) {
        self.compiled.clear();
        self.epoch += 1;
    }
}
