//! How many SMS a text takes.

use std::borrow::Cow;

use serde::Serialize;

/// The basic characters of the GSM 7-bit alphabet (3GPP TS 23.038, 6.2.1).
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿\
                     abcdefghijklmnopqrstuvwxyzäöñüà";
/// Those that take two places, an escape before them (6.2.1.1).
const EXTENDED: &str = "\u{c}^{}\\[~]|€";

/// How a text travels as SMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Segments {
    /// `GSM-7`, or `UCS-2` where one character is not of that alphabet.
    pub encoding: &'static str,
    /// Places that the text takes: septets, or 16-bit units.
    pub units: usize,
    /// How many SMS. One holds 160 places of GSM-7 or 70 of UCS-2; several hold 153 or 67 each.
    pub count: usize,
}

/// How many SMS `text` takes. No character is split between two.
pub fn segments(text: &str) -> Segments {
    let septets = text.chars().map(|c| match c {
        c if BASIC.contains(c) => Some(1),
        c if EXTENDED.contains(c) => Some(2),
        _ => None,
    });
    match septets.collect::<Option<Vec<usize>>>() {
        Some(widths) => count("GSM-7", &widths, 160, 153),
        None => count("UCS-2", &text.chars().map(char::len_utf16).collect::<Vec<_>>(), 70, 67),
    }
}

/// What ends a text that was cut: of the basic alphabet, so that the rest keeps its encoding.
const CUT: &str = "...";

/// `text`, or as much of it as `most` SMS hold with `...` behind it.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if segments(text).count <= most {
        return Cow::Borrowed(text);
    }
    let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let fits = ends.partition_point(|&end| segments(&format!("{}{CUT}", &text[..end])).count <= most);
    let end = fits.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or(0);
    Cow::Owned(format!("{}{CUT}", text[..end].trim_end()))
}

fn count(encoding: &'static str, widths: &[usize], alone: usize, together: usize) -> Segments {
    let units = widths.iter().sum();
    if units <= alone {
        return Segments { encoding, units, count: 1 };
    }
    let (count, _) = widths.iter().fold((1, 0), |(count, filled), width| {
        if filled + width > together { (count + 1, *width) } else { (count, filled + width) }
    });
    Segments { encoding, units, count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_visibly() {
        assert_eq!(cut("short", 1), "short");
        let long = "word ".repeat(100);
        let short = cut(&long, 2);
        assert!(short.ends_with("...") && segments(&short).count == 2, "{short}");
        assert!(short.len() > 295, "{}", short.len());
        let wide = "😀".repeat(200);
        assert_eq!(segments(&cut(&wide, 1)).count, 1);
        // What comes late may change the alphabet: what is kept decides.
        let late = format!("{}ł", "a".repeat(320));
        assert_eq!(segments(&cut(&late, 2)), Segments { encoding: "GSM-7", units: 306, count: 2 });
    }

    #[test]
    fn texts_are_counted_by_their_alphabet() {
        for (text, encoding, units, count) in [
            (String::new(), "GSM-7", 0, 1),
            ("a".repeat(160), "GSM-7", 160, 1),
            ("a".repeat(161), "GSM-7", 161, 2),
            ("a".repeat(306), "GSM-7", 306, 2),
            ("a".repeat(307), "GSM-7", 307, 3),
            ("€".repeat(80), "GSM-7", 160, 1),
            // 76 of these fill one of several; the half place that is left stays empty.
            ("€".repeat(153), "GSM-7", 306, 3),
            ("ł".repeat(70), "UCS-2", 70, 1),
            ("ł".repeat(71), "UCS-2", 71, 2),
            ("😀".repeat(35), "UCS-2", 70, 1),
            ("😀".repeat(67), "UCS-2", 134, 3),
            ("price: 5€ [net]".into(), "GSM-7", 18, 1),
        ] {
            assert_eq!(segments(&text), Segments { encoding, units, count }, "{text:.10}");
        }
    }
}
