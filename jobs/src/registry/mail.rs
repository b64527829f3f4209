//! The keys of the mail server.

use std::collections::HashMap;
use std::net::IpAddr;

use lettre::Address;

use crate::return_path;

/// How a connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// Not at all.
    #[default]
    None,
    /// Begins readable and must be upgraded by STARTTLS (RFC 3207); a server that does not offer it is not used.
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
}

/// Whether `key` may have this value; `None`: it is no key of mail that has a form.
pub(super) fn check(key: &str, value: &str) -> Option<Result<(), String>> {
    match key {
        "SMTP-PORT" => Some(port(value).map(drop)),
        "SMTP-SECURITY" => Some(security(value).map(drop)),
        "SMTP-FROM" | "SMTP-REPLY-TO" => Some(address(key, value).map(drop)),
        "SMTP-HELO" => Some(helo(value).map(drop)),
        "SMTP-BOUNCE-ADDRESS" => Some(bounce_address(value).map(drop)),
        _ => None,
    }
}

/// Whether these values would send mail readable over a network although nobody allowed that, as a sentence.
pub fn sends_readable(values: &HashMap<String, String>, allow_plaintext: bool) -> Option<String> {
    let security = security(values.get("SMTP-SECURITY")?).ok()?;
    plaintext_refusal(values.get("SMTP-SERVER")?, security, allow_plaintext)
}

/// Why mail may not go to `host` under this protection.
pub fn plaintext_refusal(host: &str, security: Security, allow_plaintext: bool) -> Option<String> {
    let host = host.trim();
    let is_here =
        host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    (security == Security::None && !is_here && !allow_plaintext).then(|| {
        format!(
            "SMTP-SECURITY is none, but {host} is another machine, and mail would go there readable: \
             set SMTP-SECURITY to starttls or tls, or allow it by the setting email.allow_plaintext = true"
        )
    })
}

/// Reads `SMTP-PORT`.
///
/// # Errors
/// It is no port.
pub fn port(text: &str) -> Result<u16, String> {
    let port = text.trim().parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("SMTP-PORT must be a port number from 1 to 65535, not {text:?}"))
}

/// Reads `SMTP-SECURITY`.
///
/// # Errors
/// It is none of the three.
pub fn security(text: &str) -> Result<Security, String> {
    match text.trim() {
        "starttls" => Ok(Security::StartTls),
        "tls" => Ok(Security::Tls),
        "none" => Ok(Security::None),
        other => Err(format!("SMTP-SECURITY must be starttls, tls or none, not {other:?}")),
    }
}

/// Reads the address that `key` holds.
///
/// # Errors
/// It is no e-mail address.
pub fn address(key: &str, text: &str) -> Result<Address, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("{key} must be an e-mail address like herald@example.com, not {text:?}"))
}

/// Reads `SMTP-BOUNCE-ADDRESS`.
///
/// # Errors
/// Return paths cannot be made of it.
pub fn bounce_address(text: &str) -> Result<Address, String> {
    return_path::base(text).map_err(|problem| format!("SMTP-BOUNCE-ADDRESS {problem}: {text:?}"))
}

/// Reads `SMTP-HELO`, which stands in a command: RFC 5321, section 4.1.1.1.
///
/// # Errors
/// It is no name.
pub fn helo(text: &str) -> Result<String, String> {
    let name = text.trim();
    let is_word = !name.is_empty() && name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_word
        .then(|| name.to_owned())
        .ok_or_else(|| format!("SMTP-HELO must be a host name like mail.example.com, not {text:?}"))
}
