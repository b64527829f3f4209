use chrono::DateTime;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::send::Syntax;
use crate::template::{Escape, Functions, Rendering, Template, TemplateError, Used};

fn order() -> Value {
    json!({
        "id": 42, "total": "1234.50", "paid": false, "note": null, "due": "2026-03-29", "zero": 0,
        "text": "{{id}} #id# @std.text.upper(#id#)@ <b>",
        "customer": {"#": "Shwe & Co", "name": "Shwe & Co", "manager": null, "city": {"name": "Yangon"}},
        "items": [
            {"name": "Rice", "price": "9.50", "tags": ["a", "b"]},
            {"name": "Tea", "price": "12.00", "tags": []},
        ],
        "totals": {"net": 10, "tax": 2}, "empty": [], "names": ["x", null, "y"],
    })
}

fn compile(text: &str) -> Result<Template, TemplateError> {
    Template::compile(text, Syntax::Handlebars, &Functions::std())
}

fn render_over(instance: &Value, text: &str, escape: Escape) -> Result<String, String> {
    let how = Rendering { escape, now: DateTime::UNIX_EPOCH };
    let rendered = compile(text).and_then(|template| template.render(instance.as_object().unwrap(), &how));
    rendered.map_err(|error| error.to_string())
}

fn over_order(text: &str) -> Result<String, String> {
    render_over(&order(), text, Escape::Text)
}

/// What the crate makes of it, which this is compatible with.
fn by_the_crate(text: &str) -> Result<String, String> {
    let mut engine = handlebars::Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(handlebars::no_escape);
    engine.render_template(text, &order()).map_err(|error| error.to_string())
}

#[test]
fn blocks_and_paths_come_to_what_handlebars_makes_of_them() {
    for text in [
        "{{id}} {{ customer.name }} {{customer/city/name}} {{this.id}} {{./id}} {{[id]}} {{customer.[name]}}",
        "{{#each items}}{{@index}} {{name}} {{../id}} {{@root.id}} {{@first}} {{@last}};{{/each}}",
        "{{#each items as |item i|}}{{i}}{{item.name}}{{#each item.tags}}{{this}}{{../../id}}{{@../index}}{{/each}}{{/each}}",
        "{{#each totals}}{{@key}}={{this}} {{/each}}",
        "{{#each totals as |value key|}}{{key}}={{value}} {{/each}}",
        "{{#each empty}}x{{else}}none{{/each}}",
        "{{#each names}}[{{this}}]{{/each}}",
        "{{#with customer}}{{name}}{{#with city}}{{name}}{{../name}}{{../../id}}{{/with}}{{/with}}",
        "{{#with customer as |c|}}{{c.name}}{{/with}}{{#with note}}x{{else}}no{{/with}}",
        "{{#if paid}}a{{else if note}}b{{else if id}}c{{else}}d{{/if}}",
        "{{#if paid}}a{{else if note}}b{{else}}d{{/if}}|{{#unless paid}}due{{else}}paid{{/unless}}",
        "{{#if zero}}a{{else}}b{{/if}}{{#if zero includeZero=true}}a{{else}}b{{/if}}{{#if empty}}a{{^}}b{{/if}}",
        "a\n{{#each items}}\n  {{name}}\n{{/each}}\nb\n  {{! comment }}\nc",
        "{{#if id}}\r\nyes\r\n{{else}}\r\nno\r\n{{/if}}\r\nend",
        "a {{!-- }} {{id}} --}} {{! {{ }} c {{~id~}} b",
        "{{#each items}}\n{{~name~}}\n{{/each}}",
        "{{#if (eq id 42)}}a{{/if}}{{#if (and id (not paid))}}b{{/if}}{{#if (or paid note)}}c{{else}}d{{/if}}",
        "{{#if (gt id 41)}}a{{/if}}{{#if (lte id 41.5)}}b{{else}}c{{/if}}{{len items}}{{len customer.name}}",
        "{{eq customer.name \"Shwe & Co\"}} {{ne 'it\\'s' \"}}\"}} {{eq \"\\u00e9\\n\" 'x'}}",
        "{ } }} {a} }}} \\ \\n",
    ] {
        assert_eq!(over_order(text), by_the_crate(text), "{text}");
        assert!(over_order(text).is_ok(), "{text}");
    }
}

