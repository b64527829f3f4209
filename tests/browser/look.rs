//! How the pages look, in light and in dark; what they weigh; and whether they hold barriers.

use std::io::Write as _;

use herald_jobs::answer_link::AnswerLink;
use herald_jobs::clock::Clock;
use herald_jobs::seal::new_key;
use herald_jobs::store;
use herald_web::Access;
use ring::rand::SystemRandom;
use serde_json::json;
use tempfile::NamedTempFile;

use super::stage::{Stage, message};
use super::{authoring, operating};
use crate::support::eventually;
use crate::support::webdriver::Pointer;
use herald_producers::NewMessage;

/// Most bytes of a first page, all that it loads included.
const HEAVIEST: u64 = 60 * 1024;

/// One message of each kind, some of them done.
async fn furnish(stage: &Stage) -> String {
    let done = stage.send("REPLY-YESNO", "Shall we extend the lease of the warehouse?").await;
    let ann = 1;
    let answer = [(done.0, Some("Yes"))];
    herald_jobs::store::inbox::act(&stage.pool, ann, &answer, Clock::system().now()).await.unwrap();
    let text = "Dear Ann,\n\nthe report on sales by region for the third quarter is ready. The north has grown by 12 %, \
                the south by 3 %.\n\nPlease look at it before the meeting on Friday.";
    let subject = Some("Sales by region, third quarter".to_owned());
    let report = NewMessage { subject, sender: "report_task".into(), ..message("VIEW-NORMAL", text) };
    let id = stage.send_with(report).await;
    stage.send("FREE", "Which of the two offers for the new coffee machine shall we take?").await;
    stage
        .send("REPLY-YESNO", "Purchase order 4711 has waited for 14 days. Shall we remind the supplier?")
        .await;
    stage.send("APPROVE", "Approve purchase order 4712: espresso machine, 12,400.00 EUR").await;
    stage.send("VIEW-NORMAL", "The nightly import has finished: 4,711 records, no errors.").await;
    stage.send("ALERT-VIEW", "The warehouse's cold room is at 9 °C and rising.").await;
    stage.send("ALERT-YESNO", "Line 3 has stopped. Shall we call the service?").await;
    id.to_string()
}

/// Pages that are looked at here. REPORT and ACTION stand for messages, LINK for one of a mail.
const PAGES: [(&str, &str); 24] = [
    ("/", "dashboard"),
    ("/messages", "messages"),
    ("/alerts", "alerts"),
    ("/messages?state=done", "history"),
    ("/messages?q=order&from=2020-01-01&type=APPROVE", "search"),
    ("/messages?q=nothing+has+this", "no-match"),
    ("/messages?from=yesterday", "bad-search"),
    ("/messages/REPORT", "message"),
    ("/messages/ACTION/act", "action"),
    ("/account", "account"),
    ("/nowhere", "error"),
    ("/api", "api"),
    ("/login/link/look", "login-link"),
    ("/login/link/gone", "login-link-gone"),
    ("/answer/LINK", "answer"),
    ("/admin/types", "admin-types"),
    ("/admin/types/new", "admin-new-type"),
    ("/admin/types/edit/VIEW-NORMAL", "admin-type"),
    ("/admin/choices", "admin-choices"),
    ("/admin/choices/new", "admin-new-choices"),
    ("/admin/choices/edit/YESNO-CHOICES", "admin-choice-set"),
    ("/admin/users", "admin-users"),
    ("/admin/users/new", "admin-new-user"),
    ("/admin/users/edit/ann", "admin-user"),
];

/// What answers but is no page.
const NO_PAGES: [(&str, &str); 7] = [
    ("/assets/{name}", "a file"),
    ("/outputs/{id}", "a file"),
    ("/api/v1/openapi.json", "a file"),
    ("/live", "a stream"),
    ("/counts", "for scripts"),
    ("/latest", "a part of the dashboard"),
    ("/messages/{id}/pane", "a part of the list, looked at there"),
];

/// Whether a path is one of this route's.
fn is_of(path: &str, route: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (path, route): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), route.split('/').collect());
    path.len() == route.len() && path.iter().zip(&route).all(|(is, of)| is == of || of.starts_with('{'))
}

#[tokio::test]
async fn each_page_is_looked_at_for_barriers_somewhere() {
    let stage = Stage::for_ann().await;
    let mut connection = stage.pool.acquire().await.unwrap();
    store::users::set_roles(&mut *connection, 1, &["admin".to_owned()]).await.unwrap();
    drop(connection);
    let mut known = vec!["/login"];
    known.extend(PAGES.iter().chain(&authoring::PAGES).chain(&operating::PAGES).map(|(path, _)| *path));
    let routes = herald_web::paths();
    assert!(NO_PAGES.iter().all(|(path, _)| routes.iter().any(|(_, route)| path == route)));
    for (access, route) in routes {
        let is_left_out = NO_PAGES.iter().any(|(path, _)| *path == route);
        if is_left_out || matches!(access, Access::Token | Access::Admin | Access::Signed) {
            continue;
        }
        // What is only posted to has no page.
        let script = "return fetch(arguments[0]).then((answer) => answer.status)";
        let status = stage.run(script, vec![route.replace(['{', '}'], "").into()]).await;
        let is_looked_at = known.iter().any(|path| is_of(path, route));
        assert!(status == 405 || is_looked_at, "{route} ({status}) is in no list");
    }
    stage.end().await;
}

