//! What the guides show is run as it stands there.

use tokio::process::Command;

use crate::support::world::World;

/// The blocks of this kind, in their order.
fn blocks(kind: &str) -> Vec<String> {
    let text = concat!(include_str!("../../docs/sending.md"), include_str!("../../docs/maintaining.md"));
    let begin = format!("```{kind}\n");
    text.split(&begin).skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned()).collect()
}

/// Runs a snippet where `herald`, `curl`, `psql` and Python are found, and the servers are those of the test.
async fn run(world: &World, token: &str, program: &str, arguments: &[&str], snippet: &str) {
    let herald = std::path::Path::new(env!("CARGO_BIN_EXE_herald")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new(program)
        .args(arguments)
        .arg(snippet)
        .env("PATH", format!("{}:{path}", herald.display()))
        .env("HERALD__DATABASE__URL", &world.database_url)
        .env("HERALD__REDIS__URL", world.redis.url())
        .env("DATABASE_URL", &world.database_url)
        .env("HERALD_URL", &world.url)
        .env("TOKEN", token)
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .output()
        .await
        .unwrap();
    let said = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
    assert!(output.status.success(), "{snippet}\n{said}");
    assert!(!said.contains("problem"), "{snippet}\n{said}");
}

#[tokio::test]
async fn every_snippet_of_the_guide_runs() {
    let world = World::start().await;
    for name in ["ann", "bob"] {
        world.user(name).await;
    }
    let token = world.token("report_task", None).await;
    let psql = herald::private::psql().unwrap();
    for snippet in blocks("sql") {
        // Variables are for scripts: psql reads none in what `-c` says.
        let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("snippet-{}.sql", std::process::id()));
        std::fs::write(&file, snippet).unwrap();
        let arguments = ["-qX", "-v", "ON_ERROR_STOP=1", &world.database_url, "-f"];
        run(&world, &token, psql.to_str().unwrap(), &arguments, file.to_str().unwrap()).await;
        std::fs::remove_file(file).unwrap();
    }
    let python = herald::private::home().unwrap().join("pkg/bin/python-psycopg");
    for snippet in blocks("python") {
        run(&world, &token, python.to_str().unwrap(), &["-c"], &snippet).await;
    }
    for snippet in blocks("sh") {
        run(&world, &token, "sh", &["-euc"], &snippet).await;
    }
    let arrived = async |text: &str| -> i64 {
        sqlx::query_scalar(
            "select count(*) from herald.message where message_text like $1 and status = 'pending'",
        )
        .bind(text)
        .fetch_one(&world.pool)
        .await
        .unwrap()
    };
    for text in [
        "Order 8 is late.",
        "Your report is ready.",
        "One",
        "Two",
        "Nightly backup is done after %3 files saved",
    ] {
        crate::support::eventually(text, async || arrived(text).await == 1).await;
    }
    assert_eq!(arrived("Order 7 is late.").await, 0, "it was cancelled");
    assert_eq!((blocks("sql").len(), blocks("python").len(), blocks("sh").len()), (1, 1, 7));
}
