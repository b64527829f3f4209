use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use herald_jobs::attachment::Limits;
use herald_jobs::clock::Clock;
use herald_jobs::queues::Queues;
use herald_jobs::retention::Retention;
use herald_jobs::store;
use herald_producers::directory::Directory;
use herald_producers::numbers::Region;
use sqlx::PgPool;
use url::Url;

use crate::guard;
use crate::settings::Access;
use crate::window::Windows;

/// The links in e-mails that answer their message.
#[derive(Clone, Debug)]
pub struct AnswerLinks {
    /// Where the inbox is.
    pub public_url: Url,
    /// How long they work after the message was made.
    pub life: TimeDelta,
}

/// How the workers of one process behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most messages in one commit.
    pub batch: usize,
    /// Commits under way at once, for each lane.
    pub commits: usize,
    /// SMTP sessions and SMS requests at once, for each lane.
    pub sessions: usize,
    /// Entries a lane may hold in Redis.
    pub max_depth: u64,
    /// How long a worker may be silent before others take over what it was doing.
    pub takeover_after: Duration,
    /// How long running jobs may take to end when the process is told to stop.
    pub grace: Duration,
    /// Whether an SMS gateway may have a private address.
    pub allow_private_sms: bool,
    /// How long an SMS gateway may take to answer; less than a minute.
    pub sms_patience: Duration,
    /// Whether a webhook may have a private address.
    pub allow_private_webhooks: bool,
    /// How e-mails can be answered by a link; `None`: they cannot.
    pub answer_links: Option<AnswerLinks>,
    /// Where the functions of templates are; `None`: there are only those of package `std`.
    pub functions_dir: Option<PathBuf>,
    /// Domain of the Message-IDs; `None`: that of the sender address.
    pub message_id_domain: Option<String>,
    /// What e-mails may carry.
    pub attachments: Limits,
    /// Where numbers without a country code belong, of contacts whom reminders find.
    pub region: Option<Region>,
    /// How long what is done with is kept.
    pub retention: Retention,
    /// When copies go out.
    pub windows: Windows,
    /// What it may make of the Application Registry.
    pub registry: Access,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch: 500,
            commits: 2,
            sessions: 8,
            max_depth: 20_000,
            takeover_after: Duration::from_secs(30),
            grace: Duration::from_secs(30),
            allow_private_sms: false,
            sms_patience: guard::PATIENCE,
            allow_private_webhooks: false,
            answer_links: None,
            functions_dir: None,
            message_id_domain: None,
            attachments: Limits::default(),
            region: None,
            retention: Retention::default(),
            windows: Windows::default(),
            registry: Access::default(),
        }
    }
}

/// What every handler needs.
#[derive(Clone)]
pub struct Context {
    /// Who did it, in the ledger of periodic runs.
    pub name: String,
    /// For normal and bulk.
    pub pool: PgPool,
    /// For alerts alone: they never wait for a connection.
    pub alert_pool: PgPool,
    /// The host's tables, for templates: as for the two above.
    pub reader: PgPool,
    /// See `reader`.
    pub alert_reader: PgPool,
    /// All queues.
    pub queues: Queues,
    /// The time.
    pub clock: Clock,
    /// Types and users.
    pub directory: Directory,
    /// How to behave.
    pub options: Options,
}

impl Context {
    /// A context over the database at `url`. Must be made inside a tokio runtime.
    ///
    /// # Errors
    /// The URL is malformed.
    pub fn new(url: &str, queues: Queues, clock: Clock, options: Options) -> Result<Self, sqlx::Error> {
        let lanes = u32::try_from(options.commits).unwrap_or(u32::MAX);
        let pool = store::pool(url, "worker", lanes.saturating_mul(2).saturating_add(8))?;
        let alert_pool = store::pool(url, "worker alerts", lanes.saturating_add(4))?;
        let reader = store::catalogue::reader(url, "worker models", lanes.saturating_mul(2))?;
        let alert_reader = store::catalogue::reader(url, "worker alerts models", lanes)?;
        let name = format!("{}-{}", std::process::id(), herald_jobs::id::new(clock.now()).simple());
        let directory = Directory::new(pool.clone());
        Ok(Self { name, directory, pool, alert_pool, reader, alert_reader, queues, clock, options })
    }
}
