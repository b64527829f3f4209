//! The pages on which administrators look after Herald itself: registry, schedule, tokens, audit log.

use herald::catcher::{Behaviour, Catcher, Deed, Phase, Settings, show};
use herald_jobs::address::Channel;
use herald_jobs::check::CheckJob;
use herald_jobs::periodic::PeriodicName;
use herald_jobs::store;
use herald_web::schedule::{Periodic, Slots};
use reqwest::{Method, StatusCode};

use crate::support::eventually;
use crate::support::world::{Browser, Page, World, between};

const CANARY: &str = "canary-s3cret";

/// Posts under the token of a page that was just shown.
async fn post(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Page {
    browser.get("/admin/schedule").await;
    browser.post(path, fields).await
}

fn version(page: &Page) -> String {
    between(&page.body, "name=\"version\" value=\"", "\"").unwrap().to_owned()
}

fn problem<'a>(page: &'a Page, field: &str) -> &'a str {
    between(&page.body, &format!("id=\"problem-{field}\""), "</p>").unwrap_or_default()
}

/// A form of a channel's keys with these values, made from what is there now.
async fn save(browser: &Browser, channel: &str, values: &[(&str, &str)]) -> Page {
    let path = format!("/admin/registry/edit/{channel}");
    let made_from = version(&browser.get(&path).await);
    let fields = [values, &[("version", made_from.as_str())]].concat();
    browser.post(&path, &fields).await
}

async fn value(world: &World, key: &str) -> Option<String> {
    store::registry::all(&world.pool).await.unwrap().remove(key)
}

#[tokio::test]
async fn c20_the_registry_is_kept_on_a_screen() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    let page = browser.get("/admin/registry").await;
    for entry in store::registry::entries(&world.pool).await.unwrap() {
        assert!(page.body.contains(&format!("<dt>{}</dt>", entry.key)), "{} is not shown", entry.key);
    }
    assert!(page.body.contains("Host name of the SMTP server"), "{}", page.body);

    let good = [
        ("SMTP-SERVER", "smtp.example.com"),
        ("SMTP-PORT", "587"),
        ("SMTP-USERNAME", "herald@example.com"),
        ("SMTP-PASSWORD", CANARY),
    ];
    let page = save(&browser, "email", &good).await;
    assert_eq!(page.location(), "/admin/registry?done=saved", "{}", page.body);
    assert_eq!(value(&world, "SMTP-PORT").await.as_deref(), Some("587"));
    let sealed = value(&world, "SMTP-PASSWORD").await.unwrap();
    assert_eq!(world.keys.open("SMTP-PASSWORD", &sealed).unwrap().expose(), CANARY);
    for path in ["/admin/registry?done=saved", "/admin/registry/edit/email", "/admin/audit"] {
        let page = browser.get(path).await;
        assert!(!page.body.contains(CANARY) && !page.body.contains("herald:1:"), "{path}: {}", page.body);
    }
    assert!(browser.get("/admin/registry").await.body.contains("set, and never shown"));

    // What is empty is unset, but for a secret, which stays until somebody says otherwise.
    let page = save(&browser, "email", &good[..1]).await;
    assert_eq!(page.location(), "/admin/registry?done=saved", "{}", page.body);
    assert_eq!(
        (value(&world, "SMTP-PORT").await, value(&world, "SMTP-PASSWORD").await),
        (None, Some(sealed))
    );
    save(&browser, "email", &[("unset-SMTP-PASSWORD", "on")]).await;
    assert_eq!(value(&world, "SMTP-PASSWORD").await, None);
    let who: Vec<(String, String)> =
        sqlx::query_as("select actor, action from herald.audit where subject = 'SMTP-PASSWORD' order by id")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let who: Vec<_> = who.iter().map(|(actor, action)| (actor.as_str(), action.as_str())).collect();
    assert_eq!(who, [("adam", "registry set"), ("adam", "registry unset")]);
}

