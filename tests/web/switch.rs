//! The demo's switch between its people: there in a demo, and nowhere else.

use herald_jobs::store;
use herald_web::{Persona, Role};
use reqwest::StatusCode;

use crate::support::world::World;

fn persona(name: &str, role: Role) -> Persona {
    Persona { username: name.to_owned(), role }
}

#[tokio::test]
async fn one_press_makes_another_of_the_demos_people() {
    let world = World::with(|settings| {
        settings.personas = vec![persona("bob", Role::Requester), persona("ann", Role::Approver)];
    })
    .await;
    store::registry::mark_caught(&world.pool).await.unwrap();
    for name in ["bob", "eve"] {
        world.user(name).await;
    }
    let browser = world.logged_in("ann").await;
    let page = browser.get("/").await;
    assert!(page.body.contains("bob, requester") && page.body.contains("ann, approver"), "{}", page.body);
    let before = browser.cookie();
    let page = browser.post("/demo/switch", &[("who", "bob")]).await;
    assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, "/"));
    assert!(browser.get("/account").await.body.contains("<dd>bob</dd>"));
    assert_ne!(browser.cookie(), before, "the session is another one");
    let sessions: i64 =
        sqlx::query_scalar("select count(*) from herald.session").fetch_one(&world.pool).await.unwrap();
    assert_eq!(sessions, 1, "and the one before has ended");

    for who in ["eve", "nobody", ""] {
        browser.get("/account").await;
        assert_eq!(
            browser.post("/demo/switch", &[("who", who)]).await.status,
            StatusCode::NOT_FOUND,
            "{who}"
        );
    }
    let forged = browser.post_raw("/demo/switch", &[("who", "ann"), ("form_token", "x")]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let request = browser.form("/demo/switch", &[("who", "ann")]).header("sec-fetch-site", "cross-site");
    assert_eq!(browser.answer(request).await.status, StatusCode::FORBIDDEN);
    assert!(browser.get("/account").await.body.contains("<dd>bob</dd>"), "still the same");
}

#[tokio::test]
async fn outside_of_a_demo_nobody_becomes_another() {
    let world = World::start().await;
    world.user("bob").await;
    let browser = world.logged_in("ann").await;
    assert!(!browser.get("/").await.body.contains("/demo/switch"));
    assert_eq!(browser.post("/demo/switch", &[("who", "bob")]).await.status, StatusCode::NOT_FOUND);
    // Neither where the database is that of a demo and the program is not,
    store::registry::mark_caught(&world.pool).await.unwrap();
    browser.get("/").await;
    assert_eq!(browser.post("/demo/switch", &[("who", "bob")]).await.status, StatusCode::NOT_FOUND);
    // nor the other way round.
    let world = World::with(|settings| settings.personas = vec![persona("bob", Role::Requester)]).await;
    world.user("bob").await;
    let browser = world.logged_in("ann").await;
    browser.get("/").await;
    assert_eq!(browser.post("/demo/switch", &[("who", "bob")]).await.status, StatusCode::NOT_FOUND);
    assert!(browser.get("/account").await.body.contains("<dd>ann</dd>"));
}
