//! What the parser says of a value, in the words that every way in has for it.

/// What cannot be, whatever type was wanted; `None`: the text is no JSON at all.
pub(super) fn of_values(said: &str) -> Option<&'static str> {
    if said.starts_with("recursion limit exceeded") {
        Some("is nested more than 100 deep")
    } else if said.starts_with("number out of range") {
        Some("holds a number out of range")
    } else if said.contains("surrogate") || said.starts_with("unexpected end of hex escape") {
        Some("must not hold half a surrogate pair")
    } else {
        None
    }
}

/// What is not of the type that was wanted.
pub(super) fn of_types(said: &str) -> String {
    if said.starts_with("missing field") {
        "is missing".to_owned()
    } else if said.starts_with("unknown field") {
        "is no field of this".to_owned()
    } else if said.starts_with("duplicate field") {
        "is there twice".to_owned()
    } else if let Some((_, wanted)) =
        said.strip_prefix("unknown variant").and_then(|it| it.split_once(", expected "))
    {
        let names: Vec<&str> = wanted.split('`').skip(1).step_by(2).collect();
        format!("must be one of {}", names.join(", "))
    } else if let Some((_, wanted)) = said.split_once(", expected ") {
        format!("must be {}", kind(wanted))
    } else if TIMES.iter().any(|time| said.starts_with(time)) {
        "must be a time such as 2027-01-31T09:00:00Z".to_owned()
    } else {
        said.to_owned()
    }
}

/// What is said of a text that is no time.
const TIMES: [&str; 4] =
    ["input contains invalid", "premature end of input", "input is out of range", "trailing input"];

fn kind(wanted: &str) -> &str {
    match wanted {
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "an object",
        "a boolean" => "true or false",
        "i32" | "i64" | "u32" | "u64" | "usize" => "a whole number",
        _ if wanted.starts_with("struct ") => "an object",
        _ if wanted.contains("RFC 3339") => "a time such as 2027-01-31T09:00:00Z",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parsers_words_become_ours() {
        for (said, ours) in [
            ("missing field `recipient`", "is missing"),
            ("invalid type: integer `7`, expected a string", "must be a text"),
            ("invalid type: map, expected a sequence", "must be a list"),
            (
                "unknown variant `fast`, expected one of `alert`, `normal`, `bulk`",
                "must be one of alert, normal, bulk",
            ),
            ("unknown variant `x`, expected `token` or `handlebars`", "must be one of token, handlebars"),
            ("invalid type: string \"ten\", expected i32", "must be a whole number"),
            ("premature end of input", "must be a time such as 2027-01-31T09:00:00Z"),
        ] {
            assert_eq!(of_types(said), ours);
        }
    }
}
