//! The inbox: messages and alerts, and the three ways to act on one.

use herald_jobs::message_type::{CompleteOn, DeliveryMethod, ExternalDelivery, Lane, RequiredAction};
use herald_jobs::store;
use herald_jobs::store::inbox::Counts;
use herald_producers::MessageId;

use crate::support::herald::{Story, message};

#[tokio::test]
async fn c02_alerts_are_kept_apart_from_messages() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let alert = story.producer.send(message("ann", "ALERT-VIEW", "fire")).await.unwrap();
    let plain = story.producer.send(message("ann", "VIEW-NORMAL", "report")).await.unwrap();
    story.drain().await;
    let ids = |list: Vec<store::inbox::InboxMessage>| list.into_iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!(ids(story.pending("ann", true).await), [alert.0]);
    assert_eq!(ids(story.pending("ann", false).await), [plain.0]);
    let counts = store::inbox::counts(&story.pool, story.user("ann").await).await.unwrap();
    assert_eq!(counts, Counts { alerts: 1, messages: 1 });
    let others = store::inbox::counts(&story.pool, story.user("bob").await).await.unwrap();
    assert_eq!(others, Counts { alerts: 0, messages: 0 });
    workers.stop().await;
}

#[tokio::test]
async fn c05_the_standard_types_come_installed_and_cannot_be_deleted() {
    use DeliveryMethod::{Alert, Queue};
    use RequiredAction::{Reply, View};
    let story = Story::begin().await;
    let installed: Vec<_> = store::message_types::all(&story.pool)
        .await
        .unwrap()
        .into_iter()
        .map(|kind| {
            let choices = kind.choice_set.is_some();
            (
                kind.code,
                kind.delivery_method,
                kind.required_action,
                kind.expiry_days,
                kind.external_delivery,
                choices,
            )
        })
        .collect();
    let expected = [
        ("ALERT-BOTH", Alert, View, Some(10), ExternalDelivery::Both, false),
        ("ALERT-EMAIL", Alert, View, Some(10), ExternalDelivery::Email, false),
        ("ALERT-SMS", Alert, View, Some(10), ExternalDelivery::Sms, false),
        ("ALERT-VIEW", Alert, View, Some(10), ExternalDelivery::None, false),
        ("ALERT-YESNO", Alert, Reply, None, ExternalDelivery::None, true),
        ("REPLY-YESNO", Queue, Reply, None, ExternalDelivery::None, true),
        ("VIEW-NORMAL", Queue, View, Some(10), ExternalDelivery::None, false),
    ];
    assert_eq!(installed, expected.map(|(code, a, b, c, d, e)| (code.to_owned(), a, b, c, d, e)));
    let choices = store::message_types::choices(&story.pool, &["YESNO-CHOICES".into()]).await.unwrap();
    assert_eq!(choices.iter().map(|choice| choice.value.as_str()).collect::<Vec<_>>(), ["Yes", "No"]);

    for table in ["message_type", "choice_set"] {
        let deleted = sqlx::query(sqlx::AssertSqlSafe(format!("delete from herald.{table} where standard")))
            .execute(&story.pool)
            .await;
        assert!(deleted.unwrap_err().to_string().contains("standard row"));
    }
    story.execute("update herald.message_type set expiry_days = 20 where code = 'VIEW-NORMAL'").await;
    for absurd in [
        "expiry_days = 0",
        "expiry_days = -1",
        "required_action = 'reply'",
        "choice_set = 'YESNO-CHOICES'",
        "action_url = '/x'",
        "delivery_method = 'pigeon'",
    ] {
        let sql = format!("update herald.message_type set {absurd} where code = 'VIEW-NORMAL'");
        assert!(sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&story.pool).await.is_err(), "{absurd}");
    }
}

/// Posts answers as a user, and tells which of them counted.
async fn post(story: &Story, user: &str, answers: &[(MessageId, Option<&str>)]) -> Vec<MessageId> {
    let answers: Vec<_> = answers.iter().map(|(id, reply)| (id.0, *reply)).collect();
    let user = story.user(user).await;
    let counted = store::inbox::act(&story.pool, user, &answers, story.clock.now()).await.unwrap();
    let mut counted: Vec<_> = counted.into_iter().map(MessageId).collect();
    counted.sort_unstable();
    counted
}

