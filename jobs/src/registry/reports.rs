//! The keys of what SMS providers report.

/// What a gateway calls the parts of a report unless the registry says otherwise.
pub const FIELDS: &str = "id=/id&status=/status&from=/from&text=/text";

/// Where the parts of a report stand: JSON pointers, or names of a form's fields with a slash before them.
#[derive(Debug, Default)]
pub struct Fields {
    /// Which SMS.
    pub id: String,
    /// What became of it.
    pub status: String,
    /// Who answered.
    pub from: String,
    /// What they answered.
    pub text: String,
    /// Why an SMS was lost.
    pub reason: String,
}

/// Whether `key` may have this value; `None`: it is no key of reports that has a form.
pub(super) fn check(key: &str, value: &str) -> Option<Result<(), String>> {
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    match key {
        "SMS-REPORT-FIELDS" => Some(fields(value).map(drop)),
        "SMS-REPORT-HEADER" if !is_name(value) => Some(Err(format!("{key} must be the name of a header"))),
        "SMS-REPORT-URL" if !value.starts_with("https://") && !value.starts_with("http://") => Some(Err(
            format!("{key} must be an address such as https://herald.example.com/api/v1/sms/reports"),
        )),
        _ => None,
    }
}

/// Reads `SMS-REPORT-FIELDS`.
///
/// # Errors
/// It does not say where each part stands.
pub fn fields(text: &str) -> Result<Fields, String> {
    let wrong = || format!("SMS-REPORT-FIELDS must be like {FIELDS}, not {text:?}");
    let mut fields = Fields::default();
    for pair in text.split('&') {
        let (name, at) = pair.split_once('=').filter(|(_, at)| at.starts_with('/')).ok_or_else(wrong)?;
        let field = match name.trim() {
            "id" => &mut fields.id,
            "status" => &mut fields.status,
            "from" => &mut fields.from,
            "text" => &mut fields.text,
            "reason" => &mut fields.reason,
            _ => return Err(wrong()),
        };
        at.trim().clone_into(field);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_by_where_they_stand() {
        let fields = fields("id=/results/0/id&status=/results/0/state").unwrap();
        assert_eq!((fields.id.as_str(), fields.status.as_str()), ("/results/0/id", "/results/0/state"));
        for wrong in ["", "id", "id=x", "number=/x"] {
            assert!(check("SMS-REPORT-FIELDS", wrong).unwrap().unwrap_err().starts_with("SMS-REPORT-FIELDS"));
        }
    }
}
