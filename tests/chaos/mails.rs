//! Thousands of mails, while sessions break anywhere and workers are killed; and while contacts are added from all sides.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use futures::stream::{StreamExt as _, iter};
use herald::catcher::{Behaviour, Catcher, Deed, Phase, When, show};
use herald_jobs::message_type::ExternalDelivery;
use herald_producers::{MessageId, NewContact};
use sqlx::Row as _;
use uuid::Uuid;

use super::stage::{AMPLE, Worker};
use crate::support::eventually;
use crate::support::herald::{Story, message};

async fn with_mail() -> Story {
    let story = Story::begin().await;
    story.add_type("MAIL", |kind| kind.external_delivery = ExternalDelivery::Email).await;
    story
}

/// Sessions that break at each phase: about one mail in twenty meets a break.
fn fragile() -> Behaviour {
    let phases = [
        Phase::Connect,
        Phase::Ehlo,
        Phase::Mail,
        Phase::Rcpt,
        Phase::Data,
        Phase::Body { after: 100 },
        Phase::Dot,
        Phase::Replied,
    ];
    phases.into_iter().fold(Behaviour::default(), |behaviour, phase| {
        behaviour.and(phase, Deed::Cut, When::Probability(0.0075))
    })
}

/// How often each copy was taken: its Message-ID begins with its key.
fn taken(catcher: &Catcher) -> HashMap<Uuid, i64> {
    let mut taken = HashMap::new();
    for mail in catcher.mailbox().list() {
        let id = mail.message_id.as_deref().and_then(|id| id.trim_start_matches('<').split('@').next());
        *taken.entry(id.unwrap().parse().unwrap()).or_default() += 1;
    }
    taken
}

#[tokio::test]
async fn no_mail_is_lost_and_each_that_comes_twice_was_in_doubt() {
    const MAILS: i64 = 5_000;
    let story = with_mail().await;
    let catcher = story.mail_catcher().await;
    catcher.set_behaviour(fragile());
    let sends = (0..MAILS).map(|_| story.producer.send(message("ann", "MAIL", "x")));
    let sent: Vec<_> = iter(sends).buffer_unordered(500).collect().await;
    assert!(sent.iter().all(Result::is_ok));

    let begun = Instant::now();
    let mut kills = 0;
    let mut workers: VecDeque<_> = (0..3).map(|_| Worker::start(&story)).collect();
    while story.count("select count(*) from herald.delivery where state in ('sent', 'unknown')").await < MAILS
    {
        assert!(begun.elapsed() < 2 * AMPLE, "the mails end");
        tokio::time::sleep(Duration::from_secs(1)).await;
        workers.pop_front().unwrap().kill().await;
        workers.push_back(Worker::start(&story));
        kills += 1;
        // What was claimed four seconds ago is a dead one's (a claim lasts 120): it passes on now. And nobody waits for the next attempt.
        story
            .execute(
                "update herald.delivery set lease_until = now() - interval '1 s'
                 where state = 'sending' and lease_until < now() + interval '116 s';
                 update herald.delivery set next_attempt_at = now(), pushed_at = null
                 where state = 'pending' and next_attempt_at > now()",
            )
            .await;
    }
    let rows = sqlx::query(
        "select d.id, d.state, (select count(*) from herald.delivery_attempt a where a.delivery_id = d.id and outcome = 'unknown') as doubts
         from herald.delivery d",
    )
    .fetch_all(&story.pool)
    .await
    .unwrap();
    let taken = taken(&catcher);
    let (mut twice, mut in_doubt) = (0, 0);
    for row in &rows {
        let (id, state, doubts) = (row.get::<Uuid, _>(0), row.get::<String, _>(1), row.get::<i64, _>(2));
        let times = taken.get(&id).copied().unwrap_or(0);
        assert!(times >= 1 || state == "unknown", "{id} is {state}, and the server does not have it");
        assert!(times - 1 <= doubts, "{id} was taken {times} times, and {doubts} attempts were in doubt");
        twice += i64::from(times > 1);
        in_doubt += i64::from(doubts > 0);
    }
    assert_eq!(rows.len(), usize::try_from(MAILS).unwrap());
    assert!(kills > 1 && in_doubt > 0, "{kills} workers were killed, {in_doubt} mails were in doubt");
    for worker in workers {
        worker.stop().await;
    }
    eprintln!("{kills} workers killed; of {MAILS} mails {in_doubt} were in doubt, and {twice} came twice");
}

/// To and Cc of a mail, and whether the message names anybody else.
fn named(mail: &herald::catcher::Mail) -> (Vec<String>, Vec<String>) {
    let mut shown = show(&mail.raw).unwrap();
    shown.to.sort();
    shown.cc.sort();
    (shown.to, shown.cc)
}

#[tokio::test]
async fn c26_each_contact_of_ten_thousand_sends_gets_one_copy_that_names_the_same_people() {
    const SENDS: usize = 10_000;
    let story = with_mail().await;
    let catcher = story.mail_catcher().await;
    let worker = Worker::start(&story);
    let send = async |number: usize| {
        let mut transaction = story.pool.begin().await.unwrap();
        let id: Uuid =
            sqlx::query_scalar("select herald.send_message('ann', 'x', 'VIEW-NORMAL', 'report', $1)")
                .bind(number.to_string())
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
        for (name, mode) in [("to", "To"), ("cc", "Cc"), ("bcc", "Bcc"), ("to", "Cc")] {
            sqlx::query("select herald.add_recipient($1, $2, $3)")
                .bind(id)
                .bind(format!("{name}@m{number}.example"))
                .bind(mode)
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        transaction.commit().await.unwrap();
        // The worker is at it already: the same people again, and one more.
        for name in ["to", "late"] {
            let contact = NewContact {
                contact_reference: format!("{name}@m{number}.example"),
                email_mode: "To".to_owned(),
            };
            story.producer.add_recipient(MessageId(id), &contact).await.unwrap();
        }
    };
    iter(0..SENDS).for_each_concurrent(8, send).await;
    let begun = Instant::now();
    eventually("the mails to move on", async || {
        assert!(begun.elapsed() < 2 * AMPLE);
        catcher.mailbox().taken() > 0
    })
    .await;
    while catcher.mailbox().taken() < 4 * SENDS as u64 {
        assert!(begun.elapsed() < 2 * AMPLE, "{} mails came", catcher.mailbox().taken());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    story.drain().await;
    let mut copies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for mail in catcher.mailbox().list() {
        let [to] = mail.to.as_slice() else { panic!("{:?}", mail.to) };
        let (name, domain) = to.split_once('@').unwrap();
        copies.entry(domain.to_owned()).or_default().push(name.to_owned());
        let expected = match name {
            "late" => (vec![to.clone()], vec![]),
            _ => (vec![format!("to@{domain}")], vec![format!("cc@{domain}")]),
        };
        assert_eq!(named(&mail), expected, "{to}");
        let raw = String::from_utf8_lossy(&mail.raw);
        assert!(!raw.contains("bcc@m"), "{to}: {raw}");
    }
    assert_eq!(copies.len(), SENDS);
    let all = ["bcc", "cc", "late", "to"];
    for (domain, mut names) in copies {
        names.sort();
        assert_eq!(names, all, "{domain}");
    }
    let ids: BTreeSet<_> = catcher.mailbox().list().iter().map(|mail| mail.message_id.clone()).collect();
    assert_eq!(ids.len(), 4 * SENDS, "one Message-ID a copy");
    worker.stop().await;
}
