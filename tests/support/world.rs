//! A Herald of a test's own: web and workers in this process, on servers of the test's own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use herald::private::Redis;
use herald_jobs::address::Username;
use herald_jobs::authoring::Authoring;
use herald_jobs::clock::Clock;
use herald_jobs::id::MessageId;
use herald_jobs::message_type::{MessageType, OnUnknown, RequiredAction};
use herald_jobs::queues::Queues;
use herald_jobs::seal::{self, KeyRing};
use herald_jobs::store;
use herald_jobs::store::users::NewUser;
use herald_producers::{NewMessage, Producer};
use herald_web::access::NewToken;
use herald_web::{App, Settings};
use herald_workers::AnswerLinks;
use herald_workers::settings::Access;
use reqwest::header::{HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Method, RequestBuilder, StatusCode};
use ring::rand::SystemRandom;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::support::herald::Workers;
use crate::support::{eventually, servers};

/// The password of every user of a test.
pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// The host that relative actions lead to, and one that absolute ones may.
pub(crate) const ERP: &str = "http://erp.example";

pub(crate) struct World {
    pub(crate) pool: PgPool,
    pub(crate) queues: Queues,
    pub(crate) clock: Clock,
    pub(crate) producer: Producer,
    pub(crate) app: App,
    /// What return paths are signed with, and secrets sealed.
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) redis: Redis,
    /// Where the pages are, without a slash at the end.
    pub(crate) url: String,
    pub(crate) stop: CancellationToken,
    workers: Mutex<Option<Workers>>,
    pub(crate) database_url: String,
    _database: servers::Database,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same under settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        super::show_warnings();
        let database = servers::database().await;
        let redis = servers::redis().await;
        let clock = Clock::system();
        let pool = store::pool(&database.url, "test", 10).unwrap();
        store::migrate(&pool).await.unwrap();
        let queues =
            Queues::new(herald_queue::Redis::open(&redis.url()).unwrap(), &herald_queue::Options::default());
        let producer =
            Producer::new(pool.clone(), queues.clone(), clock.clone(), herald_producers::Options::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = seal::new_key(&SystemRandom::new()).unwrap();
        let keys: Arc<KeyRing> = Arc::new(key.expose().parse().unwrap());
        let mut settings = Settings {
            keys: keys.clone(),
            application_url: Some(ERP.parse().unwrap()),
            action_hosts: vec!["pay.example".to_owned()],
            refresh: Duration::from_millis(500),
            ..Settings::new(url.parse().unwrap())
        };
        change(&mut settings);
        let reader = store::catalogue::reader(&database.url, "test models", 2).unwrap();
        let authoring = Authoring::new(pool.clone(), reader, None);
        let app =
            App::new(pool.clone(), producer.clone(), queues.clone(), clock.clone(), authoring, settings);
        let stop = CancellationToken::new();
        tokio::spawn(herald_web::serve(listener, herald_web::router(app.clone()), stop.clone()));
        let options = herald_workers::Options {
            registry: Access { keys: keys.clone(), ..Access::default() },
            answer_links: Some(AnswerLinks { public_url: url.parse().unwrap(), life: TimeDelta::days(14) }),
            allow_private_webhooks: true,
            ..herald_workers::Options::default()
        };
        let context =
            herald_workers::Context::new(&database.url, queues.clone(), clock.clone(), options).unwrap();
        let workers = stop.child_token();
        let ended = tokio::spawn(herald_workers::run(context, workers.clone()));
        let workers = Mutex::new(Some(Workers { stop: workers, ended }));
        let database_url = database.url.clone();
        Self {
            pool,
            queues,
            clock,
            producer,
            app,
            keys,
            redis,
            url,
            stop,
            workers,
            database_url,
            _database: database,
        }
    }

    /// Stops the workers in order: from now on everything stays where it is.
    pub(crate) async fn stop_workers(&self) {
        let workers = self.workers.lock().unwrap().take().unwrap();
        workers.stop().await;
    }

    /// Adds a user who can log in.
    pub(crate) async fn user(&self, name: &str) -> i64 {
        let name = Username::parse(name).unwrap();
        let id = store::users::upsert(&self.pool, &name, &NewUser::default()).await.unwrap();
        let hash = herald_web::access::hash_password(PASSWORD).unwrap();
        store::users::set_password_hash(&self.pool, id, &hash).await.unwrap();
        id
    }

    /// Adds a user, and a browser that is logged in as such.
    pub(crate) async fn logged_in(&self, name: &str) -> Browser {
        self.user(name).await;
        let browser = self.browser();
        let entered = browser.log_in(name, PASSWORD).await;
        assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.body);
        browser
    }

    /// Adds an administrator, and a browser that is logged in as such.
    pub(crate) async fn administrator(&self, name: &str) -> Browser {
        self.in_role(name, "admin").await
    }

    /// Adds a user with a role, and a browser that is logged in as such.
    pub(crate) async fn in_role(&self, name: &str, role: &str) -> Browser {
        let id = self.user(name).await;
        let mut connection = self.pool.acquire().await.unwrap();
        store::users::set_roles(&mut *connection, id, &[role.to_owned()]).await.unwrap();
        self.logged_in(name).await
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser { url: self.url.clone(), http: http(), cookies: Arc::default(), form_token: Arc::default() }
    }

    /// Adds a message type.
    pub(crate) async fn message_type(&self, code: &str, required_action: RequiredAction, url: Option<&str>) {
        self.put(message_type(code, required_action, url)).await;
    }

    pub(crate) async fn put(&self, kind: MessageType) {
        store::message_types::put(&self.pool, &kind).await.unwrap();
    }

    /// Sends a message and waits until it is in its inbox.
    pub(crate) async fn send(&self, recipient: &str, kind: &str, text: &str) -> MessageId {
        self.send_with(message(recipient, kind, text)).await
    }

    pub(crate) async fn send_with(&self, message: NewMessage) -> MessageId {
        let id = self.producer.send(message).await.unwrap();
        eventually("the message to arrive", async || self.status(id).await == "pending").await;
        id
    }

    pub(crate) async fn status(&self, id: MessageId) -> String {
        self.producer.standing(id).await.unwrap().unwrap().status
    }

    /// A request to the API under a token.
    pub(crate) fn api(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        http().request(method, format!("{}/api/v1{path}", self.url)).bearer_auth(token)
    }

    /// The program over these servers, whatever the test's own environment says.
    pub(crate) fn command(&self, arguments: &[String]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_herald"));
        command
            .args(arguments)
            .env_clear()
            .env("HERALD__DATABASE__URL", &self.database_url)
            .env("HERALD__REDIS__URL", self.redis.url())
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .kill_on_drop(true);
        command
    }

    /// A token that sends as `sender`.
    pub(crate) async fn token(&self, sender: &str, life: Option<TimeDelta>) -> String {
        self.token_of(NewToken { sender: sender.to_owned(), life, ..NewToken::default() }).await
    }

    /// A token as it is told to be.
    pub(crate) async fn token_of(&self, token: NewToken) -> String {
        let token = NewToken { name: "test".to_owned(), ..token };
        herald_web::access::new_api_token(&self.pool, &self.clock, token, "test").await.unwrap()
    }

    /// A token that may change templates and models.
    pub(crate) async fn admin_token(&self) -> String {
        self.token_of(NewToken { sender: "erp".to_owned(), admin: true, ..NewToken::default() }).await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn message(recipient: &str, kind: &str, text: &str) -> NewMessage {
    NewMessage {
        recipient: recipient.to_owned(),
        message_type: kind.to_owned(),
        message_text: text.to_owned(),
        subject: Some(text.chars().take(40).collect()),
        sender: "report_task".to_owned(),
        sender_instance: Some("7".to_owned()),
        ..NewMessage::default()
    }
}

pub(crate) fn message_type(code: &str, required_action: RequiredAction, url: Option<&str>) -> MessageType {
    MessageType {
        code: code.to_owned(),
        description: format!("A {code}"),
        required_action,
        action_url: url.map(str::to_owned),
        on_unknown: OnUnknown::Hold,
        ..MessageType::default()
    }
}

pub(crate) fn http() -> reqwest::Client {
    // The first test of the process installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// A browser without a script: it keeps cookies and sends the form token of the page that it saw last.
#[derive(Clone)]
pub(crate) struct Browser {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    cookies: Arc<Mutex<Vec<(String, String)>>>,
    form_token: Arc<Mutex<String>>,
}

pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Page {
    /// Where it leads.
    pub(crate) fn location(&self) -> &str {
        self.headers.get(LOCATION).map_or("", |value| value.to_str().unwrap())
    }
}

impl Browser {
    /// The bytes of an answer.
    pub(crate) async fn bytes(&self, path: &str) -> Vec<u8> {
        let request = self.http.get(format!("{}{path}", self.url)).header("cookie", self.cookie());
        request.send().await.unwrap().bytes().await.unwrap().to_vec()
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.answer(self.http.get(format!("{}{path}", self.url))).await
    }

    /// Sends a form with the token that the last page showed.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let token = self.form_token.lock().unwrap().clone();
        let mut all = vec![("form_token", token.as_str())];
        all.extend(fields);
        self.post_raw(path, &all).await
    }

    /// Sends a form as it is.
    pub(crate) async fn post_raw(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        self.answer(self.form(path, fields)).await
    }

    pub(crate) fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.http
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }

    pub(crate) async fn log_in(&self, name: &str, password: &str) -> Page {
        self.get("/login").await;
        self.post("/login", &[("username", name), ("password", password)]).await
    }

    pub(crate) async fn answer(&self, request: RequestBuilder) -> Page {
        let response = request.header("cookie", self.cookie()).send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        for set in headers.get_all(SET_COOKIE) {
            let set = set.to_str().unwrap();
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            let mut cookies = self.cookies.lock().unwrap();
            cookies.retain(|(known, _)| known != name);
            if !set.contains("Max-Age=0") {
                cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        let body = response.text().await.unwrap();
        if let Some(token) = between(&body, "name=\"form_token\" value=\"", "\"") {
            *self.form_token.lock().unwrap() = token.to_owned();
        }
        Page { status, headers, body }
    }

    /// The cookies as a request header has them.
    pub(crate) fn cookie(&self) -> String {
        let cookies = self.cookies.lock().unwrap();
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// A second window of the same browser.
    pub(crate) fn window(&self) -> Self {
        let cookies = self.cookies.lock().unwrap().clone();
        Self { cookies: Arc::new(Mutex::new(cookies)), form_token: Arc::default(), ..self.clone() }
    }
}

/// The text between two others.
pub(crate) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(it, _)| it)
}
