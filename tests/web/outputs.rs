//! Output queues as producers: what is ready is fetched by its owner, and by nobody else.

use std::pin::Pin;
use std::task::{Context, Poll};

use chrono::TimeDelta;
use herald_producers::output_queue::{Content, Output};
use herald_producers::{MessageId, NewMessage, SendError};
use reqwest::{Method, StatusCode};
use sqlx::PgPool;
use tokio::io::{AsyncRead, ReadBuf};
use uuid::Uuid;

use crate::support::eventually;
use crate::support::world::{World, message};

fn told(owner: &str) -> NewMessage {
    NewMessage { message_text: String::new(), subject: None, ..message(owner, "VIEW-NORMAL", "") }
}

fn output<R>(world: &World, owner: &str, content: Content<R>) -> Output<R> {
    Output {
        message: told(owner),
        name: "Übersicht \"March\".pdf".to_owned(),
        content,
        expires_at: world.clock.now() + TimeDelta::days(7),
        public_url: Some(world.url.parse().unwrap()),
    }
}

fn pdf<R>(from: R) -> Content<R> {
    Content::Bytes { content_type: "application/pdf".to_owned(), from }
}

async fn rows(pool: &PgPool) -> i64 {
    let all = "select (select count(*) from herald.output) + (select count(*) from herald.output_part)
                    + (select count(*) from herald.outbox) + (select count(*) from herald.message)";
    sqlx::query_scalar(all).fetch_one(pool).await.unwrap()
}

async fn place(world: &World, id: MessageId) -> String {
    let output: Uuid = sqlx::query_scalar("select id from herald.output where message_id = $1")
        .bind(id.0)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    format!("/outputs/{output}")
}

