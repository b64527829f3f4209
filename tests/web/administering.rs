//! The pages on which administrators maintain message types, choice sets and users.

use herald_jobs::store;
use reqwest::StatusCode;

use crate::support::world::{Browser, Page, World, between};

/// A form that adds a message type.
const KIND: [(&str, &str); 9] = [
    ("code", "ORDER-OK"),
    ("description", "To approve"),
    ("delivery_method", "alert"),
    ("required_action", "view"),
    ("external_delivery", "email"),
    ("complete_on", "click"),
    ("on_unknown", "hold"),
    ("lane", "normal"),
    ("retry_hours", "48"),
];

/// A form with some of its fields otherwise.
pub(crate) fn with<'a>(
    form: &[(&'a str, &'a str)],
    changes: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let kept = form.iter().filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    kept.chain(changes).copied().collect()
}

pub(crate) async fn post(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Page {
    browser.get(path).await;
    browser.post(path, fields).await
}

/// The version that a form was made from.
pub(crate) fn version(page: &Page) -> String {
    between(&page.body, "name=\"version\" value=\"", "\"").unwrap().to_owned()
}

#[tokio::test]
async fn c04_a_message_type_is_maintained_on_a_screen() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    let page = post(&browser, "/admin/types/new", &KIND).await;
    assert_eq!(
        (page.status, page.location()),
        (StatusCode::SEE_OTHER, "/admin/types?done=saved"),
        "{}",
        page.body
    );
    let kept = store::message_types::get(&world.pool, "ORDER-OK").await.unwrap().unwrap();
    assert_eq!((kept.delivery_method.as_str(), kept.retry_hours), ("alert", 48));
    let list = browser.get("/admin/types?done=saved").await.body;
    assert!(
        list.contains("Saved.")
            && list.contains("/admin/types/edit/ORDER-OK")
            && list.contains("VIEW-NORMAL")
    );

    // A refusal stands at its field, and what was typed stays.
    for (changes, field, said) in [
        (vec![("code", "order ok")], "code", "must begin with a letter or digit"),
        (vec![("description", "")], "description", "must be one line"),
        (vec![("expiry_days", "ten")], "expiry_days", "must be a whole number"),
        (vec![("expiry_days", "0")], "expiry_days", "must be 1 to"),
        (vec![("choice_set", "YESNO-CHOICES")], "choice_set", "is for reply types only"),
        (vec![("required_action", "action")], "action_url", "is needed for an action type"),
        (vec![("required_action", "dance")], "required_action", "must be one of"),
        (
            vec![("required_action", "reply"), ("choice_set", "NONE")],
            "choice_set",
            "there is no such choice set",
        ),
    ] {
        let page =
            post(&browser, "/admin/types/new", &with(&with(&KIND, &[("code", "OTHER")]), &changes)).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{changes:?}");
        let problem = between(&page.body, &format!("id=\"problem-{field}\">"), "</p>").unwrap_or_default();
        assert!(problem.contains(said), "{changes:?}: {problem} in {}", page.body);
        let typed = changes.iter().any(|(name, _)| *name == "description")
            || page.body.contains("value=\"To approve\"");
        assert!(typed, "{}", page.body);
    }
    let page = post(&browser, "/admin/types/new", &KIND).await;
    assert!(page.body.contains("There is one of this name already."), "{}", page.body);

    // Two have the same form open; the slower one is told, and loses nothing.
    let path = "/admin/types/edit/ORDER-OK";
    let made_from = version(&browser.get(path).await);
    let first = with(&KIND, &[("version", &made_from), ("description", "First")]);
    assert_eq!(post(&browser, path, &first).await.status, StatusCode::SEE_OTHER);
    let second = with(&KIND, &[("version", &made_from), ("description", "Second")]);
    let page = post(&browser, path, &second).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(
        page.body.contains("Somebody changed this") && page.body.contains("value=\"Second\""),
        "{}",
        page.body
    );
    let kept = store::message_types::get(&world.pool, "ORDER-OK").await.unwrap().unwrap();
    assert_eq!(kept.description, "First");

    // Ours go, those that are shipped stay.
    let made_from = version(&browser.get(path).await);
    let page = post(&browser, path, &[("do", "remove"), ("version", &made_from)]).await;
    assert_eq!(page.location(), "/admin/types?done=removed");
    assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND);
    let standard = browser.get("/admin/types/edit/VIEW-NORMAL").await;
    assert!(!standard.body.contains("value=\"remove\""), "{}", standard.body);
    let made_from = version(&standard);
    let page =
        post(&browser, "/admin/types/edit/VIEW-NORMAL", &[("do", "remove"), ("version", &made_from)]).await;
    assert!(page.body.contains("it can be adjusted, not deleted"), "{}", page.body);

    let who: Vec<(String, String)> =
        sqlx::query_as("select actor, action from herald.audit where subject = 'ORDER-OK' order by id")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let who: Vec<_> = who.iter().map(|(actor, action)| (actor.as_str(), action.as_str())).collect();
    assert_eq!(who, [("adam", "type set"), ("adam", "type set"), ("adam", "type remove")]);
}

