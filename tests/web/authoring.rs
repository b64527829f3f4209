//! The pages on which templates, models and rules are written and tried.

use herald_jobs::model::Model;
use herald_jobs::store;
use reqwest::StatusCode;

use super::administering::{post, version, with};
use crate::support::world::{Browser, Page, World, between};

/// A world with orders of customers, and an administrator.
pub(crate) async fn company() -> (World, Browser) {
    let world = World::start().await;
    sqlx::raw_sql(
        "create table public.customer (id int primary key, name text, secret text);
         create table public.purchase_order (id int primary key, customer_id int references public.customer, status text, owner text,
             since timestamptz);
         insert into public.customer values (1, 'Jane & <b>Sons</b>', 'hush'), (2, 'Ärmel', 'hush');
         insert into public.purchase_order values (7, 1, 'open', 'ann', now() - interval '9 days'),
             (8, 2, 'open', 'nobody', now() - interval '8 days'), (9, 2, 'done', 'ann', now() - interval '9 days')",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    for (name, label, hidden) in
        [("customer", Some("name"), vec!["secret".to_owned()]), ("purchase_order", None, vec![])]
    {
        let model = Model {
            name: name.into(),
            table: format!("public.{name}"),
            key: vec!["id".into()],
            label: label.map(str::to_owned),
            hidden,
            ..Model::default()
        };
        store::models::register(&world.pool, &model, "test").await.unwrap();
    }
    let browser = world.administrator("adam").await;
    (world, browser)
}

/// Why a form refuses a field.
pub(crate) fn problem<'a>(page: &'a Page, field: &str) -> &'a str {
    between(&page.body, &format!("id=\"problem-{field}\">"), "</p>").unwrap_or_default()
}

const TEMPLATE: [(&str, &str); 7] = [
    ("code", "PO-DUE"),
    ("model", "purchase_order"),
    ("syntax", "token"),
    ("subject", "Order #id#"),
    ("message_text", "Order #id# of\r\n#customer.name# waits.\r\n"),
    ("external_message", "Order #id# of #customer.name#"),
    ("external_html", "<p style=\"color: red\">Order #id# of <i>#customer.name#</i></p>"),
];

