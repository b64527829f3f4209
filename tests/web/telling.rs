//! What the forms of the administration say: of what they refused, of what was just done, and before something is gone.

use herald_jobs::store;
use reqwest::StatusCode;

use super::administering::{post, version, with};
use super::authoring::{company, problem};
use super::rules::{RULE, template};
use crate::support::eventually;
use crate::support::world::{Page, World, between};

/// What stands above a form that was refused.
fn refused(page: &Page) -> &str {
    between(&page.body, "role=\"alert\" data-refused>", "</div>").unwrap_or_default()
}

#[tokio::test]
async fn the_button_that_enter_presses_saves_nothing_where_a_form_can_be_tried() {
    let (_world, browser) = company().await;
    for path in ["/admin/reminders/new", "/admin/templates/new", "/admin/events/new"] {
        let page = browser.get(path).await;
        let form = between(&page.body, "<form class=\"panel maintain\"", "</form>").unwrap();
        let first = between(form, "type=\"submit\"", "</button>").unwrap();
        assert!(first.contains("name=\"do\" value=\"try\""), "{path}: {first}");
        assert!(form.contains("button primary"), "{path}: it can be saved, too");
    }
}

#[tokio::test]
async fn what_is_removed_is_asked_about_first_and_a_rule_says_that_its_log_goes() {
    let (world, browser) = company().await;
    template(&world).await;
    post(&browser, "/admin/reminders/new", &RULE).await;
    for (path, follows) in [
        ("/admin/reminders/edit/PO-OVERDUE", "sends every reminder again"),
        ("/admin/templates/edit/PO-WAITS", "Nothing can be sent by it then."),
        ("/admin/models/edit/customer", "The table itself stays as it is."),
        ("/admin/users/edit/adam", "cannot log in"),
    ] {
        let page = browser.get(path).await;
        let button = "name=\"do\" value=\"remove\"";
        let asked =
            between(&page.body, "<details class=\"sure\">\n<summary", "</details>").unwrap_or_default();
        assert!(asked.contains(follows) && asked.contains(button), "{path}: {}", page.body);
        assert_eq!(page.body.matches(button).count(), 1, "{path}: nowhere else");
    }
    // A rule that is off sends only to whoever has read that it is.
    let page = browser.get("/admin/reminders/edit/PO-OVERDUE").await;
    let (_, off) = page.body.split_once("State: disabled").unwrap();
    let asked = between(off, "<details class=\"sure\">", "</details>").unwrap();
    assert!(asked.contains("The rule is off.") && asked.contains("value=\"run\""), "{asked}");
}

#[tokio::test]
async fn a_refused_form_says_so_at_the_top_and_goes_on_at_the_first_field() {
    let (world, browser) = company().await;
    template(&world).await;
    let rule = with(&RULE, &[("interval", "soon")]);
    let page = post(&browser, "/admin/reminders/new", &rule).await;
    let said = refused(&page);
    assert!(
        said.contains("Not done:") && said.contains("<a href=\"#field-interval\">Interval</a>"),
        "{said}"
    );
    assert_eq!(page.body.matches(" autofocus").count(), 1);
    let field = between(&page.body, "id=\"field-interval\"", ">").unwrap();
    assert!(field.contains("autofocus") && field.contains("aria-invalid=\"true\""), "{field}");
    let tried = post(&browser, "/admin/reminders/new", &with(&rule, &[("do", "try")])).await;
    assert!(refused(&tried).contains("Not tried:"), "{}", tried.body);
    assert!(between(&tried.body, "data-said>", "</span>").unwrap().contains("interval"), "{}", tried.body);
    let tried = post(&browser, "/admin/reminders/new", &with(&RULE, &[("do", "try")])).await;
    assert_eq!((refused(&tried), tried.body.contains("Only tried: nothing is saved.")), ("", true));

    let token = [("name", ""), ("sender", "erp")];
    let page = post(&browser, "/admin/tokens/new", &token).await;
    assert!(refused(&page).contains("href=\"#field-name\""), "{}", page.body);
    let opened = browser.get("/admin/registry/edit/email").await;
    let keys = [("SMTP-PORT", "x"), ("SMTP-FROM", "joe"), ("version", &version(&opened))];
    let page = browser.post("/admin/registry/edit/email", &keys).await;
    let said = refused(&page);
    assert!(
        said.contains("href=\"#field-SMTP-PORT\"") && said.contains("href=\"#field-SMTP-FROM\""),
        "{said}"
    );
    let field = between(&page.body, "id=\"field-SMTP-PORT\"", ">").unwrap();
    assert!(field.contains("autofocus") && page.body.matches(" autofocus").count() == 1, "{}", page.body);
    assert!(refused(&opened).is_empty() && !opened.body.contains(" autofocus"));
}

