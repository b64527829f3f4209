//! Logging in and out.

use chrono::TimeDelta;
use herald_web::access;
use reqwest::header::SET_COOKIE;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::world::{PASSWORD, World, between};

#[tokio::test]
async fn refusals_are_the_same_for_who_exists_and_who_does_not() {
    let world = World::start().await;
    world.user("ann").await;
    let browser = world.browser();
    let mut refusals = Vec::new();
    for name in ["ann", "nobody", "not a name", ""] {
        let page = browser.log_in(name, "wrong").await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        assert!(page.body.contains("Wrong username or password."), "{}", page.body);
        // What was typed is shown again, and moves the focus; the form's token is masked anew each time.
        let token = between(&page.body, "name=\"form_token\" value=\"", "\"").unwrap();
        let body = page.body.replace(token, "");
        let body = body.replace(&format!("value=\"{name}\""), "value=\"\"").replace(" autofocus", "");
        let mut told: Vec<_> = page.headers.keys().map(|header| header.as_str().to_owned()).collect();
        told.sort();
        refusals.push((told, body));
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:#?}");
    assert_eq!(browser.get("/").await.location(), "/login");
}

#[tokio::test]
async fn who_is_logged_in_comes_where_they_wanted_to() {
    let world = World::start().await;
    world.user("ann").await;
    let browser = world.browser();
    let sent = browser.get("/messages?before=0197-x").await;
    assert_eq!(sent.location(), "/login?next=%2Fmessages%3Fbefore%3D0197-x");
    browser.get(sent.location()).await;
    let fields = [("username", " ANN "), ("password", PASSWORD), ("next", "/alerts")];
    let entered = browser.post("/login", &fields).await;
    assert_eq!((entered.status, entered.location()), (StatusCode::SEE_OTHER, "/alerts"));
    let cookie = entered.headers.get_all(SET_COOKIE).iter().next().unwrap().to_str().unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    assert_eq!(browser.get("/login").await.location(), "/", "there is nothing to log in to");
}

#[tokio::test]
async fn a_session_gets_a_new_secret_at_each_log_in_and_ends_with_the_log_out() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let stolen = browser.window();
    browser.get("/login").await;
    browser.get("/").await;
    browser.post("/logout", &[]).await;
    assert_eq!(browser.get("/").await.location(), "/login");
    assert_eq!(stolen.get("/").await.location(), "/login", "the old secret is worth nothing");
    browser.log_in("ann", PASSWORD).await;
    assert_ne!(browser.cookie(), stolen.cookie());
    let hashes: Vec<Vec<u8>> =
        sqlx::query_scalar("select token_hash from herald.session").fetch_all(&world.pool).await.unwrap();
    assert_eq!(hashes.len(), 1);
    assert!(!browser.cookie().as_bytes().windows(32).any(|window| window == hashes[0]));
}

#[tokio::test]
async fn a_host_application_opens_the_inbox_for_whom_it_knows_once_and_soon() {
    let world = World::start().await;
    world.user("ann").await;
    let (admin, plain) = (world.admin_token().await, world.token("erp", None).await);
    let launch = async |token: &str, name: &str, body: serde_json::Value| {
        let path = format!("/users/{name}/launch");
        let answer = world.api(Method::POST, &path, token).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<serde_json::Value>().await.unwrap())
    };
    let (status, made) = launch(&admin, "ann", json!({"next": "/alerts?q=boiler"})).await;
    assert_eq!(status, 201, "{made}");
    let link = made["url"].as_str().unwrap().strip_prefix(&world.url).unwrap().to_owned();
    let browser = world.browser();
    let page = browser.get(&link).await;
    let next = crate::support::world::between(&page.body, "name=\"next\" value=\"", "\"").unwrap().to_owned();
    let entered = browser.post(&link, &[("next", &next)]).await;
    assert_eq!((entered.status, entered.location()), (StatusCode::SEE_OTHER, "/alerts?q=boiler"));
    assert_eq!(browser.get("/alerts").await.status, StatusCode::OK);
    assert_eq!(world.browser().get(&link).await.status, StatusCode::GONE, "once");

    let (_, made) = launch(&admin, "ann", json!({"seconds": 5})).await;
    world.clock.advance(TimeDelta::seconds(6));
    let late = made["url"].as_str().unwrap().strip_prefix(&world.url).unwrap();
    assert_eq!(world.browser().get(late).await.status, StatusCode::GONE, "soon");
    for (name, body, status, pointer) in [
        ("ann", json!({"next": "https://evil.example"}), 422, "/next"),
        ("ann", json!({"next": "//evil.example"}), 422, "/next"),
        ("ann", json!({"seconds": 601}), 422, "/seconds"),
        ("ann", json!({"seconds": 0}), 422, "/seconds"),
        ("nobody", json!({}), 404, ""),
        ("not a name", json!({}), 404, ""),
    ] {
        let (answered, problem) = launch(&admin, name, body.clone()).await;
        assert_eq!(answered, status, "{name} {body}: {problem}");
        assert!(problem.to_string().contains(pointer), "{problem}");
    }
    assert_eq!(launch(&plain, "ann", json!({})).await.0, 403);
}

