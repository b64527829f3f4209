//! Group commit: deadlocks, items that the database refuses, and answers that are lost.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::future::join_all;
use herald_jobs::group_commit::{Commit, CommitError, GroupCommit};
use herald_jobs::id::MessageId;
use herald_jobs::message_type::Lane;
use herald_jobs::send::{Origin, RawSendJob, SendJob};
use herald_jobs::store;
use herald_jobs::store::outbox::{Accepted, Accepting};
use herald_producers::SendError;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::herald::{Herald, Story, message};

/// Adds one to the counters that its items name, upwards or downwards: two of these in opposite order deadlock.
struct Count {
    pool: PgPool,
    downwards: bool,
    deadlocks: Arc<AtomicU32>,
}

impl Commit for Count {
    type Item = i64;
    type Outcome = i64;

    async fn commit(&self, items: &[i64]) -> Result<Vec<i64>, sqlx::Error> {
        let counted = self.count(items).await;
        let code =
            |error: &sqlx::Error| error.as_database_error().and_then(|it| Some(it.code()?.into_owned()));
        if counted.as_ref().err().and_then(code).as_deref() == Some("40P01") {
            self.deadlocks.fetch_add(1, Ordering::Relaxed);
        }
        counted
    }
}

impl Count {
    async fn count(&self, items: &[i64]) -> Result<Vec<i64>, sqlx::Error> {
        let mut ordered = items.to_vec();
        ordered.sort_unstable();
        if self.downwards {
            ordered.reverse();
        }
        let mut transaction = self.pool.begin().await?;
        sqlx::query("set local deadlock_timeout = '5ms'").execute(&mut *transaction).await?;
        for item in ordered {
            sqlx::query("update counter set n = n + 1 where id = $1")
                .bind(item)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(items.to_vec())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_deadlock_are_repeated_and_nothing_is_counted_twice() {
    let story = Story::begin().await;
    story.execute("create table counter (id int8 primary key, n int8 not null)").await;
    story.execute("insert into counter select id, 0 from generate_series(1, 20) id").await;
    let deadlocks = Arc::new(AtomicU32::new(0));
    let spawn = |downwards| {
        let count = Count { pool: story.pool.clone(), downwards, deadlocks: deadlocks.clone() };
        GroupCommit::spawn(count, 50, 2)
    };
    let (up, down) = (spawn(false), spawn(true));
    let mut expected: HashMap<i64, i64> = HashMap::new();
    // Whether two groups meet head on is up to the scheduler: again, until some have.
    for _ in 0..50 {
        let submits = (0..2_000_i64).map(|n| {
            let (group, item) = (if n % 2 == 0 { &up } else { &down }, n / 2 % 20 + 1);
            async move { (item, group.submit(item).await) }
        });
        for (item, outcome) in join_all(submits).await {
            assert_eq!(outcome, Ok(item), "each answer is its own item's");
            *expected.entry(item).or_default() += 1;
        }
        if deadlocks.load(Ordering::Relaxed) > 0 {
            break;
        }
    }
    assert!(deadlocks.load(Ordering::Relaxed) > 0, "no deadlock came about");
    let counted: Vec<(i64, i64)> =
        sqlx::query_as("select id, n from counter").fetch_all(&story.pool).await.unwrap();
    assert_eq!(counted.into_iter().collect::<HashMap<_, _>>(), expected);
}

/// Keeps texts.
struct Keep {
    pool: PgPool,
}

impl Commit for Keep {
    type Item = String;
    type Outcome = ();

    async fn commit(&self, items: &[String]) -> Result<Vec<()>, sqlx::Error> {
        sqlx::query("insert into kept select unnest($1::text[])").bind(items).execute(&self.pool).await?;
        Ok(vec![(); items.len()])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_refuses_fails_alone() {
    let story = Story::begin().await;
    story.execute("create table kept (text text primary key check (text <> 'bad'))").await;
    let group = GroupCommit::spawn(Keep { pool: story.pool.clone() }, 500, 2);
    let texts: Vec<String> = (0..1_000)
        .map(|n| match n % 250 {
            7 => format!("{n} with \0 in it"),
            100 if n == 100 => "bad".into(),
            _ => n.to_string(),
        })
        .collect();
    let outcomes = join_all(texts.iter().map(|text| group.submit(text.clone()))).await;
    for (text, outcome) in texts.iter().zip(&outcomes) {
        let refused = text == "bad" || text.contains('\0');
        assert_eq!(matches!(outcome, Err(CommitError::Data(_))), refused, "{text}: {outcome:?}");
        assert_eq!(outcome.is_ok(), !refused, "{text}: {outcome:?}");
    }
    assert_eq!(story.count("select count(*) from kept").await, 1_000 - 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_database_refuses_fails_alone() {
    let story = Story::begin().await;
    let sends = (0..200).map(|n| story.producer.send(message("ann", "VIEW-NORMAL", &n.to_string())));
    let accepted: Vec<Uuid> = join_all(sends).await.into_iter().map(|sent| sent.unwrap().0).collect();
    // A text may hold what no text of Postgres can, and only reading it brings that to light.
    story
        .execute(
            r##"update herald.outbox set payload = replace(payload::text, '"message_text":"77"',
                  '"message_text":"a\u0000b"')::json
               where payload->'message'->>'message_text' = '77'"##,
        )
        .await;
    let mut redis = story.plain_redis().await;
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
    story.execute("update herald.outbox set pushed_at = null").await;
    let workers = story.work().await;
    story.settle().await;
    let dead = story.dead().await;
    assert!(matches!(dead.as_slice(), [one] if one.starts_with(&accepted[77].to_string())), "{dead:?}");
    let good = accepted.iter().copied().filter(|id| *id != accepted[77]).collect();
    story.assert_delivered(&good).await;
    workers.stop().await;
}

/// Ends connections of the producer and of the workers, in the midst of their work, 120 times.
struct Saboteur(tokio::task::JoinHandle<u32>);

impl Saboteur {
    fn start(herald: &Herald, seed: u64) -> Self {
        let pool = herald.pool.clone();
        let mut random = StdRng::seed_from_u64(seed);
        Self(tokio::spawn(async move {
            let mut ended = 0;
            for _ in 0..120 {
                tokio::time::sleep(Duration::from_millis(random.random_range(1..40))).await;
                // The test's connections are idle or its own: those that work are ended in the middle of it.
                let hit = sqlx::query_scalar::<_, i64>(
                    "select count(pg_terminate_backend(pid)) from (
                         select pid from pg_stat_activity
                         where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
                         order by random() limit 2) as victim",
                )
                .fetch_one(&pool)
                .await;
                ended += u32::try_from(hit.unwrap_or(0)).unwrap();
            }
            ended
        }))
    }

    async fn finish(self) -> u32 {
        self.0.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_commits_may_be_lost_and_each_message_arrives_once() {
    let seed = 2_024;
    let story = Story::begin().await;
    let workers = story.work().await;
    let saboteur = Saboteur::start(&story, seed);
    let (mut accepted, mut doubtful) = (BTreeSet::new(), 0);
    let mut number = 0;
    while !saboteur.0.is_finished() {
        let plain = (number..number + 400)
            .map(|n| story.producer.send(message("ann", "VIEW-NORMAL", &n.to_string())));
        let keyed = (number..number + 10).map(|n| send_until_accepted(&story, n));
        let (plain, keyed) = tokio::join!(join_all(plain), join_all(keyed));
        for sent in plain {
            match sent {
                Ok(id) => assert!(accepted.insert(id.0), "an id was given twice"),
                // The answer to its COMMIT was lost for good: nobody can say.
                Err(SendError::Unavailable(_)) => doubtful += 1,
                Err(other) => panic!("seed {seed}: {other}"),
            }
        }
        accepted.extend(keyed);
        number += 400;
    }
    let ended = saboteur.finish().await;
    assert!(ended > 20, "only {ended} connections were ended");
    story.drain().await;
    let delivered = story.delivered().await;
    assert!(accepted.is_subset(&delivered), "seed {seed}: lost {}", accepted.difference(&delivered).count());
    let unasked = delivered.difference(&accepted).count();
    assert!(unasked <= doubtful, "seed {seed}: {unasked} more than were accepted, {doubtful} in doubt");
    workers.stop().await;
}

/// Repeats a keyed send until it is accepted, as a caller would who must know.
async fn send_until_accepted(story: &Story, number: usize) -> Uuid {
    loop {
        let message = message("bob", "VIEW-NORMAL", &number.to_string());
        match story.producer.send_once(message, &format!("key-{number}")).await {
            Ok(sent) => return sent.id.0,
            Err(SendError::Unavailable(_) | SendError::KeyBusy) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_send_that_is_accepted_again_is_one_message_whether_it_was_delivered_or_not() {
    let story = Story::begin().await;
    let id = MessageId::new(story.clock.now());
    let job = SendJob {
        id,
        accepted_at: story.clock.now().timestamp_millis(),
        origin: Origin::Outbox,
        batch_id: None,
        sent_by: None,
        message: message("ann", "VIEW-NORMAL", "x"),
    };
    let sending = Accepting {
        id,
        lane: Lane::Normal,
        job: RawSendJob::new(&job).unwrap(),
        recipient: "ann".into(),
        sending_user: None,
        due_at: None,
        pushed: false,
        batch_id: None,
    };
    let stranger =
        Accepting { id: MessageId::new(story.clock.now()), recipient: "nobody".into(), ..sending.clone() };
    let accept = async |sends: &[Accepting]| {
        let mut connection = story.pool.acquire().await.unwrap();
        store::outbox::accept(&mut connection, sends).await.unwrap()
    };
    assert_eq!(accept(std::slice::from_ref(&sending)).await, [Accepted::Yes]);
    assert_eq!(accept(&[stranger, sending.clone()]).await, [Accepted::NoRecipient, Accepted::Yes]);
    assert_eq!(story.count("select count(*) from herald.outbox").await, 1);

    let workers = story.work().await;
    story.drain().await;
    assert_eq!(accept(std::slice::from_ref(&sending)).await, [Accepted::Yes]);
    // Its neighbours in the batch are not held up.
    let other = story.producer.send(message("ann", "VIEW-NORMAL", "y")).await.unwrap();
    story.drain().await;
    story.assert_delivered(&BTreeSet::from([id.0, other.0])).await;
    workers.stop().await;
}
