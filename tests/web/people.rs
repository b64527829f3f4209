//! Users on a screen: searched, imported from a file, let in by a link.

use herald_jobs::store;
use reqwest::StatusCode;

use crate::support::world::{Browser, Page, World, between};

async fn import(browser: &Browser, csv: &str, deed: &str) -> Page {
    browser.get("/admin/users/import").await;
    browser.post("/admin/users/import", &[("csv", csv), ("do", deed)]).await
}

async fn count(world: &World) -> i64 {
    sqlx::query_scalar("select count(*) from herald.app_user").fetch_one(&world.pool).await.unwrap()
}

const GOOD: &str = "username,display_name,email,mobile,time_zone\r\n\
                    Carla,Carla <C>,carla@example.com,+49 170 1234567,Europe/Berlin\r\nadam,,adam@example.com,,\r\n";

#[tokio::test]
async fn users_are_imported_all_or_none_and_each_wrong_row_says_why() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    let bad = "username,email,mobile,time_zone\ncarla,carla@example.com,,\nd ave,,,\nEVE,eve,,\nfay,,12,\ngil,,,Mars/Olympus\ncarla,,,\n";
    let page = import(&browser, bad, "").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    let said = between(&page.body, "id=\"problem-csv\"", "</div>").unwrap();
    for row in [
        "Row 2: username: must not hold white space",
        "Row 3: email: ",
        "Row 4: mobile: must begin with +",
        "Row 5: time_zone: there is no time zone Mars/Olympus",
        "Row 6: username: carla stands in row 1 too",
    ] {
        assert!(said.contains(row), "{row}: {said}");
    }
    assert!(page.body.contains("d ave,,,\nEVE"), "what was typed stays: {}", page.body);
    let page = import(&browser, "name,password\nann,x\n", "").await;
    assert!(page.body.contains("the first line names a column"), "{}", page.body);
    assert_eq!(count(&world).await, 1, "nothing half done");

    let page = import(&browser, GOOD, "check").await;
    assert!(page.body.contains("1 would be added and 1 changed.") && page.body.contains("Carla &#60;C&#62;"));
    assert_eq!(count(&world).await, 1, "only looked at");
    let page = import(&browser, GOOD, "").await;
    assert!(page.body.contains("1 added, 1 changed."), "{}", page.body);
    let carla = store::accounts::get(&world.pool, "carla").await.unwrap().unwrap();
    assert_eq!((carla.mobile.as_deref(), carla.time_zone.as_str()), (Some("+491701234567"), "Europe/Berlin"));
    let adam = store::accounts::get(&world.pool, "adam").await.unwrap().unwrap();
    assert_eq!(adam.roles, ["admin"], "what the file does not name stays");

    for (words, found) in [
        ("CARLA", true),
        ("example.com carla", true),
        ("170123", true),
        ("carla nobody", false),
        ("<c>", true),
        ("%", false),
    ] {
        let query: String = url::form_urlencoded::byte_serialize(words.as_bytes()).collect();
        let page = browser.get(&format!("/admin/users?q={query}")).await;
        assert_eq!(page.body.contains("/admin/users/edit/carla"), found, "{words}: {}", page.body);
        assert_eq!(page.body.contains("Nothing matches this search."), !found, "{words}");
    }

    let ann = world.logged_in("ann").await;
    assert_eq!(ann.get("/admin/users/import").await.status, StatusCode::FORBIDDEN);
    ann.get("/").await;
    assert_eq!(ann.post("/admin/users/import", &[("csv", GOOD)]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(ann.post("/admin/users/link/adam", &[]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_link_lets_a_user_in_once_and_is_shown_once() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    world.user("bob").await;
    assert!(browser.get("/admin/users/edit/bob").await.body.contains("action=\"/admin/users/link/bob\""));
    let page = browser.post("/admin/users/link/bob", &[]).await;
    let link = between(&page.body, "<code>", "</code>").unwrap().to_owned();
    let path = link.strip_prefix(&world.url).unwrap();
    assert!(path.starts_with("/login/link/"), "{link}");
    let secret = path.rsplit('/').next().unwrap();
    for path in ["/admin/users", "/admin/users/edit/bob", "/admin/audit"] {
        assert!(!browser.get(path).await.body.contains(secret), "{path}");
    }
    assert!(browser.get("/admin/audit").await.body.contains(">user link</a>"));
    let bob = world.browser();
    bob.get(path).await;
    assert_eq!(bob.post(path, &[]).await.status, StatusCode::SEE_OTHER);
    assert!(bob.get("/account").await.body.contains("<dd>bob</dd>"));
    assert_eq!(world.browser().get(path).await.status, StatusCode::GONE);

    sqlx::query("update herald.app_user set active = false where username = 'bob'")
        .execute(&world.pool)
        .await
        .unwrap();
    let page = browser.get("/admin/users/edit/bob").await;
    assert!(page.body.contains("no link would let them in"), "{}", page.body);
    for name in ["bob", "nobody"] {
        let page = browser.post(&format!("/admin/users/link/{name}"), &[]).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{name}");
    }
}

#[tokio::test]
async fn roles_of_the_houses_own_are_kept_and_changed() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    let form = [
        ("username", "cfo"),
        ("locale", "en"),
        ("time_zone", "UTC"),
        ("active", "on"),
        ("role_operator", "on"),
        ("roles", "buyer, cfo"),
    ];
    browser.get("/admin/users/new").await;
    assert_eq!(browser.post("/admin/users/new", &form).await.location(), "/admin/users?done=saved");
    let kept = store::accounts::get(&world.pool, "cfo").await.unwrap().unwrap();
    assert_eq!(kept.roles, ["buyer", "cfo", "operator"]);
    let page = browser.get("/admin/users/edit/cfo").await;
    assert!(page.body.contains("value=\"buyer, cfo\""), "{}", page.body);
    let bad: Vec<_> =
        form.iter().map(|&(name, value)| (name, if name == "roles" { "Chief!" } else { value })).collect();
    let page = browser.post("/admin/users/new", &bad).await;
    assert!(
        page.body.contains("id=\"problem-roles\"") && page.body.contains("value=\"Chief!\""),
        "{}",
        page.body
    );
}