#[tokio::test]
async fn a_problem_of_a_list_names_the_line_and_one_of_a_single_line_the_word() {
    let (world, browser) = company().await;
    template(&world).await;
    let page =
        post(&browser, "/admin/reminders/new", &with(&RULE, &[("where", "\r\nid > 1\r\n\r\nid = x")])).await;
    assert!(problem(&page, "where").contains("line 4: cannot be compared"), "{}", page.body);
    let page =
        post(&browser, "/admin/reminders/new", &with(&RULE, &[("where", "\r\nid > 1\r\n\r\nid ~ 5")])).await;
    assert!(problem(&page, "where").contains("line 4: must be written"), "{}", page.body);
    let user = [("username", "eve"), ("locale", "en"), ("time_zone", "UTC"), ("roles", "buyer, Root")];
    let page = post(&browser, "/admin/users/new", &user).await;
    assert!(problem(&page, "roles").starts_with("Root: must be"), "{}", page.body);
}

#[tokio::test]
async fn what_was_to_be_unset_is_remembered_where_something_else_was_refused() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    let path = "/admin/registry/edit/email";
    let made_from = version(&browser.get(path).await);
    browser.post(path, &[("SMTP-PASSWORD", "s3cret"), ("version", &made_from)]).await;
    let opened = browser.get(path).await;
    let made_from = version(&opened);
    assert!(opened.body.contains("name=\"unset-SMTP-PASSWORD\">"), "{}", opened.body);
    let fields = [("unset-SMTP-PASSWORD", "on"), ("SMTP-PORT", "x"), ("version", &made_from)];
    let page = browser.post(path, &fields).await;
    assert!(page.body.contains("name=\"unset-SMTP-PASSWORD\" checked>"), "{}", page.body);
}

#[tokio::test]
async fn a_new_event_rule_takes_no_watch_by_itself() {
    let (_world, browser) = company().await;
    let watch = [("table", "public.purchase_order"), ("on", "insert")];
    post(&browser, "/admin/watches/new", &watch).await;
    let page = browser.get("/admin/events/new").await;
    let offered = between(&page.body, "id=\"field-watch\"", "</select>").unwrap();
    assert!(
        offered
            .find("<option value=\"\">Choose")
            .is_some_and(|at| at < offered.find("purchase_order").unwrap())
    );
    assert!(!offered.contains(" selected"), "{offered}");
    let rule = [("code", "NEW"), ("watch", ""), ("message_type", "VIEW-NORMAL"), ("syntax", "token")];
    let page = post(&browser, "/admin/events/new", &rule).await;
    assert!(problem(&page, "watch").contains("must be one of the watches"), "{}", page.body);
}

