//! What the answers of all routes have in common.

use reqwest::StatusCode;

use crate::support::world::World;

#[tokio::test]
async fn every_answer_tells_the_browser_what_to_refuse() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    for path in ["/", "/messages", "/login", "/nowhere", "/api/v1/nowhere", "/messages/x", "/counts"] {
        let page = browser.get(path).await;
        let header = |name: &str| page.headers.get(name).map_or("", |value| value.to_str().unwrap());
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(policy.contains("form-action 'self' http://erp.example https://pay.example"), "{policy}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert!(!header("x-request-id").is_empty(), "{path}");
        assert!(!page.body.contains("style=") && !page.body.contains("<script>"), "{path}");
    }
}

#[tokio::test]
async fn assets_are_kept_for_good_under_addresses_of_their_content() {
    let world = World::start().await;
    let page = world.browser().get("/login").await;
    let style = crate::support::world::between(&page.body, "rel=\"stylesheet\" href=\"", "\"").unwrap();
    let asset = world.browser().get(style).await;
    assert_eq!(asset.status, StatusCode::OK);
    assert!(asset.headers["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(world.browser().get("/assets/herald.000000000000.css").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.browser().get("/assets/..%2fCargo.toml").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_not_there_looks_like_the_rest() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let page = browser.get("/nowhere").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.body.contains("<h1>Not found</h1>") && page.body.contains("stylesheet"), "{}", page.body);
    let page = browser.get("/api/nowhere").await;
    assert_eq!(page.headers["content-type"], "application/problem+json");
    assert_eq!(browser.get("/messages?before=x").await.status, StatusCode::BAD_REQUEST);
    let page = browser
        .answer(
            browser.http.delete(format!("{}/messages", world.url)).header("sec-fetch-site", "same-origin"),
        )
        .await;
    assert_eq!(page.status, StatusCode::METHOD_NOT_ALLOWED);
}
