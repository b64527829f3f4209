//! Models over a schema that makes it hard: what templates may read of it, and how it arrives.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use herald_jobs::authoring::{Authoring, Preview, Sample};
use herald_jobs::message_template::{Compiled, MessageTemplate};
use herald_jobs::model::{Model, NamedRelation};
use herald_jobs::store;
use herald_jobs::store::instances::{InstanceQuery, Loaded};
use herald_jobs::template::Functions;
use serde_json::{Value, json};

use crate::support::herald::Story;

const SCHEMA: &str = r#"
    set search_path = public;
    create schema "Sales Dept";
    create type mood as enum ('calm', 'very busy');
    create domain score as numeric(20, 6) check (value >= 0);
    create table "Sales Dept"."Customer" (
        "Id" bigint primary key, "Full Name" text, "we""ird" text, "mixedCase" text, secret_note text, mood mood,
        parent_id bigint references "Sales Dept"."Customer");
    create table contact_person (
        id int primary key, customer_id bigint references "Sales Dept"."Customer", email text, "select" text);
    create table region (country char(2), number smallint, name text, primary key (country, number));
    create table purchase_order (
        id bigint primary key, customer_id bigint references "Sales Dept"."Customer", country char(2), region_number smallint,
        total numeric(20, 6), score score, ratio float8, placed_at timestamptz, due date, at_hour time, local timestamp,
        document bytea, details jsonb, plain json, tags text[], prices numeric(20, 6)[], numbers int[], active boolean, token uuid,
        lasts interval, foreign key (country, region_number) references region);
    create table approval (
        id int primary key, order_id bigint references purchase_order, previous_order_id bigint references purchase_order,
        approver text);
    create table payroll (id int primary key, salary int);
    create view open_order as select id, total, customer_id as buyer, 1 / (id - 99) as failing from purchase_order;
    insert into "Sales Dept"."Customer" values
        (1, 'Head {{x}} #id# Office', 'q"q', 'mC', 'hush', 'calm', null), (2, 'Branch <b>', null, null, 'hush', 'very busy', 1);
    insert into contact_person values (1, 2, 'a@x.example', 's'), (2, 2, null, null), (3, 2, 'b@x.example', 't'), (4, 1, 'c@x.example', 'u');
    insert into region values ('DE', 7, 'Bavaria'), ('DE', 8, 'Hesse');
    insert into purchase_order values
        (42, 2, 'DE', 7, 1234567890123.450000, 12.5, 0.1, '2026-03-01 09:30:00+01', '2026-03-29', '07:05', '2026-03-01 09:30:00',
         '\x00ff10', '{"lines": [{"sku": "A1"}, {"sku": "B2"}], "note": null}', '{"a": 1}', '{red,"light green"}', '{1.50,2}', '{1,2}', true,
         '0b4df0d1-6b0c-4dbb-8a3f-0c1c7a6d4d10', '1 day 02:00:00'),
        (43, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
        (99, 1, null, null, 1, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null);
    insert into approval values (1, 42, 43, 'ann'), (2, 42, null, 'bob');
    reset search_path;
"#;

pub(super) fn model(name: &str, table: &str, key: &[&str]) -> Model {
    let key = key.iter().map(|&name| name.to_owned()).collect();
    Model { name: name.into(), table: table.into(), key, ..Model::default() }
}

/// A company whose tables are registered.
pub(super) async fn company() -> (Story, Authoring) {
    let story = Story::begin().await;
    story.execute(SCHEMA).await;
    let relation = |text: &str| NamedRelation::parse(text).unwrap();
    for model in [
        Model {
            label: Some("Full Name".into()),
            hidden: vec!["secret_note".into()],
            ..model("customer", "\"Sales Dept\".\"Customer\"", &["Id"])
        },
        model("contact_person", "public.contact_person", &["id"]),
        Model { label: Some("name".into()), ..model("region", "public.region", &["country", "number"]) },
        model("approval", "public.approval", &["id"]),
        Model {
            relations: vec![relation("approvals=id>approval.order_id")],
            ..model("purchase_order", "public.purchase_order", &["id"])
        },
        Model {
            relations: vec![
                relation("customer=buyer>customer.Id"),
                relation("contacts=buyer>contact_person.customer_id"),
            ],
            ..model("open_order", "public.open_order", &["id"])
        },
    ] {
        store::models::register(&story.pool, &model, "test").await.unwrap();
    }
    let authoring = story.authoring();
    (story, authoring)
}

fn over(model: &str, text: &str) -> MessageTemplate {
    MessageTemplate {
        code: "T".into(),
        model: Some(model.into()),
        message_text: text.into(),
        ..MessageTemplate::default()
    }
}

/// What loads the records of a template.
async fn query(authoring: &Authoring, template: &MessageTemplate) -> InstanceQuery {
    let catalogue = authoring.catalogue().await.unwrap();
    let compiled = Compiled::new(Cow::Borrowed(template), &catalogue, &Functions::std()).unwrap();
    compiled.query.unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

async fn preview(authoring: &Authoring, template: &MessageTemplate, key: Value) -> Result<Preview, String> {
    let now = "2026-03-04T10:00:00Z".parse().unwrap();
    authoring
        .environment()
        .await
        .unwrap()
        .preview(template, Sample::Key(key), now)
        .await
        .map_err(|error| error.to_string())
}

async fn text(authoring: &Authoring, model: &str, template: &str, key: Value) -> String {
    // What would come out empty is refused: brackets keep it visible.
    let template = over(model, &format!("[{template}]"));
    let preview = preview(authoring, &template, key).await;
    let text = preview.map_or_else(|error| panic!("{template:?}: {error}"), |preview| preview.message_text);
    text[1..text.len() - 1].to_owned()
}

#[tokio::test]
async fn c27_values_arrive_typed_and_whole() {
    let (_story, authoring) = company().await;
    for (template, expected) in [
        ("#id#", "42"),
        ("#total#", "1234567890123.450000"),
        ("@std.number.currency(#total#,'EUR')@", "1,234,567,890,123.45 EUR"),
        ("#score#", "12.500000"),
        ("#ratio#", "0.1"),
        ("#placed_at#", "2026-03-01T08:30:00+00:00"),
        ("#due#", "2026-03-29"),
        ("@std.date.format(#due#,'%d.%m.%Y')@", "29.03.2026"),
        ("#at_hour#", "07:05:00"),
        ("#local#", "2026-03-01T09:30:00"),
        ("#document#", "3 bytes"),
        ("#details.lines.sku#|#details.note#|#plain.a#", "A1, B2||1"),
        ("#tags#|#prices#|#numbers#", "red, light green|1.500000, 2.000000|1, 2"),
        ("#active#|#token#|#lasts#", "true|0b4df0d1-6b0c-4dbb-8a3f-0c1c7a6d4d10|1 day 02:00:00"),
        ("#customer.mood#", "very busy"),
    ] {
        assert_eq!(text(&authoring, "purchase_order", template, json!(42)).await, expected, "{template}");
    }
    let nulls = "#total##placed_at##document##details.lines.sku##tags##customer.Full_Name##customer##customer.contact_person.email#";
    assert_eq!(text(&authoring, "purchase_order", nulls, json!("43")).await, "");
}

#[tokio::test]
async fn c27_relations_are_followed_both_ways_and_through_themselves() {
    let (_story, authoring) = company().await;
    for (model, key, template, expected) in [
        // By a foreign key, with and without _id; the column itself; the label.
        (
            "purchase_order",
            json!(42),
            "#customer.Full_Name#|#customer_id.mixedCase#|#customer_id#|#customer#",
            "Branch <b>||2|Branch <b>",
        ),
        // To itself, twice, and down again: the table's own name is its reverse.
        (
            "customer",
            json!(2),
            "#parent.Full_Name#|#parent.parent.Full_Name#|#parent.we_ird#",
            "Head {{x}} #id# Office||q\"q",
        ),
        ("customer", json!(1), "#customer.Full_Name#", "Branch <b>"),
        // One to many, nulls left out, in the order of the key; and through a list.
        (
            "purchase_order",
            json!(42),
            "#customer.contact_person.email#|#customer.contact_person.select#",
            "a@x.example, b@x.example|s, t",
        ),
        (
            "customer",
            json!(1),
            "#customer.contact_person.email#|#contact_person.email#",
            "a@x.example, b@x.example|c@x.example",
        ),
        // A key of several columns, both ways.
        ("purchase_order", json!(42), "#region.name#|#region#", "Bavaria|Bavaria"),
        ("region", json!(["DE", 7]), "#name# #purchase_order.id#", "Bavaria 42"),
        ("region", json!(["DE", "8"]), "#name#[#purchase_order.id#]", "Hesse[]"),
        // Named, since two keys lead there.
        ("purchase_order", json!(42), "#approvals.approver#|#approvals.previous_order.id#", "ann, bob|43"),
        // A view has no foreign keys.
        (
            "open_order",
            json!(42),
            "#total#|#customer.Full_Name#|#buyer#|#contacts.email#",
            "1234567890123.450000|Branch <b>|2|a@x.example, b@x.example",
        ),
    ] {
        assert_eq!(text(&authoring, model, template, key).await, expected, "{template}");
    }
    let each = MessageTemplate {
        syntax: "handlebars".parse().unwrap(),
        ..over(
            "purchase_order",
            "{{customer.Full_Name}}:{{#each customer.contact_person}} {{#if email}}{{email}}{{else}}-{{/if}}{{/each}}",
        )
    };
    let made = preview(&authoring, &each, json!(42)).await.unwrap();
    assert_eq!(made.message_text, "Branch <b>: a@x.example - b@x.example");
}

#[tokio::test]
async fn c28_an_unknown_name_is_an_error_when_the_template_is_saved() {
    let (_story, authoring) = company().await;
    for (model, template, expected) in [
        (
            "purchase_order",
            "a\n  #custmer.name#",
            "line 2, column 3: there is no field `custmer` in purchase_order; did you mean `customer`?",
        ),
        ("purchase_order", "#customer.nme#", "there is no field `nme` in customer"),
        (
            "purchase_order",
            "@std.text.upper(#totl#)@",
            "line 1, column 17: there is no field `totl` in purchase_order; did you mean `total`?",
        ),
        ("purchase_order", "#total.x#", "`total` in purchase_order is a value: it has no field `x`"),
        (
            "purchase_order",
            "#approval.approver#",
            "`approval` in purchase_order may go by approval.order_id or by approval.previous_order_id",
        ),
        (
            "purchase_order",
            "#approvals#",
            "`approvals` is a record of approval, which has no label: name one of its fields, as in approvals.id",
        ),
        // Hidden, not registered, and not there.
        ("customer", "#secret_note#", "there is no field `secret_note` in customer"),
        ("purchase_order", "#customer.secret_note#", "there is no field `secret_note` in customer"),
        ("purchase_order", "#payroll.salary#", "there is no field `payroll` in purchase_order"),
        ("payroll", "#salary#", "there is no model payroll"),
    ] {
        let error = authoring.save(&[over(model, template)], "test").await.unwrap_err().to_string();
        assert!(error.starts_with("T: message_text: line "), "{error}");
        assert!(error.contains(expected), "{error}\n{expected}");
    }
}

#[tokio::test]
async fn c27_records_that_cannot_be_read_say_why_and_hide_no_others() {
    let (story, authoring) = company().await;
    let failing = over("open_order", "#failing#");
    assert_eq!(preview(&authoring, &failing, json!(99)).await.unwrap_err(), "T: model_key: division by zero");
    for (key, expected) in [
        (json!(1), "model_key: there is no such record"),
        (json!("x"), "model_key: invalid input syntax for type bigint: \"x\""),
        (json!([1, 2]), "model_key: must be a number or a text"),
        (json!(null), "model_key: must consist of numbers and texts"),
    ] {
        let error = preview(&authoring, &over("purchase_order", "#id#"), key).await.unwrap_err();
        assert_eq!(error, format!("T: {expected}"));
    }
    let error = preview(&authoring, &over("region", "#name#"), json!("DE")).await.unwrap_err();
    assert_eq!(error, "T: model_key: must be a list of 2 values, for the columns of the model's key");

    // In one batch, only the failing one fails.
    let query = query(&authoring, &failing).await;
    let keys: Vec<_> = [42, 99, 1, 43].iter().map(|key| query.key(&json!(key)).unwrap()).collect();
    let loaded = query.load(&story.reader(), &keys, soon()).await.unwrap();
    assert!(matches!(&loaded[0], Loaded::Found(record) if record["failing"] == json!(0)), "{loaded:?}");
    assert_eq!(loaded[1], Loaded::Failed("division by zero".to_owned()));
    assert_eq!(loaded[2], Loaded::Missing);
    assert!(matches!(loaded[3], Loaded::Found(_)));
    // Without time nothing is tried, and so nothing is said of it.
    let loaded = query.load(&story.reader(), &keys, Instant::now()).await.unwrap();
    assert_eq!(loaded, vec![Loaded::NotTried; 4]);
}

#[tokio::test]
async fn a_record_that_takes_too_long_or_too_much_is_blamed_alone() {
    let (story, authoring) = company().await;
    story
        .execute(
            "create view public.slow_order as
                 select id, case when id = 43 then pg_sleep(20)::text end as nap from public.purchase_order;
             create table public.note (id int primary key, body text);
             insert into public.note select n, repeat('x', case when n = 7 then 5000000 else 10 end) from generate_series(1, 40) n",
        )
        .await;
    for (name, key) in [("slow_order", "id"), ("note", "id")] {
        let model = model(name, &format!("public.{name}"), &[key]);
        store::models::register(&story.pool, &model, "test").await.unwrap();
    }
    let slow = query(&authoring, &over("slow_order", "#nap#")).await;
    let keys: Vec<_> = [42, 43, 99].iter().map(|key| slow.key(&json!(key)).unwrap()).collect();
    let loaded = slow.load(&story.reader(), &keys, soon()).await.unwrap();
    assert!(matches!((&loaded[0], &loaded[2]), (Loaded::Found(_), Loaded::Found(_))), "{loaded:?}");
    assert!(matches!(&loaded[1], Loaded::Failed(said) if said.contains("timeout")), "{loaded:?}");

    let large = query(&authoring, &over("note", "#body#")).await;
    let keys: Vec<_> = (1..=40).map(|key| large.key(&json!(key)).unwrap()).collect();
    let loaded = large.load(&story.reader(), &keys, soon()).await.unwrap();
    let failed =
        loaded.iter().filter(|one| matches!(one, Loaded::Failed(said) if said.contains("4 MB"))).count();
    let found = loaded.iter().filter(|one| matches!(one, Loaded::Found(_))).count();
    assert_eq!((failed, found), (1, 39));
}

#[tokio::test]
async fn types_of_extensions_compare_by_their_own_operators() {
    let (story, authoring) = company().await;
    // What citext does: text that is equal in any case.
    story
        .execute(
            "create type public.mark as (value text);
             create function public.same_mark(a public.mark, b public.mark) returns boolean language sql immutable
                 return lower((a).value) = lower((b).value);
             create operator public.= (leftarg = public.mark, rightarg = public.mark, function = public.same_mark);
             create view public.person as select row('Ann')::public.mark as name, 7 as age",
        )
        .await;
    store::models::register(&story.pool, &model("person", "public.person", &["name"]), "test").await.unwrap();
    assert_eq!(text(&authoring, "person", "#age#", json!("(ANN)")).await, "7");
}

#[tokio::test]
async fn what_comes_later_does_not_change_what_a_name_means() {
    let (story, authoring) = company().await;
    story
        .execute(
            "create table public.depot (id int primary key, stock text);
             insert into public.depot values (1, 'own column')",
        )
        .await;
    let depot = model("depot", "public.depot", &["id"]);
    store::models::register(&story.pool, &depot, "test").await.unwrap();
    assert_eq!(text(&authoring, "depot", "#stock#", json!(1)).await, "own column");
    story
        .execute(
            "create table public.stock (id int primary key, depot_id int references public.depot, name text);
             insert into public.stock values (1, 1, 'from elsewhere')",
        )
        .await;
    let stock = Model { label: Some("name".into()), ..model("stock", "public.stock", &["id"]) };
    store::models::register(&story.pool, &stock, "test").await.unwrap();
    assert_eq!(text(&authoring, "depot", "#stock#", json!(1)).await, "own column");
    assert_eq!(text(&authoring, "depot", "#stock.name#", json!(1)).await, "from elsewhere");
}

#[tokio::test]
async fn a_path_has_an_end_and_a_query_that_cannot_be_is_found_when_it_is_saved() {
    let (story, authoring) = company().await;
    for syntax in ["token", "handlebars"] {
        let path = format!("{}Id", "parent.".repeat(40_000));
        let text = if syntax == "token" { format!("#{path}#") } else { format!("{{{{{path}}}}}") };
        let deep = MessageTemplate { syntax: syntax.parse().unwrap(), ..over("customer", &text) };
        let error = authoring.environment().await.unwrap().check(&deep).await.unwrap_err().to_string();
        assert!(error.contains("more than 16 names") || error.contains("longer than 256 KB"), "{error:.200}");
        let path = format!("{}Id", "parent.".repeat(100));
        let text = if syntax == "token" { format!("#{path}#") } else { format!("{{{{{path}}}}}") };
        let deep = MessageTemplate { syntax: syntax.parse().unwrap(), ..over("customer", &text) };
        let error = authoring.environment().await.unwrap().check(&deep).await.unwrap_err().to_string();
        assert!(error.contains("more than 16 names"), "{error:.200}");
    }
    let crossed = Model {
        relations: vec![NamedRelation::parse("wrong=id>customer.mixedCase").unwrap()],
        ..model("purchase_order", "public.purchase_order", &["id"])
    };
    store::models::register(&story.pool, &crossed, "test").await.unwrap();
    let error = authoring
        .environment()
        .await
        .unwrap()
        .check(&over("purchase_order", "#wrong.Id#"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("model: cannot be read: operator does not exist"), "{error}");
}

#[tokio::test]
async fn ten_paths_for_five_hundred_keys_are_one_query() {
    let (story, authoring) = company().await;
    story
        .execute("insert into public.purchase_order (id, customer_id, country, region_number, total) select n, 2, 'DE', 7, n from generate_series(1000, 1499) n")
        .await;
    let template = over(
        "purchase_order",
        "#id# #total# #due# #customer# #customer.Full_Name# #customer.parent.Full_Name# #customer.contact_person.email# \
         #region.name# #approvals.approver# #details#",
    );
    let query = query(&authoring, &template).await;
    let keys: Vec<_> = (1000..1500).map(|key| query.key(&json!(key)).unwrap()).collect();
    // One connection, whose statements Postgres counts until it ends.
    let reader = store::catalogue::reader(&story.database_url, "counted", 1).unwrap();
    let loaded = query.load(&reader, &keys, soon()).await.unwrap();
    assert_eq!(loaded.len(), 500);
    for (record, key) in loaded.iter().zip(1000..) {
        let Loaded::Found(record) = record else { panic!("{record:?}") };
        assert_eq!((&record["id"], &record["region"]["name"]), (&json!(key), &json!("Bavaria")));
    }
    let statements: i64 = sqlx::query_scalar("select sum(generic_plans + custom_plans)::int8 from pg_prepared_statements where statement not like '%pg_prepared_statements%'")
        .fetch_one(&reader)
        .await
        .unwrap();
    assert_eq!(statements, 1);
}