#[tokio::test]
async fn what_was_done_to_a_rule_is_told_and_so_is_what_could_not_be() {
    let (world, browser) = company().await;
    world.user("ann").await;
    template(&world).await;
    post(&browser, "/admin/reminders/new", &RULE).await;
    let (path, doing) = ("/admin/reminders/edit/PO-OVERDUE", "/admin/reminders/do/PO-OVERDUE");
    for (what, done, said) in [
        ("enable", "enabled", "Enabled."),
        ("run", "ran", "It has run:"),
        ("disable", "disabled", "Disabled."),
    ] {
        let page = browser.post(doing, &[("do", what)]).await;
        assert_eq!(page.location(), format!("{path}?done={done}"), "{}", page.body);
        let page = browser.get(page.location()).await;
        let told = between(&page.body, "<p class=\"told\" role=\"status\">", "</p>").unwrap_or_default();
        assert!(told.contains(said), "{what}: {}", page.body);
    }
    let runs: i64 = sqlx::query_scalar(
        "select count(*) from herald.audit where action = 'reminder run' and actor = 'adam'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(runs, 1);
    sqlx::raw_sql("alter table public.purchase_order rename column since to begun")
        .execute(&world.pool)
        .await
        .unwrap();
    let page = browser.post(doing, &[("do", "run")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", page.body);
    assert!(refused(&page).contains("Not done:") && refused(&page).contains("since"), "{}", page.body);
    assert!(page.body.contains("value=\"Orders that wait\""), "the rule stands there as it is");
}

#[tokio::test]
async fn a_test_that_failed_is_said_aloud_once() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    browser.get("/admin/registry").await;
    let page = browser.post("/admin/registry/test/email", &[("to", "ann@example.com")]).await;
    assert_eq!(page.location(), "/admin/registry?done=tested&to=email#test-email");
    let ended = async || !browser.get("/admin/registry").await.body.contains("has not ended yet");
    eventually("the test to end", ended).await;
    let aloud = "<p class=\"problem\" role=\"alert\">The test to ann@example.com failed";
    assert!(browser.get("/admin/registry?done=tested&to=email").await.body.contains(aloud));
    let later = browser.get("/admin/registry").await;
    assert!(
        !later.body.contains(aloud) && later.body.contains("<p class=\"problem\">The test to"),
        "{}",
        later.body
    );
}

#[tokio::test]
async fn keys_stand_in_the_order_in_which_one_sets_them() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    let entries = store::registry::entries(&world.pool).await.unwrap();
    for entry in &entries {
        assert!(herald_jobs::registry::position(&entry.key) < entries.len(), "{} has no place", entry.key);
    }
    for path in ["/admin/registry", "/admin/registry/edit/email"] {
        let page = browser.get(path).await;
        let at = |key: &str| page.body.find(&format!(">{key}<")).unwrap();
        let keys = ["SERVER", "PORT", "SECURITY", "USERNAME", "PASSWORD", "FROM"];
        let places = keys.map(|key| at(&format!("SMTP-{key}")));
        assert!(places.is_sorted(), "{path}: {places:?}");
    }
}

#[tokio::test]
async fn templates_are_found_by_what_their_list_shows_and_say_what_they_may_call() {
    let (world, browser) = company().await;
    template(&world).await;
    for (q, found) in [("po-w", true), ("ORDER #id# W", true), ("nothing", false)] {
        let q = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", q).finish();
        let page = browser.get(&format!("/admin/templates?{q}")).await;
        assert_eq!(page.body.contains("/admin/templates/edit/PO-WAITS"), found, "{q}: {}", page.body);
    }
    let page = browser.get("/admin/templates/edit/PO-WAITS").await;
    assert!(
        page.body
            .contains("<code>@std.text.truncate(x, n)@</code></dt><dd class=\"muted\">at most n characters")
    );
    let tried = [("syntax", "handlebars"), ("message_text", "x"), ("do", "try")];
    let page = post(&browser, "/admin/templates/new", &tried).await;
    assert!(page.body.contains("<code>{{std_text_truncate x n}}</code>"), "{}", page.body);
}

#[tokio::test]
async fn the_filter_of_the_audit_log_says_what_it_matches() {
    let world = World::start().await;
    let browser = world.administrator("adam").await;
    let page = browser.get("/admin/audit").await;
    for (field, said) in
        [("actor", "The whole name."), ("action", "or its first word"), ("subject", "The whole name.")]
    {
        let hint = between(&page.body, &format!("id=\"hint-{field}\">"), "</p>").unwrap_or_default();
        assert!(hint.contains(said), "{field}: {}", page.body);
        assert!(page.body.contains(&format!("aria-describedby=\"hint-{field}\"")), "{field}");
    }
}
