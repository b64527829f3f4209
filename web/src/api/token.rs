//! Bearer tokens (RFC 6750).

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use chrono::TimeDelta;
use herald_jobs::store;
use herald_jobs::store::access::ApiToken;

use super::problem::{self, Problem};
use crate::access::token;
use crate::app::App;

/// How often it is noted that a token is used.
const NOTED: TimeDelta = TimeDelta::minutes(1);

/// The token that a request came with. Every handler of the API finds it among the request's extensions.
#[derive(Clone)]
pub(crate) struct Caller(pub(crate) ApiToken);

/// Lets only those in who have a good token.
pub(crate) async fn require(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let secret = given.and_then(bearer).ok_or_else(|| problem::unauthorised(false))?;
    let (hash, now) = (token::hash(secret), app.clock.now());
    let known = store::access::api_token(&app.pool, &hash, now).await?;
    let known = known.ok_or_else(|| problem::unauthorised(true))?;
    if known.last_used_at.is_none_or(|used| now - used > NOTED)
        && let Err(error) = store::access::api_token_used(&app.pool, &hash, now, now - NOTED).await
    {
        tracing::warn!("Could not note that the token {} is used: {error}", known.prefix);
    }
    request.extensions_mut().insert(Caller(known));
    Ok(next.run(request).await)
}

/// Who made a change, as records of it say. Names are not unique, prefixes tell nobody anything.
pub(super) fn actor(token: &ApiToken) -> String {
    format!("{} ({})", token.name, token.prefix)
}

/// Lets only tokens in that administer. Stands behind [`require`].
pub(crate) async fn require_admin(
    Extension(Caller(token)): Extension<Caller>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if !token.admin {
        let detail = "make one that may with `herald token create --admin`".to_owned();
        return Err(problem::forbidden(String::new(), detail));
    }
    Ok(next.run(request).await)
}

fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, secret) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

#[cfg(test)]
mod tests {
    use super::bearer;

    #[test]
    fn the_scheme_is_bearer_in_any_case() {
        assert_eq!(bearer("Bearer hrld_x"), Some("hrld_x"));
        assert_eq!(bearer("bearer  hrld_x "), Some("hrld_x"));
        assert_eq!(bearer("Basic eDp5"), None);
        assert_eq!(bearer("hrld_x"), None);
    }
}
