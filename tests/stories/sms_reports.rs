//! What becomes of an SMS after its provider took it, as the provider reports it.

use std::sync::Arc;

use herald::catcher::{Answer, Gateway};
use herald_jobs::deliver::{AttemptOutcome, DeliveryState};
use herald_jobs::id::DeliveryId;
use herald_jobs::message_type::ExternalDelivery;
use herald_jobs::seal::{KeyRing, new_key};
use herald_jobs::secret::Secret;
use herald_jobs::store::deliveries::Delivery;
use herald_producers::sms_report::{self, Received, ReportError};
use herald_workers::Options;
use herald_workers::settings::Access;
use ring::hmac;
use ring::rand::SystemRandom;
use serde_json::{Value, json};

use crate::support::herald::{Story, Workers, message};

const SECRET: &str = "between us";

/// A Herald whose gateway signs its reports.
struct Reported {
    story: Story,
    keys: Arc<KeyRing>,
    gateway: Gateway,
    workers: Workers,
}

impl Reported {
    async fn begin() -> Self {
        let story = Story::begin().await;
        story.add_type("TEXT", |kind| kind.external_delivery = ExternalDelivery::Sms).await;
        story.execute("update herald.app_user set mobile = '+491701234567' where username = 'ann'").await;
        let gateway = story.sms_gateway().await;
        let random = SystemRandom::new();
        let keys: Arc<KeyRing> = Arc::new(new_key(&random).unwrap().expose().parse().unwrap());
        let sealed = keys.seal("SMS-REPORT-SECRET", &Secret::new(SECRET), &random).unwrap();
        story.register(&[("SMS-REPORT-SECRET", Some(&sealed))]).await;
        let registry = Access { keys: keys.clone(), ..Access::default() };
        let options = Options { allow_private_sms: true, registry, ..Options::default() };
        let workers = story.work_with(options).await;
        Self { story, keys, gateway, workers }
    }

    /// Sends an SMS that the gateway answers so.
    async fn sent(&self, answer: Answer) -> Delivery {
        self.gateway.answer_next([answer]);
        let id = self.story.producer.send(message("ann", "TEXT", "x")).await.unwrap();
        self.story.drain().await;
        let [copy] = self.story.copies(id).await.try_into().unwrap();
        copy
    }

    async fn state(&self, copy: &Delivery) -> DeliveryState {
        let mut connection = self.story.pool.begin().await.unwrap();
        let found = herald_jobs::store::bounces::lock(&mut connection, DeliveryId(copy.id)).await.unwrap();
        found.unwrap().state
    }

    async fn report(&self, document: &Value) -> Result<Received, ReportError> {
        let body = document.to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let tag = hmac::sign(&key, body.as_bytes());
        let signature: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        self.signed(&body, &signature).await
    }

    async fn signed(&self, body: &str, signature: &str) -> Result<Received, ReportError> {
        let header = |name: &str| match name {
            "X-Signature" => Some(signature),
            _ => None,
        };
        let now = self.story.clock.now();
        sms_report::receive(&self.story.pool, &self.keys, header, (None, body.as_bytes()), now).await
    }
}

#[tokio::test]
async fn receipts_move_a_copy_forward_in_any_order_and_any_number() {
    let world = Reported::begin().await;
    for (answer, reports, state, outcomes) in [
        (Answer::Take, &["sent", "delivered", "delivered", "sent"][..], DeliveryState::Delivered, 2),
        (Answer::Take, &["DELIVRD", "failed"], DeliveryState::Delivered, 2),
        (Answer::Take, &["undelivered", "delivered", "undelivered"], DeliveryState::Failed, 2),
        (Answer::TakeAndSay(500), &["delivered"], DeliveryState::Delivered, 2),
        (Answer::TakeAndMumble, &["expired"], DeliveryState::Failed, 2),
        (Answer::Later(3_600), &["delivered"], DeliveryState::Delivered, 2),
    ] {
        let copy = world.sent(answer).await;
        // The gateway's own id, where it said one; ours is known to it always.
        let id = match answer {
            Answer::Take => copy.reason.clone().unwrap(),
            _ => copy.id.simple().to_string(),
        };
        for status in reports {
            world.report(&json!({"id": id, "status": status})).await.unwrap();
        }
        assert_eq!(world.state(&copy).await, state, "{answer:?} {reports:?}");
        assert_eq!(world.story.attempts(&copy).await.len(), outcomes, "{answer:?} {reports:?}");
    }
    let before = world.gateway.list().len();
    world.story.clock.advance(chrono::TimeDelta::hours(2));
    world.story.drain().await;
    assert_eq!(world.gateway.list().len(), before, "what has arrived is not sent again");
    world.workers.stop().await;
}

