//! `herald demo`: all of Herald on private servers, with a small company whose messages arrive while one watches.

pub mod company;
mod drill;
mod pages;
mod story;
mod trouble;
mod worker;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use herald_jobs::address::Username;
use herald_jobs::store;
use herald_web::access::NewToken;
use herald_web::{Persona, Role};
use tokio::net::TcpListener;
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;

use crate::catcher::{self, Catcher, Gateway};
use crate::commands::serve::{self, Part};
use crate::config::Config;
use crate::private;
use crate::servers::Servers;
use crate::wiring::Wiring;
use drill::Drill;
use trouble::Trouble;
use worker::Worker;

pub use worker::run as work;

/// What everybody in the demo logs in with.
const PASSWORD: &str = "herald-demo";
/// Who is in the company, and what for.
const PEOPLE: [(&str, Role); 3] =
    [("bob", Role::Requester), ("ann", Role::Approver), ("ada", Role::Administrator)];
/// How long the first message may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the demo until Ctrl-C, or until the first message was seen.
///
/// # Errors
/// A part cannot be started; the error says why.
pub async fn run(mut config: Config, until_first_message: bool) -> Result<()> {
    let begun = Instant::now();
    config.database.url.clear();
    config.redis.url.clear();
    let home = private::home()?.join("demo");
    let servers = Arc::new(AsyncMutex::new(Servers::provide(&mut config, &home).await?));
    config.templates.functions = home.join("functions");
    company::write_functions(&config.templates.functions)?;
    let ended = on_servers(config, servers.clone(), begun, until_first_message).await;
    servers.lock().await.stop().await?;
    ended
}

async fn on_servers(
    mut config: Config,
    servers: Arc<AsyncMutex<Servers>>,
    begun: Instant,
    until_first_message: bool,
) -> Result<()> {
    let stop = serve::stop_signal()?;
    let pages = listen("127.0.0.1:8025").await?;
    let pages_at = pages.local_addr()?;
    config.web.listen = free(&config.web.listen).await?;
    config.web.ops_listen = free(&config.web.ops_listen).await?;
    config.sms.allow_private = true;
    config.web.application_url = format!("http://{pages_at}/");
    // Somebody watches, and skips weeks.
    config.periodic.reminders.every = 5;
    config.web.session_idle_hours = 24 * 365;
    config.web.session_days = 365;

    let mut wiring = Wiring::new(config, "demo", 10)?;
    wiring.personas = PEOPLE.map(|(name, role)| Persona { username: name.to_owned(), role }).into();
    serve::migrated(&wiring).await?;
    let settings = catcher::Settings::new(wiring.clock.clone());
    let catcher = Arc::new(Catcher::start(SocketAddr::from(([127, 0, 0, 1], 0)), settings).await?);
    let gateway = Arc::new(Gateway::start(wiring.clock.clone()).await?);
    load(&wiring, catcher.address().port(), &gateway.url()).await?;

    let worker = Worker::new(&wiring.config, &wiring.clock);
    let kept = tokio::spawn(worker.clone().keep(stop.clone()));
    let trouble = Arc::new(Trouble {
        worker,
        drill: Drill::new(wiring.producer(), wiring.pool.clone(), wiring.clock.clone()),
        servers,
        redis_url: wiring.config.redis.url.clone(),
        catcher: catcher.clone(),
        clock: wiring.clock.clone(),
        deeds: Mutex::new(VecDeque::new()),
        figures: Mutex::new(None),
    });
    let router = pages::router((catcher, gateway), trouble, &wiring, pages_at)?;
    let told = stop.clone();
    let shown = tokio::spawn(async move { herald_web::serve(pages, router, told).await });
    let banner = announce(&wiring, pages_at, begun, until_first_message, stop.clone());
    let (ended, announced) = tokio::join!(serve::run(&wiring, &[Part::Web], stop.clone()), banner);
    shown.await??;
    ended.and(kept.await?).and(announced)
}

