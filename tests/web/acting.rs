//! View, reply and action, by Act and Post.

use herald_jobs::message_type::{CompleteOn, MessageType, RequiredAction};
use reqwest::StatusCode;

use crate::support::world::{World, between, message, message_type};

/// What the page says became of the Post.
fn results(body: &str) -> &str {
    between(body, "<section class=\"results\"", "</section>").unwrap_or("no results")
}

#[tokio::test]
async fn c14_c15_one_post_acts_on_views_and_replies_together() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    world.message_type("FREE", RequiredAction::Reply, None).await;
    let view = world.send("ann", "VIEW-NORMAL", "Read me").await.to_string();
    let choice = world.send("ann", "REPLY-YESNO", "Agreed?").await.to_string();
    let free = world.send("ann", "FREE", "Which one?").await.to_string();
    let untouched = world.send("ann", "VIEW-NORMAL", "Later").await;
    browser.get("/messages").await;
    let page = browser
        .post(
            "/messages",
            &[
                ("act", &view),
                ("act", &choice),
                ("act", &free),
                (&format!("reply:{choice}"), "No"),
                (&format!("reply:{free}"), "  The <blue> one\r\nplease "),
            ],
        )
        .await;
    let told = results(&page.body);
    assert!(told.contains("Read me</strong> acted"), "{told}");
    assert!(told.contains("Agreed?</strong> answered: No"), "{told}");
    assert!(told.contains("Which one?</strong> answered: The &#60;blue&#62; one"), "{told}");
    let standing = world.producer.standing(free.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(standing.reply_value.as_deref(), Some("The <blue> one\r\nplease"));
    assert_eq!(world.status(untouched).await, "pending");
    assert!(page.body.contains("Later") && page.body.contains("1</strong>"), "the rest stays listed");
}

#[tokio::test]
async fn c15_a_reply_needs_a_value_before_it_can_be_acted_on() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    world.message_type("FREE", RequiredAction::Reply, None).await;
    let choice = world.send("ann", "REPLY-YESNO", "Agreed?").await;
    let free = world.send("ann", "FREE", "Which one?").await;
    browser.get("/messages").await;
    let (choice_row, free_row) = (choice.to_string(), free.to_string());
    let (choice_field, free_field) = (format!("reply:{choice}"), format!("reply:{free}"));
    for (value, text, why) in [
        ("", "  ", "needs a value first"),
        ("Perhaps", "", "does not offer this value"),
        ("", &"x".repeat(2_001), "takes at most 2,000 characters"),
        ("", "a\0b", "does not take the character U+0000"),
    ] {
        let fields =
            [("act", choice_row.as_str()), ("act", &free_row), (&choice_field, value), (&free_field, text)];
        let page = browser.post("/messages", &fields).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(results(&page.body).contains(why), "{why}: {}", results(&page.body));
        assert!(page.body.contains("aria-invalid=\"true\""), "the row says it too");
    }
    assert_eq!((world.status(choice).await, world.status(free).await), ("pending".into(), "pending".into()));
    let page = browser.post("/messages", &[(&free_field, "half a thought")]).await;
    assert!(page.body.contains("half a thought"), "what was typed but not posted is kept");
}

#[tokio::test]
async fn c14_the_slower_of_two_tabs_is_told_and_changes_nothing() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let id = world.send("ann", "REPLY-YESNO", "Agreed?").await;
    let (row, field) = (id.to_string(), format!("reply:{id}"));
    let tabs = [browser.window(), browser.window()];
    for tab in &tabs {
        tab.get("/messages").await;
    }
    let posts = [("Yes", &tabs[0]), ("No", &tabs[1])].map(|(value, tab)| {
        let fields = [("act".to_owned(), row.clone()), (field.clone(), value.to_owned())];
        async move {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            (value, tab.post("/messages", &fields).await.body)
        }
    });
    let pages = futures::future::join_all(posts).await;
    let standing = world.producer.standing(id).await.unwrap().unwrap();
    let kept = standing.reply_value.unwrap();
    for (value, body) in &pages {
        let told = results(body);
        let expected =
            if *value == kept { format!("answered: {kept}") } else { format!("was already answered {kept}") };
        assert!(told.contains(&expected), "{value}: {told}");
    }
    let again = tabs[0].post("/messages", &[("act", &row), (&field, "No")]).await;
    assert!(results(&again.body).contains(&format!("was already answered {kept}")));
}

