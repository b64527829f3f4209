//! The schedule: any number of processes tick, and each slot runs once.

use std::time::Duration;

use herald_jobs::periodic::PeriodicName;
use herald_jobs::store;
use herald_web::schedule::{Periodic, Schedule, Slots, run};

use crate::support::eventually;
use crate::support::world::World;

#[tokio::test]
async fn two_processes_make_one_run_of_each_slot() {
    let world = World::start().await;
    let slots = Slots::new(Duration::from_secs(2), chrono::NaiveTime::MIN, chrono_tz::Tz::UTC).unwrap();
    let schedule = Schedule::new(
        world.queues.clone(),
        vec![Periodic { name: PeriodicName::Purge, slots, enabled: true }],
    );
    let ticking: Vec<_> = (0..2).map(|_| tokio::spawn(run(schedule.clone(), world.stop.clone()))).collect();
    let runs = async || store::periodic::latest(&world.pool, 100).await.unwrap();
    eventually("three runs", async || {
        runs().await.iter().filter(|run| run.succeeded == Some(true)).count() >= 3
    })
    .await;
    let runs = runs().await;
    for pair in runs.windows(2) {
        // A machine that stood still for a while has missed some.
        let apart = (pair[0].slot - pair[1].slot).num_milliseconds();
        assert!(apart > 0 && apart % 2_000 == 0, "{pair:?}");
    }
    assert!(runs.iter().all(|run| run.slot.timestamp() % 2 == 0), "{runs:?}");
    world.stop.cancel();
    for process in ticking {
        tokio::time::timeout(Duration::from_secs(10), process).await.unwrap().unwrap();
    }
}