/// The company, its people's password, and the mail server and SMS gateway that catch everything.
async fn load(wiring: &Wiring, smtp_port: u16, sms_url: &str) -> Result<()> {
    company::found(&wiring.pool, &wiring.authoring()?).await?;
    company::remind(&wiring.reminders()?).await?;
    store::registry::mark_caught(&wiring.pool).await?;
    for (name, _) in PEOPLE {
        let name = Username::parse(name).map_err(anyhow::Error::msg)?;
        if store::users::password_hash(&wiring.pool, &name).await?.is_none()
            && let Some(user) = store::users::by_name(&wiring.pool, &name).await?
        {
            let hash = herald_web::access::hash_password(PASSWORD)?;
            store::users::set_password_hash(&wiring.pool, user.id, &hash).await?;
        }
    }
    let port = smtp_port.to_string();
    let settings = [
        ("SMTP-SERVER", "127.0.0.1"),
        ("SMTP-PORT", &port),
        ("SMTP-SECURITY", "none"),
        ("SMTP-FROM", "herald@demo.example"),
        ("SMS-PROVIDER", "http"),
        ("SMS-URL", sms_url),
        ("SMS-BODY", r##"{"to": "#to#", "text": "#text#"}"##),
        ("SMS-ID", "/sid"),
    ];
    for (key, value) in settings {
        store::registry::set(&wiring.pool, key, Some(value)).await?;
    }
    Ok(())
}

/// Sends the first message, waits until it is in its inbox, says where everything is, and goes on telling the story.
async fn announce(
    wiring: &Wiring,
    pages: SocketAddr,
    begun: Instant,
    until_first_message: bool,
    stop: CancellationToken,
) -> Result<()> {
    let told = tokio::select! {
        told = tell(wiring, pages, begun, until_first_message) => told,
        () = stop.cancelled() => Ok(()),
    };
    if until_first_message || told.is_err() {
        stop.cancel();
    }
    told
}

async fn tell(wiring: &Wiring, pages: SocketAddr, begun: Instant, until_first_message: bool) -> Result<()> {
    let producer = wiring.producer();
    let first = story::first(&producer).await?;
    while producer.standing(first).await?.is_none_or(|standing| standing.status == "accepted") {
        anyhow::ensure!(
            begun.elapsed() < PATIENCE,
            "the first message did not arrive within {} s",
            PATIENCE.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("\n  Herald runs: first message seen after {:.1} s.", begun.elapsed().as_secs_f64());
    if until_first_message {
        return Ok(());
    }
    let token = NewToken { name: "demo".into(), sender: "report_task".into(), ..NewToken::default() };
    let token = herald_web::access::new_api_token(&wiring.pool, &wiring.clock, token, "demo").await?;
    let web = wiring.public_url()?;
    println!(
        r#"
  Inbox     {web}   log in as ann, password {PASSWORD}; one press makes you bob or ada
  Break it  http://{pages}/break   kill the worker, empty Redis, crash Postgres, cut mails, and see what is lost
  Mail      http://{pages}/   what went out by e-mail; the links in it answer
  Orders    http://{pages}/po   purchase orders, and how they are decided
  SMS       http://{pages}/sms   what went out by SMS
  Metrics   http://{ops}/metrics

  Send the next message, and watch it arrive:

    {psql} '{database}' -c "select herald.send_message('ann', 'Hello from SQL', 'VIEW-NORMAL', 'report_task', '7')"

    curl -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \
      -d '{{"recipient": "ann", "message_type": "ALERT-EMAIL", "message_text": "Hello from HTTP", "sender_instance": "7"}}' \
      {web}api/v1/messages

    {herald} send --to ann --type ALERT-YESNO --text 'Hello from the shell. Shall we go on?' --sender bob

  Ctrl-C ends it all.
"#,
        ops = wiring.config.web.ops_listen,
        psql = private::psql().unwrap_or_else(|| "psql".into()).display(),
        database = wiring.config.database.url,
        herald = std::env::current_exe()?.display(),
    );
    let going_on = story::go_on(&producer, &wiring.pool, &wiring.clock);
    tokio::join!(going_on, story::follow_decisions(&wiring.pool));
    Ok(())
}

/// `address` if nobody has it, else another port.
async fn free(address: &str) -> Result<String> {
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind("127.0.0.1:0").await?,
    };
    Ok(listener.local_addr()?.to_string())
}

async fn listen(address: &str) -> Result<TcpListener> {
    Ok(TcpListener::bind(free(address).await?).await?)
}
