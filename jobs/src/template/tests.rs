use chrono::DateTime;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn order() -> Value {
    json!({
        "id": 42, "total": 1234.5, "note": null, "paid": false, "text": "#id# @std.text.upper(#id#)@ <b>",
        "ordered_at": "2026-03-01T09:30:00+01:00", "due": "2026-03-29",
        "customer": {"name": "Shwe & Co", "manager": null, "contact_person": [
            {"email": "a@x.example", "tags": ["p", "q"]}, {"email": null, "tags": []}, {"email": "b@x.example", "tags": ["r"]},
        ]},
    })
}

fn over_order(text: &str) -> Result<String, String> {
    replace_token_values(order().as_object().unwrap(), text).map_err(|error| error.to_string())
}

#[test]
fn c28_fields_are_replaced_along_any_path() {
    for (text, expected) in [
        ("#id#", "42"),
        ("Order #id# of #customer.name#.", "Order 42 of Shwe & Co."),
        ("#id##paid#", "42false"),
        ("[#note#]", "[]"),
        ("[#customer.manager.name.first#]", "[]"),
        ("#customer.contact_person.email#", "a@x.example, b@x.example"),
        ("#customer.contact_person.tags#", "p, q, , r"),
        ("é#id#é", "é42é"),
    ] {
        assert_eq!(over_order(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn c28_what_is_no_token_is_itself_and_a_doubled_mark_prints_one() {
    for text in [
        "C# costs 5#",
        "me@example.com",
        "# heading",
        "## heading",
        "#",
        "##",
        "#5#",
        "#a b#",
        "#id",
        "#id.#",
        "#.id#",
        "@a.b(#x)@",
        "@std.text.upper('x')",
        "@ std.text.upper(",
        "#ü#",
        "a@b.c.d",
        "",
    ] {
        assert_eq!(over_order(text).as_deref(), Ok(text), "{text}");
    }
    for (text, expected) in [
        ("##id#", "#id#"),
        ("###id#", "##id#"),
        ("#id###id#", "42#id#"),
        ("@@std.text.upper(#id#)@", "@std.text.upper(#id#)@"),
        ("@@acme.web.page(1)@", "@acme.web.page(1)@"),
        ("ann@@mail.example.com(work) (b)@", "ann@mail.example.com(work) (b)@"),
    ] {
        assert_eq!(over_order(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn c28_a_value_is_never_read_again() {
    assert_eq!(over_order("#text#").as_deref(), Ok("#id# @std.text.upper(#id#)@ <b>"));
}

#[test]
fn c28_errors_say_where_and_what_would_be_right() {
    for (text, expected) in [
        ("a\n#custmer.name#", "line 2, column 1: there is no field `custmer`; did you mean `customer`?"),
        ("é #customer.zip#", "line 1, column 3: there is no field `zip`"),
        (
            "#customer.contact_person.emial#",
            "line 1, column 1: there is no field `emial`; did you mean `email`?",
        ),
        ("#id.x#", "line 1, column 1: there is no field `x` in what is no object"),
        (
            "#customer#",
            "line 1, column 1: this is an object: name one of its fields, such as `contact_person`",
        ),
        (
            "@std.text.uper(#id#)@",
            "line 1, column 1: there is no function `std.text.uper`; did you mean `std.text.upper`?",
        ),
        ("@std.text.upper()@", "line 1, column 1: std.text.upper takes 1 argument, not 0"),
        ("@std.number.round(1,2,3)@", "line 1, column 1: std.number.round takes 1 to 2 arguments, not 3"),
        (
            "@std.text.upper(id)@",
            "line 1, column 17: found `i`, where there should be a field such as #name#, a text in single quotes, a number, true or false",
        ),
        (
            "@std.text.upper(#id# 1)@",
            "line 1, column 22: found `1`, where there should be `,` or the end of the call, `)@`",
        ),
        ("@std.text.upper('x)@", "line 1, column 17: this text has no closing quote"),
        (
            "@std.number.round('x')@",
            "line 1, column 1: std.number.round: argument 1 must be a number of at most 28 digits",
        ),
    ] {
        assert_eq!(over_order(text).err().as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn c29_functions_take_fields_and_literals() {
    for (text, expected) in [
        ("@std.text.upper(#customer.name#)@", "SHWE & CO"),
        ("@std.text.lower( 'It''s' )@", "it's"),
        ("@std.text.title('new york')@", "New York"),
        ("[@std.text.trim(' a ')@]", "[a]"),
        ("@std.text.truncate('A long text', 7)@", "A long…"),
        ("@std.text.truncate('short', 7)@", "short"),
        ("[@std.text.pad(#id#, 4)@]", "[42  ]"),
        ("@std.text.default(#note#, 'none')@@std.text.default(#id#, 'none')@", "none42"),
        (
            "@std.number.round(2.675, 2)@ @std.number.round(-0.5)@ @std.number.round('1e3', 1)@",
            "2.68 -1 1000.0",
        ),
        ("@std.number.round(123456789012, 20)@", "123456789012.00000000000000000000"),
        ("@std.number.format(12345678901234567890.5, 1)@", "12,345,678,901,234,567,890.5"),
        ("@std.number.format(1234567.891, 2)@ @std.number.format(-123)@", "1,234,567.89 -123"),
        ("@std.number.currency(#total#, 'EUR')@", "1,234.50 EUR"),
        ("@std.number.percent(0.125, 1)@", "12.5 %"),
        ("[@std.number.round(#note#)@]", "[]"),
        ("@std.date.format(#ordered_at#, '%d.%m.%Y %H:%M')@", "01.03.2026 09:30"),
        ("@std.date.format(#due#, '%-d %B')@", "29 March"),
        (
            "@std.date.add(#due#, -28)@ @std.date.add(#ordered_at#, 1)@",
            "2026-03-01 2026-03-02T09:30:00+01:00",
        ),
        ("@std.date.diff(#due#, #ordered_at#)@", "28"),
        ("@std.list.join(#customer.contact_person.email#, ' / ')@", "a@x.example / b@x.example"),
        ("@std.list.count(#customer.contact_person.email#)@", "2"),
        ("@std.list.first(#customer.contact_person.email#)@", "a@x.example"),
        ("@std.text.default(true, 'x')@", "true"),
    ] {
        assert_eq!(over_order(text).as_deref(), Ok(expected), "{text}");
    }
    assert!(over_order("@std.date.format(#due#, '%Q')@").unwrap_err().contains("`%Q`"));
    assert!(over_order("@std.text.pad('x', 1001)@").is_err());
}

#[test]
fn c30_a_program_replaces_the_tokens_of_any_text() {
    let instance = json!({"name": "Ann", "orders": [{"id": 1}, {"id": 2}]});
    let text = replace_token_values(instance.as_object().unwrap(), "#name#: #orders.id#");
    assert_eq!(text.as_deref(), Ok("Ann: 1, 2"));
}

fn compile(text: &str) -> Template {
    Template::compile(text, Syntax::Token, &Functions::std()).unwrap()
}

const HTML: Rendering = Rendering { escape: Escape::Html, now: DateTime::UNIX_EPOCH };

#[test]
fn values_are_escaped_in_html_and_the_template_is_not() {
    let instance = json!({"x": "<script a='b' c=\"d\">`&`</script>", "list": ["<", 1]});
    let escaped = "&lt;script a&#x3D;&#x27;b&#x27; c&#x3D;&quot;d&quot;&gt;&#x60;&amp;&#x60;&lt;/script&gt;";
    for (text, expected) in [
        ("<p>#x#</p>", format!("<p>{escaped}</p>")),
        ("<a title='@std.text.trim(#x#)@'>", format!("<a title='{escaped}'>")),
        ("<a title=\"#x#\" @std.text.trim('<>')@>", format!("<a title=\"{escaped}\" &lt;&gt;>")),
        ("#list#&@std.list.join(#list#, '&')@", "&lt;, 1&&lt;&amp;1".to_owned()),
    ] {
        assert_eq!(compile(text).render(instance.as_object().unwrap(), &HTML), Ok(expected), "{text}");
    }
}

#[test]
fn the_fields_of_a_text_have_their_first_places() {
    let template = compile("é #id# #customer.name#\n@std.text.default(#note#, #id#)@ #id# ##paid#");
    let fields: Vec<_> =
        template.fields().iter().map(|field| (field.names.join("."), field.line, field.column)).collect();
    let expected = [("id", 1, 3), ("customer.name", 1, 8), ("note", 2, 19)];
    assert_eq!(fields, expected.map(|(path, line, column)| (path.to_owned(), line, column)));
    assert!(template.fields().iter().all(|field| field.used == Used::Text));
}

#[test]
fn a_preview_tells_what_each_token_comes_to() {
    let template = compile(
        "#id# #customer.name# #id# ##id# @std.text.upper( #nme# )@ @std.date.relative('1970-01-01')@",
    );
    let expected = [
        ("#id#", Ok("42")),
        ("#customer.name#", Ok("Shwe & Co")),
        ("@std.text.upper( #nme# )@", Err("there is no field `nme`")),
        ("@std.date.relative('1970-01-01')@", Ok("today")),
    ];
    let expected =
        expected.map(|(token, text)| (token.to_owned(), text.map(str::to_owned).map_err(str::to_owned)));
    assert_eq!(template.resolved(order().as_object().unwrap(), &HTML), expected);
}

#[test]
fn long_values_are_counted_by_their_length() {
    let instance = json!({"long": "x".repeat(200_000)});
    for (hostile, problem) in
        [("@std.text.truncate(#long#,0)@", "200000 values"), ("@std.text.default(#long#,1)@", "256 KB")]
    {
        let made = compile(&hostile.repeat(9_000)).render(instance.as_object().unwrap(), &HTML);
        assert!(made.as_ref().is_err_and(|error| error.problem.contains(problem)), "{hostile}: {made:?}");
    }
}

#[test]
fn texts_are_bounded() {
    let long = json!({"a": "x".repeat(MAX_BYTES)});
    let long = long.as_object().unwrap();
    assert!(replace_token_values(long, "#a#").is_ok());
    assert!(replace_token_values(long, "#a##a#").unwrap_err().problem.contains("256 KB"));
    assert!(Template::compile(&"x".repeat(MAX_BYTES + 1), Syntax::Token, &Functions::std()).is_err());
    let many = json!({"a": vec![json!({"x": null}); 80_000]});
    let many = many.as_object().unwrap();
    assert_eq!(replace_token_values(many, "#a.x#").as_deref(), Ok(""));
    for hostile in ["#a.x#", "@std.list.count(#a#)@", "@std.list.join(#a.x#,',')@"] {
        let error = replace_token_values(many, &hostile.repeat(4_000)).unwrap_err();
        assert!(error.problem.contains("200000 values"), "{error}");
    }
    let ones = json!({"a": vec![1; 100_000]});
    let joined = format!("@std.list.join(#a#,'{}')@", "x".repeat(99_000));
    assert!(replace_token_values(ones.as_object().unwrap(), &joined).unwrap_err().problem.contains("256 KB"));
    let long_name = format!("#{}#", "n".repeat(100_000));
    assert!(replace_token_values(ones.as_object().unwrap(), &long_name).unwrap_err().problem.len() < 200);
    // Nothing is looked for again and again.
    for hostile in
        ["@a.b.c(".repeat(30_000), "#a".repeat(100_000), "@a.b.c(')@".repeat(20_000), "@".repeat(MAX_BYTES)]
    {
        let _ = Template::compile(&hostile, Syntax::Token, &Functions::std());
    }
}

/// Whether a text holds what the grammar calls a field, or the end of a call.
fn holds_token(text: &str) -> bool {
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let between: Vec<&str> = text.split('#').collect();
    let is_path = |path: &&str| path.split('.').all(is_name);
    text.contains(")@") || between.iter().skip(1).take(between.len().saturating_sub(2)).any(is_path)
}

proptest! {
    #[test]
    fn a_text_without_tokens_is_itself(text in "([#@.,()' a-c0-9é{}]|##|@@|@a\\.b\\.c\\(|#a ){0,30}") {
        prop_assume!(!holds_token(&text));
        prop_assert_eq!(over_order(&text), Ok(text));
    }

    #[test]
    fn a_value_that_looks_like_a_template_is_put_in_as_it_is(
        value in "(#(id|v)#|##|\\{\\{(id|#each a|/each)\\}\\}|@std\\.text\\.upper\\(#id#\\)@|[a<&])*"
    ) {
        let instance = json!({"id": 7, "v": value, "list": [value, value]});
        let text = replace_token_values(instance.as_object().unwrap(), "#v#@std.text.trim(#v#)@#list#").unwrap();
        prop_assert_eq!(text, format!("{value}{value}{value}, {value}"));
    }

    #[test]
    fn a_text_without_marks_is_itself(text in "[^#@]*") {
        prop_assert_eq!(over_order(&text), Ok(text));
    }

    #[test]
    fn reading_any_text_ends_without_a_panic(text in "([#@.,()' a-c0-9\\-é]|#id#|@std\\.text\\.upper\\(){0,40}") {
        let _ = over_order(&text);
    }

    #[test]
    fn a_value_stands_in_the_text_as_it_is(value in ".*", before in "[^#@]*", after in "[^#@]*") {
        let instance = json!({"v": value});
        let text = replace_token_values(instance.as_object().unwrap(), &format!("{before}#v#{after}")).unwrap();
        prop_assert_eq!(text, format!("{before}{value}{after}"));
    }
}