#[tokio::test]
async fn a_report_that_is_forged_unreadable_or_early_changes_nothing() {
    let world = Reported::begin().await;
    let copy = world.sent(Answer::Take).await;
    let report = json!({"id": copy.reason, "status": "failed"});
    for signature in ["", "0000", "sha256="] {
        let answer = world.signed(&report.to_string(), signature).await;
        assert!(matches!(answer, Err(ReportError::Forged)), "{signature}");
    }
    let early = world.report(&json!({"id": "SM99", "status": "delivered"})).await;
    assert!(matches!(early, Err(ReportError::NotYet(_))));
    for nothing in
        [json!({}), json!([1]), json!({"id": copy.reason, "status": "queued"}), json!({"id": {"a": 1}})]
    {
        assert!(matches!(world.report(&nothing).await, Ok(Received::Ignored(_))), "{nothing}");
    }
    assert_eq!(world.state(&copy).await, DeliveryState::Sent);
    world.story.register(&[("SMS-PROVIDER", Some("off"))]).await;
    assert!(matches!(world.report(&report).await, Err(ReportError::NotExpected(_))));

    let why = json!({"id": copy.reason, "status": "failed", "reason": "no such\nsubscriber"});
    world
        .story
        .register(&[
            ("SMS-PROVIDER", Some("http")),
            ("SMS-REPORT-FIELDS", Some("id=/id&status=/status&reason=/reason")),
        ])
        .await;
    assert_eq!(world.report(&why).await.unwrap(), Received::Lost(DeliveryId(copy.id)));
    let attempts = world.story.attempts(&copy).await;
    let last = attempts.last().unwrap();
    assert_eq!((last.outcome, last.reply.as_str()), (AttemptOutcome::Bounced, "failed: no such subscriber"));
    world.workers.stop().await;
}

#[tokio::test]
async fn who_answers_stop_gets_no_more_until_start() {
    let world = Reported::begin().await;
    let answer = |text: &str| json!({"from": "+49 170 1234567", "text": text});
    let number = "+491701234567".to_owned();
    assert_eq!(world.report(&answer(" Stop! ")).await.unwrap(), Received::Stopped(number.clone()));
    let copy = world.sent(Answer::Take).await;
    assert_eq!(
        (copy.state, copy.reason.as_deref()),
        (DeliveryState::Suppressed, Some("The address is suppressed: The recipient answered STOP."))
    );
    assert!(world.gateway.list().is_empty());
    assert!(matches!(world.report(&answer("please stop it")).await.unwrap(), Received::Ignored(_)));
    assert_eq!(world.report(&answer("START")).await.unwrap(), Received::Started(number.clone()));
    assert_eq!(world.sent(Answer::Take).await.state, DeliveryState::Sent);

    // What an operator has decided is not for the recipient to lift.
    world.story.say(&["suppression", "add", &number, "--reason", "left the company"]).await;
    assert!(matches!(world.report(&answer("start")).await.unwrap(), Received::Ignored(_)));
    assert_eq!(world.sent(Answer::Take).await.state, DeliveryState::Suppressed);
    let anybody = json!({"from": "CREDIT", "text": "stop"});
    assert!(matches!(world.report(&anybody).await.unwrap(), Received::Ignored(_)));
    world.workers.stop().await;
}
