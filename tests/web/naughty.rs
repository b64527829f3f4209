//! The big list of naughty strings, through every field to every page: no 500, and nothing comes out as it must not.

use herald_jobs::message_type::RequiredAction;
use herald_jobs::store;
use herald_producers::NewMessage;
use reqwest::StatusCode;

use super::authoring::company;
use super::rules::{RULE, template};
use crate::support::world::{Browser, Page, World, between, message};

/// Names and values of fields.
type Form<'a> = &'a [(&'a str, &'a str)];

fn strings() -> Vec<String> {
    serde_json::from_str(include_str!("../data/naughty-strings.json")).unwrap()
}

/// Fails the test if a page is a failure of ours, or holds what a string brought in.
fn assert_calm(page: &Page, about: &str) {
    assert_brings_nothing(page, about, 1, 0);
}

/// The same, with as many scripts of ours and frames of mails.
fn assert_brings_nothing(page: &Page, about: &str, scripts: usize, frames: usize) {
    assert!(!page.status.is_server_error(), "{about}: {}", page.status);
    let ours =
        ["<svg class=\"icon", "<img class=\"mark\" src=\"/assets/", "<p class=\"brand\"><img src=\"/assets/"];
    let inside =
        ours.iter().fold(page.body.clone(), |page, ours| page.replace(ours, "")).to_ascii_lowercase();
    for (tag, most) in [
        ("<script", scripts),
        ("<img", 0),
        ("<iframe", frames),
        ("<svg", 0),
        ("<style", 0),
        ("href=\"javascript", 0),
    ] {
        assert!(inside.matches(tag).count() <= most, "{about}: {tag} in {}", page.body);
    }
}

async fn read(browser: &Browser, path: &str) {
    let mut next = Some(path.to_owned());
    while let Some(address) = next {
        let page = browser.get(&address).await;
        assert_eq!(page.status, StatusCode::OK, "{address}");
        assert_calm(&page, &address);
        for row in page.body.split("id=\"subject-").skip(1).step_by(10) {
            let message = format!("/messages/{}", &row[..36]);
            assert_calm(&browser.get(&message).await, &message);
            assert_calm(&browser.get(&format!("{message}/pane")).await, &message);
        }
        next = page.body.split_once("\" rel=\"next\"").map(|(before, _)| {
            before.rsplit_once("href=\"").unwrap().1.replace("&#38;", "&").replace("&amp;", "&")
        });
    }
}

#[tokio::test]
async fn naughty_strings_are_shown_as_they_are_and_answered_with() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    world.message_type("FREE", RequiredAction::Reply, None).await;
    let mut questions = Vec::new();
    for text in strings() {
        let short =
            |most| Some(text.chars().take(most).collect::<String>()).filter(|it| !it.trim().is_empty());
        let sent = NewMessage {
            message_text: text.clone(),
            subject: short(100),
            sender: short(50).unwrap_or_else(|| "report".to_owned()),
            sender_instance: short(50),
            ..message("ann", "FREE", "")
        };
        let plain = NewMessage {
            sender: "report_task".to_owned(),
            sender_instance: Some("7".to_owned()),
            ..sent.clone()
        };
        match (world.producer.send(sent).await, world.producer.send(plain).await) {
            (_, Ok(id)) => questions.push((id, text)),
            (_, Err(refused)) => assert!(!refused.to_string().contains("database"), "{text:?}: {refused}"),
        }
    }
    for (id, _) in &questions {
        crate::support::eventually("the message", async || world.status(*id).await == "pending").await;
    }
    read(&browser, "/messages").await;
    assert_calm(&browser.get("/").await, "/");
    assert_calm(&browser.get("/latest").await, "/latest");

    let mut answered = 0;
    for page in questions.chunks(50) {
        let fields: Vec<(String, String)> = page
            .iter()
            .flat_map(|(id, text)| {
                [("act".to_owned(), id.to_string()), (format!("reply:{id}"), text.clone())]
            })
            .collect();
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let page = browser.post("/messages", &fields).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_calm(&page, "the Post");
        answered += page.body.matches("<li class=\"done\">").count();
    }
    assert!(answered > questions.len() * 9 / 10, "{answered} of {}", questions.len());
    read(&browser, "/messages?state=done").await;
}

#[tokio::test]
async fn naughty_strings_can_be_searched_for_and_typed_into_the_log_in() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    world.send("ann", "VIEW-NORMAL", "Hello").await;
    let stranger = world.browser();
    stranger.get("/login").await;
    for text in strings() {
        let of = |name: &str| {
            url::form_urlencoded::Serializer::new(String::new()).append_pair(name, &text).finish()
        };
        for name in ["q", "sender", "type"] {
            let page = browser.get(&format!("/messages?{}", of(name))).await;
            assert_eq!(page.status, StatusCode::OK, "{name}: {text:?}");
            assert_calm(&page, &text);
        }
        for name in ["from", "to", "state", "before", "next"] {
            let page = browser.get(&format!("/alerts?{}", of(name))).await;
            assert!(
                matches!(page.status, StatusCode::OK | StatusCode::BAD_REQUEST),
                "{name}: {text:?}: {}",
                page.status
            );
            assert_calm(&page, &text);
        }
        let page =
            stranger.post("/login", &[("username", &text), ("password", &text), ("next", &text)]).await;
        assert!(page.status.is_client_error(), "{text:?}: {}", page.status);
        assert_calm(&page, &text);
        let page = browser.get(&format!("/messages/{}", of("x").trim_start_matches("x="))).await;
        assert!(page.status.is_client_error() || text.is_empty(), "{text:?}: {}", page.status);
    }
}

