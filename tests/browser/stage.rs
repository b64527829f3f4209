//! A Herald that runs in this process, with ann and bob, and a browser that ann uses.

use std::ops::Deref;

use fantoccini::Locator;
use herald::commands::serve::{self, Part};
use herald::config::Config;
use herald::private::Redis;
use herald::wiring::Wiring;
use herald_jobs::address::Username;
use herald_jobs::message_type::{MessageType, RequiredAction};
use herald_jobs::store::users::NewUser;
use herald_jobs::store::{self, PgPool};
use herald_producers::{MessageId, NewMessage, Producer};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::browser::Browser;
use crate::support::port::free_port;
use crate::support::{eventually, servers};

pub(crate) const PASSWORD: &str = "correct horse";

/// Everything that a test needs. Dereferences to the browser.
pub(crate) struct Stage {
    pub(crate) browser: Browser,
    /// Where the pages are, without a slash at the end.
    pub(crate) home: String,
    pub(crate) producer: Producer,
    pub(crate) pool: PgPool,
    stop: CancellationToken,
    ended: JoinHandle<anyhow::Result<()>>,
    _redis: Redis,
    _database: servers::Database,
}

impl Deref for Stage {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.browser
    }
}

impl Stage {
    /// Starts it. Nobody is logged in.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same under settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (database, redis) = (servers::database().await, servers::redis().await);
        let port = free_port();
        let mut config = Config::load(None).unwrap();
        config.database.url.clone_from(&database.url);
        config.redis.url = redis.url();
        config.web.listen = format!("127.0.0.1:{port}");
        config.web.ops_listen.clear();
        change(&mut config);
        let home = format!("http://127.0.0.1:{port}");
        let wiring = Wiring::new(config, "test", 5).unwrap();
        prepare(&wiring).await;
        let stop = CancellationToken::new();
        let (producer, pool, told) = (wiring.producer(), wiring.pool.clone(), stop.clone());
        let ended = tokio::spawn(async move { serve::run(&wiring, &[Part::Workers, Part::Web], told).await });
        eventually("the inbox to answer", async || answers(&home).await).await;
        let browser = Browser::start().await;
        if let Ok(latency) = std::env::var("HERALD_TEST_LATENCY") {
            browser.network(false, latency.parse().unwrap()).await;
        }
        Self { browser, home, producer, pool, stop, ended, _redis: redis, _database: database }
    }

    /// Starts it with ann logged in, on her dashboard.
    pub(crate) async fn for_ann() -> Self {
        let stage = Self::start().await;
        stage.log_in().await;
        stage
    }

    pub(crate) async fn log_in(&self) {
        self.go("/login").await;
        self.find("#username").await.send_keys("ann").await.unwrap();
        self.find("#password").await.send_keys(PASSWORD).await.unwrap();
        self.leave_by("button[type=submit]").await;
        self.find("[data-count=alerts]").await;
    }

    pub(crate) async fn go(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.home)).await.unwrap();
    }

    /// Sends ann a message and waits until it is in her inbox.
    pub(crate) async fn send(&self, kind: &str, text: &str) -> MessageId {
        self.send_with(message(kind, text)).await
    }

    pub(crate) async fn send_with(&self, message: NewMessage) -> MessageId {
        let id = self.producer.send(message).await.unwrap();
        eventually("the message to arrive", async || self.status(id).await == "pending").await;
        id
    }

    pub(crate) async fn status(&self, id: MessageId) -> String {
        self.producer.standing(id).await.unwrap().unwrap().status
    }

    pub(crate) async fn becomes_acted(&self, id: MessageId) {
        eventually("the message to be acted on", async || self.status(id).await == "acted").await;
    }

    /// What the counts at the bottom left show: alerts, messages. Read in one go, since a page may go while it is read.
    pub(crate) async fn counts(&self) -> Option<(String, String)> {
        let script = "return ['alerts', 'messages'].map(it => document.querySelector(`[data-count=${it}] strong`).textContent)";
        serde_json::from_value(self.client.execute(script, vec![]).await.ok()?).ok()
    }

    pub(crate) async fn counts_become(&self, alerts: &str, messages: &str) {
        let wanted = (alerts.to_owned(), messages.to_owned());
        eventually("the counts to follow", async || self.counts().await.as_ref() == Some(&wanted)).await;
    }

    pub(crate) async fn address_becomes(&self, address: &str) {
        eventually(address, async || self.address().await == address).await;
    }

    /// Waits until this selects so many elements.
    pub(crate) async fn there_are(&self, many: usize, selector: &str) {
        eventually(selector, async || self.browser.many(selector).await == many).await;
    }

    /// Waits until the list holds one message, whose text has this in it, and no answer is awaited.
    pub(crate) async fn lists_only(&self, text: &str) {
        let script = "const rows = [...document.querySelectorAll('#main:not([aria-busy]) [data-row]')];
            return rows.length === 1 && rows[0].innerText.includes(arguments[0])";
        eventually(text, async || self.run(script, vec![text.into()]).await == true).await;
    }

    /// Goes to the other window, and answers where that leads; the first window has the focus again afterwards.
    pub(crate) async fn other_window(&self) -> String {
        eventually("another tab", async || self.client.windows().await.unwrap().len() == 2).await;
        let inbox = self.client.window().await.unwrap();
        let other = self.client.windows().await.unwrap().into_iter().find(|window| *window != inbox).unwrap();
        self.client.switch_to_window(other).await.unwrap();
        eventually("its address", async || !self.address().await.contains("/act")).await;
        eventually("its address", async || self.address().await.contains('?')).await;
        let address = self.address().await;
        self.client.close_window().await.unwrap();
        self.client.switch_to_window(inbox).await.unwrap();
        address
    }

    /// Ends it in order: the program must stop without an error.
    pub(crate) async fn end(self) {
        self.client.goto("about:blank").await.unwrap();
        self.stop.cancel();
        self.ended.await.unwrap().unwrap();
    }
}