#[tokio::test]
async fn logging_out_everywhere_ends_each_session_and_each_link_of_that_user() {
    let world = World::start().await;
    let (browser, bob) = (world.logged_in("ann").await, world.logged_in("bob").await);
    let phone = world.browser();
    assert_eq!(phone.log_in("ann", PASSWORD).await.status, StatusCode::SEE_OTHER);
    let id = world.user("ann").await;
    let link =
        access::new_login_link(&world.pool, &world.clock, &world.url.parse().unwrap(), id).await.unwrap();
    let page = browser.get("/account").await;
    assert_eq!(page.body.matches("Logged in ").count(), 2, "{}", page.body);
    let told = browser.post("/logout/everywhere", &[]).await;
    assert_eq!((told.status, told.location()), (StatusCode::SEE_OTHER, "/login"));
    assert_eq!(browser.get("/").await.location(), "/login");
    assert_eq!(phone.get("/").await.location(), "/login");
    assert_eq!(world.browser().get(link.path()).await.status, StatusCode::GONE);
    assert_eq!(bob.get("/").await.status, StatusCode::OK, "others stay");
}

#[tokio::test]
async fn a_session_that_is_not_used_ends() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    world.clock.advance(TimeDelta::hours(11));
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    world.clock.advance(TimeDelta::hours(11));
    assert_eq!(browser.get("/").await.status, StatusCode::OK, "using it prolongs it");
    world.clock.advance(TimeDelta::hours(13));
    assert_eq!(browser.get("/").await.location(), "/login");
}

#[tokio::test]
async fn a_deactivated_user_is_out_at_once() {
    let world = World::start().await;
    let browser = world.logged_in("ann").await;
    let id = world.user("ann").await;
    herald_jobs::store::users::set_active(&world.pool, id, false).await.unwrap();
    assert_eq!(browser.get("/").await.location(), "/login");
    let page = world.browser().log_in("ann", PASSWORD).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let world = World::start().await;
    world.user("ann").await;
    let browser = world.browser();
    for name in ["ann", "nobody"] {
        for _ in 0..10 {
            assert_eq!(browser.log_in(name, "wrong").await.status, StatusCode::UNPROCESSABLE_ENTITY);
        }
        let page = browser.log_in(name, PASSWORD).await;
        assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS, "{name}");
        assert!(page.body.contains("Too many attempts."), "{}", page.body);
    }
    world.user("bob").await;
    assert_eq!(browser.log_in("bob", PASSWORD).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_link_lets_in_once_and_only_by_its_button() {
    let world = World::start().await;
    let id = world.user("ann").await;
    let url = world.url.parse().unwrap();
    let link = access::new_login_link(&world.pool, &world.clock, &url, id).await.unwrap();
    let path = link.path();
    let preview = world.browser();
    for _ in 0..2 {
        let page = preview.get(path).await;
        assert!(page.body.contains("Log in as ann"), "looking uses nothing up: {}", page.body);
    }
    assert_eq!(preview.get("/").await.location(), "/login");
    let browser = world.browser();
    browser.get(path).await;
    assert_eq!(browser.post(path, &[]).await.location(), "/");
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    assert_eq!(preview.post(path, &[]).await.status, StatusCode::GONE, "too late");
    let late = world.browser();
    let page = late.get(path).await;
    assert_eq!(page.status, StatusCode::GONE);
    assert!(page.body.contains("does not work any more"), "{}", page.body);

    let link = access::new_login_link(&world.pool, &world.clock, &url, id).await.unwrap();
    world.clock.advance(TimeDelta::hours(25));
    assert_eq!(late.get(link.path()).await.status, StatusCode::GONE, "its time is over");
}