#[tokio::test]
async fn c20_the_registry_refuses_in_place_what_the_command_line_refuses() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    for (channel, key, bad) in [
        ("email", "SMTP-PORT", "seventy"),
        ("email", "SMTP-SECURITY", "ssl"),
        ("email", "SMTP-FROM", "joe"),
        ("email", "SMTP-HELO", "a b"),
        ("email", "SMTP-BOUNCE-ADDRESS", "joe"),
        ("email", "SMTP-SERVER", "a\nb"),
        ("sms", "SMS-PROVIDER", "pigeon"),
        ("sms", "SMS-URL", "ftp://x"),
        ("sms", "SMS-BODY", "hello"),
        ("sms", "SMS-HEADERS", "no header"),
        ("sms", "SMS-REPORT-FIELDS", "id"),
    ] {
        let page = save(&browser, channel, &[(key, bad), ("SMTP-REPLY-TO", "kept@example.com")]).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{key}");
        let said = problem(&page, key).replace("&#34;", "\"").replace("&#39;", "'").replace("&#38;", "&");
        let mut command = world.command(&["registry", "set", key, bad].map(str::to_owned));
        let output = command.output().await.unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        let told = told.strip_prefix("herald: ").unwrap().trim();
        assert!(!told.is_empty() && said.contains(told), "{key}: {said} is not {told}");
        assert!(channel == "sms" || page.body.contains("kept@example.com"), "{}", page.body);
        assert_eq!(value(&world, key).await, None, "{key}");
    }
    let readable = [("SMTP-SERVER", "mail.example.com"), ("SMTP-SECURITY", "none")];
    let page = save(&browser, "email", &readable).await;
    assert!(problem(&page, "SMTP-SECURITY").contains("email.allow_plaintext = true"), "{}", page.body);

    // A secret does not come back, not even where something else was refused.
    let page = save(&browser, "email", &[("SMTP-PASSWORD", CANARY), ("SMTP-PORT", "x")]).await;
    assert!(!page.body.contains(CANARY) && problem(&page, "SMTP-PASSWORD").contains("type it again"));

    // Two have the same form open; the slower one is told, and loses nothing.
    let path = "/admin/registry/edit/email";
    let made_from = version(&browser.get(path).await);
    browser.post(path, &[("SMTP-SERVER", "first.example"), ("version", &made_from)]).await;
    let page = browser.post(path, &[("SMTP-SERVER", "second.example"), ("version", &made_from)]).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(page.body.contains("Somebody changed this") && page.body.contains("second.example"));
    assert_eq!(value(&world, "SMTP-SERVER").await.as_deref(), Some("first.example"));

    let bare = World::with(|settings| settings.keys = std::sync::Arc::default()).await;
    let browser = bare.administrator("adam").await;
    assert!(
        browser.get("/admin/registry").await.body.contains("Secrets cannot be saved here: there are no keys")
    );
    let page = save(&browser, "email", &[("SMTP-PASSWORD", CANARY)]).await;
    assert!(problem(&page, "SMTP-PASSWORD").contains("there are no keys: name a key file"), "{}", page.body);
    assert_eq!(value(&bare, "SMTP-PASSWORD").await, None);
}