#[tokio::test]
async fn c06_a_choice_set_is_maintained_on_a_screen() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    let form =
        [("code", "SIZES"), ("description", "Sizes"), ("choices", "S = Small\r\nL = <b>Large</b>\r\n")];
    let page = post(&browser, "/admin/choices/new", &form).await;
    assert_eq!(page.location(), "/admin/choices?done=saved", "{}", page.body);
    let page = browser.get("/admin/choices/edit/SIZES").await;
    assert!(page.body.contains("S = Small\nL = &#60;b&#62;Large&#60;/b&#62;</textarea>"), "{}", page.body);
    let twice = with(&form, &[("choices", "S\nS"), ("version", "x")]);
    let page = post(&browser, "/admin/choices/edit/SIZES", &twice).await;
    let problem = between(&page.body, "id=\"problem-choices\">", "</p>").unwrap();
    assert!(problem.contains("twice") && page.body.contains("S\nS</textarea>"), "{}", page.body);
    assert!(browser.get("/admin/types/new").await.body.contains("value=\"SIZES\""), "types can use it");
}

#[tokio::test]
async fn users_are_maintained_on_a_screen_and_a_deactivated_one_is_out() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    let form = [
        ("username", "Eve"),
        ("display_name", "Eve E."),
        ("email", "eve@example.com"),
        ("locale", "en-GB"),
        ("time_zone", "Europe/London"),
        ("active", "on"),
        ("role_operator", "on"),
    ];
    let page = post(&browser, "/admin/users/new", &form).await;
    assert_eq!(page.location(), "/admin/users?done=saved", "{}", page.body);
    let eve = store::accounts::get(&world.pool, "eve").await.unwrap().unwrap();
    assert_eq!(
        (eve.roles, eve.active, eve.time_zone.as_str()),
        (vec!["operator".to_owned()], true, "Europe/London")
    );
    for (changes, field) in [
        (("email", "nobody"), "email"),
        (("mobile", "12"), "mobile"),
        (("locale", "e!"), "locale"),
        (("time_zone", "Mars/Olympus"), "time_zone"),
        (("username", "a b"), "username"),
    ] {
        let page =
            post(&browser, "/admin/users/new", &with(&with(&form, &[("username", "other")]), &[changes]))
                .await;
        assert!(page.body.contains(&format!("id=\"problem-{field}\"")), "{changes:?}: {}", page.body);
    }
    let path = "/admin/users/edit/eve";
    let made_from = version(&browser.get(path).await);
    post(&browser, path, &[("do", "remove"), ("version", &made_from)]).await;
    assert!(!store::accounts::get(&world.pool, "eve").await.unwrap().unwrap().active);
    assert!(browser.get("/admin/users").await.body.contains("inactive"));

    let ann = world.logged_in("ann").await;
    assert!(!ann.get("/").await.body.contains("/admin/"), "others see nothing of it");
    assert_eq!(ann.get("/admin/users").await.status, StatusCode::FORBIDDEN);
    let adam = "/admin/users/edit/adam";
    let page = ann.post(adam, &with(&form, &[("username", "adam")])).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
}