#[tokio::test]
async fn c27_a_template_is_written_and_previewed_on_a_screen() {
    let (world, browser) = company().await;
    let path = "/admin/templates/new";
    let empty = browser.get(path).await;
    assert!(
        empty.body.contains("value=\"purchase_order\"") && empty.body.contains("once there is a text"),
        "{}",
        empty.body
    );

    // Tried on the record with the highest key, or on the one that is named: nothing is saved.
    let trial = with(&TEMPLATE, &[("do", "try")]);
    let page = post(&browser, path, &trial).await;
    assert_eq!(page.status, StatusCode::OK);
    for shown in
        ["Preview on 9", "Order 9 of\nÄrmel waits.", "Order 9 of Ärmel</div>", "1 SMS: 16 places of GSM-7"]
    {
        assert!(page.body.contains(shown), "{shown} in {}", page.body);
    }
    let page = post(&browser, path, &with(&trial, &[("sample", "7")])).await;
    assert!(page.body.contains("Order 7 of\nJane &#38; &#60;b&#62;Sons&#60;/b&#62; waits."), "{}", page.body);
    let frame = between(&page.body, "<iframe", "</iframe>").unwrap();
    assert!(
        frame.contains("sandbox=\"\"") && frame.contains("&#60;i&#62;Jane &#38;amp; &#38;lt;b&#38;gt;"),
        "{frame}"
    );
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("style-src 'self' 'unsafe-inline'") && policy.contains("script-src 'self';"),
        "{policy}"
    );
    for offered in [
        "<code>#customer.name#</code>",
        "<code>#status#</code>",
        "list=\"list-sample\"",
        "<option value=\"8\">",
    ] {
        assert!(page.body.contains(offered), "{offered} in {}", page.body);
    }
    assert!(!page.body.contains("secret"), "{}", page.body);
    let page = post(&browser, path, &with(&trial, &[("sample", "{\"id\": 1}")])).await;
    assert!(page.body.contains("customer"), "{}", page.body);
    let page = post(&browser, path, &with(&trial, &[("sample", "4711")])).await;
    assert!(page.body.contains("there is no such record"), "{}", page.body);
    let page = post(
        &browser,
        path,
        &with(&trial, &[("model", ""), ("sample", "{\"id\": 5, \"customer\": {\"name\": \"X\"}}")]),
    )
    .await;
    assert!(page.body.contains("Order 5 of\nX waits."), "{}", page.body);
    assert!(store::message_templates::get(&world.pool, "PO-DUE").await.unwrap().is_none());

    // A mistake is told where it stands, by a trial and by a save; what was typed stays.
    for (field, text, said) in [
        ("message_text", "Order\r\n  #gone#", "line 2, column 3"),
        ("external_message", "#customer.secret#", "secret"),
        ("external_html", "@std.nothing.at_all(#id#)@", "line 1"),
        ("message_text", " ", "must not be empty"),
        ("code", "po", "must begin with a letter or digit"),
        ("syntax", "latin", "must be"),
    ] {
        for doing in ["try", "save"] {
            let page = post(&browser, path, &with(&TEMPLATE, &[(field, text), ("do", doing)])).await;
            // Who has typed no text yet is shown no preview, and no error.
            if doing == "try" && text == " " {
                assert_eq!(page.status, StatusCode::OK);
                continue;
            }
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{field} {doing}");
            assert!(problem(&page, field).contains(said), "{field} {doing}: {}", page.body);
            assert!(page.body.contains("value=\"PO-DUE\"") || field == "code");
        }
    }

    let page = post(&browser, path, &TEMPLATE).await;
    assert_eq!(page.location(), "/admin/templates?done=saved", "{}", page.body);
    let saved = store::message_templates::get(&world.pool, "PO-DUE").await.unwrap().unwrap();
    assert_eq!((saved.version, saved.message_text.as_str()), (1, "Order #id# of\n#customer.name# waits.\n"));
    assert!(post(&browser, path, &TEMPLATE).await.body.contains("There is one of this name already."));
    let found = browser.get("/admin/templates?q=due").await.body;
    assert!(found.contains("/admin/templates/edit/PO-DUE") && found.contains("Order #id#"), "{found}");
    assert!(browser.get("/admin/templates?q=nothing").await.body.contains("Nothing matches"));

    // Two have it open; the slower one is told. Versions are kept, and an earlier one can be brought back.
    let path = "/admin/templates/edit/PO-DUE";
    let opened = browser.get(path).await;
    assert!(opened.body.contains("Preview on 9"), "{}", opened.body);
    let made_from = version(&opened);
    let first = with(&TEMPLATE, &[("version", &made_from), ("message_text", "First")]);
    assert_eq!(post(&browser, path, &first).await.location(), "/admin/templates?done=saved");
    let second = with(&TEMPLATE, &[("version", &made_from), ("message_text", "Second")]);
    let page = post(&browser, path, &second).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert!(
        page.body.contains("Somebody changed this") && page.body.contains("Second</textarea>"),
        "{}",
        page.body
    );
    let page = browser.get("/admin/templates/edit/PO-DUE/versions/1").await;
    assert!(page.body.contains("#customer.name# waits.\n</textarea>"), "{}", page.body);
    let made_from = version(&page);
    let back = with(&TEMPLATE, &[("version", &made_from)]);
    assert_eq!(browser.post(path, &back).await.location(), "/admin/templates?done=saved");
    let page = browser.get(path).await;
    assert!(page.body.contains("versions/3\"") && page.body.contains("adam"), "{}", page.body);
    for missing in [
        "/admin/templates/edit/PO-DUE/versions/9",
        "/admin/templates/edit/PO-DUE/versions/x",
        "/admin/templates/edit/NONE",
    ] {
        assert_eq!(browser.get(missing).await.status, StatusCode::NOT_FOUND, "{missing}");
    }

    let stale = post(&browser, path, &[("do", "remove"), ("version", &made_from)]).await;
    assert_eq!(stale.status, StatusCode::CONFLICT);
    let page =
        post(&browser, path, &[("do", "remove"), ("version", &version(&browser.get(path).await))]).await;
    assert_eq!(page.location(), "/admin/templates?done=removed");
    assert!(store::message_templates::get(&world.pool, "PO-DUE").await.unwrap().is_none());
    let who: Vec<(String, String)> =
        sqlx::query_as("select actor, action from herald.audit where subject like 'PO-DUE%' order by id")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(who.len(), 4, "{who:?}");
    assert!(who.iter().all(|(actor, _)| actor == "adam"), "{who:?}");
}