#[tokio::test]
async fn c03b_an_output_is_fetched_by_its_owner_alone() {
    let world = World::start().await;
    let (ann, bob) = (world.logged_in("ann").await, world.logged_in("bob").await);
    let bytes: Vec<u8> = (0..2_621_440_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let id = world.producer.output_ready(output(&world, "Ann", pdf(bytes.as_slice()))).await.unwrap();
    eventually("it to arrive", async || world.status(id).await == "pending").await;
    let place = place(&world, id).await;
    let page = ann.get(&format!("/messages/{id}")).await.body;
    assert!(page.contains(&format!("is ready: {}{place}", world.url)), "{page}");
    assert!(page.contains(&format!("href=\"{place}\" download")), "{page}");

    assert_eq!(ann.bytes(&place).await, bytes);
    let fetched = world
        .browser()
        .http
        .get(format!("{}{place}", world.url))
        .header("cookie", ann.cookie())
        .send()
        .await
        .unwrap();
    for (header, value) in [
        ("content-type", "application/pdf"),
        ("content-length", "2621440"),
        ("content-disposition", "attachment; filename*=UTF-8''%C3%9Cbersicht%20%22March%22.pdf"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(fetched.headers()[header], value);
    }
    assert_eq!(bob.get(&place).await.status, StatusCode::NOT_FOUND);
    let stranger = world.browser().get(&place).await;
    assert!(stranger.location().starts_with("/login"), "{}", stranger.location());
    for nowhere in ["/outputs/x", "/outputs/0190a0b0-0000-7000-8000-000000000000"] {
        assert_eq!(ann.get(nowhere).await.status, StatusCode::NOT_FOUND);
    }
    sqlx::query("update herald.output set expires_at = now()").execute(&world.pool).await.unwrap();
    assert_eq!(ann.get(&place).await.status, StatusCode::NOT_FOUND, "its time has passed");
    assert!(!ann.get(&format!("/messages/{id}")).await.body.contains("download"));
    let purged = herald_jobs::store::outputs::purge(&world.pool, world.clock.now(), 10).await.unwrap();
    assert_eq!((purged, rows(&world.pool).await), (1, 1), "the message stays");
}

#[tokio::test]
async fn c03b_an_output_may_be_elsewhere() {
    let world = World::start().await;
    let ann = world.logged_in("ann").await;
    let elsewhere: Content<&[u8]> = Content::Url("https://files.example/report?id=7".to_owned());
    let id = world.producer.output_ready(output(&world, "ann", elsewhere)).await.unwrap();
    let led = ann.get(&place(&world, id).await).await;
    assert_eq!((led.status, led.location()), (StatusCode::SEE_OTHER, "https://files.example/report?id=7"));
}

#[tokio::test]
async fn c03b_the_command_line_keeps_a_file_and_tells_its_owner() {
    let world = World::start().await;
    let ann = world.logged_in("ann").await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("march.csv");
    std::fs::write(&file, "a;b\n1;2\n").unwrap();
    let mut command = [
        "output",
        "--to",
        "ann",
        "--content-type",
        "text/csv",
        "--sender",
        "report_task",
        "--instance",
        "7",
        "--file",
    ]
    .map(str::to_owned)
    .to_vec();
    command.push(file.to_str().unwrap().to_owned());
    let said = world.command(&command).output().await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let id: MessageId = String::from_utf8(said.stdout).unwrap().trim().parse().unwrap();
    assert_eq!(ann.bytes(&place(&world, id).await).await, b"a;b\n1;2\n");
    eventually("it to arrive", async || world.status(id).await == "pending").await;
    assert!(ann.get(&format!("/messages/{id}")).await.body.contains("Fetch march.csv"));
}

#[tokio::test]
async fn c03b_the_api_takes_a_file_and_tells_its_owner() {
    let world = World::start().await;
    let (ann, token) = (world.logged_in("ann").await, world.token("report_task", None).await);
    let post = |query: &str, body: Vec<u8>| {
        let request = world.api(Method::POST, &format!("/outputs?{query}"), &token);
        request.header("content-type", "text/csv").body(body).send()
    };
    // More than what other bodies may have.
    let bytes = vec![b'x'; 3_000_000];
    let taken = post("recipient=ann&name=march.csv&sender_instance=7", bytes.clone()).await.unwrap();
    assert_eq!(taken.status(), StatusCode::ACCEPTED);
    let taken: serde_json::Value = taken.json().await.unwrap();
    let id: MessageId = taken["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(ann.bytes(&place(&world, id).await).await, bytes);
    let led =
        post("recipient=ann&name=r&sender_instance=7&url=https://files.example/r", vec![]).await.unwrap();
    assert_eq!(led.status(), StatusCode::ACCEPTED);

    let before = rows(&world.pool).await;
    for (query, field) in [
        ("name=march.csv&sender_instance=7", "recipient"),
        ("recipient=nobody&name=march.csv&sender_instance=7", "recipient"),
        ("recipient=ann&name=a%2Fb&sender_instance=7", "name"),
        ("recipient=ann&name=march.csv&sender_instance=7&sender=another", "sender"),
        ("recipient=ann&name=march.csv&sender_instance=7&expires_at=2001-01-01T00:00:00Z", "expires_at"),
        ("recipient=ann&name=march.csv&sender_instance=7&expires_at=soon", "expires_at"),
        ("recipient=ann&name=march.csv&sender_instance=7&url=https://files.example/r", "url"),
        ("recipient=ann&name=march.csv&sender_instance=7&message_type=NONE", "message_type"),
        ("recipient=ann&name=march.csv&sender_instance=7&colour=red", "colour"),
    ] {
        let refused = post(query, b"x".to_vec()).await.unwrap();
        let (status, body) = (refused.status(), refused.text().await.unwrap());
        assert!(status.is_client_error() && body.contains(field), "{query}: {status} {body}");
    }
    assert_eq!(rows(&world.pool).await, before);
}

/// A file that breaks off.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Err(std::io::Error::other("the disk is gone")))
    }
}

#[tokio::test]
async fn c03b_what_cannot_be_kept_is_named_and_nothing_is_sent() {
    let world = World::start().await;
    world.user("ann").await;
    let empty = || pdf(&b""[..]);
    let url = |text: &str| Content::<&[u8]>::Url(text.to_owned());
    let now = world.clock.now();
    let mut cases = vec![
        (output(&world, "nobody", empty()), "recipient"),
        (Output { name: "../x".into(), ..output(&world, "ann", empty()) }, "name"),
        (Output { name: " ".into(), ..output(&world, "ann", empty()) }, "name"),
        (Output { expires_at: now, ..output(&world, "ann", empty()) }, "expires_at"),
        (Output { expires_at: now + TimeDelta::days(4_000), ..output(&world, "ann", empty()) }, "expires_at"),
        (output(&world, "ann", url("javascript:alert(1)")), "url"),
        (output(&world, "ann", url("/relative")), "url"),
    ];
    cases.push((
        output(&world, "ann", Content::Bytes { content_type: "a\r\nb".into(), from: &b""[..] }),
        "content_type",
    ));
    for (output, field) in cases {
        match world.producer.output_ready(output).await {
            Err(SendError::Refused(refusal)) => assert_eq!(refusal.field, field, "{refusal}"),
            other => panic!("{field}: {other:?}"),
        }
    }
    match world.producer.output_ready(output(&world, "ann", pdf(Broken))).await {
        Err(SendError::Refused(refusal)) => {
            assert_eq!(refusal.to_string(), "content: cannot be read: the disk is gone");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rows(&world.pool).await, 0);
}
