//! A recipient's day in a real browser.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use fantoccini::{Client, Locator};
use herald::commands::serve::{self, Part};
use herald::config::Config;
use herald::private::Redis;
use herald::wiring::Wiring;
use herald_jobs::address::Username;
use herald_jobs::clock::Clock;
use herald_jobs::message_type::{MessageType, RequiredAction};
use herald_jobs::store;
use herald_jobs::store::users::NewUser;
use herald_producers::{NewMessage, Producer};
use herald_web::access::NewToken;
use support::browser::Browser;
use support::{eventually, servers};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PASSWORD: &str = "correct horse";

/// What the counts at the bottom left show: alerts, messages. Read in one go, since a page may go while it is read.
async fn counts(page: &Client) -> Option<(String, String)> {
    let script = "return ['alerts', 'messages'].map(it => document.querySelector(`[data-count=${it}] strong`).textContent)";
    serde_json::from_value(page.execute(script, vec![]).await.ok()?).ok()
}

async fn counts_become(page: &Client, alerts: &str, messages: &str) {
    let wanted = (alerts.to_owned(), messages.to_owned());
    eventually("the counts to follow", async || counts(page).await.as_ref() == Some(&wanted)).await;
}

fn message(kind: &str, text: &str) -> NewMessage {
    NewMessage {
        recipient: "ann".into(),
        message_type: kind.into(),
        message_text: text.into(),
        subject: Some(text.into()),
        sender: "purchase_order".into(),
        sender_instance: Some("7".into()),
        ..NewMessage::default()
    }
}

/// Adds ann, who has a password, and an action type.
async fn prepare(wiring: &Wiring) {
    store::migrate(&wiring.pool).await.unwrap();
    let ann = NewUser { display_name: Some("Ann Archer".into()), ..NewUser::default() };
    let id = store::users::upsert(&wiring.pool, &Username::parse("ann").unwrap(), &ann).await.unwrap();
    let hash = herald_web::access::hash_password(PASSWORD).unwrap();
    store::users::set_password_hash(&wiring.pool, id, &hash).await.unwrap();
    let approve = MessageType {
        code: "APPROVE".into(),
        description: "To approve".into(),
        required_action: RequiredAction::Action,
        action_url: Some("/po/approve?id=&level=".into()),
        ..MessageType::default()
    };
    store::message_types::put(&wiring.pool, &approve).await.unwrap();
}

/// A Herald that runs in this process.
struct Running {
    home: String,
    producer: Producer,
    pool: store::PgPool,
    stop: CancellationToken,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.ended.await.unwrap().unwrap();
    }
}

async fn start(database: &servers::Database, redis: &Redis) -> Running {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = Config::load(None).unwrap();
    config.database.url.clone_from(&database.url);
    config.redis.url = redis.url();
    config.web.listen = format!("127.0.0.1:{port}");
    config.web.ops_listen.clear();
    let home = format!("http://127.0.0.1:{port}");
    let wiring = Wiring::new(config, "test", 5).unwrap();
    prepare(&wiring).await;
    let stop = CancellationToken::new();
    let (producer, pool, told) = (wiring.producer(), wiring.pool.clone(), stop.clone());
    let ended = tokio::spawn(async move { serve::run(&wiring, &[Part::Workers, Part::Web], told).await });
    eventually("the inbox to answer", async || answers(&home).await).await;
    Running { home, producer, pool, stop, ended }
}