#[tokio::test]
async fn a_model_is_registered_on_a_screen_with_what_may_be_read_of_it() {
    let (world, browser) = company().await;
    super::rules::template(&world).await;
    sqlx::raw_sql("create table public.line (order_id int references public.purchase_order, number int, note text, cost int, \
                   primary key (order_id, number))")
        .execute(&world.pool)
        .await
        .unwrap();
    let form = [
        ("name", "line"),
        ("table", "line"),
        ("key", "order_id\r\nnumber"),
        ("hidden", "cost"),
        ("relations", ""),
    ];
    let path = "/admin/models/new";
    for (changes, field, said) in [
        (("name", "1 line"), "name", "must be a letter"),
        (("table", "public.gone"), "table", "there is no table"),
        (("table", "pg_catalog.pg_authid"), "table", "one of Postgres&#39;s own"),
        (("table", "a\0b"), "table", "U+0000"),
        (("key", "note"), "key", "several records"),
        (("label", "cost"), "hidden", "the key or the label"),
        (("hidden", "gone"), "hidden", "is no column"),
        (("relations", "order=order_id"), "relations", "line 1: is written"),
        (("relations", "order=order_id>gone.id"), "relations", "line 1: there is no model"),
    ] {
        let page = post(&browser, path, &with(&form, &[changes])).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{changes:?}");
        assert!(problem(&page, field).contains(said), "{changes:?}: {}", page.body);
        assert!(page.body.contains("order_id\r\nnumber</textarea>") || field == "key", "{}", page.body);
    }
    let form = with(&form, &[("relations", "owning=order_id>purchase_order.id")]);
    assert_eq!(post(&browser, path, &form).await.location(), "/admin/models?done=saved");
    let list = browser.get("/admin/models").await.body;
    assert!(list.contains("public.line") && list.contains("order_id, number"), "{list}");
    let path = "/admin/models/edit/line";
    let opened = browser.get(path).await;
    for shown in [
        "<code>#note#</code>",
        "<code>#owning.status#</code>",
        "<code>#owning.customer#</code>",
        "owning=order_id&#62;purchase_order.id</textarea>",
    ] {
        assert!(opened.body.contains(shown), "{shown} in {}", opened.body);
    }
    assert!(!opened.body.contains("#cost#"), "{}", opened.body);
    let made_from = version(&opened);
    let changed = with(&form, &[("hidden", ""), ("table", "public.line"), ("version", &made_from)]);
    assert_eq!(post(&browser, path, &changed).await.location(), "/admin/models?done=saved");
    assert_eq!(post(&browser, path, &changed).await.status, StatusCode::CONFLICT);
    assert!(browser.get(path).await.body.contains("<code>#cost#</code>"));

    // What is needed stays, and says by what.
    let path = "/admin/models/edit/purchase_order";
    let opened = browser.get(path).await;
    assert!(opened.body.contains("/admin/templates/edit/PO-WAITS"), "{}", opened.body);
    let remove = [("do", "remove"), ("version", &version(&opened))];
    let page = browser.post(path, &remove).await;
    assert!(problem(&page, "name").contains("template PO-WAITS needs"), "{}", page.body);
    let path = "/admin/models/edit/line";
    let made_from = version(&browser.get(path).await);
    assert_eq!(
        browser.post(path, &[("do", "remove"), ("version", &made_from)]).await.location(),
        "/admin/models?done=removed"
    );
}
