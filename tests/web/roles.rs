//! Each route by each role, made from the router: a route that is added without a rule here fails.

use herald_web::Access;
use herald_web::access::NewToken;
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use crate::support::world::{World, http};

/// What is open to anybody. A path goes here only if it must be.
const PUBLIC: [&str; 6] =
    ["/assets/{name}", "/login", "/login/link/{secret}", "/answer/{link}", "/api", "/api/v1/openapi.json"];

/// Who asks: what they are called, what they show, and what lets them in.
struct Role {
    name: &'static str,
    shows: Shows,
    may: fn(Access) -> bool,
}

enum Shows {
    Nothing,
    Cookie(String),
    Token(String),
}

impl Role {
    fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.shows {
            Shows::Nothing => request,
            Shows::Cookie(cookie) => request.header("cookie", cookie.clone()),
            Shows::Token(token) => request.bearer_auth(token),
        }
    }
}

async fn roles(world: &World) -> Vec<Role> {
    use Access::{Admin, Administrator, Operator, Session, SessionIdle, SessionScript, Token};
    let role = |name, shows, may| Role { name, shows, may };
    let ann = Shows::Cookie(world.logged_in("ann").await.cookie());
    let oz = Shows::Cookie(world.in_role("oz", "operator").await.cookie());
    let adam = Shows::Cookie(world.administrator("adam").await.cookie());
    let token = NewToken { sender: "erp".to_owned(), ..NewToken::default() };
    let token = Shows::Token(world.token_of(token).await);
    let admin = Shows::Token(world.admin_token().await);
    vec![
        role("nobody", Shows::Nothing, |_| false),
        role("a recipient", ann, |to| matches!(to, Session | SessionScript | SessionIdle)),
        role("an operator", oz, |to| matches!(to, Session | SessionScript | SessionIdle | Operator)),
        role("an administrator", adam, |to| {
            matches!(to, Session | SessionScript | SessionIdle | Operator | Administrator)
        }),
        role("a token", token, |to| matches!(to, Token)),
        role("an administrator's token", admin, |to| matches!(to, Token | Admin)),
    ]
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// A handler looked at it.
    LetIn,
    /// There is no such method here; that is told only to who is let in.
    WrongMethod,
    /// Whoever asks must show who they are.
    Unknown,
    /// It is known who asks, and they may not.
    Forbidden,
}

async fn fate(access: Access, answer: Response) -> Fate {
    let status = answer.status();
    let location = answer.headers().get("location").map_or("", |it| it.to_str().unwrap());
    match status {
        StatusCode::METHOD_NOT_ALLOWED => Fate::WrongMethod,
        StatusCode::SEE_OTHER if location.starts_with("/login") => Fate::Unknown,
        StatusCode::UNAUTHORIZED => {
            if matches!(access, Access::Token | Access::Admin) {
                let asked = answer.headers()["www-authenticate"].to_str().unwrap();
                assert!(asked.starts_with("Bearer"), "{asked}");
            }
            Fate::Unknown
        }
        // The handler itself wants the form's token, which these requests do not have: so they change nothing.
        StatusCode::FORBIDDEN if answer.text().await.unwrap().contains("This page is out of date") => {
            Fate::LetIn
        }
        StatusCode::FORBIDDEN => Fate::Forbidden,
        _ => Fate::LetIn,
    }
}

/// A path with something in each of its places.
fn filled(path: &str) -> String {
    let path = path.replace("{id}", "0190a0b0-0000-7000-8000-000000000000").replace("{version}", "1");
    let mut filled = String::new();
    for part in path.split('{') {
        filled.push_str(part.split_once('}').map_or(part, |(_, rest)| rest));
        filled.push('t');
    }
    filled.pop();
    filled
}

#[tokio::test]
async fn each_route_lets_in_those_that_it_says_and_nobody_else() {
    let world = World::start().await;
    let roles = roles(&world).await;
    let routes = herald_web::paths();
    assert!(routes.len() > 50, "{routes:?}");
    for (access, route) in routes {
        let path = filled(route);
        for role in &roles {
            let mut is_let_in = false;
            for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
                let request = role.sign(http().request(method.clone(), format!("{}{path}", world.url)));
                let answer = request.send().await.unwrap();
                let about = format!("{} {method} {path}: {}", role.name, answer.status());
                assert!(!answer.status().is_server_error(), "{about}");
                let status = answer.status();
                let fate = fate(access, answer).await;
                is_let_in |= fate == Fate::LetIn;
                let about = format!("{about}, {fate:?}");
                match access {
                    Access::Public => {
                        assert!(PUBLIC.contains(&route), "{route} is open to anybody");
                        assert!(matches!(fate, Fate::LetIn | Fate::WrongMethod), "{about}");
                    }
                    // The handler looks at the signature. There is none, nor anything configured to make one with.
                    Access::Signed => assert!(
                        matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED),
                        "{about}"
                    ),
                    _ if (role.may)(access) => {
                        assert!(matches!(fate, Fate::LetIn | Fate::WrongMethod), "{about}");
                    }
                    _ => assert!(matches!(fate, Fate::Unknown | Fate::Forbidden), "{about}"),
                }
            }
            let may = (role.may)(access) || matches!(access, Access::Public | Access::Signed);
            assert_eq!(is_let_in, may, "{} at {path}", role.name);
        }
    }
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