/// C11, C14, C15, C16 and C08 in their first form.
#[tokio::test]
async fn c14_to_c16_a_recipient_acts_on_a_view_a_reply_and_an_action_and_the_counts_follow() {
    let (database, redis) = (servers::database().await, servers::redis().await);
    let running = start(&database, &redis).await;
    let (home, producer) = (&running.home, &running.producer);
    let browser = Browser::start().await;
    let page = &browser.client;
    page.goto(home).await.unwrap();
    page.find(Locator::Id("username")).await.unwrap().send_keys("ann").await.unwrap();
    page.find(Locator::Id("password")).await.unwrap().send_keys(PASSWORD).await.unwrap();
    browser.screenshot("login").await;
    page.find(Locator::Css("button[type=submit]")).await.unwrap().click().await.unwrap();
    page.wait().for_element(Locator::Css("[data-count=alerts]")).await.unwrap();
    counts_become(page, "0", "0").await;

    // An alert comes while the dashboard is open: a notice and the count, without a reload.
    producer.send(message("ALERT-VIEW", "The cold room is too warm")).await.unwrap();
    page.wait().for_element(Locator::Css("[data-notices] .notice a")).await.unwrap();
    counts_become(page, "1", "0").await;
    producer.send(message("REPLY-YESNO", "Shall we go on?")).await.unwrap();
    let mut approve = message("APPROVE", "An espresso machine");
    approve.action_parameters = Some(vec![7.into(), "a&b".into()]);
    producer.send(approve).await.unwrap();
    producer.send(message("VIEW-NORMAL", "Your report is ready")).await.unwrap();
    counts_become(page, "1", "3").await;
    browser.screenshot("dashboard").await;

    // A view and a reply, by one Post. The reply's box can be used only once there is a value, which ticks it.
    page.goto(&format!("{home}/messages")).await.unwrap();
    browser.screenshot("messages").await;
    let reply = Locator::XPath("//article[contains(., 'Shall we go on?')]//input[@data-act]");
    assert!(!page.find(reply).await.unwrap().is_enabled().await.unwrap());
    let choices = Locator::XPath("//article[contains(., 'Shall we go on?')]//select");
    page.find(choices).await.unwrap().select_by_value("Yes").await.unwrap();
    eventually("the box to be ticked", async || page.find(reply).await.unwrap().is_selected().await.unwrap())
        .await;
    let view = Locator::XPath("//article[contains(., 'Your report is ready')]//input[@data-act]");
    page.find(view).await.unwrap().click().await.unwrap();
    page.find(Locator::Css("#post button.primary")).await.unwrap().click().await.unwrap();
    page.wait().for_element(Locator::Css(".results")).await.unwrap();
    browser.screenshot("posted").await;
    assert_eq!(page.find_all(Locator::Css(".results li.done")).await.unwrap().len(), 2);
    browser.screenshot("posted").await;
    counts_become(page, "1", "1").await;

    // The action opens its address in another tab, parameters in place, and is done by that.
    let act = Locator::XPath("//article[contains(., 'An espresso machine')]//button[contains(., 'Act')]");
    page.find(act).await.unwrap().click().await.unwrap();
    eventually("another tab", async || page.windows().await.unwrap().len() == 2).await;
    let inbox = page.window().await.unwrap();
    let other = page.windows().await.unwrap().into_iter().find(|window| *window != inbox).unwrap();
    page.switch_to_window(other).await.unwrap();
    eventually("the action's address", async || {
        page.current_url().await.unwrap().as_str().ends_with("/po/approve?id=7&level=a%26b")
    })
    .await;
    page.close_window().await.unwrap();
    page.switch_to_window(inbox).await.unwrap();
    counts_become(page, "1", "0").await;

    // A double-click on the count opens the alerts.
    page.goto(home).await.unwrap();
    let script = "arguments[0].dispatchEvent(new MouseEvent('dblclick', {bubbles: true}))";
    let count = page.find(Locator::Css("[data-count=alerts]")).await.unwrap();
    page.execute(script, vec![serde_json::to_value(count).unwrap()]).await.unwrap();
    eventually("the alerts", async || page.current_url().await.unwrap().path() == "/alerts").await;
    page.find(Locator::Css("[data-act]")).await.unwrap().click().await.unwrap();
    page.find(Locator::Css("#post button.primary")).await.unwrap().click().await.unwrap();
    counts_become(page, "0", "0").await;
    browser.screenshot("done").await;
    running.stop().await;
}

#[tokio::test]
async fn the_page_of_the_api_shows_each_request_and_sends_it() {
    let (database, redis) = (servers::database().await, servers::redis().await);
    let running = start(&database, &redis).await;
    let token = NewToken { sender: "report_task".into(), ..NewToken::default() };
    let token = herald_web::access::new_api_token(&running.pool, &Clock::system(), token).await.unwrap();
    let browser = Browser::start().await;
    let page = &browser.client;
    page.goto(&format!("{}/api", running.home)).await.unwrap();
    let send = Locator::XPath("//details[summary/code[.='POST /api/v1/messages']]");
    let request = page.wait().for_element(send).await.unwrap();
    assert!(page.find_all(Locator::Css("details")).await.unwrap().len() > 20);
    page.find(Locator::Id("token")).await.unwrap().send_keys(&token).await.unwrap();
    request.find(Locator::Css("summary")).await.unwrap().click().await.unwrap();
    assert!(request.text().await.unwrap().contains("The username of an active user."));
    request.find(Locator::Css("button")).await.unwrap().click().await.unwrap();
    let answer = request.find(Locator::Css("pre")).await.unwrap();
    eventually("the answer", async || answer.text().await.unwrap().starts_with("202 Accepted")).await;
    let id = answer.text().await.unwrap().split('"').nth(3).unwrap().to_owned();

    // What is in the address is put there.
    let read = Locator::XPath("//details[summary/code[.='GET /api/v1/messages/{id}']]");
    let request = page.find(read).await.unwrap();
    request.find(Locator::Css("summary")).await.unwrap().click().await.unwrap();
    request.find(Locator::Css("input[name=id]")).await.unwrap().send_keys(&id).await.unwrap();
    request.find(Locator::Css("button")).await.unwrap().click().await.unwrap();
    let answer = request.find(Locator::Css("pre")).await.unwrap();
    eventually("the answer", async || answer.text().await.unwrap().contains("Your report is ready.")).await;
    browser.screenshot("api").await;
    running.stop().await;
}

async fn answers(home: &str) -> bool {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
        .get(format!("{home}/login"))
        .send()
        .await
        .is_ok_and(|answer| answer.status().is_success())
}
