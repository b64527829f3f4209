//! Any text is compiled in both syntaxes, and what compiles is rendered over one instance.

#![no_main]

use std::sync::LazyLock;

use chrono::DateTime;
use herald_jobs::send::Syntax;
use herald_jobs::template::{Escape, Functions, MAX_BYTES, Rendering, Template};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

static INSTANCE: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let instance = json!({
        "a": 1, "b": "1234.50", "c": null, "d": "2026-03-01T09:30:00+01:00", "e": "<x y='z'>{{a}}#a#</x>", "f": false,
        "g": {"#": "own", "a": {"b": [1, null, "x"]}}, "h": [{"a": "p", "g": {"a": 2}}, {"a": null, "g": null}], "i": [],
    });
    instance.as_object().cloned().unwrap_or_default()
});

fuzz_target!(|text: &str| {
    let functions = Functions::std();
    for syntax in [Syntax::Token, Syntax::Handlebars] {
        let Ok(template) = Template::compile(text, syntax, &functions) else { continue };
        for escape in [Escape::Text, Escape::Html] {
            let how = Rendering { escape, now: DateTime::UNIX_EPOCH };
            if let Ok(rendered) = template.render(&INSTANCE, &how) {
                assert!(rendered.len() <= MAX_BYTES);
            }
        }
        let how = Rendering { escape: Escape::Text, now: DateTime::UNIX_EPOCH };
        assert!(template.resolved(&INSTANCE, &how).len() <= text.len());
        assert!(template.fields().iter().all(|field| field.line > 0 && field.column > 0));
    }
});
