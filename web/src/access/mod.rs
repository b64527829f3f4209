//! Who may enter, and with what.

pub(crate) mod cookie;
pub(crate) mod form;
pub(crate) mod limit;
pub(crate) mod password;
pub(crate) mod peer;
pub(crate) mod session;
pub(crate) mod token;

use chrono::TimeDelta;
use herald_jobs::clock::Clock;
use herald_jobs::store::access::ApiToken;
use herald_jobs::store::{self, PgPool};
use url::Url;

pub use password::{HashError, hash_password};

/// How long a log-in link lasts that is not used.
const LINK_LIFE: TimeDelta = TimeDelta::days(1);

/// Makes a link that lets a user in once, within a day. It is a secret.
///
/// # Errors
/// The database cannot be reached.
pub async fn new_login_link(
    pool: &PgPool,
    clock: &Clock,
    public_url: &Url,
    user: i64,
) -> Result<Url, store::Error> {
    let secret = token::random();
    store::access::add_login_link(pool, &token::hash(&secret), user, clock.now() + LINK_LIFE).await?;
    let mut link = public_url.clone();
    link.set_path(&format!("/login/link/{secret}"));
    link.set_query(None);
    Ok(link)
}

/// Makes a token for the API, whose messages come from `sender`, and which may change templates and models if it is an `admin`; without
/// a `life` it lasts until it is revoked. Answers the token itself, which is stored nowhere.
///
/// # Errors
/// The database cannot be reached.
pub async fn new_api_token(
    pool: &PgPool,
    clock: &Clock,
    name: &str,
    sender: &str,
    admin: bool,
    life: Option<TimeDelta>,
) -> Result<String, store::Error> {
    let now = clock.now();
    let prefix = format!("{}{}", token::API_MARK, token::letters(8));
    let secret = format!("{prefix}_{}", token::random());
    let known = ApiToken {
        prefix,
        name: name.to_owned(),
        sender: sender.to_owned(),
        admin,
        created_at: now,
        expires_at: life.map(|life| now + life),
        revoked_at: None,
    };
    store::access::add_api_token(pool, &known, &token::hash(&secret)).await?;
    Ok(secret)
}
