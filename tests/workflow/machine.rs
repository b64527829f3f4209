//! Authorisations against a reference that a reader can check: whatever is done in whatever order, and wherever a process dies.

use chrono::TimeDelta;
use herald_jobs::answer::Via;
use herald_jobs::authorisation::{Approvers, Mode, NewAuthorisation, OnTimeout, Status};
use herald_jobs::store;
use herald_producers::MessageId;
use herald_producers::workflow::Answer;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use uuid::Uuid;

use super::authorisations::{house, request, standing};
use crate::support::eventually;
use crate::support::herald::Story;

const NAMES: [&str; 4] = ["ann", "boss", "max", "mia"];
/// How long approvers have, and by how much time moves, in minutes: it never stands where time is over.
const PATIENCE: i64 = 90;
const STEP: i64 = 60;

#[derive(Clone, Copy, Debug)]
enum Deed {
    /// Somebody answers: who, and whether it approves.
    Answer(usize, bool),
    Withdraw,
    /// An hour passes.
    Wait,
    /// The same as the one before, but the process dies before its commit.
    Dies(usize),
}

#[derive(Clone, Debug)]
struct Case {
    mode: Mode,
    asked: Vec<usize>,
    due: bool,
    on_timeout: OnTimeout,
    then_ask: Vec<usize>,
    deeds: Vec<Deed>,
}

fn case() -> impl Strategy<Value = Case> {
    let some = || proptest::sample::subsequence(vec![0_usize, 1, 2, 3], 1..=3);
    let deed = prop_oneof![
        5 => (0_usize..4, any::<bool>()).prop_map(|(who, yes)| Deed::Answer(who, yes)),
        1 => Just(Deed::Withdraw),
        2 => Just(Deed::Wait),
        2 => (0_usize..3).prop_map(Deed::Dies),
    ];
    let modes = proptest::sample::select(Mode::ALL);
    let timeouts = proptest::sample::select(OnTimeout::ALL);
    (modes, some(), any::<bool>(), timeouts, some(), vec(deed, 1..8)).prop_map(
        |(mode, asked, due, on_timeout, then_ask, deeds)| Case {
            mode,
            asked,
            due: due || on_timeout != OnTimeout::Expire,
            on_timeout,
            then_ask,
            deeds,
        },
    )
}

/// What should be.
struct Reference {
    mode: Mode,
    status: Status,
    approvers: Vec<(usize, &'static str)>,
    /// Minutes until time is over.
    left: Option<i64>,
    on_timeout: OnTimeout,
    then_ask: Vec<usize>,
}

impl Reference {
    fn end(&mut self, status: Status) {
        self.status = status;
        self.approvers
            .iter_mut()
            .filter(|(_, state)| *state == "asked")
            .for_each(|(_, state)| *state = "released");
    }

    fn answer(&mut self, who: usize, yes: bool) {
        let asked = self.approvers.iter_mut().find(|(name, state)| *name == who && *state == "asked");
        let Some((_, state)) = asked else { return };
        *state = if yes { "approved" } else { "refused" };
        let waits = self.approvers.iter().any(|(_, state)| *state == "asked");
        match (yes, self.mode) {
            (false, _) => self.end(Status::Refused),
            (true, Mode::All) if waits => {}
            (true, _) => self.end(Status::Approved),
        }
    }

    fn wait(&mut self) {
        self.left = self.left.map(|left| left - STEP);
        if self.status != Status::Pending || self.left.is_none_or(|left| left > 0) {
            return;
        }
        match self.on_timeout {
            OnTimeout::Expire => self.end(Status::Expired),
            OnTimeout::Approve => self.end(Status::Approved),
            OnTimeout::Refuse => self.end(Status::Refused),
            OnTimeout::Ask => {
                self.end(Status::Pending);
                (self.left, self.on_timeout) = (Some(PATIENCE), OnTimeout::Expire);
                let approved = |who: &usize| self.approvers.contains(&(*who, "approved"));
                let next: Vec<_> =
                    self.then_ask.iter().filter(|who| !approved(who)).map(|who| (*who, "asked")).collect();
                if next.is_empty() {
                    self.status = Status::Failed;
                }
                self.approvers.extend(next);
            }
        }
    }

    fn shown(&self) -> Vec<(String, String)> {
        let mut shown: Vec<_> =
            self.approvers.iter().map(|(who, state)| (NAMES[*who].to_owned(), (*state).to_owned())).collect();
        shown.sort();
        shown
    }
}

fn users(who: &[usize]) -> Approvers {
    Approvers { users: who.iter().map(|who| NAMES[*who].to_owned()).collect(), ..Approvers::default() }
}

#[test]
fn c03c_whatever_happens_an_authorisation_does_as_its_reference() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (story, workers) = runtime.block_on(async {
        let story = house().await;
        let workers = story.work().await;
        (story, workers)
    });
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new(config).run(&case(), |case| {
        runtime.block_on(play(&story, case));
        Ok(())
    });
    runtime.block_on(async {
        ran.unwrap();
        assert!(story.dead().await.is_empty());
        workers.stop().await;
    });
}

