//! Decisions are asked for while the worker is killed, and its connections are cut, again and again: each is made once, as if nothing
//! had happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use herald_jobs::answer::Via;
use herald_jobs::authorisation::{Approvers, Mode, NewAuthorisation, OnTimeout, Status};
use herald_jobs::model::Model;
use herald_jobs::store;
use herald_producers::MessageId;
use herald_producers::workflow::{Answer, Answered};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::stage::Worker;
use crate::support::herald::{Herald, Story};
use crate::support::{eventually, seed};

const CASES: u64 = 60;

/// What happens to one request.
struct Case {
    number: u64,
    mode: Mode,
    on_timeout: OnTimeout,
    /// What ann says, and max, who is found on the record; `None`: nothing.
    says: [Option<bool>; 2],
    /// What mia says, who is asked when it is too late for others.
    then: Option<bool>,
}

impl Case {
    fn draw(number: u64, random: &mut StdRng) -> Self {
        let mut say = || [None, Some(true), Some(false)][random.random_range(0..3)];
        let (says, then) = ([say(), say()], say());
        let mode = Mode::ALL[random.random_range(0..Mode::ALL.len())];
        let on_timeout = OnTimeout::ALL[random.random_range(0..OnTimeout::ALL.len())];
        Self { number, mode, on_timeout, says, then }
    }

    /// What should come of it when ann answers first: `None` until time is over.
    fn decided(&self) -> Option<bool> {
        match (self.mode, self.says) {
            (Mode::Any, [first, second]) => first.or(second),
            (Mode::All, [Some(true), Some(true)]) => Some(true),
            (Mode::All, says) => says.contains(&Some(false)).then_some(false),
        }
    }

    fn expected(&self) -> Status {
        let decision = |yes: bool| if yes { Status::Approved } else { Status::Refused };
        match (self.decided(), self.on_timeout) {
            (Some(yes), _) => decision(yes),
            (None, OnTimeout::Approve) => Status::Approved,
            (None, OnTimeout::Refuse) => Status::Refused,
            (None, OnTimeout::Ask) => self.then.map_or(Status::Expired, decision),
            (None, OnTimeout::Expire) => Status::Expired,
        }
    }

    async fn play(&self, story: &Herald) -> Uuid {
        let then_ask = Approvers { users: vec!["mia".into()], ..Approvers::default() };
        let asks = NewAuthorisation {
            model: "purchase_order".into(),
            model_key: self.number.into(),
            requester: "bob".into(),
            mode: self.mode,
            approvers: Approvers {
                users: vec!["ann".into()],
                path: Some("approver".into()),
                ..Approvers::default()
            },
            message_text: Some("May Bob buy an espresso machine?".into()),
            due_at: Some(story.clock.now() + TimeDelta::hours(1)),
            on_timeout: self.on_timeout,
            then_ask: (self.on_timeout == OnTimeout::Ask).then_some(then_ask),
            answer_to: Some("stream:orders".into()),
            ..NewAuthorisation::default()
        };
        let id = story.producer.request_authorisation(&asks, None).await.unwrap().id;
        for (name, says) in ["ann", "max"].into_iter().zip(self.says) {
            if let Some(yes) = says {
                answer(story, id, name, yes).await;
            }
        }
        if self.decided().is_none() {
            asked(story, id, "max").await;
            time_passes(story, id).await;
            if self.on_timeout == OnTimeout::Ask {
                asked(story, id, "mia").await;
                match self.then {
                    Some(yes) => answer(story, id, "mia", yes).await,
                    None => time_passes(story, id).await,
                }
            }
        }
        id
    }
}

/// The message that asks somebody, once it can be answered; of one whose answer is not waited for any more, as it stands.
async fn asked(story: &Herald, id: Uuid, name: &str) -> Option<MessageId> {
    let mut found = None;
    eventually("somebody to be asked", async || {
        let it = story.producer.authorisation(id).await.unwrap().unwrap();
        found = it.approvers.iter().find(|it| it.username == name).map(|it| MessageId(it.message_id));
        match found {
            Some(message) => story.producer.standing(message).await.unwrap().unwrap().status != "accepted",
            None => it.status != Status::Pending,
        }
    })
    .await;
    found
}

