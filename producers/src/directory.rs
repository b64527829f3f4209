//! Message types, templates and users kept in memory, forgotten when they change.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use herald_jobs::message_template::MessageTemplate;
use herald_jobs::message_type::MessageType;
use herald_jobs::store;
use herald_jobs::store::users::User;
use sqlx::PgPool;
use sqlx::postgres::PgListener;

/// How long an entry is trusted while changes are told, and while they are not.
const TRUSTED: Duration = Duration::from_secs(60);
const TRUSTED_UNTOLD: Duration = Duration::from_secs(5);
/// Most users, and most templates, kept in memory.
const MOST_USERS: usize = 20_000;
const MOST_TEMPLATES: usize = 2_000;

/// What tells of a change.
const CHANNELS: [&str; 4] = [USERS, TYPES, TEMPLATES, "herald_model"];
const USERS: &str = "herald_app_user";
const TYPES: &str = "herald_message_type";
const TEMPLATES: &str = "herald_message_template";

/// A cache of types, templates and users. Clones share it.
#[derive(Clone)]
pub struct Directory {
    pool: PgPool,
    known: Arc<RwLock<Known>>,
}

struct Known {
    types: HashMap<String, Arc<MessageType>>,
    users: HashMap<String, Arc<User>>,
    templates: HashMap<String, (Instant, Arc<MessageTemplate>)>,
    types_read: Option<Instant>,
    users_read: Instant,
    /// Whether a change would be told.
    told: bool,
    /// How often something was forgotten: what was read before the last time may be of yesterday.
    forgotten: u64,
    /// How often models may have changed.
    models: u64,
}

impl Known {
    fn trusts(&self, read: Instant) -> bool {
        read.elapsed() < if self.told { TRUSTED } else { TRUSTED_UNTOLD }
    }
}

impl Directory {
    /// An empty directory over `pool`.
    pub fn new(pool: PgPool) -> Self {
        let known = Known {
            types: HashMap::new(),
            users: HashMap::new(),
            templates: HashMap::new(),
            types_read: None,
            users_read: Instant::now(),
            told: false,
            forgotten: 0,
            models: 0,
        };
        Self { pool, known: Arc::new(RwLock::new(known)) }
    }

    /// Forgets at once what changes in the database; runs until its future is dropped.
    pub async fn follow(&self) {
        loop {
            let lost = self.listen().await;
            self.forget(false);
            if let Err(error) = lost {
                tracing::debug!("Lost the connection that tells of changes: {error}");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn listen(&self) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen_all(CHANNELS).await?;
        loop {
            self.forget(true);
            // Nothing: the connection was lost and made again, and a change may have gone untold.
            while let Some(change) = listener.try_recv().await? {
                self.forget_of(change.channel());
            }
        }
    }

    fn forget(&self, told: bool) {
        self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner).told = told;
        CHANNELS.iter().for_each(|channel| self.forget_of(channel));
    }

    fn forget_of(&self, channel: &str) {
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.forgotten += 1;
        match channel {
            USERS => known.users.clear(),
            TYPES => known.types_read = None,
            TEMPLATES => known.templates.clear(),
            _ => known.models += 1,
        }
    }

    /// Counts up whenever a model may have changed.
    pub fn models(&self) -> u64 {
        self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner).models
    }

    /// The template with this code that is in force.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn template(&self, code: &str) -> Result<Option<Arc<MessageTemplate>>, sqlx::Error> {
        let forgotten = {
            let known = self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some((_, template)) = known.templates.get(code).filter(|(read, _)| known.trusts(*read)) {
                return Ok(Some(template.clone()));
            }
            known.forgotten
        };
        let read = Instant::now();
        let Some(template) = store::message_templates::get(&self.pool, code).await? else { return Ok(None) };
        let template = Arc::new(template);
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.forgotten == forgotten {
            if known.templates.len() >= MOST_TEMPLATES {
                known.templates.clear();
            }
            known.templates.insert(code.to_owned(), (read, template.clone()));
        }
        Ok(Some(template))
    }

    /// The message type with this code.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn message_type(&self, code: &str) -> Result<Option<Arc<MessageType>>, sqlx::Error> {
        let forgotten = {
            let known = self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            // One that is not known may have been added a moment ago.
            let kind =
                known.types_read.filter(|read| known.trusts(*read)).and_then(|_| known.types.get(code));
            if let Some(kind) = kind {
                return Ok(Some(kind.clone()));
            }
            known.forgotten
        };
        let read = Instant::now();
        let types = store::message_types::all(&self.pool).await?;
        let types: HashMap<_, _> =
            types.into_iter().map(|kind| (kind.code.clone(), Arc::new(kind))).collect();
        let found = types.get(code).cloned();
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if known.forgotten == forgotten {
            known.types = types;
            known.types_read = Some(read);
        }
        Ok(found)
    }

    /// The users of these names, by name. Who is not there does not exist.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn users<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<HashMap<String, Arc<User>>, sqlx::Error> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        let forgotten = {
            let known = self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            let trusted = known.trusts(known.users_read);
            for name in names {
                match known.users.get(name).filter(|_| trusted) {
                    Some(user) => {
                        found.insert(name.to_owned(), user.clone());
                    }
                    None => missing.push(name.to_owned()),
                }
            }
            known.forgotten
        };
        if missing.is_empty() {
            return Ok(found);
        }
        missing.sort_unstable();
        missing.dedup();
        let read = Instant::now();
        let users = store::users::by_names(&self.pool, &missing).await?;
        let mut known = self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !known.trusts(known.users_read) || known.users.len() + users.len() > MOST_USERS {
            known.users.clear();
            known.users_read = read;
        }
        let keep = known.forgotten == forgotten;
        for user in users {
            let user = Arc::new(user);
            if keep {
                known.users.insert(user.username.clone(), user.clone());
            }
            found.insert(user.username.clone(), user);
        }
        Ok(found)
    }
}
