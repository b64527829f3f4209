//! The panel that breaks things, and shows what becomes of messages meanwhile.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use askama::Template;
use axum::extract::{Form, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use herald_jobs::clock::Clock;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::Mutex as AsyncMutex;

use super::drill::{Drill, Figures};
use super::pages::{Demo, page, unavailable};
use super::worker::Worker;
use crate::catcher::{Behaviour, Catcher, Deed, Phase};
use crate::private::Stop;
use crate::servers::Servers;

/// How long mail conversations are cut.
const CUT: Duration = Duration::from_secs(10);
/// How long the page waits for the database.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most messages of a drill.
const MOST: usize = 5_000;
/// Deeds that are told.
const TOLD: usize = 8;

/// What can be broken, and what was.
pub(super) struct Trouble {
    pub(super) worker: Arc<Worker>,
    pub(super) drill: Arc<Drill>,
    pub(super) servers: Arc<AsyncMutex<Servers>>,
    pub(super) redis_url: String,
    pub(super) catcher: Arc<Catcher>,
    pub(super) clock: Clock,
    pub(super) deeds: Mutex<VecDeque<String>>,
    /// The last that could be read.
    pub(super) figures: Mutex<Option<Figures>>,
}

#[derive(Template)]
#[template(path = "demo/break.html")]
struct Panel {
    shown: Shown,
}

#[derive(Template)]
#[template(path = "demo/figures.html")]
struct Shown {
    figures: Option<Figures>,
    /// The database does not answer: the figures are the last ones.
    stale: bool,
    worker: Option<u32>,
    begun: u32,
    deeds: Vec<String>,
}

/// GET /break
pub(super) async fn show(State(demo): State<Demo>) -> Response {
    page(&Panel { shown: demo.trouble.shown().await })
}

/// GET /break/figures: the part of the page that changes.
pub(super) async fn figures(State(demo): State<Demo>) -> Response {
    page(&demo.trouble.shown().await)
}

/// GET /follow.js: asks for a part of a page again and again.
pub(super) async fn script() -> Response {
    const SCRIPT: &str = include_str!("../../templates/demo/follow.js");
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response()
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    many: usize,
}

/// POST /break/send
pub(super) async fn send(State(demo): State<Demo>, Form(Wanted { many }): Form<Wanted>) -> Response {
    demo.trouble.drill.begin(many.clamp(1, MOST));
    Redirect::to("/break").into_response()
}

/// POST /break/{what}
pub(super) async fn make(State(demo): State<Demo>, Path(what): Path<String>) -> Response {
    let trouble = demo.trouble;
    let made = match what.as_str() {
        "worker" => {
            trouble.kill_worker();
            Ok(())
        }
        "redis" => trouble.empty_redis().await,
        "postgres" => {
            // Stopping and starting a server is no future that may change its thread.
            let here = Handle::current();
            tokio::task::spawn_blocking(move || here.block_on(trouble.crash_postgres()));
            Ok(())
        }
        "smtp" => {
            tokio::spawn(trouble.cut_mail());
            Ok(())
        }
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    match made {
        Ok(()) => Redirect::to("/break").into_response(),
        Err(error) => unavailable(&error),
    }
}

impl Trouble {
    fn kill_worker(&self) {
        match self.worker.kill() {
            Some(pid) => self.tell(&format!("The worker, process {pid}, was killed.")),
            None => self.tell("The worker was down already."),
        }
    }

    async fn empty_redis(&self) -> Result<()> {
        let client = redis::Client::open(self.redis_url.as_str()).context("redis.url")?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let keys: u64 = redis::cmd("DBSIZE").query_async(&mut connection).await?;
        redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await?;
        self.tell(&format!("Redis was emptied: {keys} keys are gone."));
        Ok(())
    }

    async fn crash_postgres(self: Arc<Self>) {
        let mut servers = self.servers.lock().await;
        let Some(private) = servers.private() else { return };
        let begun = Instant::now();
        let postgres = private.postgres_mut();
        let crashed = async {
            postgres.stop(Stop::Abrupt).await?;
            postgres.start_again().await
        };
        match crashed.await {
            Ok(()) => self.tell(&format!(
                "Postgres crashed, and was back after {:.1} s.",
                begun.elapsed().as_secs_f64()
            )),
            Err(error) => self.tell(&format!("Postgres crashed, and did not come back: {error:#}")),
        }
    }

    /// Before the text: so it is certain that nothing was taken, and the mail is tried again.
    async fn cut_mail(self: Arc<Self>) {
        let before = self.catcher.traffic().connections;
        self.catcher.set_behaviour(Behaviour::at(Phase::Data, Deed::Cut));
        self.tell(&format!("Mail conversations are cut for {} s.", CUT.as_secs()));
        tokio::time::sleep(CUT).await;
        self.catcher.set_behaviour(Behaviour::default());
        let many = self.catcher.traffic().connections - before;
        self.tell(&format!("Mails go through again, after {many} connections."));
    }

    fn tell(&self, deed: &str) {
        let mut deeds = self.deeds.lock().unwrap_or_else(PoisonError::into_inner);
        deeds.push_front(format!("{} UTC: {deed}", self.clock.now().format("%H:%M:%S")));
        deeds.truncate(TOLD);
    }

    async fn shown(&self) -> Shown {
        let read = tokio::time::timeout(PATIENCE, self.drill.figures(self.catcher.mailbox())).await;
        let stale = !matches!(read, Ok(Ok(_)));
        let mut last = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(Ok(figures)) = read {
            *last = figures;
        }
        Shown {
            figures: last.clone(),
            stale,
            worker: self.worker.pid(),
            begun: self.worker.begun(),
            deeds: self.deeds.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect(),
        }
    }
}
