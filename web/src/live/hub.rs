//! From one connection that listens to Postgres, to the pages of those whose inbox changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use herald_jobs::store::inbox::{Change, Changes};
use herald_jobs::store::{self, PgPool};
use tokio::sync::watch;

/// How long to wait before listening anew.
const AGAIN: Duration = Duration::from_secs(1);

/// Who waits for changes of whose inbox. A change is a mark, not a message: many of them before somebody looks are one.
#[derive(Clone, Default)]
pub(crate) struct Hub {
    watched: Arc<Mutex<HashMap<i64, watch::Sender<()>>>>,
}

impl Hub {
    /// Tells of changes of this user's inbox from now on.
    pub(crate) fn watch(&self, user: i64) -> watch::Receiver<()> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|_, marks| !marks.is_closed());
        watched.entry(user).or_default().subscribe()
    }

    fn tell(&self, change: &Change) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::Of(users) => users.iter().filter_map(|user| watched.get(user)).for_each(mark),
            Change::Any => watched.values().for_each(mark),
        }
    }
}

fn mark(marks: &watch::Sender<()>) {
    marks.send_replace(());
}

/// Passes on what Postgres tells, for ever. Whatever happened while nobody listened, all pages look anew afterwards.
pub(crate) async fn follow(pool: PgPool, hub: Hub) {
    loop {
        if let Err(error) = listen(&pool, &hub).await {
            tracing::warn!("Live updates wait for the database: {error}");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn listen(pool: &PgPool, hub: &Hub) -> Result<(), store::Error> {
    let mut changes = Changes::listen(pool).await?;
    hub.tell(&Change::Any);
    loop {
        hub.tell(&changes.next().await?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whose_inbox_changed_are_told() {
        let hub = Hub::default();
        let (ann, bob) = (hub.watch(1), hub.watch(2));
        hub.tell(&Change::Of(vec![1, 3]));
        assert!(ann.has_changed().unwrap() && !bob.has_changed().unwrap());
        hub.tell(&Change::Any);
        assert!(bob.has_changed().unwrap());
    }

    #[test]
    fn who_has_gone_is_forgotten() {
        let hub = Hub::default();
        drop(hub.watch(1));
        let _bob = hub.watch(2);
        assert_eq!(hub.watched.lock().unwrap().len(), 1);
    }
}
