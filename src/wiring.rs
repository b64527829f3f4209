//! Puts the crates together: from settings to the parts that the commands run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::TimeDelta;
use herald_jobs::attachment::Limits;
use herald_jobs::authoring::Authoring;
use herald_jobs::clock::Clock;
use herald_jobs::periodic::PeriodicName;
use herald_jobs::queues::Queues;
use herald_jobs::retention::Retention;
use herald_jobs::store;
use herald_producers::Producer;
use herald_producers::numbers::Region;
use herald_producers::reminders::Reminders;
use herald_queue::Redis;
use herald_web::Persona;
use herald_web::schedule::{Periodic, Schedule, Slots};
use herald_workers::AnswerLinks;
use herald_workers::settings::Access;
use herald_workers::window::{Window, Windows};
use sqlx::PgPool;
use url::Url;

use crate::config::{self, Config, Hours};
use crate::keys;

/// What most commands need.
pub struct Wiring {
    /// The settings.
    pub config: Config,
    /// The database.
    pub pool: PgPool,
    /// The queues.
    pub queues: Queues,
    /// The time.
    pub clock: Clock,
    /// Where numbers without a country code belong.
    pub region: Option<Region>,
    /// Who one can be in the demo; elsewhere nobody, whatever the settings say.
    pub personas: Vec<Persona>,
}

impl Wiring {
    /// Connects to what `config` names, with at most `connections` to the database.
    ///
    /// # Errors
    /// An address is malformed.
    pub fn new(config: Config, name: &str, connections: u32) -> Result<Self> {
        let pool = store::pool(&config.database.url, name, connections).context("database.url")?;
        let redis = Redis::open(&config.redis.url).context("redis.url")?;
        let options =
            herald_queue::Options { prefix: config.redis.prefix.clone(), ..herald_queue::Options::default() };
        let region = Some(config.sms.region.as_str()).filter(|region| !region.is_empty());
        let region = region.map(str::parse).transpose().map_err(anyhow::Error::msg).context("sms.region")?;
        Ok(Self {
            pool,
            queues: Queues::new(redis, &options),
            clock: Clock::system(),
            region,
            personas: Vec::new(),
            config,
        })
    }

    /// A producer over these servers.
    pub fn producer(&self) -> Producer {
        let max_depth = self.config.worker.max_depth;
        let (region, attachments) = (self.region, self.attachments());
        let options = herald_producers::Options { max_depth, region, attachments };
        Producer::new(self.pool.clone(), self.queues.clone(), self.clock.clone(), options)
    }

    /// The workers' context over these servers.
    ///
    /// # Errors
    /// The database's address is malformed, the keys of secrets cannot be read, or there is no such directory of functions.
    pub fn workers(&self) -> Result<herald_workers::Context> {
        let worker = &self.config.worker;
        let domain = &self.config.email.message_id_domain;
        let options = herald_workers::Options {
            batch: worker.batch,
            commits: worker.commits,
            sessions: worker.sessions,
            max_depth: worker.max_depth,
            takeover_after: Duration::try_from_secs_f64(worker.takeover_after)
                .context("worker.takeover_after")?,
            grace: Duration::from_secs(worker.grace),
            allow_private_sms: self.config.sms.allow_private,
            allow_private_webhooks: self.config.webhook.allow_private,
            answer_links: self.answer_links()?,
            functions_dir: self.functions_dir()?,
            message_id_domain: (!domain.is_empty()).then(|| domain.clone()),
            attachments: self.attachments(),
            region: self.region,
            retention: self.retention(),
            windows: self.windows()?,
            registry: self.registry_access()?,
            ..herald_workers::Options::default()
        };
        let (queues, clock) = (self.queues.clone(), self.clock.clone());
        herald_workers::Context::new(&self.config.database.url, queues, clock, options)
            .context("database.url")
    }

    /// How long what is done with is kept.
    pub fn retention(&self) -> Retention {
        let crate::config::Purge {
            history_days,
            ledger_days,
            token_days,
            audit_days,
            run_days,
            event_days,
            answer_days,
        } = self.config.purge;
        Retention { history_days, ledger_days, token_days, audit_days, run_days, event_days, answer_days }
    }

    /// What runs and checks reminder rules.
    ///
    /// # Errors
    /// The database's address is malformed.
    pub fn reminders(&self) -> Result<Reminders> {
        let reader =
            store::catalogue::reader(&self.config.database.url, "reminders", 2).context("database.url")?;
        Ok(Reminders::new(self.producer(), reader))
    }

    /// Where templates are checked and saved.
    ///
    /// # Errors
    /// The database's address is malformed, or there is no such directory of functions.
    pub fn authoring(&self) -> Result<Authoring> {
        let reader =
            store::catalogue::reader(&self.config.database.url, "models", 2).context("database.url")?;
        Ok(Authoring::new(self.pool.clone(), reader, self.functions_dir()?))
    }

    /// What may be made of the Application Registry: with the keys that are configured, if any.
    ///
    /// # Errors
    /// The keys cannot be read, or others can read them; the certificates cannot be read.
    pub fn registry_access(&self) -> Result<Access> {
        let keys = keys::load(&self.config.secrets)?.unwrap_or_default();
        let email = &self.config.email;
        let file = Some(&email.authorities_file).filter(|file| !file.as_os_str().is_empty());
        let authorities = file.map(std::fs::read_to_string).transpose();
        let mail_authorities = authorities
            .with_context(|| format!("email.authorities_file: {}", email.authorities_file.display()))?;
        let (keys, allow_plaintext) = (Arc::new(keys), email.allow_plaintext);
        Ok(Access { keys, allow_plaintext, mail_authorities, ..Access::default() })
    }

