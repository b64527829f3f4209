//! What it takes to register a model, and what `herald_reader` may read then.

use herald_jobs::model::{Model, NamedRelation};
use herald_jobs::store;
use herald_jobs::store::change::Expect;
use herald_jobs::store::models::RegisterError;

use super::models::{company, model};

#[tokio::test]
async fn a_user_who_may_not_grant_is_told_what_the_owner_has_to_run() {
    let (story, _) = company().await;
    let database = story.database_url.rsplit('/').next().unwrap().to_owned();
    let role = format!("plain_{database}");
    story
        .execute(&format!(
            "create role {role} login password 'x' noinherit;
             grant herald_reader to {role};
             grant usage, create on schema herald to {role};
             grant all on all tables in schema herald to {role};
             grant usage on all sequences in schema herald to {role};
             grant usage on schema public to {role};
             grant select on public.payroll to {role}"
        ))
        .await;
    let mut url: url::Url = story.database_url.parse().unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("x")).unwrap();
    let pool = store::pool(url.as_str(), "plain", 2).unwrap();
    let payroll = Model { hidden: vec!["salary".into()], ..model("payroll", "public.payroll", &["id"]) };
    let refused = store::models::register(&pool, &payroll, "test").await;
    let Err(RegisterError::Refused(refusal)) = refused else { panic!("{refused:?}") };
    let (_, sql) = refusal.problem.split_once("run: ").unwrap();
    assert_eq!(refusal.field, "table");
    // The owner does as told.
    story.execute(sql).await;
    store::models::register(&pool, &payroll, "test").await.unwrap();
    assert!(sqlx::query("select id from public.payroll").fetch_all(&story.reader()).await.is_ok());
    assert!(sqlx::query("select salary from public.payroll").fetch_all(&story.reader()).await.is_err());
    pool.close().await;
    story.execute(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test]
async fn a_model_that_moves_leaves_no_rights_behind() {
    let (story, _) = company().await;
    let reads = async |table: &str| {
        sqlx::query(sqlx::AssertSqlSafe(format!("select 1 from {table}")))
            .fetch_all(&story.reader())
            .await
            .is_ok()
    };
    assert!(reads("public.contact_person").await && !reads("public.payroll").await);
    let moved = model("contact_person", "public.payroll", &["id"]);
    store::models::register(&story.pool, &moved, "test").await.unwrap();
    assert!(!reads("public.contact_person").await && reads("public.payroll").await);
}

#[tokio::test]
async fn the_role_that_reads_may_read_what_was_registered_and_nothing_else() {
    let (story, _) = company().await;
    let reader = story.reader();
    for (sql, code) in [
        ("select \"Full Name\" from \"Sales Dept\".\"Customer\"", None),
        ("select secret_note from \"Sales Dept\".\"Customer\"", Some("42501")),
        ("select salary from public.payroll", Some("42501")),
        ("select password_hash from herald.app_user", Some("42501")),
        ("update public.purchase_order set total = 0", Some("25006")),
        ("select pg_sleep(7)", Some("57014")),
    ] {
        let result = sqlx::query(sql).fetch_all(&reader).await;
        let found = result
            .err()
            .and_then(sqlx::Error::into_database_error)
            .and_then(|error| error.code().map(String::from));
        assert_eq!(found.as_deref(), code, "{sql}");
    }
    // What is forgotten cannot be read any more.
    assert!(
        store::models::remove(&story.pool, "approval", &Expect::Anything, "test").await.is_err(),
        "purchase_order has a relation to it"
    );
    assert!(store::models::remove(&story.pool, "region", &Expect::Anything, "test").await.unwrap());
    assert!(sqlx::query("select name from public.region").fetch_all(&reader).await.is_err());
}

#[tokio::test]
async fn a_model_that_cannot_be_is_refused_and_changes_nothing() {
    let (story, _) = company().await;
    let relation = |text: &str| vec![NamedRelation::parse(text).unwrap()];
    let order = || model("again", "public.payroll", &["id"]);
    for (bad, field) in [
        (model("x", "nowhere", &["id"]), "table"),
        (model("x", "a.b.c.d", &["id"]), "table"),
        (model("x", "\"unclosed", &["id"]), "table"),
        (model("x", "pg_catalog.pg_authid", &["oid"]), "table"),
        (model("x", "herald.session", &["token_hash"]), "table"),
        (model("x", "public.region", &["country", "number"]), "table"),
        (model("x", "public.purchase_order", &["customer_id"]), "key"),
        (model("x", "public.payroll", &["ident"]), "key"),
        (Model { label: Some("nme".into()), ..order() }, "label"),
        (Model { hidden: vec!["nme".into()], ..order() }, "hidden"),
        (Model { relations: relation("a=nme>region.name"), ..order() }, "relations/0/columns"),
        (Model { relations: relation("a=id>nothing.name"), ..order() }, "relations/0/model"),
        (Model { relations: relation("a=id>customer.secret_note"), ..order() }, "relations/0/references"),
    ] {
        match store::models::register(&story.pool, &bad, "test").await {
            Err(RegisterError::Refused(refusal)) => assert_eq!(refusal.field, field, "{refusal}"),
            other => panic!("{bad:?}: {other:?}"),
        }
    }
    assert_eq!(story.count("select count(*) from herald.model").await, 6);
    // Herald's own messages and users can be read; passwords cannot.
    let users = model("app_user", "herald.app_user", &["id"]);
    let users = store::models::register(&story.pool, &users, "test").await.unwrap();
    assert_eq!(users.hidden, ["password_hash"]);
}