#[test]
fn the_example_of_the_documentation_is_what_it_says() {
    let text = "{{#each items as |item i|}}\n{{i}}. {{item.name}}{{#if (gt item.price 10)}} (approval needed){{/if}}\n\
        {{else}}\nNothing was ordered.\n{{/each}}\n{{customer.name}}, {{std_date_format due '%d %B'}} {{\"{{\"}}";
    let expected = "0. Rice\n1. Tea (approval needed)\nShwe & Co, 29 March {{";
    assert_eq!(over_order(text).as_deref(), Ok(expected));
}

#[test]
fn lists_labels_and_nulls_are_printed_as_by_tokens() {
    for (text, expected) in [
        ("{{names}} {{items.name}} {{items.tags}}", "x, y Rice, Tea a, b, "),
        ("{{customer}}{{#with customer}}{{this}}{{/with}}", "Shwe & CoShwe & Co"),
        ("[{{note}}{{customer.manager.name}}{{#each note}}x{{/each}}]", "[]"),
        ("{{std_text_upper customer}} {{std_list_join items.name ' / '}}", "SHWE & CO Rice / Tea"),
        ("{{std_number_format (std_number_round total 1) 2 '.' ','}}", "1.234,50"),
        ("{{#each (std_list_first empty)}}{{else}}no{{/each}}", "no"),
        ("{{std_text_trim '{{'}}{{\"}}\"}}", "{{}}"),
        ("{{text}}", "{{id}} #id# @std.text.upper(#id#)@ <b>"),
        ("{{std_date_relative '1970-01-02T00:00:00Z'}}", "in 1 day"),
    ] {
        assert_eq!(over_order(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn numbers_are_compared_as_numbers_and_dates_as_texts() {
    for (asked, expected) in [
        ("gt total 999", true),
        ("gt total '999.99'", true),
        ("eq total 1234.5", true),
        ("ne total '1234.50'", false),
        ("lt items.name 5", false),
        ("gt due '2026-03-01'", true),
        ("lte due '2026-03-29'", true),
        ("eq note null", true),
        ("eq paid false", true),
        ("eq customer 'Shwe & Co'", true),
        ("lt note 1", false),
        ("and id total (not paid)", true),
    ] {
        assert_eq!(over_order(&format!("{{{{{asked}}}}}")), Ok(expected.to_string()), "{asked}");
    }
}

#[test]
fn html_is_escaped_where_values_stand_and_only_there() {
    let instance = json!({"x": "<script a='b' c=\"d\">`&`</script>", "n": 1});
    let escaped = "&lt;script a&#x3D;&#x27;b&#x27; c&#x3D;&quot;d&quot;&gt;&#x60;&amp;&#x60;&lt;/script&gt;";
    for (text, expected) in [
        ("<p class=\"a\">{{x}}</p>".to_owned(), format!("<p class=\"a\">{escaped}</p>")),
        ("<a title='{{std_text_trim x}}'>".to_owned(), format!("<a title='{escaped}'>")),
        ("{{#if (std_text_trim x)}}<hr>{{/if}}".to_owned(), "<hr>".to_owned()),
        ("{{\"<\"}}{{n}}".to_owned(), "&lt;1".to_owned()),
    ] {
        assert_eq!(render_over(&instance, &text, Escape::Html), Ok(expected), "{text}");
    }
}

#[test]
fn errors_say_where_and_what_would_be_right() {
    for (text, expected) in [
        ("a\n {{custmer.name}}", "line 2, column 4: there is no field `custmer`; did you mean `customer`?"),
        (
            "{{#each items}}{{nam}}{{/each}}",
            "line 1, column 18: there is no field `nam`; did you mean `name`?",
        ),
        ("{{totals}}", "line 1, column 3: this is an object: name one of its fields, such as `net`"),
        (
            "{{std_text_uper id}}",
            "line 1, column 3: there is no function `std_text_uper`; did you mean `std_text_upper`?",
        ),
        ("{{std_text_upper}}", "line 1, column 3: std_text_upper takes 1 argument, not 0"),
        ("{{#if (eq id)}}{{/if}}", "line 1, column 8: eq takes 2 arguments, not 1"),
        ("{{#if (and id)}}{{/if}}", "line 1, column 8: and takes at least 2 arguments, not 1"),
        ("{{log id}}", "line 1, column 3: `log` is not allowed: a text is not the place for it"),
        (
            "{{lookup items 0}}",
            "line 1, column 3: `lookup` is not allowed: name the field, or go over the list with `#each`",
        ),
        ("{{if id}}", "line 1, column 3: `if` is a block: `{{#if ...}}`"),
        ("{{#iff id}}{{/iff}}", "line 1, column 1: there is no block `iff`; did you mean `if`?"),
        ("{{> p}}", "line 1, column 1: partials are not allowed"),
        ("{{~>p}}", "line 1, column 1: partials are not allowed"),
        ("{{#> p}}{{/p}}", "line 1, column 1: partials and decorators are not allowed"),
        ("{{* d}}", "line 1, column 1: decorators are not allowed"),
        ("{{{id}}}", "line 1, column 1: triple braces and raw blocks are not allowed"),
        ("{{{{raw}}}}{{{{/raw}}}}", "line 1, column 1: triple braces and raw blocks are not allowed"),
        ("{{~{id}~}}", "line 1, column 1: triple braces and raw blocks are not allowed"),
        ("{{&id}}", "line 1, column 1: `{{&` is not allowed: the message says whether values are escaped"),
        (r"a\{{id}}", "line 1, column 2: `\\{{` is not allowed: write the braces as a text in a tag"),
        ("{{id", "line 1, column 1: this tag has no end, `}}`"),
        ("{{id {{id}}", "line 1, column 6: `{` does not belong here"),
        ("{{#if id}}", "line 1, column 1: this block has no end, `{{/if}}`"),
        ("{{#if id}}{{/each}}", "line 1, column 11: this should be the end of the block, `{{/if}}`"),
        ("{{/if}}", "line 1, column 1: this closes a block that is not open"),
        ("{{else}}", "line 1, column 1: `else` stands outside of a block"),
        ("{{#if id}}{{else}}{{else}}{{/if}}", "line 1, column 19: this block has an `else` already"),
        ("{{../id}}", "line 1, column 3: `../` leads out of the instance"),
        ("{{@index}}", "line 1, column 3: `@index` stands outside of `#each`"),
        ("{{@foo}}", "line 1, column 3: there is no `@foo`; @index, @first, @last and @key are"),
        ("{{this}}", "line 1, column 3: this is the whole instance: name one of its fields"),
        (
            "{{items.0.name}}",
            "line 1, column 3: an element of a list has no name: go over the list with `#each`, or take `std_list_first`",
        ),
        (
            "{{std_text_upper [1,2]}}",
            "line 1, column 18: between `[` and `]` stands a name of letters, digits, `_`, `-` and spaces",
        ),
        ("{{std_text_upper {\"a\":1}}}", "line 1, column 18: `{` does not belong here"),
        ("{{std_text_upper x=1}}", "line 1, column 18: arguments have no names here"),
        ("{{std_text_upper \"a}}", "line 1, column 18: this text has no closing quote"),
        ("{{#each id}}{{/each}}", "line 1, column 9: `#each` goes over a list or an object"),
        (
            "{{#each items as |a b c|}}{{/each}}",
            "line 1, column 23: names for what a block goes over are written `as |item index|`",
        ),
    ] {
        assert_eq!(over_order(text).err().as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn the_fields_of_a_text_are_known_without_an_instance() {
    let text = "{{#each items as |item i|}}{{item.name}}{{i}}{{@index}}{{this.price}}{{#if ../paid}}{{@root.id}}{{/if}}\n\
        {{else}}{{note}}{{/each}}{{#with customer}}{{./name}}{{#if (gt ../total 5)}}{{std_text_upper city.name}}{{/if}}{{/with}}\
        {{#each (std_list_first names)}}{{x.y}}{{/each}}{{#each items}}{{this}}{{/each}}";
    let template = compile(text).unwrap();
    let fields: Vec<_> = template.fields().iter().map(|field| (field.names.join("."), field.used)).collect();
    let expected = [
        ("items", Used::Value),
        ("items.name", Used::Text),
        ("items.price", Used::Text),
        ("paid", Used::Value),
        ("id", Used::Text),
        ("note", Used::Text),
        ("customer", Used::Value),
        ("customer.name", Used::Text),
        ("total", Used::Value),
        ("customer.city.name", Used::Text),
        ("names", Used::Text),
        ("items", Used::Text),
    ];
    assert_eq!(fields, expected.map(|(path, used)| (path.to_owned(), used)));
    let places: Vec<_> = template.fields().iter().map(|field| (field.line, field.column)).collect();
    assert_eq!(places[..3], [(1, 9), (1, 30), (1, 58)]);
    assert_eq!(places[5], (2, 11));
}

#[test]
fn a_preview_tells_what_each_path_comes_to() {
    let how = Rendering { escape: Escape::Html, now: DateTime::UNIX_EPOCH };
    let template =
        compile("{{#each items}}{{name}}{{/each}}{{customer.name}}{{#if totals}}{{nope}}{{/if}}").unwrap();
    let resolved = template.resolved(order().as_object().unwrap(), &how);
    let expected = [
        ("items", Ok("a list of 2")),
        ("items.name", Ok("Rice, Tea")),
        ("customer.name", Ok("Shwe & Co")),
        ("totals", Ok("an object")),
        ("nope", Err("there is no field `nope`; did you mean `note`?")),
    ];
    let expected =
        expected.map(|(path, text)| (path.to_owned(), text.map(str::to_owned).map_err(str::to_owned)));
    assert_eq!(resolved, expected);
}

#[test]
fn what_could_abort_or_exhaust_the_process_is_refused() {
    let many =
        |open: &str, count: usize, close: &str| format!("{}{}", open.repeat(count), close.repeat(count));
    for hostile in [
        "{{#*inline \"p\"}}{{> p}}{{/inline}}{{> p}}".to_owned(),
        format!("{{{{{}id{}}}}}", "(not ".repeat(2_000), ")".repeat(2_000)),
        format!("{{{{not {}id{}}}}}", "(not ".repeat(9), ")".repeat(9)),
        format!("{{{{not {}}}}}", many("[", 2_000, "]")),
        format!("{{{{not {}1{}}}}}", "{\"a\":".repeat(2_000), "}".repeat(2_000)),
        format!("{{{{#if id}}}}{}{{{{/if}}}}", "{{else if id}}".repeat(5_000)),
        many("{{#if id}}", 17, "{{/if}}"),
        many("{{#if id}}", 5_000, "{{/if}}"),
        format!("{{{{not \"}}}}\" {}id{}}}}}", "(not ".repeat(2_000), ")".repeat(2_000)),
        format!("{{{{not \"{{{{!\" {}id{}}}}}", "(not ".repeat(2_000), ")".repeat(2_000)),
        format!("{{{{not '))))' {}id{}}}}}", "(not ".repeat(2_000), ")".repeat(2_000)),
        format!("{{{{! \" }}}}{{{{not {}id{}}}}}", "(not ".repeat(2_000), ")".repeat(2_000)),
        format!("{{{{!-- }}}} --}}}}{{{{not {}id{}}}}}", "(not ".repeat(2_000), ")".repeat(2_000)),
        format!("{{{{{}}}}}", vec!["a"; 17].join(".")),
    ] {
        assert!(compile(&hostile).is_err(), "{hostile:.60}");
    }
    for allowed in [
        many("{{#if id}}", 16, "{{/if}}"),
        format!("{{{{#if id}}}}{}{{{{/if}}}}", "{{else if id}}".repeat(15)),
        format!("{{{{{}id{}}}}}", "(not ".repeat(8), ")".repeat(8)),
    ] {
        assert!(over_order(&allowed).is_ok(), "{allowed:.60}");
    }
}

#[test]
fn what_would_be_read_over_and_over_is_read_once() {
    for hostile in [
        "{{a}}".repeat(50_000),
        "{{".repeat(130_000),
        "{{a}} \n".repeat(37_000),
        format!("{}{{{{a}}}}", " ".repeat(250_000)),
        "{{!".repeat(80_000),
        "{{!--".repeat(50_000),
        "{{'".repeat(80_000),
        format!("{{{{{}}}}}", "a ".repeat(120_000)),
        format!("{{{{#with {0}}}}}{1}{{{{/with}}}}", vec!["a"; 15].join("."), "{{x}}".repeat(50_000)),
    ] {
        let begun = std::time::Instant::now();
        let _ = compile(&hostile);
        // Read over and over, it would be minutes.
        assert!(begun.elapsed().as_secs() < 20, "{hostile:.40}: {:?}", begun.elapsed());
    }
}

#[test]
fn work_is_bounded_while_a_text_is_rendered() {
    let hundred: Vec<u32> = (0..100).collect();
    let instance = json!({"a": hundred, "long": "x".repeat(200_000), "many": vec![0; 99_000]});
    let four_fold =
        "{{#each a}}{{#each ../a}}{{#each ../../a}}{{#each ../../../a}}{{/each}}{{/each}}{{/each}}{{/each}}";
    for (hostile, problem) in [
        (four_fold.to_owned(), "values"),
        ("{{#each many}}{{/each}}{{#each many}}{{/each}}".to_owned(), "100000 rounds"),
        ("{{#each a}}{{@root.long}}{{/each}}".to_owned(), "256 KB"),
        ("{{#each many}}{{#if (std_text_upper @root.long)}}{{/if}}{{/each}}".to_owned(), "200000 values"),
        ("{{#each many}}{{#if (eq @root.long @root.long)}}{{/if}}{{/each}}".to_owned(), "values"),
        ("{{#each many}}{{#if (len @root.long)}}{{/if}}{{/each}}".to_owned(), "values"),
        (format!("{{{{#each many}}}}{}{{{{/each}}}}", "{{#if false}}{{/if}}".repeat(10_000)), "values"),
        (
            format!(
                "{{{{#each many}}}}{{{{#if (std_text_upper '{}')}}}}{{{{/if}}}}{{{{/each}}}}",
                "x".repeat(200_000)
            ),
            "values",
        ),
    ] {
        let error = render_over(&instance, &hostile, Escape::Html).unwrap_err();
        assert!(error.contains(problem) || error.contains("rounds"), "{hostile:.60}: {error}");
    }
}

/// Texts of a few tags, nested and in lines.
fn texts() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[ a\n]{0,4}",
        Just("{{id}}".to_owned()),
        Just("{{customer.name}}".to_owned()),
        Just("{{! note }}".to_owned()),
        Just("{{@root.due}}".to_owned()),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let several = prop::collection::vec(inner, 0..4).prop_map(|parts| parts.concat());
        prop_oneof![
            several.clone(),
            several.clone().prop_map(|body| format!("{{{{#if @root.id}}}}{body}{{{{/if}}}}")),
            (several.clone(), several.clone()).prop_map(|(one, other)| format!(
                "{{{{#if @root.paid}}}}{one}{{{{else}}}}{other}{{{{/if}}}}"
            )),
            several.prop_map(|body| format!("{{{{#unless @root.paid}}}}\n{body}\n{{{{/unless}}}}\n")),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_of_tags_comes_to_what_handlebars_makes_of_it(text in texts()) {
        prop_assert_eq!(over_order(&text), by_the_crate(&text));
    }

    #[test]
    fn a_text_without_tags_is_itself(text in "([^{\\\\]|\\{[^{])*") {
        prop_assert_eq!(over_order(&text), Ok(text));
    }

    #[test]
    fn a_value_is_never_read_again(value in "(\\{\\{(id|#each a|/each|> p)\\}\\}|#id#|@std\\.text\\.upper\\(#id#\\)@|[a<&])*") {
        let instance = json!({"v": value, "list": [value]});
        let text = "{{v}}{{#each list}}{{this}}{{/each}}{{std_text_trim v}}";
        prop_assert_eq!(render_over(&instance, text, Escape::Text), Ok(value.repeat(3)));
    }

    #[test]
    fn reading_any_text_ends_without_a_panic(
        text in "(\\{\\{[#/^~!&>]?|\\}\\}|~\\}\\}|[a-c()'\"|=.@\\[\\]\\\\ \\né0-9-]|\\.\\./|this|else|each|if|with|as \\|a\\||@root|@index|std_text_upper|eq |includeZero=|--){0,40}"
    ) {
        let _ = over_order(&text);
    }
}