#[tokio::test]
async fn c22_a_test_is_sent_from_a_screen_and_says_what_fails() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    let test = async |channel: &str, to: &str| {
        let page = post(&browser, &format!("/admin/registry/test/{channel}"), &[("to", to)]).await;
        if page.status != StatusCode::SEE_OTHER {
            return page;
        }
        let ended = async || !browser.get("/admin/registry").await.body.contains("has not ended yet");
        eventually("the test to end", ended).await;
        browser.get("/admin/registry").await
    };
    let page = test("email", "nobody").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        !problem(&page, "to-email").is_empty() && page.body.contains("value=\"nobody\""),
        "{}",
        page.body
    );
    let page = test("sms", "12").await;
    assert!(problem(&page, "to-sms").contains("country code"), "{}", page.body);

    let page = test("email", "ann@example.com").await;
    let said =
        "The test to ann@example.com failed (just now): e-mail is not configured: SMTP-SERVER is not set";
    assert!(page.body.contains(said), "{}", page.body);
    let page = test("sms", "+491701234567").await;
    assert!(page.body.contains("SMS is off: SMS-PROVIDER turns it on"), "{}", page.body);
    // A worker that began it and died: the job comes again.
    let id = herald_jobs::id::new(world.clock.now());
    let job = CheckJob { channel: Channel::Sms, id, address: "+491701234567".to_owned() };
    store::checks::ask(&world.pool, &job, "adam", world.clock.now()).await.unwrap();
    assert!(store::checks::begin(&world.pool, id, world.clock.now()).await.unwrap());
    world.queues.check.push(&job).await.unwrap();
    eventually("the test to end", async || {
        browser
            .get("/admin/registry")
            .await
            .body
            .contains("The worker fell silent: whether the message went out")
    })
    .await;

    let at = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let catcher = Catcher::start(at, Settings::new(world.clock.clone())).await.unwrap();
    let port = catcher.address().port().to_string();
    let page = save(
        &browser,
        "email",
        &[
            ("SMTP-SERVER", "127.0.0.1"),
            ("SMTP-PORT", &port),
            ("SMTP-SECURITY", "none"),
            ("SMTP-FROM", "herald@example.com"),
        ],
    )
    .await;
    assert_eq!(page.location(), "/admin/registry?done=saved", "{}", page.body);
    let page = test("email", "ann@example.com").await;
    assert!(page.body.contains("worked (just now): 127.0.0.1, port"), "{}", page.body);
    let mail = catcher.mailbox().get(1).unwrap();
    assert_eq!(mail.to, ["ann@example.com"]);
    assert_eq!(show(&mail.raw).unwrap().subject, "Herald: the mail connection works");
    catcher.set_behaviour(Behaviour::at(Phase::Mail, Deed::answer(553, "not you")));
    let page = test("email", "ann@example.com").await;
    assert!(page.body.contains("refused the sender: 553 not you (look at SMTP-FROM"), "{}", page.body);
}

