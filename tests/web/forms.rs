//! Changes that do not come from a page of ours.

use reqwest::StatusCode;

use crate::support::world::{PASSWORD, World};

#[tokio::test]
async fn a_form_without_its_token_changes_nothing() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let id = world.send("ann", "VIEW-NORMAL", "Hello").await;
    browser.get("/messages").await;
    let row = id.to_string();
    let eve = world.logged_in("eve").await;
    eve.get("/").await;
    let others = crate::support::world::between(&eve.get("/").await.body, "form_token\" value=\"", "\"")
        .unwrap()
        .to_owned();
    for fields in [
        vec![("act", row.as_str())],
        vec![("act", &row), ("form_token", "")],
        vec![("act", &row), ("form_token", &others)],
    ] {
        for path in ["/messages", "/alerts", "/logout", "/notices/dismiss"] {
            assert_eq!(
                browser.post_raw(path, &fields).await.status,
                StatusCode::FORBIDDEN,
                "{path} {fields:?}"
            );
        }
    }
    assert_eq!(world.status(id).await, "pending");
    assert_eq!(browser.post("/messages", &[("act", &row)]).await.status, StatusCode::OK);
    assert_eq!(world.status(id).await, "acted");
}

#[tokio::test]
async fn a_form_from_another_site_changes_nothing() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let id = world.send("ann", "VIEW-NORMAL", "Hello").await;
    let page = browser.get("/messages").await;
    let token = crate::support::world::between(&page.body, "form_token\" value=\"", "\"").unwrap();
    let row = id.to_string();
    let fields = [("form_token", token), ("act", row.as_str())];
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let page = browser.answer(browser.form("/messages", &fields).header(name, value)).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{name}: {value}");
    }
    assert_eq!(world.status(id).await, "pending");
    let own = browser.form("/messages", &fields).header("sec-fetch-site", "same-origin");
    assert_eq!(browser.answer(own.header("origin", &world.url)).await.status, StatusCode::OK);
    assert_eq!(world.status(id).await, "acted");
}

#[tokio::test]
async fn nobody_is_logged_in_by_another_site() {
    let world = World::start().await;
    world.user("ann").await;
    let victim = world.browser();
    let fields = [("username", "ann"), ("password", PASSWORD)];
    assert_eq!(victim.post_raw("/login", &fields).await.status, StatusCode::FORBIDDEN);
    let attacker = world.browser();
    let page = attacker.get("/login").await;
    let token = crate::support::world::between(&page.body, "form_token\" value=\"", "\"").unwrap();
    victim.get("/login").await;
    let fields = [("username", "ann"), ("password", PASSWORD), ("form_token", token)];
    assert_eq!(victim.post_raw("/login", &fields).await.status, StatusCode::FORBIDDEN, "another's token");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_a_page() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    browser.get("/").await;
    let much = "x".repeat(5 * 1024 * 1024);
    let page = browser.post("/messages", &[("act", &much)]).await;
    assert_eq!(page.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(page.body.contains("<h1>Too large</h1>"), "{}", page.body);
    let page = browser.answer(browser.http.post(format!("{}/messages", world.url)).body("x")).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "no form at all");
}
