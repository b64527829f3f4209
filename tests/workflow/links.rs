//! Answers by links in e-mails.

use std::net::SocketAddr;

use chrono::TimeDelta;
use herald::catcher::{Catcher, Settings, show};
use herald_jobs::message_type::{ExternalDelivery, MessageType, RequiredAction};
use herald_jobs::store;
use herald_jobs::store::users::NewUser;
use herald_producers::{MessageId, NewContact, NewMessage};
use reqwest::StatusCode;

use crate::support::eventually;
use crate::support::world::{Page, World, message, message_type};

/// Sends all mail to a catcher.
pub(super) async fn catcher(world: &World) -> Catcher {
    let catcher = Catcher::start(SocketAddr::from(([127, 0, 0, 1], 0)), Settings::new(world.clock.clone()))
        .await
        .unwrap();
    let port = catcher.address().port().to_string();
    for (key, value) in [
        ("SMTP-SERVER", "127.0.0.1"),
        ("SMTP-PORT", &port),
        ("SMTP-SECURITY", "none"),
        ("SMTP-FROM", "herald@herald.test"),
    ] {
        store::registry::set(&world.pool, key, Some(value)).await.unwrap();
    }
    let email = Some("ann@example.com".to_owned());
    let name = herald_jobs::address::Username::parse("ann").unwrap();
    store::users::upsert(&world.pool, &name, &NewUser { email, ..NewUser::default() }).await.unwrap();
    for (code, action, choices) in [
        ("MAIL-ASK", RequiredAction::Reply, Some("YESNO-CHOICES")),
        ("MAIL-READ", RequiredAction::View, None),
        ("MAIL-FREE", RequiredAction::Reply, None),
    ] {
        let kind = message_type(code, action, None);
        let external_delivery = ExternalDelivery::Email;
        world.put(MessageType { external_delivery, choice_set: choices.map(str::to_owned), ..kind }).await;
    }
    catcher
}

/// The links of the mail to ann about this, by what they say.
pub(super) async fn links(catcher: &Catcher, subject: &str) -> Vec<(String, String)> {
    let mut text = String::new();
    eventually("the mail to come", async || {
        let mails = catcher.mailbox().list();
        let shown =
            mails.iter().filter(|mail| mail.to == ["ann@example.com"]).filter_map(|mail| show(&mail.raw));
        let found = shown.into_iter().find(|mail| mail.subject == subject).and_then(|mail| mail.text);
        text = found.unwrap_or_default();
        !text.is_empty()
    })
    .await;
    let lines = text.lines().filter_map(|line| line.split_once(": http"));
    lines
        .map(|(label, rest)| {
            (label.to_owned(), format!("/answer/{}", rest.rsplit('/').next().unwrap().trim()))
        })
        .collect()
}

async fn ask(world: &World, kind: &str, subject: &str) -> MessageId {
    world.send_with(message("ann", kind, subject)).await
}

/// Opens a link and presses its button, in a browser that nobody is logged in with.
async fn press(world: &World, link: &str, fields: &[(&str, &str)]) -> Page {
    let browser = world.browser();
    let page = browser.get(link).await;
    if page.status == StatusCode::GONE {
        return page;
    }
    assert!(page.body.contains("<form"), "{}", page.body);
    browser.post(link, fields).await
}

