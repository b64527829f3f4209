//! What a role may do in the database that nobody has granted anything.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use crate::support::herald::Story;

/// The calls of everything that runs with its owner's rights, or that sends.
const CALLS: [&str; 4] = [
    "select herald.send_message('ann', 'x', 'VIEW-NORMAL', 'report', '7')",
    "select herald.add_recipient(gen_random_uuid(), 'a@example.com')",
    "select herald.upsert_user('zoe')",
    "select herald.uuid_v7()",
];

#[tokio::test]
async fn a_role_without_a_grant_may_not_send_or_read() {
    let story = Story::begin().await;
    // Roles belong to all databases of the server.
    let role: String = sqlx::query_scalar("select 'stranger_of_' || current_database()")
        .fetch_one(&story.pool)
        .await
        .unwrap();
    story.execute(&format!("create role {role}; grant usage on schema herald to {role}")).await;
    let mut stranger = PgConnection::connect(&story.database_url).await.unwrap();
    run(&mut stranger, &format!("set role {role}")).await.unwrap();
    for call in CALLS {
        assert_eq!(refusal(run(&mut stranger, call).await), "42501", "{call}");
    }
    let tables: Vec<String> =
        sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'herald'")
            .fetch_all(&story.pool)
            .await
            .unwrap();
    assert!(tables.len() > 10);
    for table in tables {
        let read = run(&mut stranger, &format!("select * from herald.{table}")).await;
        assert_eq!(refusal(read), "42501", "{table}");
    }
    let open: Vec<String> = sqlx::query_scalar(
        "select p.oid::regprocedure::text from pg_proc p
         where p.pronamespace = 'herald'::regnamespace and has_function_privilege($1, p.oid, 'execute')",
    )
    .bind(&role)
    .fetch_all(&story.pool)
    .await
    .unwrap();
    assert!(open.is_empty(), "anybody may call {open:?}");

    // With the grant, sending is all that it may do.
    story.execute(&format!("grant execute on function herald.send_message to {role}")).await;
    run(&mut stranger, CALLS[0]).await.unwrap();
    assert_eq!(
        refusal(run(&mut stranger, "insert into herald.outbox (id) values (gen_random_uuid())").await),
        "42501"
    );
    stranger.close().await.unwrap();
    story.execute(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test]
async fn what_runs_with_its_owners_rights_has_its_search_path_pinned() {
    let story = Story::begin().await;
    let functions: Vec<(String, bool)> = sqlx::query_as(
        "select p.oid::regprocedure::text,
                coalesce('search_path=pg_catalog, pg_temp' = any(p.proconfig), false)
         from pg_proc p where p.pronamespace = 'herald'::regnamespace and p.prosecdef order by 1",
    )
    .fetch_all(&story.pool)
    .await
    .unwrap();
    assert!(functions.len() >= 3, "{functions:?}");
    for (function, pinned) in functions {
        assert!(pinned, "{function}");
    }
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(|_| ())
}

fn refusal(result: Result<(), sqlx::Error>) -> String {
    let error = result.expect_err("a refusal");
    error.as_database_error().unwrap().code().unwrap().into_owned()
}
