use base64::{Engine, prelude::BASE64_STANDARD};

use herald_jobs::secret::Secret;

use super::{Fault, FaultKind, reply::Reply, session::Extensions, wire::Wire};

/// Signs in with AUTH PLAIN (RFC 4616), or with LOGIN where the server knows nothing better.
pub(super) async fn sign_in(
    wire: &mut Wire,
    extensions: &Extensions,
    user: &str,
    secret: &Secret,
) -> Result<(), Fault> {
    let password = BASE64_STANDARD.encode(secret.expose());
    let token = BASE64_STANDARD.encode(format!("\0{user}\0{}", secret.expose()));
    wire.mask([secret.expose().to_owned(), password.clone(), token.clone()]);
    let lines = if extensions.auth_plain {
        vec![format!("AUTH PLAIN {token}")]
    } else if extensions.auth_login {
        vec!["AUTH LOGIN".to_owned(), BASE64_STANDARD.encode(user), password.clone()]
    } else {
        let hint = if extensions.starttls { "; it may do so once STARTTLS is in use" } else { "" };
        let sentence = format!("The mail server offers no sign-in with a user name and password{hint}.");
        return Err(Fault::new(FaultKind::Authentication, sentence));
    };
    let steps = lines.len();
    for (step, line) in lines.iter().enumerate() {
        let expected = if step + 1 == steps { 235 } else { 334 };
        let reply = wire.command(line).await.map_err(|lost| {
            Fault::new(FaultKind::Unreachable, format!("While signing in to the mail server, {lost}."))
        })?;
        if reply.code != expected {
            let is_repeated = [secret.expose(), &password, &token].into_iter().any(|it| reply.repeats(it));
            return Err(refusal(&reply, user, is_repeated));
        }
    }
    Ok(())
}

fn refusal(reply: &Reply, user: &str, is_secret_repeated: bool) -> Fault {
    let kind = match reply.code {
        400..=499 => FaultKind::Unreachable,
        _ => FaultKind::Authentication,
    };
    let said = if is_secret_repeated { reply.code.to_string() } else { reply.to_string() };
    Fault::new(kind, format!("The mail server did not let {user:?} sign in: {said}"))
}