#[tokio::test]
async fn c16_c17_act_opens_the_url_with_the_saved_parameters() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    world.message_type("APPROVE", RequiredAction::Action, Some("/po/approve?id=&level=")).await;
    let mut sent = message("ann", "APPROVE", "Approve order 4711");
    sent.action_parameters = Some(vec![4711.into(), "high value".into(), true.into()]);
    let id = world.send_with(sent).await;
    let list = browser.get("/messages").await.body;
    assert!(list.contains(&format!("action=\"/messages/{id}/act\" target=\"_blank\"")), "{list}");
    let page = browser.get(&format!("/messages/{id}/act")).await;
    assert_eq!(
        (page.status, world.status(id).await.as_str()),
        (StatusCode::OK, "pending"),
        "a GET does nothing"
    );
    let opened = browser.post(&format!("/messages/{id}/act"), &[]).await;
    assert_eq!(opened.status, StatusCode::SEE_OTHER);
    assert_eq!(opened.location(), "http://erp.example/po/approve?id=4711&level=high%20value&p1=true");
    assert_eq!(world.status(id).await, "acted", "the click completes it");
    let again = browser.post(&format!("/messages/{id}/act"), &[]).await;
    assert_eq!(again.location(), opened.location(), "it can be opened again");
    let row = id.to_string();
    let page = browser.post("/messages", &[("act", &row)]).await;
    assert!(results(&page.body).contains("was already acted on"), "{}", results(&page.body));
}

#[tokio::test]
async fn c16_an_action_that_is_called_back_stays_until_then() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let kind = message_type("AUTHORISE", RequiredAction::Action, Some("https://pay.example/authorise?id="));
    world.put(MessageType { complete_on: CompleteOn::Callback, ..kind }).await;
    let mut sent = message("ann", "AUTHORISE", "Authorise");
    sent.action_parameters = Some(vec![9.into()]);
    let id = world.send_with(sent).await;
    assert!(browser.get("/messages").await.body.contains("opens pay.example"));
    let opened = browser.post(&format!("/messages/{id}/act"), &[]).await;
    assert_eq!(opened.location(), "https://pay.example/authorise?id=9");
    assert_eq!(world.status(id).await, "pending");
    let row = id.to_string();
    let page = browser.post("/messages", &[("act", &row)]).await;
    assert!(results(&page.body).contains("wants to be opened"), "{}", results(&page.body));
    sqlx::query("update herald.message set status = 'withdrawn' where id = $1")
        .bind(id.0)
        .execute(&world.pool)
        .await
        .unwrap();
    let page = browser.post(&format!("/messages/{id}/act"), &[]).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("was taken back"), "nothing is opened any more");
}

#[tokio::test]
async fn c17_a_url_that_leads_elsewhere_is_a_problem_and_no_link() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    world.message_type("ASTRAY", RequiredAction::Action, Some("https://evil.example/steal?id=")).await;
    let id = world.send("ann", "ASTRAY", "Open it").await;
    let page = browser.get("/messages").await;
    assert!(page.body.contains("https://evil.example, which is not among web.action_hosts"), "{}", page.body);
    assert!(!page.body.contains(&format!("/messages/{id}/act")));
    let page = browser.post(&format!("/messages/{id}/act"), &[]).await;
    assert_eq!((page.status, world.status(id).await.as_str()), (StatusCode::OK, "pending"));
}
