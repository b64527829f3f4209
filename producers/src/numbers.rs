//! Telephone numbers as people write them, read by the numbering plans of all countries (libphonenumber's).

use herald_jobs::refusal::Refusal;
use herald_jobs::send::NewContact;
use phonenumber::Mode;

/// The country that numbers without a country code belong to: ISO 3166-1 alpha-2, such as `DE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region(phonenumber::country::Id);

impl std::str::FromStr for Region {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("`{text}` is no country such as DE"))
    }
}

/// `text` in E.164 form. Without a `region` it must begin with `+` and the country code.
///
/// # Errors
/// Says what is wrong with the number, without naming a field.
pub fn e164(text: &str, region: Option<Region>) -> Result<String, String> {
    let text = text.trim();
    let written = |c: char| c.is_ascii_digit() || matches!(c, '+' | ' ' | '.' | '-' | '/' | '(' | ')');
    if !text.contains(written) || text.len() > 50 || !text.chars().all(written) {
        return Err("must be an e-mail address or a mobile number such as +491701234567".into());
    }
    if region.is_none() && !text.starts_with('+') {
        return Err("must begin with + and the country code, such as +491701234567".into());
    }
    match phonenumber::parse(region.map(|region| region.0), text) {
        Ok(number) if number.is_valid() => Ok(number.format().mode(Mode::E164).to_string()),
        Ok(_) => Err("is no number of its country's plan".into()),
        Err(phonenumber::ParseError::InvalidCountryCode) => {
            Err("has a country code that does not exist".into())
        }
        Err(_) => Err("is no telephone number".into()),
    }
}

/// Brings the numbers among the contacts into E.164 form.
///
/// # Errors
/// Names `contact_reference`.
pub(crate) fn normalise(contact: &mut NewContact, region: Option<Region>) -> Result<(), Refusal> {
    if !contact.contact_reference.contains('@') {
        contact.contact_reference = e164(&contact.contact_reference, region)
            .map_err(|problem| Refusal::new("contact_reference", problem))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        let germany = Some("DE".parse().unwrap());
        for (text, region, number) in [
            ("+491701234567", None, "+491701234567"),
            (" +49 (0) 170 / 123-4567 ", None, "+491701234567"),
            ("0170 1234567", germany, "+491701234567"),
            ("0044 7911 123456", germany, "+447911123456"),
            ("+1 (650) 253-0000", germany, "+16502530000"),
        ] {
            assert_eq!(e164(text, region).as_deref(), Ok(number), "{text}");
        }
    }

    #[test]
    fn what_no_telephone_has_is_refused_with_the_reason() {
        let germany = Some("DE".parse().unwrap());
        for (text, region, reason) in [
            ("0170 1234567", None, "+ and the country code"),
            ("+999123456789", None, "does not exist"),
            ("+49170", None, "no number of its country"),
            ("12", germany, "no number of its country"),
            ("+49170ABCDEFG", None, "must be an e-mail address or a mobile number"),
            ("+491701234567;x=1", None, "must be an e-mail address or a mobile number"),
            ("", None, "must be an e-mail address or a mobile number"),
            ("+", None, "no telephone number"),
            ("+4917012345670170123456701701234567", None, "no "),
        ] {
            let problem = e164(text, region).unwrap_err();
            assert!(problem.contains(reason), "{text}: {problem}");
        }
        assert!("Germany".parse::<Region>().is_err());
    }
}