async fn play(story: &Story, case: Case) {
    let then_ask = (case.on_timeout == OnTimeout::Ask).then(|| users(&case.then_ask));
    let asks = NewAuthorisation {
        mode: case.mode,
        approvers: users(&case.asked),
        due_at: case.due.then(|| story.clock.now() + TimeDelta::minutes(PATIENCE)),
        on_timeout: case.on_timeout,
        then_ask,
        ..request(7)
    };
    let id = story.producer.request_authorisation(&asks, None).await.unwrap().id;
    let mut reference = Reference {
        mode: case.mode,
        status: Status::Pending,
        approvers: case.asked.iter().map(|who| (*who, "asked")).collect(),
        left: case.due.then_some(PATIENCE),
        on_timeout: case.on_timeout,
        then_ask: case.then_ask.clone(),
    };
    compare(story, id, &reference).await;
    for deed in &case.deeds {
        match *deed {
            Deed::Answer(who, yes) => {
                if let Some(message) = message(story, id, NAMES[who]).await {
                    let reply = Some(if yes { "Yes" } else { "No" });
                    story
                        .producer
                        .answer(Answer { message, reply, by: NAMES[who], via: Via::Inbox })
                        .await
                        .unwrap();
                }
                reference.answer(who, yes);
            }
            Deed::Withdraw => {
                let withdrawn = story.producer.withdraw_authorisation(id, None).await;
                assert_eq!(withdrawn.is_ok_and(|now| now), reference.status == Status::Pending);
                if reference.status == Status::Pending {
                    reference.end(Status::Withdrawn);
                }
            }
            Deed::Wait => {
                story.clock.advance(TimeDelta::minutes(STEP));
                reference.wait();
                // The worker's own look may have it in hand.
                eventually("time to have done its work", async || {
                    store::authorisations::time_out(&story.pool, story.clock.now(), 100).await.unwrap();
                    let overdue =
                        "select count(*) from herald.authorisation where status = 'pending' and due_at <= $1";
                    let overdue: i64 = sqlx::query_scalar(overdue)
                        .bind(story.clock.now())
                        .fetch_one(&story.pool)
                        .await
                        .unwrap();
                    overdue == 0
                })
                .await;
            }
            Deed::Dies(what) => dies(story, id, what).await,
        }
        compare(story, id, &reference).await;
    }
}

/// The message that asked somebody last, once it is where it can be answered.
async fn message(story: &Story, id: Uuid, who: &str) -> Option<MessageId> {
    let it = standing(story, id).await;
    let message = MessageId(it.approvers.iter().rfind(|it| it.username == who)?.message_id);
    eventually("the message to arrive", async || {
        story.producer.standing(message).await.unwrap().unwrap().status != "accepted"
    })
    .await;
    Some(message)
}

/// Each step is one transaction: whoever dies within leaves nothing of it.
async fn dies(story: &Story, id: Uuid, what: usize) {
    let mut transaction = story.pool.begin().await.unwrap();
    match what {
        0 => {
            let now = story.clock.now();
            for approver in standing(story, id).await.approvers {
                let answers = [(approver.message_id, Some("Yes"))];
                store::answers::answer(&mut *transaction, None, &answers, ("x", Via::Inbox), now)
                    .await
                    .unwrap();
            }
        }
        1 => drop(store::authorisations::withdraw(&mut *transaction, id, None).await),
        _ => {
            let late = story.clock.now() + TimeDelta::days(400);
            store::authorisations::time_out(&mut *transaction, late, 1_000).await.unwrap();
        }
    }
    transaction.rollback().await.unwrap();
}

async fn compare(story: &Story, id: Uuid, reference: &Reference) {
    let it = standing(story, id).await;
    let mut shown: Vec<(String, String)> =
        it.approvers.iter().map(|it| (it.username.clone(), it.state.clone())).collect();
    shown.sort();
    assert_eq!((it.status, shown), (reference.status, reference.shown()));
    let events =
        sqlx::query_scalar::<_, i64>("select count(*) from herald.answer_event where authorisation_id = $1");
    let events = events.bind(id).fetch_one(&story.pool).await.unwrap();
    assert_eq!(events, i64::from(it.status != Status::Pending), "one event for each decision");
    for approver in &it.approvers {
        let message = story.producer.standing(MessageId(approver.message_id)).await.unwrap().unwrap().status;
        let expected: &[&str] = match approver.state.as_str() {
            "asked" => &["accepted", "pending"],
            "released" => &["withdrawn"],
            _ => &["acted"],
        };
        assert!(
            expected.contains(&message.as_str()),
            "{} is {}, the message {message}",
            approver.username,
            approver.state
        );
    }
}