    fn answer_links(&self) -> Result<Option<AnswerLinks>> {
        let days = self.config.email.answer_link_days;
        let life = TimeDelta::days(days.into());
        let links = (days > 0).then(|| Ok(AnswerLinks { public_url: self.public_url()?, life }));
        links.transpose()
    }

    fn windows(&self) -> Result<Windows> {
        let delivery = &self.config.delivery;
        let window = |hours: &Hours, setting: &'static str| {
            let set = (!hours.window.trim().is_empty()).then(|| Window::parse(&hours.window, hours.zone));
            set.transpose().map_err(anyhow::Error::msg).context(setting)
        };
        Ok(Windows {
            email: window(&delivery.email, "delivery.email.window")?,
            sms: window(&delivery.sms, "delivery.sms.window")?,
        })
    }

    fn attachments(&self) -> Limits {
        let email = &self.config.email;
        let root = (!email.attachment_root.as_os_str().is_empty()).then(|| email.attachment_root.clone());
        Limits { total: email.attachment_limit, root }
    }

    fn functions_dir(&self) -> Result<Option<PathBuf>> {
        let dir = &self.config.templates.functions;
        if dir.as_os_str().is_empty() {
            return Ok(None);
        }
        ensure!(dir.is_dir(), "templates.functions: there is no directory {}", dir.display());
        Ok(Some(dir.clone()))
    }

    /// The address that people use.
    ///
    /// # Errors
    /// It is malformed.
    pub fn public_url(&self) -> Result<Url> {
        let web = &self.config.web;
        let url =
            if web.public_url.is_empty() { format!("http://{}", web.listen) } else { web.public_url.clone() };
        url.parse().with_context(|| format!("web.public_url: {url}"))
    }

    /// How the pages behave.
    ///
    /// # Errors
    /// An address is malformed.
    pub fn web(&self) -> Result<herald_web::Settings> {
        let web = &self.config.web;
        let application = (!web.application_url.is_empty()).then(|| web.application_url.parse());
        let public_url = self.public_url()?;
        let panel = |panel: &config::Panel| {
            let url = panel.url.parse().with_context(|| format!("web.panels: {}", panel.url))?;
            Ok(herald_web::Panel { title: panel.title.clone(), url })
        };
        let user_header = (!web.user_header.is_empty()).then(|| web.user_header.parse());
        anyhow::ensure!(
            user_header.is_none() || !web.trusted_proxies.is_empty(),
            "web.user_header is set, but web.trusted_proxies names no proxy that it could come from"
        );
        for origin in &web.frame_ancestors {
            let url: Url = origin.parse().with_context(|| format!("web.frame_ancestors: {origin}"))?;
            anyhow::ensure!(
                url.origin().ascii_serialization() == *origin,
                "web.frame_ancestors: {origin} is not an origin, such as https://erp.example.com"
            );
        }
        // As they stand in addresses, those of other alphabets too.
        let hosts = web.action_hosts.iter().map(|host| {
            let url = Url::parse(&format!("https://{host}")).ok();
            let url = url.filter(|url| {
                url.path() == "/" && url.username().is_empty() && !host.contains(['/', '?', '#'])
            });
            let place = url.as_ref().and_then(|url| Some((url.host_str()?, url.port())));
            match place {
                Some((name, Some(port))) => Ok(format!("{name}:{port}")),
                Some((name, None)) => Ok(name.to_owned()),
                None => anyhow::bail!("web.action_hosts: {host} is no host, such as pay.example.com"),
            }
        });
        Ok(herald_web::Settings {
            user_header: user_header.transpose().context("web.user_header")?,
            frame_ancestors: web.frame_ancestors.clone(),
            panels: web.panels.iter().map(panel).collect::<Result<_>>()?,
            application_url: application
                .transpose()
                .context("web.application_url")?
                .or(Some(public_url.clone())),
            action_hosts: hosts.collect::<Result<_>>()?,
            refresh: Duration::from_secs(web.refresh),
            session_idle: TimeDelta::hours(web.session_idle_hours.into()),
            session_absolute: TimeDelta::days(web.session_days.into()),
            trusted_proxies: web.trusted_proxies.clone(),
            periodic: self.periodic()?,
            keys: self.registry_access()?.keys,
            allow_plaintext: self.config.email.allow_plaintext,
            personas: self.personas.clone(),
            ..herald_web::Settings::new(public_url)
        })
    }

    /// What the schedule starts, and when.
    ///
    /// # Errors
    /// A job's slots cannot be.
    pub fn schedule(&self) -> Result<Schedule> {
        Ok(Schedule::new(self.queues.clone(), self.periodic()?))
    }

    /// The periodic jobs, enabled or not.
    ///
    /// # Errors
    /// A job's slots cannot be.
    pub fn periodic(&self) -> Result<Vec<Periodic>> {
        let periodic = &self.config.periodic;
        let jobs = [(PeriodicName::Purge, &periodic.purge), (PeriodicName::Reminders, &periodic.reminders)];
        let jobs = jobs.into_iter().map(|(name, slot)| {
            let slots = Slots::new(Duration::from_secs(slot.every), slot.start, slot.zone);
            let slots = slots.with_context(|| format!("periodic.{name}"))?;
            Ok(Periodic { name, slots, enabled: slot.enabled })
        });
        jobs.collect()
    }
}