pub(crate) fn message(kind: &str, text: &str) -> NewMessage {
    NewMessage {
        recipient: "ann".into(),
        message_type: kind.into(),
        message_text: text.into(),
        subject: Some(text.chars().take(60).collect()),
        sender: "purchase_order".into(),
        sender_instance: Some("7".into()),
        ..NewMessage::default()
    }
}

/// An XPath to something within the row of this subject.
pub(crate) fn in_row(subject: &str, what: &str) -> String {
    format!("//article[contains(., '{subject}')]//{what}")
}

impl Stage {
    /// The element of an XPath.
    pub(crate) async fn path(&self, path: &str) -> fantoccini::elements::Element {
        self.client.wait().for_element(Locator::XPath(path)).await.unwrap()
    }
}

/// Adds ann and bob, who have a password, an action type, and a type for free text.
async fn prepare(wiring: &Wiring) {
    store::migrate(&wiring.pool).await.unwrap();
    let hash = herald_web::access::hash_password(PASSWORD).unwrap();
    for (name, display) in [("ann", "Ann Archer"), ("bob", "Bob Baker")] {
        let user = NewUser { display_name: Some(display.into()), ..NewUser::default() };
        let id = store::users::upsert(&wiring.pool, &Username::parse(name).unwrap(), &user).await.unwrap();
        store::users::set_password_hash(&wiring.pool, id, &hash).await.unwrap();
    }
    let approve = MessageType {
        code: "APPROVE".into(),
        description: "To approve".into(),
        required_action: RequiredAction::Action,
        action_url: Some("/po/approve?id=&level=".into()),
        ..MessageType::default()
    };
    let free = MessageType {
        code: "FREE".into(),
        description: "To answer".into(),
        required_action: RequiredAction::Reply,
        ..MessageType::default()
    };
    for kind in [approve, free] {
        store::message_types::put(&wiring.pool, &kind).await.unwrap();
    }
}

async fn answers(home: &str) -> bool {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
        .get(format!("{home}/login"))
        .send()
        .await
        .is_ok_and(|answer| answer.status().is_success())
}
