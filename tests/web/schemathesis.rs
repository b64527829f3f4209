//! The API is tried by what it says of itself.

use tokio::process::Command;

use crate::support::leave_out;
use crate::support::world::World;

/// What each answer is held to.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,ignored_auth,use_after_free";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_gets_a_5xx_or_an_answer_that_is_not_described() {
    let program = herald::private::home().unwrap().join("pkg/bin/schemathesis");
    if !program.is_file() {
        return leave_out("schemathesis", "`scripts/setup schemathesis` could not get it");
    }
    let world = World::start().await;
    world.user("ann").await;
    let token = world.admin_token().await;
    let output = Command::new(program)
        .args(["run", &format!("{}/api/v1/openapi.json", world.url)])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", "10"])
        // It makes neither lines of JSON nor mails. What a provider signs is asked for no token.
        .args(["--exclude-path-regex", "^/api/v1/(messages:batch|bounces|sms/reports)$"])
        .args(["--seed", "7", "--workers", "1", "--continue-on-failure", "--no-color"])
        // A connection that was closed while it was idle is opened again.
        .args(["--request-retries", "3"])
        .args(["--suppress-health-check", "all"])
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(" passed"), "{said}");
}