#[tokio::test]
async fn c03c_a_mail_is_answered_by_its_links() {
    let world = World::start().await;
    let catcher = catcher(&world).await;
    let contacts =
        vec![NewContact { contact_reference: "hana@harbour.example".into(), email_mode: "Cc".into() }];
    let asked =
        world.send_with(NewMessage { recipients: contacts, ..message("ann", "MAIL-ASK", "Go on?") }).await;
    let (read, free) = (ask(&world, "MAIL-READ", "News").await, ask(&world, "MAIL-FREE", "Which one?").await);
    let choices = links(&catcher, "Go on?").await;
    let labels: Vec<&str> = choices.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels, ["Yes", "No"]);
    eventually("the outside contact's mail", async || {
        catcher.mailbox().list().iter().any(|it| it.to == ["hana@harbour.example"])
    })
    .await;
    let outside = catcher.mailbox().list().into_iter().find(|it| it.to == ["hana@harbour.example"]).unwrap();
    assert!(!String::from_utf8_lossy(&outside.raw).contains("/answer/"), "nobody else can answer");

    let no = &choices[1].1;
    let shown = world.browser().get(no).await;
    assert!(shown.body.contains("Answer: No") && shown.body.contains("Go on?"), "{}", shown.body);
    let done = press(&world, no, &[]).await;
    assert!(done.body.contains("Thank you. Your answer: No."), "{}", done.body);
    let it = world.producer.standing(asked).await.unwrap().unwrap();
    assert_eq!(
        (it.reply_value.as_deref(), it.acted_by.as_deref(), it.acted_via.as_deref()),
        (Some("No"), Some("ann"), Some("email"))
    );
    // The other link is overtaken, and this one is used up.
    for (_, link) in &choices {
        let late = press(&world, link, &[]).await;
        assert_eq!(late.status, StatusCode::GONE);
        assert!(
            late.body.contains("Nothing was changed. It was answered No by ann by e-mail at"),
            "{}",
            late.body
        );
    }

    let [(label, link)] = links(&catcher, "News").await.try_into().unwrap();
    assert_eq!(label, "I have read this");
    assert!(press(&world, &link, &[]).await.body.contains("It is marked as read."));
    assert_eq!(world.status(read).await, "acted");

    let [(_, link)] = links(&catcher, "Which one?").await.try_into().unwrap();
    assert!(press(&world, &link, &[("reply", " ")]).await.body.contains("needs a value first"));
    assert_eq!(world.status(free).await, "pending");
    assert!(
        press(&world, &link, &[("reply", "The <blue> one")]).await.body.contains("The &#60;blue&#62; one")
    );
}

#[tokio::test]
async fn c03c_scanners_that_open_every_link_change_nothing() {
    let world = World::start().await;
    let catcher = catcher(&world).await;
    for kind in ["MAIL-ASK", "MAIL-READ", "MAIL-FREE"] {
        ask(&world, kind, kind).await;
    }
    let mut all = Vec::new();
    for kind in ["MAIL-ASK", "MAIL-READ", "MAIL-FREE"] {
        all.extend(links(&catcher, kind).await.into_iter().map(|(_, link)| link));
    }
    assert_eq!(all.len(), 4);
    let rows = async || -> Vec<String> {
        let sql = "select to_jsonb(m)::text from herald.message m union all select to_jsonb(e)::text from herald.answer_event e order by 1";
        sqlx::query_scalar(sql).fetch_all(&world.pool).await.unwrap()
    };
    let before = rows().await;
    let storm = (0..400).map(|number| {
        let (link, browser) = (&all[number % all.len()], world.browser());
        async move {
            if number % 3 == 0 {
                let head = browser.http.head(format!("{}{link}", browser.url));
                browser.answer(head).await.status
            } else {
                browser.get(link).await.status
            }
        }
    });
    let statuses = futures::future::join_all(storm).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
    assert_eq!(rows().await, before, "not even that it was seen");
    // A POST that does not come from the page does nothing either.
    let forged = world.browser().post_raw(&all[0], &[]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    assert_eq!(rows().await, before);
}

#[tokio::test]
async fn c03c_a_link_that_is_forged_expired_or_overtaken_says_so() {
    let world = World::start().await;
    let catcher = catcher(&world).await;
    let withdrawn = ask(&world, "MAIL-ASK", "First?").await;
    ask(&world, "MAIL-ASK", "Second?").await;
    ask(&world, "MAIL-ASK", "Third?").await;
    let link = async |subject| links(&catcher, subject).await.remove(0).1;
    let (first, second, third) = (link("First?").await, link("Second?").await, link("Third?").await);
    for forged in [
        first.replace('.', "-"),
        format!("{first}x"),
        "/answer/x".to_owned(),
        first.replacen("/answer/0", "/answer/1", 1),
    ] {
        assert_eq!(world.browser().get(&forged).await.status, StatusCode::NOT_FOUND, "{forged}");
    }
    world.producer.cancel(withdrawn).await.unwrap();
    let page = press(&world, &first, &[]).await;
    assert!(page.status == StatusCode::GONE && page.body.contains("It was cancelled."), "{}", page.body);
    sqlx::query("update herald.app_user set active = false where username = 'ann'")
        .execute(&world.pool)
        .await
        .unwrap();
    assert!(press(&world, &third, &[]).await.body.contains("you do not receive messages here any more"));
    sqlx::query("update herald.app_user set active = true where username = 'ann'")
        .execute(&world.pool)
        .await
        .unwrap();
    world.clock.advance(TimeDelta::days(15));
    let page = press(&world, &second, &[]).await;
    assert!(
        page.status == StatusCode::GONE && page.body.contains("this link&#39;s time is over"),
        "{}",
        page.body
    );
}
