//! Bounces that come over HTTP.

use herald_jobs::id::DeliveryId;
use herald_jobs::return_path;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::world::World;

/// A copy that a server has taken, and its return path.
async fn taken(world: &World) -> (DeliveryId, String) {
    let id = DeliveryId::new(world.clock.now());
    sqlx::query(
        "insert into herald.delivery (id, message_id, channel, address, lane, state, next_attempt_at, created_at)
         values ($1, $1, 'email', 'ann@example.com', 'normal', 'sent', now(), now())",
    )
    .bind(id.0)
    .execute(&world.pool)
    .await
    .unwrap();
    let base = return_path::base("bounces@herald.test").unwrap();
    (id, return_path::make(&world.keys, &base, id).unwrap().to_string())
}

fn bounced(to: &str) -> String {
    format!(
        "To: {to}\r\nMessage-ID: <1@mx.example.com>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nSorry.\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.com\r\n\r\n\
         Final-Recipient: rfc822; ann@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n"
    )
}

#[tokio::test]
async fn a_mail_service_posts_a_bounce() {
    let world = World::start().await;
    let token = world.token("mail", None).await;
    let (id, path) = taken(&world).await;
    let post = async |target: &str, mail: String| {
        let request = world.api(Method::POST, target, &token).header("content-type", "message/rfc822");
        let answer = request.body(mail).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json::<Value>().await.unwrap()
    };
    let ignored = post("/bounces", bounced("bounces@herald.test")).await;
    assert_eq!(ignored["outcome"], "ignored", "{ignored}");
    // The service tells whom it was for.
    let told = format!("/bounces?recipient={}", path.replace('+', "%2B"));
    let failed = post(&told, bounced("bounces@herald.test")).await;
    assert_eq!(failed["outcome"], "failed", "{failed}");
    assert!(failed["detail"].as_str().unwrap().contains(&id.to_string()), "{failed}");
    let again = post("/bounces", bounced(&path)).await;
    assert_eq!(again["outcome"], "known", "{again}");
    let state: String =
        sqlx::query_scalar("select state from herald.delivery").fetch_one(&world.pool).await.unwrap();
    assert_eq!(state, "failed");
}

#[tokio::test]
async fn what_is_no_mail_is_refused_and_what_cannot_be_taken_now_comes_again() {
    let world = World::start().await;
    let token = world.token("mail", None).await;
    let (_, path) = taken(&world).await;
    for (target, kind, size, status) in [
        ("/bounces", "application/json", 10, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("/bounces", "message/rfc822", 5 * 1024 * 1024, StatusCode::PAYLOAD_TOO_LARGE),
        ("/bounces?colour=red", "message/rfc822", 10, StatusCode::UNPROCESSABLE_ENTITY),
        ("/bounces", "Message/RFC822; charset=utf-8", 3 * 1024 * 1024, StatusCode::OK),
    ] {
        let request = world.api(Method::POST, target, &token).header("content-type", kind);
        let answer = request.body("x".repeat(size)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{target} {kind}");
    }
    sqlx::query("update herald.delivery set state = 'sending'").execute(&world.pool).await.unwrap();
    let request = world.api(Method::POST, "/bounces", &token).header("content-type", "message/rfc822");
    let answer = request.body(bounced(&path)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
}
