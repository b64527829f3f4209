//! Who may enter, and with what.

pub(crate) mod cookie;
pub(crate) mod form;
pub(crate) mod limit;
mod new_token;
pub(crate) mod password;
pub(crate) mod peer;
pub(crate) mod proxy;
pub(crate) mod rate;
pub(crate) mod session;
pub(crate) mod token;

use chrono::TimeDelta;
use herald_jobs::clock::Clock;
use herald_jobs::store::access::ApiToken;
use herald_jobs::store::{self, PgPool};
use url::Url;

pub use form::is_own;
pub use new_token::WantedToken;
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
    new_launch_link(pool, clock, public_url, user, (LINK_LIFE, "/")).await
}

/// Makes a link that lets a user in once, within its life, and leads on to a page of ours.
pub(crate) async fn new_launch_link(
    pool: &PgPool,
    clock: &Clock,
    public_url: &Url,
    user: i64,
    (life, next): (TimeDelta, &str),
) -> Result<Url, store::Error> {
    let secret = token::random();
    store::access::add_login_link(pool, &token::hash(&secret), user, clock.now() + life).await?;
    let mut link = public_url.clone();
    link.set_path(&format!("/login/link/{secret}"));
    link.set_query(None);
    if next != "/" {
        link.query_pairs_mut().append_pair("next", next);
    }
    Ok(link)
}

/// What a token for the API is to be.
#[derive(Clone, Debug, Default)]
pub struct NewToken {
    /// What it is for, as lists show it.
    pub name: String,
    /// Who its messages come from.
    pub sender: String,
    /// Who else they may come from, where they say so.
    pub senders: Vec<String>,
    /// The only message types it may send; `None`: any.
    pub message_types: Option<Vec<String>>,
    /// Messages a minute at most; `None`: any number.
    pub rate: Option<i32>,
    /// May maintain everything, log in as anybody and answer for anybody.
    pub admin: bool,
    /// How long it lasts; `None`: until it is revoked.
    pub life: Option<TimeDelta>,
}

/// Makes a token for the API, as `actor` asked. Answers the token itself, which is stored nowhere.
///
/// # Errors
/// The database cannot be reached.
pub async fn new_api_token(
    pool: &PgPool,
    clock: &Clock,
    token: NewToken,
    actor: &str,
) -> Result<String, store::Error> {
    let now = clock.now();
    let prefix = format!("{}{}", token::API_MARK, token::letters(8));
    let secret = format!("{prefix}_{}", token::random());
    let known = ApiToken {
        prefix,
        name: token.name,
        sender: token.sender,
        senders: token.senders,
        message_types: token.message_types,
        rate: token.rate,
        admin: token.admin,
        created_at: now,
        expires_at: token.life.map(|life| now + life),
        revoked_at: None,
        last_used_at: None,
    };
    store::access::add_api_token(pool, &known, &token::hash(&secret), actor).await?;
    Ok(secret)
}
