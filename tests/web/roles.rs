//! Each route by each role, made from the router: a route that is added without a rule here fails.

use std::collections::BTreeMap;

use herald_web::Access;
use herald_web::access::NewToken;
use reqwest::{Method, StatusCode};

use crate::support::world::{World, http};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Nobody,
    Recipient,
    Operator,
    Administrator,
    Token,
    AdminToken,
}

/// Whether this access lets such a one in.
fn may(access: Access, who: Who) -> bool {
    match access {
        // The handler of what is signed looks at the signature.
        Access::Public | Access::Signed => true,
        Access::Session | Access::SessionScript | Access::SessionIdle => {
            matches!(who, Who::Recipient | Who::Operator | Who::Administrator)
        }
        Access::Operator => matches!(who, Who::Operator | Who::Administrator),
        Access::Administrator => who == Who::Administrator,
        Access::Token => matches!(who, Who::Token | Who::AdminToken),
        Access::Admin => who == Who::AdminToken,
    }
}

/// Whether an answer says that one may not.
fn is_shut(access: Access, status: StatusCode, location: &str) -> bool {
    match access {
        Access::Administrator | Access::Operator => {
            status == StatusCode::FORBIDDEN
                || status == StatusCode::SEE_OTHER && location.starts_with("/login")
        }
        Access::Session => status == StatusCode::SEE_OTHER && location.starts_with("/login"),
        _ => matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN),
    }
}

#[tokio::test]
async fn each_route_lets_in_those_that_it_says_and_nobody_else() {
    let world = World::start().await;
    let recipient = world.logged_in("ann").await.cookie();
    let operator = world.holder("oz", "operator").await.cookie();
    let administrator = world.administrator("adam").await.cookie();
    let token = world.token_of(NewToken { sender: "erp".to_owned(), ..NewToken::default() }).await;
    let admin = world.admin_token().await;
    let mut asked: BTreeMap<Who, usize> = BTreeMap::new();
    for (access, path) in herald_web::paths() {
        // The stream does not end, and leaving ends what the others need; both are told apart by their status below.
        let path = path
            .replace("{id}", "0190a0b0-0000-7000-8000-000000000000")
            .replace("{secret}", "x")
            .replace("{code}", "T")
            .replace("{name}", "t");
        for who in
            [Who::Nobody, Who::Recipient, Who::Operator, Who::Administrator, Who::Token, Who::AdminToken]
        {
            for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
                let request = http().request(method.clone(), format!("{}{path}", world.url));
                let request = match who {
                    Who::Nobody => request,
                    Who::Recipient => request.header("cookie", recipient.clone()),
                    Who::Operator => request.header("cookie", operator.clone()),
                    Who::Administrator => request.header("cookie", administrator.clone()),
                    Who::Token => request.bearer_auth(&token),
                    Who::AdminToken => request.bearer_auth(&admin),
                };
                let answer = request.send().await.unwrap();
                let status = answer.status();
                let location = answer.headers().get("location").map_or("", |it| it.to_str().unwrap());
                let about = format!("{who:?} {method} {path}: {status} {location}");
                assert!(!status.is_server_error(), "{about}");
                // Without the form's token a change is refused to whoever may make it: that is another test's.
                let refused_form =
                    may(access, who) && method == Method::POST && status == StatusCode::FORBIDDEN;
                // Who is let in to leave is led to the log-in as well.
                assert!(
                    refused_form
                        || matches!(access, Access::Public | Access::Signed)
                        || may(access, who) != is_shut(access, status, location),
                    "{about}"
                );
                *asked.entry(who).or_default() += 1;
            }
        }
    }
    assert!(asked.values().all(|many| *many > 100), "{asked:?}");
}

#[tokio::test]
async fn whom_a_trusted_proxy_names_is_let_in_and_nobody_else() {
    let world = World::with(|settings| {
        settings.user_header = Some("x-remote-user".parse().unwrap());
        settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    })
    .await;
    world.user("ann").await;
    world.user("bob").await;
    let browser = world.browser();
    let ask = async |name: &str| {
        let request = browser.http.get(format!("{}/account", world.url)).header("x-remote-user", name);
        browser.answer(request).await
    };
    let page = ask("ann").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("<dd>ann</dd>"), "{}", page.body);
    let cookie = browser.cookie();
    assert!(ask("ann").await.status.is_success() && browser.cookie() == cookie, "the session is kept");
    assert!(ask("bob").await.body.contains("<dd>bob</dd>"), "another one gets their own");
    let page = ask("nobody").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.body.contains("there is no account for you here"), "{}", page.body);
    let sessions: i64 =
        sqlx::query_scalar("select count(*) from herald.session").fetch_one(&world.pool).await.unwrap();
    assert_eq!(sessions, 1, "and ends the one before");

    let off = World::start().await;
    off.user("ann").await;
    let request = off.browser().http.get(format!("{}/account", off.url)).header("x-remote-user", "ann");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::SEE_OTHER, "it is off when installed");
}