#[tokio::test]
async fn no_page_holds_a_barrier_in_light_or_dark() {
    let (random, mut file) = (SystemRandom::new(), NamedTempFile::new().unwrap());
    let key = new_key(&random).unwrap();
    file.write_all(key.expose().as_bytes()).unwrap();
    let stage = Stage::with(|config| config.secrets.key_file = file.path().to_owned()).await;
    for scheme in ["light", "dark"] {
        stage.prefer("prefers-color-scheme", scheme).await;
        stage.go("/login").await;
        stage.screenshot(&format!("{scheme}-login")).await;
        assert_eq!(stage.barriers().await, Vec::<String>::new(), "/login, {scheme}");
    }
    stage.log_in().await;
    stage.go("/messages").await;
    assert_eq!(stage.barriers().await, Vec::<String>::new(), "an empty list");
    let report = furnish(&stage).await;
    let action = stage.send("APPROVE", "Approve purchase order 4713: coffee").await.to_string();
    let asked = stage.send("REPLY-YESNO", "Shall we order more cups?").await;
    let (choice, expires) = (Some("Yes".to_owned()), i64::from(u32::MAX));
    let link = AnswerLink { message: asked.0, recipient: 1, choice, expires };
    let link = link.url(&key.expose().parse().unwrap(), &stage.home.parse().unwrap()).unwrap();
    let link = link.path().to_owned();
    sqlx::raw_sql("insert into herald.login_link (token_hash, user_id, expires_at) values (sha256('look'), 1, now() + interval '1 day')")
        .execute(&stage.pool)
        .await
        .unwrap();
    let mut connection = stage.pool.acquire().await.unwrap();
    store::users::set_roles(&mut *connection, 1, &["admin".to_owned()]).await.unwrap();
    drop(connection);
    for scheme in ["light", "dark"] {
        stage.prefer("prefers-color-scheme", scheme).await;
        for (path, name) in PAGES {
            let path =
                path.replace("REPORT", &report).replace("ACTION", &action).replace("/answer/LINK", &link);
            stage.go(&path).await;
            stage.find("main").await;
            stage.screenshot(&format!("{scheme}-{name}")).await;
            assert_eq!(stage.barriers().await, Vec::<String>::new(), "{path}, {scheme}");
        }
        stage.go("/messages").await;
        stage.point(Pointer::Click, "[data-row]:last-child h2 a").await;
        eventually("the pane", async || stage.text("[data-pane]").await.contains("Dear Ann")).await;
        stage.point(Pointer::Click, "[data-row]:first-child [data-act]").await;
        stage.screenshot(&format!("{scheme}-reading")).await;
        assert_eq!(stage.barriers().await, Vec::<String>::new(), "the reading pane, {scheme}");
        stage.point(Pointer::Click, "[data-show-keys]").await;
        stage.find("dialog[open]").await;
        stage.screenshot(&format!("{scheme}-keys")).await;
        assert_eq!(stage.barriers().await, Vec::<String>::new(), "the keys, {scheme}");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_first_page_is_light_and_asks_nobody_else() {
    let stage = Stage::start().await;
    stage.log_in().await;
    furnish(&stage).await;
    for path in ["/", "/messages", "/alerts"] {
        stage.go(path).await;
        stage.find("[data-count=alerts]").await;
        let script = "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
            .map((it) => [it.name, it.decodedBodySize])";
        let loaded: Vec<(String, u64)> = serde_json::from_value(stage.run(script, vec![]).await).unwrap();
        let weight: u64 = loaded.iter().map(|(_, size)| size).sum();
        assert!(
            weight > 10_000 && weight < HEAVIEST,
            "{path}: {weight} bytes before compression: {loaded:#?}"
        );
        assert!(loaded.iter().all(|(name, _)| name.starts_with(&stage.home)), "{loaded:#?}");
    }
    stage.end().await;
}

#[tokio::test]
async fn nothing_moves_where_that_is_not_wanted() {
    let stage = Stage::for_ann().await;
    stage.send("ALERT-VIEW", "The cold room is too warm").await;
    stage.prefer("prefers-reduced-motion", "reduce").await;
    for path in ["/", "/alerts"] {
        stage.go(path).await;
        let script = "return [...document.querySelectorAll('*')].filter((it) => {
            const style = getComputedStyle(it);
            return style.animationName !== 'none' || style.transitionDuration.split(',').some((it) => parseFloat(it) > 0);
        }).map((it) => it.outerHTML.slice(0, 80))";
        assert_eq!(stage.run(script, vec![]).await, json!([]), "{path}");
    }
    stage.end().await;
}