#[tokio::test]
async fn naughty_strings_can_be_typed_into_templates_models_and_rules_a_field_of_each() {
    let (world, browser) = company().await;
    template(&world).await;
    let watch = {
        let on = "update".parse().unwrap();
        store::watches::add(&world.pool, "public.purchase_order", &[on], "test").await.unwrap()[0].to_string()
    };
    sqlx::raw_sql("update public.purchase_order set status = 'x'").execute(&world.pool).await.unwrap();
    let text = "Order #id#";
    let template =
        ["code", "subject", "message_text", "external_message", "external_html", "model", "syntax", "sample"];
    let template = template.map(|name| match name {
        "code" => (name, "PO"),
        "model" => (name, "purchase_order"),
        "syntax" => (name, "token"),
        "sample" => (name, ""),
        _ => (name, text),
    });
    let more = [
        ("enabled", "on"),
        ("otherwise", ""),
        ("repeat", ""),
        ("maximum", ""),
        ("window", ""),
        ("valid_from", ""),
    ];
    let rule: Vec<(&str, &str)> = RULE.into_iter().chain(more).chain([("at", ""), ("record", "")]).collect();
    let event = [
        ("code", "PO"),
        ("watch", watch.as_str()),
        ("condition", "new.id > 1"),
        ("message_type", "VIEW-NORMAL"),
        ("subject", "x"),
        ("message_text", "Order #new.id#"),
        ("syntax", "token"),
        ("recipient_path", "owner"),
        ("recipient", ""),
        ("contacts", ""),
        ("sender", ""),
    ];
    let model = [
        ("name", "line"),
        ("table", "public.customer"),
        ("key", "id"),
        ("label", ""),
        ("hidden", ""),
        ("relations", ""),
    ];
    let forms: [(&str, Form<'_>, &str); 5] = [
        ("templates", &template, "try"),
        ("reminders", &rule, "try"),
        ("events", &event, "try"),
        ("models", &model, "save"),
        ("watches", &[("table", "public.customer"), ("on", "insert")], "save"),
    ];
    browser.get("/").await;
    // No browser sends it, and nothing of ours may fall over it.
    let none = vec!["a\0b".to_owned(); 40];
    for (at, naughty) in strings().iter().chain(&none).enumerate() {
        for (path, form, doing) in &forms {
            let field = form[at % form.len()].0;
            let typed: Vec<(&str, &str)> = form
                .iter()
                .map(|(name, value)| (*name, if *name == field { naughty.as_str() } else { value }))
                .collect();
            let typed: Vec<(&str, &str)> = typed.into_iter().chain([("do", *doing)]).collect();
            let page = browser.post(&format!("/admin/{path}/new"), &typed).await;
            let about = format!("{path} {field}: {naughty:?}");
            assert!(
                page.status.is_success()
                    || matches!(page.status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
                    || page.status.is_redirection(),
                "{about}: {}",
                page.status
            );
            assert_brings_nothing(&page, &about, 2, 1);
        }
        let q = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", naughty).finish();
        assert_calm(&browser.get(&format!("/admin/templates?{q}")).await, naughty);
    }
}

#[tokio::test]
async fn naughty_strings_can_be_typed_into_every_field_of_users_tokens_and_the_registry() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    let user = [
        ("username", "eve"),
        ("display_name", ""),
        ("email", ""),
        ("mobile", ""),
        ("locale", "en"),
        ("time_zone", "UTC"),
        ("roles", ""),
        ("active", "on"),
    ];
    let token = [("name", "ERP"), ("sender", "erp"), ("type", ""), ("rate", ""), ("expires", "")];
    let keys: Vec<String> =
        store::registry::entries(&world.pool).await.unwrap().into_iter().map(|entry| entry.key).collect();
    let made = |page: &Page| between(&page.body, "name=\"version\" value=\"", "\"").unwrap().to_owned();
    let none = vec!["a\0b".to_owned(); 40];
    for (at, naughty) in strings().iter().chain(&none).enumerate() {
        let channel = if at % 2 == 0 { "email" } else { "sms" };
        let registry = format!("/admin/registry/edit/{channel}");
        let opened = browser.get(&registry).await;
        assert_brings_nothing(&opened, &format!("the registry after {at}"), 1, 0);
        let version = made(&opened);
        let of: Vec<&String> =
            keys.iter().filter(|key| key.starts_with("SMS-") == (channel == "sms")).collect();
        let key = [("version", version.as_str()), (of[at / 2 % of.len()].as_str(), "")];
        let forms: [(&str, Form<'_>, &str); 3] = [
            ("/admin/users/new", &user, user[at % user.len()].0),
            ("/admin/tokens/new", &token, token[at % token.len()].0),
            (&registry, &key, key[1].0),
        ];
        for (path, form, field) in forms {
            let typed: Vec<(&str, &str)> = form
                .iter()
                .map(|(name, value)| (*name, if *name == field { naughty.as_str() } else { value }))
                .collect();
            let page = browser.post(path, &typed).await;
            let about = format!("{path} {field}: {naughty:?}");
            assert!(
                matches!(page.status, StatusCode::OK | StatusCode::SEE_OTHER)
                    || matches!(page.status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY),
                "{about}: {}",
                page.status
            );
            assert_calm(&page, &about);
        }
    }
    for path in ["/admin/users", "/admin/tokens", "/admin/registry", "/admin/audit", "/admin/deliveries"] {
        assert_calm(&browser.get(path).await, path);
    }
}
