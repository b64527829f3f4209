//! What people receive from the templates of the demo, letter by letter.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use herald::demo::company;
use herald_jobs::authoring::{Preview, Sample};
use herald_jobs::store::{self, message_templates};
use serde_json::json;

use crate::support::herald::Story;

#[tokio::test]
async fn c27_the_templates_of_the_demo_make_what_the_snapshots_show() {
    let story = Story::begin().await;
    let authoring = story.authoring();
    company::found(&story.pool, &authoring).await.unwrap();
    // Founding twice changes nothing.
    company::found(&story.pool, &authoring).await.unwrap();
    story
        .execute(
            "update demo.purchase_order set ordered_on = '2026-03-01';
             insert into demo.report_task (id, owner, title) overriding system value values (1, 'ann', 'Sales <by> region');
             insert into demo.report_line (report_task, region, amount) values (1, 'North', 81200), (1, 'South', 64900.5)",
        )
        .await;
    let now: DateTime<Utc> = "2026-03-04T10:00:00Z".parse().unwrap();
    for (code, _) in company::TEMPLATES {
        let template = message_templates::get(&story.pool, code).await.unwrap().unwrap();
        assert_eq!(template.version, 1);
        let made =
            authoring.environment().await.unwrap().preview(&template, Sample::Key(json!(1)), now).await;
        compare(code, &shown(&made.unwrap_or_else(|error| panic!("{error}"))));
    }
}

#[tokio::test]
async fn what_is_caught_in_a_demo_is_never_taken_for_production() {
    let story = Story::begin().await;
    store::registry::mark_caught(&story.pool).await.unwrap();
    for part in ["serve", "worker", "web"] {
        let output = story.run(&[part]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && said.contains("its mail and SMS are caught"),
            "{part}: {said}"
        );
    }
}

fn shown(preview: &Preview) -> String {
    let html = preview.external_html.as_deref().unwrap_or("none\n");
    format!(
        "# Subject\n{}\n\n# Inbox\n{}\n\n# E-mail and SMS ({} of {})\n{}\n\n# HTML\n{html}",
        preview.subject.as_deref().unwrap_or("none"),
        preview.message_text,
        preview.sms.count,
        preview.sms.encoding,
        preview.external_message
    )
}

/// Fails when a text is another than in its snapshot. With `UPDATE_SNAPSHOTS` set, the snapshot is renewed.
fn compare(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/snapshots/{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&file, text).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), text, "{name}");
}
