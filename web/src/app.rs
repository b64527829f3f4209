//! What every handler works with.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderName;
use chrono::TimeDelta;
use herald_jobs::action_url::Destinations;
use herald_jobs::authoring::Authoring;
use herald_jobs::clock::Clock;
use herald_jobs::queues::Queues;
use herald_jobs::seal::KeyRing;
use herald_jobs::store::PgPool;
use herald_producers::Producer;
use herald_producers::reminders::Reminders;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::access::limit::Attempts;
use crate::access::password::Passwords;
use crate::access::rate::Rates;
use crate::api::outputs::AT_ONCE;
use crate::live::{self, Hub};
use crate::schedule::Periodic;

/// A page of the host application, in a frame on the dashboard.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Its heading.
    pub title: String,
    /// Where it is.
    pub url: Url,
}

/// Who one can be in a demo.
#[derive(Clone, Debug)]
pub struct Persona {
    /// The user.
    pub username: String,
    /// What for.
    pub role: Role,
}

/// What somebody in a demo is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Asks for decisions.
    Requester,
    /// Makes them.
    Approver,
    /// Looks after Herald.
    Administrator,
}

/// How the web side behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where people reach it. Links begin with it, and with `https` cookies are kept to secure connections. It stands at the
    /// root of its host: a path in it is ignored.
    pub public_url: Url,
    /// What relative action URLs resolve against; `None`: they cannot be opened.
    pub application_url: Option<Url>,
    /// Hosts that absolute action URLs may name besides the application's own, as `host` or `host:port`.
    pub action_hosts: Vec<String>,
    /// How often a page without live updates asks for its counts, and a live one is checked.
    pub refresh: Duration,
    /// How long a session lasts that is not used.
    pub session_idle: TimeDelta,
    /// How long a session lasts at most.
    pub session_absolute: TimeDelta,
    /// Proxies whose `X-Forwarded-For` is believed; log-in attempts are limited by the address found so.
    pub trusted_proxies: Vec<IpAddr>,
    /// The periodic jobs, to be shown.
    pub periodic: Vec<Periodic>,
    /// The header in which a trusted proxy names who is logged in; `None`: people log in here.
    pub user_header: Option<HeaderName>,
    /// Origins whose pages may show ours in a frame; none: nobody.
    pub frame_ancestors: Vec<String>,
    /// What the host application shows on the dashboard.
    pub panels: Vec<Panel>,
    /// What return paths were signed with, to know them when bounces come; and what secrets are sealed with.
    pub keys: Arc<KeyRing>,
    /// Mail may go readable over a network.
    pub allow_plaintext: bool,
    /// Who one can be by one press, in a demo; outside of it nobody.
    pub personas: Vec<Persona>,
}

impl Settings {
    /// The defaults, for a server that people reach at `public_url`.
    pub fn new(public_url: Url) -> Self {
        Self {
            public_url,
            application_url: None,
            action_hosts: Vec::new(),
            refresh: Duration::from_secs(30),
            session_idle: TimeDelta::hours(12),
            session_absolute: TimeDelta::days(7),
            trusted_proxies: Vec::new(),
            periodic: Vec::new(),
            user_header: None,
            frame_ancestors: Vec::new(),
            panels: Vec::new(),
            keys: Arc::default(),
            allow_plaintext: false,
            personas: Vec::new(),
        }
    }

    pub(crate) fn is_https(&self) -> bool {
        self.public_url.scheme() == "https"
    }
}

/// The web side of one Herald. Clones share everything.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

/// The parts that handlers use.
pub struct Inner {
    pub(crate) pool: PgPool,
    pub(crate) producer: Producer,
    pub(crate) queues: Queues,
    pub(crate) clock: Clock,
    pub(crate) authoring: Authoring,
    pub(crate) reminders: Reminders,
    pub(crate) settings: Settings,
    pub(crate) destinations: Destinations,
    pub(crate) attempts: Attempts,
    pub(crate) passwords: Passwords,
    pub(crate) rates: Rates,
    /// Files that may still come in at once.
    pub(crate) uploads: Semaphore,
    pub(crate) hub: Hub,
    _listening: AbortOnDropHandle<()>,
}

impl App {
    /// Must be made inside a tokio runtime: it starts the task that listens for changes of the inbox, on a connection that it
    /// keeps.
    pub fn new(
        pool: PgPool,
        producer: Producer,
        queues: Queues,
        clock: Clock,
        authoring: Authoring,
        settings: Settings,
    ) -> Self {
        let hub = Hub::default();
        let listening = AbortOnDropHandle::new(tokio::spawn(live::follow(pool.clone(), hub.clone())));
        let destinations = Destinations {
            application: settings.application_url.clone(),
            hosts: settings.action_hosts.clone(),
        };
        let reminders = Reminders::new(producer.clone(), authoring.reader().clone());
        let inner = Inner {
            pool,
            reminders,
            producer,
            queues,
            clock,
            authoring,
            settings,
            destinations,
            attempts: Attempts::default(),
            passwords: Passwords::default(),
            rates: Rates::default(),
            uploads: Semaphore::new(AT_ONCE),
            hub,
            _listening: listening,
        };
        Self { inner: Arc::new(inner) }
    }
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}
