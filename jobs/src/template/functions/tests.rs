use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::DateTime;
use serde_json::{Value, json};

use super::{Functions, FunctionsError};
use crate::send::Syntax;
use crate::template::{Escape, Rendering, Template};

/// Far more than a function may take, and far less than what it tries would.
const AMPLE: Duration = Duration::from_secs(10);

fn render(functions: &Functions, text: &str, instance: &Value) -> Result<String, String> {
    let now = DateTime::parse_from_rfc3339("2026-03-10T12:00:00Z").unwrap().to_utc();
    let how = Rendering { escape: Escape::Text, now };
    let template = Template::compile(text, Syntax::Token, functions);
    let rendered = template.and_then(|template| template.render(instance.as_object().unwrap(), &how));
    rendered.map_err(|error| error.to_string())
}

fn std(text: &str) -> Result<String, String> {
    let instance = json!({
        "customer": {"#": "Shwe & Co"}, "amount": {"#": "1234.5"}, "null": null, "at": "2026-03-01T23:30:00Z",
        "local": "2026-03-01T23:30:00", "date": "2026-03-01",
    });
    render(&Functions::std(), text, &instance)
}

#[test]
fn c29_numbers_are_formatted() {
    for (text, expected) in [
        ("@std.number.format(1234567.50)@ @std.number.format('-1234')@", "1,234,567.50 -1,234"),
        ("@std.number.format(1234.567, 2)@ @std.number.format(999, 2)@", "1,234.57 999.00"),
        ("@std.number.format(1234.5, 2, '.', ',')@", "1.234,50"),
        (
            "@std.number.format(1234567.5, 2, ' ')@ @std.number.format(1234567, 0, '')@",
            "1 234 567.50 1234567",
        ),
        ("@std.number.format(#amount#)@[@std.number.format(#null#)@]", "1,234.5[]"),
        ("@std.number.currency(#amount#, 'EUR')@", "1,234.50 EUR"),
    ] {
        assert_eq!(std(text).as_deref(), Ok(expected), "{text}");
    }
    for wrong in
        ["@std.number.format(1, 2, '12345')@", "@std.number.format(1, 21)@", "@std.number.format('1 000')@"]
    {
        assert!(std(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn c29_times_are_told_in_zones_and_against_now() {
    for (text, expected) in [
        ("@std.date.format(#at#, '%d.%m.%Y %H:%M %Z', 'Europe/Berlin')@", "02.03.2026 00:30 +01:00"),
        ("@std.date.format(#local#, '%H:%M', 'Europe/Berlin')@", "23:30"),
        ("@std.date.format(#date#, '%d.%m.', 'Asia/Yangon')@", "01.03."),
        ("@std.date.zone(#at#, 'Asia/Yangon')@", "2026-03-02T06:00:00+06:30"),
        ("@std.date.zone(#date#, 'Asia/Yangon')@[@std.date.zone(#null#, 'UTC')@]", "2026-03-01[]"),
        ("@std.date.relative('2026-03-10T11:59:30Z')@", "just now"),
        ("@std.date.relative('2026-03-10T11:58:59Z')@", "1 minute ago"),
        ("@std.date.relative('2026-03-10T14:30:00Z')@", "in 2 hours"),
        ("@std.date.relative('2026-03-07T11:00:00Z')@", "3 days ago"),
        ("@std.date.relative('2026-03-10')@ @std.date.relative('2026-03-09')@", "today 1 day ago"),
        ("@std.date.relative('2026-06-10')@ @std.date.relative('2024-01-01')@", "in 3 months 2 years ago"),
        ("@std.date.relative('2026-03-01T10:00:00Z', '2026-03-01T10:05:00+00:00')@", "5 minutes ago"),
        ("[@std.date.relative(#null#)@]", "[]"),
    ] {
        assert_eq!(std(text).as_deref(), Ok(expected), "{text}");
    }
    assert!(std("@std.date.zone(#at#, 'Mars/Base')@").unwrap_err().contains("a time zone such as"));
    assert!(std("@std.date.format(#at#, '%Q')@").unwrap_err().contains("`%Q`"));
    for far in ["@std.date.add(#at#, 9223372036854775807)@", "@std.date.add(#date#, -99999999999)@"] {
        assert!(std(far).unwrap_err().contains("no calendar"), "{far}");
    }
    // What lies at the end of the calendar has no offset, or is refused.
    let _ = std("@std.date.format('+262142-12-31', '%c %Z', 'Asia/Yangon')@");
    let _ = std("@std.date.relative('+262142-12-31', '-262143-01-01')@");
    assert!(std("@std.date.format('9999-12-31T23:59:59Z', '%Y', 'Asia/Yangon')@").is_ok());
}

#[test]
fn c29_an_object_stands_for_its_own_text() {
    assert_eq!(std("#customer# @std.text.upper(#customer#)@").as_deref(), Ok("Shwe & Co SHWE & CO"));
    assert_eq!(std("@std.text.default(#customer#, 'x')@").as_deref(), Ok("Shwe & Co"));
}

/// A directory of functions with these files.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, source) in files {
        write(directory.path(), path, source);
    }
    directory
}

fn write(directory: &Path, path: &str, source: &str) {
    let path = directory.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, source).unwrap();
}

/// What the one function `acme.it.f` makes of an argument.
fn script(source: &str, argument: &Value) -> Result<String, String> {
    let directory = directory(&[("acme/it.rhai", source)]);
    let functions = Functions::read(directory.path()).map_err(|error| error.problem)?;
    render(&functions, "@acme.it.f(#x#)@", &json!({"x": argument}))
}

#[test]
fn c29_a_program_brings_its_own_functions() {
    let directory = directory(&[
        (
            "acme/sales/orders.rhai",
            "fn total(lines) { lines.map(|l| l.price.parse_float() * l.count).reduce(|a, b| a + b, 0.0) }",
        ),
        (
            "acme/text.rhai",
            "private fn quote() { \"'\" }\nfn quoted(x) { quote() + x + quote() }\nfn none() { () }",
        ),
        ("acme/notes.txt", "not read"),
    ]);
    let functions = Functions::read(directory.path()).unwrap();
    let instance =
        json!({"lines": [{"price": "1.5", "count": 2}, {"price": "2.25", "count": 1}], "name": "Ann"});
    for (text, expected) in [
        ("@acme.sales.orders.total(#lines#)@", "5.25"),
        ("@acme.text.quoted(#name#)@[@acme.text.none()@]", "'Ann'[]"),
    ] {
        assert_eq!(render(&functions, text, &instance).as_deref(), Ok(expected), "{text}");
    }
    let how = Rendering { escape: Escape::Html, now: DateTime::UNIX_EPOCH };
    let template = Template::compile(
        "{{acme_text_quoted (std_text_upper name)}}{{acme_text_none}}",
        Syntax::Handlebars,
        &functions,
    );
    let text = template.unwrap().render(instance.as_object().unwrap(), &how);
    assert_eq!(text.as_deref(), Ok("&#x27;ANN&#x27;"));
    for (text, expected) in [
        ("@acme.text.quoted()@", "line 1, column 1: acme.text.quoted takes 1 argument, not 0"),
        ("@acme.text.none(1)@", "line 1, column 1: acme.text.none takes no arguments, not 1"),
        (
            "@acme.text.quote()@",
            "line 1, column 1: there is no function `acme.text.quote`; did you mean `acme.text.quoted`?",
        ),
    ] {
        assert_eq!(render(&functions, text, &instance).err().as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn the_example_is_what_it_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/demo/functions");
    let functions = Functions::read(&directory).unwrap();
    let text = render(&functions, "@demo.orders.reference(#id#)@", &json!({"id": 42}));
    assert_eq!(text.as_deref(), Ok("PO-000042"));
}

#[test]
fn values_go_in_and_come_out_as_they_are() {
    for value in [
        json!(null),
        json!(true),
        json!(-7),
        json!(1.5),
        json!("a \"b\" {{x}} #y#"),
        json!([1, [null, "x"]]),
        json!({"#": "own", "a": 1}),
    ] {
        let expected = render(&Functions::std(), "#x#", &json!({"x": value}));
        assert_eq!(script("fn f(x) { x }", &value), expected, "{value}");
    }
    assert_eq!(script("fn f(x) { type_of(x) }", &json!(1)).as_deref(), Ok("i64"));
    assert_eq!(script("fn f(x) { #{ \"#\": \"own\", n: 1 } }", &json!(1)).as_deref(), Ok("own"));
}

#[test]
fn the_error_of_a_function_names_its_place() {
    let error = |body: &str| script(&format!("fn f(x) {{\n  {body}\n}}"), &json!(1)).unwrap_err();
    assert_eq!(
        error("throw \"too few\";"),
        "line 1, column 1: acme.it.f: too few (line 2, column 3 of its file)"
    );
    assert_eq!(
        error("x + nothing(1)"),
        "line 1, column 1: acme.it.f: Function not found: nothing (i64) (line 2, column 7 of its file)"
    );
}

#[test]
fn a_function_is_confined() {
    let hundred = "let t = 0; for i in 0..100 { t += 1; }";
    for (body, problem) in [
        ("loop {}", "takes "),
        ("let i = 0; while true { i += 1; }", "takes "),
        ("f(x)", "calls itself more than 16 deep"),
        ("let s = \"x\"; loop { s += s; }", "Length of string"),
        ("let s = \"x\"; loop { s = s + s; }", "Length of string"),
        ("let s = \"x\"; for i in 0..14 { s += s; } s.replace(\"x\", s)", "Length of string"),
        ("let s = \"x\"; s.pad(100000000, \"y\"); s", "Length of string"),
        ("let a = [1]; loop { a += a; }", "Size of array"),
        ("let a = [1]; loop { a = [a, a]; }", "Size of array"),
        ("let a = []; a.pad(100000000, 1); a", "Size of array"),
        ("let m = #{}; for i in 0..2000 { m[i.to_string()] = i; } m.keys()", "Size of "),
        (
            "let s = \"x\"; for i in 0..15 { s += s; } let m = #{}; for i in 0..100 { m[i.to_string()] = s; } m",
            "256 KB",
        ),
        ("let a = [0]; for i in 0..40 { a[0] = a; } a", "nests too deeply"),
        ("eval(\"1\")", "eval"),
        ("import \"os\" as os; 1", "import"),
        ("sleep(10)", "sleep"),
        ("timestamp()", "timestamp"),
        ("throw \"no\"", "no (line 1"),
        ("x.nothing()", "nothing"),
        ("|| 1", "no value"),
    ] {
        let begun = Instant::now();
        let error = script(&format!("fn f(x) {{ {body} }}"), &json!(1)).expect_err(body);
        // A busy machine may reach the end of its time first.
        assert!(error.contains(problem) || error.contains("takes longer"), "{body}: {error}");
        assert!(begun.elapsed() < AMPLE, "{body}: {:?}", begun.elapsed());
    }
    assert!(script(&format!("fn f(x) {{ {hundred} print(t); debug(t); t }}"), &json!(1)).is_ok());
    let many =
        "let s = \"x\"; for i in 0..15 { s += s; } let m = #{}; for i in 0..100 { m[i.to_string()] = s; }";
    for written in [
        "m.to_json()",
        "m.to_string()",
        "\"\" + m",
        "m + \"\"",
        "`${m}`",
        "let s = \"\"; s += m; s",
        "to_debug(m)",
    ] {
        let made = script(&format!("fn f(x) {{ {many} {written} }}"), &json!(1));
        assert!(
            made.as_ref().map_or_else(|error| error.contains("too large"), |text| text == "…"),
            "{written}: {made:?}"
        );
    }
    let deep = format!("fn f(x) {{ {}1{} }}", "(1+".repeat(500), ")".repeat(500));
    assert!(script(&deep, &json!(1)).is_err());
    let blocks = format!("fn f(x) {{ {}1{} }}", "{".repeat(5_000), "}".repeat(5_000));
    assert!(script(&blocks, &json!(1)).is_err());
    let many: String = (0..101).map(|index| format!("fn f{index}(x) {{ 1 }}\n")).collect();
    assert!(script(&many, &json!(1)).is_err());
}

/// What nests as deeply as it may takes nothing of the stack it is called on.
#[test]
fn the_deepest_function_fits_into_a_small_stack() {
    let calls = (1..9).flat_map(|depth| {
        [
            format!("{}f(x){}", "(1+".repeat(depth), ")".repeat(depth)),
            format!("{}return f(x);{}", "if true { ".repeat(depth), "}".repeat(depth)),
        ]
    });
    let values = [
        "let a = []; loop { a = [a]; }",
        "let a = []; for i in 0..990 { a = [a]; } a",
        "let a = #{}; for i in 0..990 { a = #{ a: a }; } a",
        "let a = [0]; loop { a[0] = a; }",
        "let a = #{}; loop { a.x = a; }",
        "let a = []; for i in 0..480 { a = [#{ a: a }]; } a.to_string()",
        "let a = []; for i in 0..600 { a = [#{ a: a }]; } throw a",
        "let a = Fn(\"f\"); loop { a = Fn(\"f\").curry(a); }",
    ];
    let bodies: Vec<String> = calls.chain(values.map(str::to_owned)).collect();
    let run = move || {
        for body in bodies {
            let _ = script(&format!("fn f(x) {{ {body} }}"), &json!(1));
        }
    };
    std::thread::Builder::new().stack_size(256 * 1024).spawn(run).unwrap().join().unwrap();
}

#[test]
fn the_functions_of_one_text_share_their_time() {
    let directory = directory(&[("acme/it.rhai", "fn f(x) { let i = 0; while i < 10000 { i += 1; } i }")]);
    let functions = Functions::read(directory.path()).unwrap();
    let begun = Instant::now();
    let error = render(&functions, &"@acme.it.f(1)@".repeat(1_000), &json!({})).unwrap_err();
    assert!(error.contains("all the time they may") || error.contains("takes longer than"), "{error}");
    assert!(begun.elapsed() < AMPLE);
}

#[test]
fn files_that_do_not_fit_are_refused_with_their_place() {
    let refused = |path: &str, source: &str| {
        let directory = directory(&[(path, source)]);
        let FunctionsError { file, line, column, problem } = Functions::read(directory.path()).unwrap_err();
        assert!(file.starts_with(directory.path()), "{}", file.display());
        (line, column, problem)
    };
    let (line, column, _) = refused("acme/it.rhai", "fn f(x) {\n  let = 1;\n}");
    assert_eq!((line, column), (2, 7));
    for (path, source, expected) in [
        ("std/text.rhai", "fn upper(x) { x }", "Herald's own"),
        ("it.rhai", "fn f(x) { x }", "the directory of its package"),
        ("acme/it-is.rhai", "fn f(x) { x }", "`it-is` is no name"),
        ("1acme/it.rhai", "fn f(x) { x }", "`1acme` is no name"),
        ("acme/it.rhai", "fn f(x) { x }\nfn f(x, y) { x }", "`f` is there twice"),
    ] {
        let (_, _, problem) = refused(path, source);
        assert!(problem.contains(expected), "{path}: {problem}");
    }
    let two = directory(&[("a/b_c.rhai", "fn d() { 1 }"), ("a_b/c.rhai", "fn d() { 1 }")]);
    assert!(Functions::read(two.path()).unwrap_err().problem.contains("would both be `a_b_c_d`"));
    assert!(Functions::read(Path::new("/nowhere/at/all")).is_ok());
}

#[test]
fn a_change_of_the_files_is_noticed() {
    let directory = directory(&[("acme/it.rhai", "fn f(x) { x }")]);
    let functions = Functions::read(directory.path()).unwrap();
    assert!(!functions.is_stale() && !Functions::std().is_stale());
    assert!(functions.names().any(|name| name == "acme.it.f"));
    write(directory.path(), "acme/notes.txt", "nothing");
    assert!(!functions.is_stale());
    write(directory.path(), "acme/it.rhai", "fn f(x) { x + 1 }");
    assert!(functions.is_stale());
    let functions = Functions::read(directory.path()).unwrap();
    write(directory.path(), "acme/new.rhai", "fn f(x) { x }");
    assert!(functions.is_stale());
    let functions = Functions::read(directory.path()).unwrap();
    fs::remove_file(directory.path().join("acme/new.rhai")).unwrap();
    assert!(functions.is_stale());
}

#[test]
fn each_function_is_described_as_it_is_called() {
    let functions = Functions::std();
    for (call, makes) in functions.described(Syntax::Token) {
        let (name, parameters) = call.trim_matches('@').trim_end_matches(')').split_once('(').unwrap();
        let function = functions.called(name).unwrap();
        assert_eq!(parameters.split(", ").count(), *function.takes.end(), "{call}");
        assert!(!makes.is_empty(), "{call}");
    }
    assert_eq!(functions.described(Syntax::Token).len(), functions.names().count());
    let handlebars = functions.described(Syntax::Handlebars);
    assert!(handlebars.contains(&(
        "{{std_text_truncate x n}}".to_owned(),
        "at most n characters, the last an ellipsis where any were cut off"
    )));
}