async fn answer(story: &Herald, id: Uuid, by: &str, yes: bool) {
    if let Some(message) = asked(story, id, by).await {
        let answer = Answer { message, reply: Some(if yes { "Yes" } else { "No" }), by, via: Via::Inbox };
        if let Answered::Before(told) = story.producer.answer(answer).await.unwrap() {
            assert_eq!(told.status, "withdrawn", "nobody else answers for {by}");
        }
    }
}

async fn time_passes(story: &Herald, id: Uuid) {
    sqlx::query("update herald.authorisation set due_at = now() where id = $1")
        .bind(id)
        .execute(&story.pool)
        .await
        .unwrap();
    eventually("time to be over", async || {
        let due = "select status <> 'pending' or due_at > now() from herald.authorisation where id = $1";
        sqlx::query_scalar(due).bind(id).fetch_one(&story.pool).await.unwrap()
    })
    .await;
}

/// How much has been done.
async fn steps(story: &Herald) -> i64 {
    story
        .count(
            "select (select count(*) from herald.message) + (select count(*) from herald.answer_event where state = 'sent')
                    + (select count(*) from herald.approver)",
        )
        .await
}

/// Kills the worker, or cuts its connections to Postgres, until all is over.
async fn kill(story: &Herald, seed: u64, over: &AtomicBool) -> Worker {
    let mut random = StdRng::seed_from_u64(seed);
    let mut worker = Worker::start(story);
    while !over.load(Ordering::Relaxed) {
        // Each gets something done, however slow the machine is.
        let before = steps(story).await;
        let moved = async {
            while steps(story).await == before && !over.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(5), moved).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..600))).await;
        if random.random_range(0..2) == 0 {
            worker.kill().await;
            worker = Worker::start(story);
        } else {
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity
                       where datname = current_database() and application_name not like 'herald test%'";
            sqlx::query(cut).execute(&story.pool).await.unwrap();
        }
    }
    worker
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c03c_each_decision_is_made_once_though_the_worker_is_killed_between_any_two_steps() {
    let seed = seed();
    let story = Story::begin().await;
    story
        .execute(
            "select herald.upsert_user('max'), herald.upsert_user('mia');
             create schema shop;
             create table shop.purchase_order (id int primary key, approver text);
             insert into shop.purchase_order select n, 'max' from generate_series(0, 100) as n",
        )
        .await;
    let model = Model {
        name: "purchase_order".into(),
        table: "shop.purchase_order".into(),
        key: vec!["id".into()],
        ..Model::default()
    };
    store::models::register(&story.pool, &model, "test").await.unwrap();
    let mut random = StdRng::seed_from_u64(seed);
    let cases: Vec<Case> = (0..CASES).map(|number| Case::draw(number, &mut random)).collect();
    let over = AtomicBool::new(false);
    let playing = async {
        // A few at a time, so that there is always something between two steps.
        let mut played = BTreeMap::new();
        for some in cases.chunks(6) {
            let ids = join_all(some.iter().map(|case| case.play(&story))).await;
            played.extend(ids.into_iter().zip(some));
        }
        over.store(true, Ordering::Relaxed);
        played
    };
    let (played, worker) = tokio::join!(playing, kill(&story, seed, &over));

    for (id, case) in &played {
        let it = story.producer.authorisation(*id).await.unwrap().unwrap();
        assert_eq!(it.status, case.expected(), "{:?} {:?} {:?}", case.mode, case.says, case.on_timeout);
        for approver in &it.approvers {
            let status =
                story.producer.standing(MessageId(approver.message_id)).await.unwrap().unwrap().status;
            assert!(["acted", "withdrawn"].contains(&&*status), "{} is {status}", approver.username);
        }
    }
    let events: BTreeSet<Uuid> = sqlx::query_scalar("select id from herald.answer_event")
        .fetch_all(&story.pool)
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(events.len(), cases.len(), "one for each decision");
    eventually("all to be told", async || told(&story).await == events).await;
    story.drain().await;
    worker.stop().await;
}

/// The ids that stand in the stream.
async fn told(story: &Herald) -> BTreeSet<Uuid> {
    let mut redis = story.plain_redis().await;
    let stream = format!("{}:answers:orders", herald_queue::Options::default().prefix);
    let entries: Vec<(String, BTreeMap<String, String>)> =
        redis::cmd("XRANGE").arg(stream).arg("-").arg("+").query_async(&mut redis).await.unwrap();
    entries.into_iter().map(|(_, fields)| fields["id"].parse().unwrap()).collect()
}