#[tokio::test]
async fn what_runs_by_itself_is_shown_and_can_be_run_now() {
    let world = World::with(|settings| {
        let at = "06:00:00".parse().unwrap();
        let slots = Slots::new(std::time::Duration::from_secs(3_600), at, "Europe/Berlin".parse().unwrap());
        let slots = slots.unwrap();
        settings.periodic = vec![
            Periodic { name: PeriodicName::Purge, slots: slots.clone(), enabled: true },
            Periodic { name: PeriodicName::Reminders, slots, enabled: false },
        ];
    })
    .await;
    let browser = world.administrator("adam").await;
    let page = browser.get("/admin/schedule").await;
    for said in ["every hour, each day from 06:00:00 (Europe/Berlin)", "disabled: it runs only", "never"] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
    let page = post(&browser, "/admin/schedule/run/purge", &[]).await;
    // The page does not wait for a slow worker.
    let told = ["ran", "asked"].map(|done| format!("/admin/schedule?done={done}&to=purge"));
    assert!(told.iter().any(|it| it == page.location()), "{}", page.location());
    eventually("the run", async || browser.get("/admin/schedule").await.body.contains("purged ")).await;
    let page = browser.get("/admin/schedule?done=ran&to=purge").await;
    assert!(page.body.contains("purge ran") && page.body.contains("purged "), "{}", page.body);
    assert_eq!(browser.post("/admin/schedule/run/nothing", &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_token_is_made_shown_once_and_revoked_on_a_screen() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    let form = [
        ("name", "The <b>ERP"),
        ("sender", "purchase_order\r\n\r\n report_task "),
        ("type", "VIEW-NORMAL"),
        ("rate", "100"),
        ("expires", "30"),
        ("admin", "on"),
    ];
    for (name, bad, said) in [
        ("name", "", "must be one line"),
        ("sender", " \r\n", "is needed"),
        ("type", "NO-SUCH", "there is no message type NO-SUCH"),
        ("rate", "fast", "must be a whole number"),
        ("rate", "0", "must be at least 1"),
        ("expires", "1999-01-01", "must be a time to come"),
    ] {
        let fields: Vec<_> =
            form.iter().map(|&(field, value)| (field, if field == name { bad } else { value })).collect();
        let page = post(&browser, "/admin/tokens/new", &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(problem(&page, name).contains(said), "{name}: {}", page.body);
        assert!(name == "rate" || page.body.contains("value=\"100\""), "{}", page.body);
    }
    let page = post(&browser, "/admin/tokens/new", &form).await;
    let secret = between(&page.body, "<code>", "</code>").unwrap().to_owned();
    assert!(secret.starts_with("hrld_") && page.body.contains("The &#60;b&#62;ERP"), "{}", page.body);
    let list = browser.get("/admin/tokens").await;
    let prefix = &secret[.."hrld_".len() + 8];
    assert!(list.body.contains(prefix) && !list.body.contains(&secret), "{}", list.body);
    for said in
        ["purchase_order, report_task", "VIEW-NORMAL", "100 a minute", "Administers", "<td>never</td>"]
    {
        assert!(list.body.contains(said), "{said}: {}", list.body);
    }
    let uses = async || world.api(Method::GET, "/periodic", &secret).send().await.unwrap().status();
    assert_eq!(uses().await, StatusCode::OK);
    let list = browser.get("/admin/tokens").await;
    assert!(list.body.contains("<td>just now</td>"), "when it was used: {}", list.body);

    let page = browser.post(&format!("/admin/tokens/revoke/{prefix}"), &[]).await;
    assert_eq!(page.location(), "/admin/tokens?done=revoked");
    assert_eq!(uses().await, StatusCode::UNAUTHORIZED);
    let list = browser.get("/admin/tokens?done=revoked").await;
    assert!(list.body.contains("revoked ") && !list.body.contains("Revoke now"), "{}", list.body);
    let again = browser.post(&format!("/admin/tokens/revoke/{prefix}"), &[]).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_audit_log_is_read_page_by_page_and_by_who_and_what() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    for n in 0..250 {
        let (actor, subject) = (["adam", "eve <x>"][n % 2], format!("thing {n}"));
        store::audit::record(&world.pool, actor, "user set", &subject).await.unwrap();
    }
    let lines = |page: &Page| page.body.matches("<tr><td>").count();
    let mut path = "/admin/audit".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = browser.get(&path).await;
        seen.push(lines(&page));
        let next = between(&page.body, "<nav class=\"pager\"", "</nav>");
        let Some(next) = next.and_then(|nav| between(nav, "href=\"", "\"")) else { break };
        path = next.replace("&#38;", "&");
    }
    assert_eq!(seen, [100, 100, 50]);
    let page = browser.get("/admin/audit").await;
    assert!(page.body.find("thing 249").unwrap() < page.body.find("thing 248").unwrap(), "newest first");
    let page = browser.get("/admin/audit?actor=eve+%3Cx%3E&action=user").await;
    assert!(lines(&page) == 100 && !page.body.contains(">adam</a></td>"), "{}", page.body);
    assert_eq!(lines(&browser.get("/admin/audit?subject=thing+7").await), 1);
    let page = browser.get("/admin/audit?subject=nothing").await;
    assert!(page.body.contains("Nothing is recorded of this.") && page.body.contains("Show all"));
    assert_eq!(browser.get("/admin/audit?before=x").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn others_see_nothing_of_how_herald_is_looked_after() {
    let world = World::start().await;
    let ann = world.logged_in("ann").await;
    assert!(!ann.get("/").await.body.contains("/admin/"));
    for path in
        ["/admin/registry", "/admin/registry/edit/email", "/admin/schedule", "/admin/tokens", "/admin/audit"]
    {
        assert_eq!(ann.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    for path in [
        "/admin/registry/edit/email",
        "/admin/registry/test/email",
        "/admin/schedule/run/purge",
        "/admin/tokens/new",
    ] {
        ann.get("/").await;
        assert_eq!(ann.post(path, &[("to", "x@example.com")]).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}
