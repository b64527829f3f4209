//! Runs Herald, whole or in parts.

use std::time::Duration;

use anyhow::{Context as _, Result};
use herald_jobs::store;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::private;
use crate::servers::Servers;
use crate::wiring::Wiring;
use crate::{logging, metrics};

/// How long the database may take to come up before a start is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// `herald serve`
///
/// # Errors
/// A part cannot be started, or died.
pub async fn serve(mut config: Config) -> Result<()> {
    logging::start(&config.log)?;
    let mut servers = Servers::provide(&mut config, &private::home()?).await?;
    let ended = with_parts(config, &[Part::Workers, Part::Web]).await;
    servers.stop().await?;
    ended
}

/// `herald worker`
///
/// # Errors
/// A worker cannot be started, or died.
pub async fn worker(config: Config) -> Result<()> {
    logging::start(&config.log)?;
    with_parts(config.with_running_servers()?, &[Part::Workers]).await
}

/// `herald web`
///
/// # Errors
/// The page cannot be served.
pub async fn web(config: Config) -> Result<()> {
    logging::start(&config.log)?;
    with_parts(config.with_running_servers()?, &[Part::Web]).await
}

/// What one process can run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Jobs.
    Workers,
    /// The inbox, the API and the schedule.
    Web,
}

async fn with_parts(config: Config, parts: &[Part]) -> Result<()> {
    let wiring = Wiring::new(config, "web", 10)?;
    let stop = stop_signal()?;
    migrated(&wiring).await?;
    anyhow::ensure!(
        !store::registry::is_caught(&wiring.pool).await?,
        "this database is that of `herald demo`: its mail and SMS are caught and reach nobody. Use another"
    );
    run(&wiring, parts, stop).await
}

/// Runs parts until `stop`, or until one of them dies; then stops the others.
///
/// # Errors
/// A part cannot be started, or died.
pub async fn run(wiring: &Wiring, parts: &[Part], stop: CancellationToken) -> Result<()> {
    let prometheus = metrics::install()?;
    let mut running = JoinSet::new();
    if parts.contains(&Part::Workers) {
        let context = wiring.workers()?;
        let stop = stop.clone();
        running.spawn(async move { Ok(herald_workers::run(context, stop).await?) });
    }
    let web = &wiring.config.web;
    let app = herald_web::App::new(
        wiring.pool.clone(),
        wiring.producer(),
        wiring.queues.clone(),
        wiring.clock.clone(),
        wiring.authoring()?,
        wiring.web()?,
    );
    if parts.contains(&Part::Web) {
        let listener = listen("web.listen", &web.listen).await?;
        tracing::info!("The inbox is at {}", wiring.public_url()?);
        let (router, until) = (herald_web::router(app.clone()), stop.clone());
        running.spawn(async move { Ok(herald_web::serve(listener, router, until).await?) });
        let (schedule, until) = (wiring.schedule()?, stop.clone());
        running.spawn(async move {
            herald_web::schedule::run(schedule, until).await;
            Ok(())
        });
    }
    if !web.ops_listen.is_empty() {
        let listener = listen("web.ops_listen", &web.ops_listen).await?;
        let (router, until) = (herald_web::ops_router(app, prometheus), stop.clone());
        running.spawn(async move { Ok(herald_web::serve(listener, router, until).await?) });
    }
    let mut ended: Result<()> = Ok(());
    // A part that ends before it was told to takes the others with it.
    while let Some(part) = running.join_next().await {
        let part = part.context("a part panicked").flatten();
        if part.is_err() && ended.is_ok() {
            ended = part;
        }
        stop.cancel();
    }
    ended
}

async fn listen(setting: &'static str, address: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{setting}: cannot listen on {address}"))
}

/// Waits for the database, and brings its schema up to date.
///
/// # Errors
/// The database does not come up within a minute, or was migrated by a later version.
pub async fn migrated(wiring: &Wiring) -> Result<()> {
    let begun = std::time::Instant::now();
    while let Err(error) = wiring.pool.acquire().await {
        if begun.elapsed() > PATIENCE {
            return Err(error).context("the database does not answer");
        }
        tracing::warn!("Waits for the database: {error}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    store::migrate(&wiring.pool).await.context("bring the schema up to date")?;
    crate::shipped::install(wiring).await
}

/// Ends with Ctrl-C or SIGTERM. A second one ends the process at once.
///
/// # Errors
/// Signals cannot be caught.
pub fn stop_signal() -> Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        for round in 0..2 {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            if round == 0 {
                tracing::info!("Stops: running jobs are finished, the rest is handed back");
                told.cancel();
            }
        }
        std::process::exit(130);
    });
    Ok(stop)
}
