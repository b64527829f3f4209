//! Every route keeps to who may use it, whoever added it.

use herald_web::Access;
use reqwest::{Method, StatusCode};

use crate::support::world::{World, http};

#[tokio::test]
async fn no_route_is_open_by_accident() {
    let world = World::start().await;
    let mut seen = Vec::new();
    for (access, path) in herald_web::paths() {
        let path = path
            .replace("{id}", "0190a0b0-0000-7000-8000-000000000000")
            .replace("{secret}", "x")
            .replace("{link}", "x")
            .replace("{code}", "T")
            .replace("{name}", "t");
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let url = format!("{}{path}", world.url);
            let answer = http().request(method.clone(), url).send().await.unwrap();
            let (status, case) = (answer.status(), format!("{method} {path}"));
            match access {
                Access::Public => assert!(
                    matches!(
                        path.as_str(),
                        "/assets/t"
                            | "/login"
                            | "/login/link/x"
                            | "/answer/x"
                            | "/api"
                            | "/api/v1/openapi.json"
                    ),
                    "{case} is open to anybody: add it here if it must be"
                ),
                Access::Session | Access::Operator | Access::Administrator => {
                    assert_eq!(status, StatusCode::SEE_OTHER, "{case}");
                    let to = answer.headers()["location"].to_str().unwrap();
                    assert!(to.starts_with("/login"), "{case} leads to {to}");
                }
                Access::SessionScript | Access::SessionIdle => {
                    assert_eq!(status, StatusCode::UNAUTHORIZED, "{case}");
                }
                Access::Signed => assert!(
                    matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED),
                    "{case} answers {status} to who signs nothing"
                ),
                Access::Token | Access::Admin => {
                    assert_eq!(status, StatusCode::UNAUTHORIZED, "{case}");
                    assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
                }
            }
        }
        seen.push(path);
    }
    assert!(seen.len() > 10, "{seen:?}");
}

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
