//! The schedule: any number of processes tick, and each slot runs once.

use std::collections::BTreeMap;
use std::time::Duration;

use herald_jobs::periodic::{PeriodicJob, PeriodicName};
use herald_web::schedule::{Periodic, Schedule, Slots, run};
use redis::streams::StreamRangeReply;
use tokio_util::sync::CancellationToken;

use crate::support::herald::Story;
use crate::support::{PATIENCE, eventually};

/// Notes each run by what every purge does.
const NOTE_RUNS: &str = "
    create table public.ran (at timestamptz not null);
    create function public.note() returns trigger language plpgsql as
        $$ begin insert into public.ran values (clock_timestamp()); return null; end $$;
    create trigger note after delete on herald.session for each statement execute function public.note();";

#[tokio::test]
async fn two_processes_make_one_run_of_each_slot() {
    let story = Story::begin().await;
    story.execute(NOTE_RUNS).await;
    let slots = Slots::new(Duration::from_secs(2), chrono::NaiveTime::MIN, chrono_tz::Tz::UTC).unwrap();
    let job = Periodic { name: PeriodicName::Purge, slots, enabled: true };
    let schedule = Schedule::new(story.queues.clone(), vec![job]);
    let stop = CancellationToken::new();
    let ticking: Vec<_> = (0..2).map(|_| tokio::spawn(run(schedule.clone(), stop.clone()))).collect();

    // Nobody works yet: what is pushed stays. A machine that stood still for a while has missed some.
    let pushed = async || {
        let mut read = redis::cmd("XRANGE");
        read.arg("herald:{periodic:0}").arg("-").arg("+");
        let entries: StreamRangeReply = read.query_async(&mut story.plain_redis().await).await.unwrap();
        let mut pushed = BTreeMap::new();
        for entry in entries.ids {
            let job: PeriodicJob = serde_json::from_str(&entry.get::<String>("job").unwrap()).unwrap();
            assert_eq!(job.slot.timestamp_millis() % 2_000, 0, "{job:?}");
            *pushed.entry(job.slot).or_insert(0) += 1;
        }
        pushed
    };
    eventually("three slots, each pushed by both", async || {
        pushed().await.values().filter(|many| **many == 2).count() >= 3
    })
    .await;
    stop.cancel();
    for process in ticking {
        tokio::time::timeout(PATIENCE, process).await.unwrap().unwrap();
    }
    let pushed = pushed().await;

    let (one, other) = (story.work().await, story.work().await);
    story.drain().await;
    let runs = i64::try_from(pushed.len()).unwrap();
    assert_eq!(story.count("select count(*) from herald.periodic_run where succeeded").await, runs);
    assert_eq!(story.count("select count(*) from public.ran").await, runs, "{pushed:?}");
    one.stop().await;
    other.stop().await;
}
