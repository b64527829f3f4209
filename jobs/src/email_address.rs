//! E-mail addresses that mail is sent to: RFC 5321 syntax, and our policy on top of it.

use url::Host;

/// Longest part before the @, longest address, longest label of a domain, in bytes (RFC 5321, section 4.5.3.1, and RFC 1035).
const LONGEST: (usize, usize, usize) = (64, 254, 63);

/// Reads an address. It must have a full domain name: no IP address, and no host without a dot. A domain in other letters than
/// ASCII is brought into the form that mail servers know (RFC 5891), and any into lower case; what is before the @ is kept as it is. There it
/// must be ASCII without quotes, and must not begin with a dash, which programs would take for an option.
///
/// # Errors
/// Says what is wrong with the address.
pub fn parse(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.contains(char::is_control) {
        return Err("must not hold control characters".into());
    }
    let (local, domain) = text.rsplit_once('@').ok_or("must have an @ and a domain after it")?;
    check_local(local)?;
    let address = format!("{local}@{}", ascii_domain(domain)?);
    let (_, longest, _) = LONGEST;
    if address.len() > longest {
        return Err(format!("is longer than {longest} characters"));
    }
    Ok(address)
}

fn check_local(local: &str) -> Result<(), String> {
    let (longest, _, _) = LONGEST;
    let stray = |c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c));
    if local.is_empty() {
        Err("must have a name before the @".into())
    } else if !local.is_ascii() {
        Err("must be ASCII before the @: most mail servers take no other letters there (SMTPUTF8)".into())
    } else if local.len() > longest {
        Err(format!("must have at most {longest} characters before the @"))
    } else if local.starts_with('-') {
        Err("must not begin with a dash".into())
    } else if let Some(c) = local.chars().find(|&c| stray(c)) {
        Err(format!("must not hold {c:?} before the @"))
    } else if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
        Err("must have something before and after each dot".into())
    } else {
        Ok(())
    }
}

fn ascii_domain(domain: &str) -> Result<String, String> {
    let no_name = || Err("must have a full domain name after the @, as in example.com".to_owned());
    let (_, _, longest) = LONGEST;
    // The parser of URLs would decode it.
    if domain.contains('%') {
        return no_name();
    }
    let Ok(Host::Domain(domain)) = Host::parse(domain) else { return no_name() };
    let is_label = |label: &str| {
        (1..=longest).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let has_top = domain
        .rsplit_once('.')
        .is_some_and(|(_, top)| top.len() > 1 && top.starts_with(|first: char| first.is_ascii_alphabetic()));
    if has_top && domain.split('.').all(is_label) { Ok(domain) } else { no_name() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_brought_into_one_form() {
        for (text, expected) in [
            (" ann@example.com ", "ann@example.com"),
            ("Ann.O'Hara+x@EXAMPLE.com", "Ann.O'Hara+x@example.com"),
            ("ann@München.example", "ann@xn--mnchen-3ya.example"),
            ("ann@xn--mnchen-3ya.example", "ann@xn--mnchen-3ya.example"),
            ("ann@例え.テスト", "ann@xn--r8jz45g.xn--zckzah"),
            ("ann@a.b.c.d.example", "ann@a.b.c.d.example"),
            ("1@1.example", "1@1.example"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_reason_tells_what_is_wrong() {
        for (bad, reason) in [
            ("ann", "an @"),
            ("@example.com", "name before the @"),
            ("zoë@example.com", "SMTPUTF8"),
            ("-f@example.com", "dash"),
            ("\"ann o\"@example.com", "'\"'"),
            ("ann@localhost", "full domain name"),
            ("ann@[127.0.0.1]", "full domain name"),
            ("ann\r\nbcc@example.com", "control"),
        ] {
            let said = parse(bad).unwrap_err();
            assert!(said.contains(reason), "{bad}: {said}");
        }
    }
}
