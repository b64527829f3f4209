//! Reports on SMS, as a provider posts them.

use herald_jobs::secret::Secret;
use herald_jobs::store;
use reqwest::StatusCode;
use ring::hmac;
use ring::rand::SystemRandom;
use serde_json::Value;

use crate::support::world::{World, http};

#[tokio::test]
async fn reports_are_taken_from_who_signs_them_and_nobody_else() {
    let world = World::start().await;
    let post_to = async |query: &str, signature: &str, body: &'static str| {
        let request = http().post(format!("{}/api/v1/sms/reports{query}", world.url));
        let request = request.header("X-Twilio-Signature", signature);
        let request = request.header("Content-Type", "application/x-www-form-urlencoded").body(body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let post = async |signature: &str, body: &'static str| post_to("", signature, body).await;
    assert_eq!(post("", "a=b").await.0, StatusCode::NOT_FOUND, "nothing is set up");

    let sealed = world.keys.seal("SMS-PASSWORD", &Secret::new("12345"), &SystemRandom::new()).unwrap();
    let url = "https://herald.example.com/api/v1/sms/reports";
    for (key, value) in [("SMS-PROVIDER", "twilio"), ("SMS-PASSWORD", &sealed), ("SMS-REPORT-URL", url)] {
        store::registry::set(&world.pool, key, Some(value)).await.unwrap();
    }
    let stop = "From=%2B491701234567&Body=STOP&MessageSid=SM1";
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345");
    let sign = |fields: &str| {
        use base64::Engine as _;
        base64::prelude::BASE64_STANDARD.encode(hmac::sign(&key, format!("{url}{fields}").as_bytes()))
    };
    let good = sign("BodySTOPFrom+491701234567MessageSidSM1");
    let (status, problem) = post("AAAA", stop).await;
    assert_eq!((status, &problem["type"]), (StatusCode::FORBIDDEN, &"urn:herald:problem:forged".into()));
    assert_eq!(post(&good, "From=%2B491701234568&Body=STOP&MessageSid=SM1").await.0, StatusCode::FORBIDDEN);
    let (status, answer) = post(&good, stop).await;
    assert_eq!((status, &answer["outcome"]), (StatusCode::OK, &"stopped".into()));
    let reason = store::suppressions::reason(&world.pool, "+491701234567").await.unwrap();
    assert_eq!(reason.as_deref(), Some("The recipient answered STOP."));

    let early = sign("MessageSidSM2MessageStatusdelivered");
    let (status, _) = post(&early, "MessageSid=SM2&MessageStatus=delivered").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "it is to come again");

    // One whose answer was lost is known by our own id, which Twilio was given with the address.
    let copy = "0190a0b0-0000-7000-8000-000000000001";
    sqlx::raw_sql(
        "insert into herald.delivery (id, message_id, channel, address, lane, state, next_attempt_at, created_at)
         values ('0190a0b0-0000-7000-8000-000000000001', '0190a0b0-0000-7000-8000-000000000002', 'sms', '+491701234568', 'normal',
                 'unknown', now(), now())",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let query = format!("?delivery={copy}");
    let good = sign(&format!("{query}MessageSidSM2MessageStatusdelivered"));
    let delivered = "MessageSid=SM2&MessageStatus=delivered";
    assert_eq!(post_to("?delivery=x", &good, delivered).await.0, StatusCode::FORBIDDEN);
    let (status, answer) = post_to(&query, &good, delivered).await;
    assert_eq!((status, &answer["outcome"]), (StatusCode::OK, &"delivered".into()), "{answer}");
}