#[tokio::test]
async fn c14_any_number_of_rows_is_acted_on_by_one_post() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(story.producer.send(message("ann", "VIEW-NORMAL", &n.to_string())).await.unwrap());
    }
    let bobs = story.producer.send(message("bob", "VIEW-NORMAL", "x")).await.unwrap();
    story.drain().await;
    let posted = post(&story, "ann", &[(ids[0], None), (ids[1], None), (ids[2], None), (bobs, None)]).await;
    assert_eq!(posted, ids[..3], "nobody acts on another's message");
    assert_eq!(story.pending("ann", false).await.len(), 2);
    // Another tab posts what this one has posted, and one more.
    assert_eq!(post(&story, "ann", &[(ids[2], None), (ids[3], None)]).await, [ids[3]]);
    assert_eq!(story.producer.standing(ids[0]).await.unwrap().unwrap().status, "acted");
    assert_eq!(story.pending("bob", false).await.len(), 1);
    workers.stop().await;
}

#[tokio::test]
async fn c15_a_reply_is_kept_with_its_message_and_the_first_one_counts() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let question = story.producer.send(message("ann", "REPLY-YESNO", "Shall we?")).await.unwrap();
    let view = story.producer.send(message("ann", "VIEW-NORMAL", "x")).await.unwrap();
    story.drain().await;
    let asked = story.pending("ann", false).await.into_iter().find(|it| it.id == question.0).unwrap();
    assert_eq!(asked.choice_set.as_deref(), Some("YESNO-CHOICES"));
    assert_eq!(asked.expires_at, None, "a question is not purged");

    let racing = futures::future::join_all((0..20).map(|n| {
        let reply = if n % 2 == 0 { "Yes" } else { "No" };
        let story = &story;
        async move { (reply, post(story, "ann", &[(question, Some(reply)), (view, None)]).await) }
    }))
    .await;
    let winners: Vec<_> = racing.iter().filter(|(_, counted)| counted.contains(&question)).collect();
    assert_eq!(winners.len(), 1);
    let standing = story.producer.standing(question).await.unwrap().unwrap();
    assert_eq!(standing.reply_value.as_deref(), Some(winners[0].0));
    assert_eq!(standing.status, "acted");
    let standing = story.producer.standing(view).await.unwrap().unwrap();
    assert_eq!((standing.status.as_str(), standing.reply_value), ("acted", None));
    workers.stop().await;
}

#[tokio::test]
async fn c16_an_action_carries_its_url_and_what_completes_it_from_its_type() {
    let story = Story::begin().await;
    for (code, complete_on) in [("OPEN", CompleteOn::Click), ("DECIDE", CompleteOn::Callback)] {
        story
            .add_type(code, |kind| {
                kind.required_action = RequiredAction::Action;
                kind.expiry_days = None;
                kind.action_url = Some("/approve?id=".into());
                kind.complete_on = complete_on;
                kind.lane = Lane::Alert;
            })
            .await;
    }
    let workers = story.work().await;
    story.producer.send(message("ann", "OPEN", "x")).await.unwrap();
    story.producer.send(message("ann", "DECIDE", "x")).await.unwrap();
    story.drain().await;
    // What the type becomes later does not change a message that was sent.
    story.execute("update herald.message_type set action_url = '/other' where code = 'OPEN'").await;
    let mut got: Vec<_> = story
        .pending("ann", false)
        .await
        .into_iter()
        .map(|it| (it.message_type, it.required_action, it.action_url.unwrap(), it.complete_on))
        .collect();
    got.sort();
    let url = || "/approve?id=".to_owned();
    assert_eq!(
        got,
        [
            ("DECIDE".to_owned(), RequiredAction::Action, url(), CompleteOn::Callback),
            ("OPEN".to_owned(), RequiredAction::Action, url(), CompleteOn::Click),
        ]
    );
    workers.stop().await;
}
