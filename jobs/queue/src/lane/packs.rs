//! Packs whose jobs have not all ended.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use super::{Parked, Report};
use crate::{EntryId, hub::lock};

/// By the id of the entry.
#[derive(Default)]
pub(super) struct Packs(Mutex<HashMap<EntryId, Open>>);

struct Open {
    size: u16,
    /// How many have yet to end.
    running: u16,
    /// Those that are not done.
    left: Vec<u16>,
    any_failed: bool,
    /// How long what was not begun is to wait.
    delay: Duration,
}

/// A pack that is over: what is left of it is to be put back, each as an entry of its own, and it is to be deleted.
pub(super) struct Over {
    pub(super) id: EntryId,
    pub(super) size: u16,
    pub(super) left: Vec<u16>,
}

impl Packs {
    pub(super) fn open(&self, id: EntryId, size: u16) {
        let open = Open { size, running: size, left: Vec::new(), any_failed: false, delay: Duration::ZERO };
        lock(&self.0).insert(id, open);
    }

    /// Takes the jobs of packs out of a report, and answers the packs that are over by that. One of which nothing was begun is
    /// parked as it is.
    pub(super) fn settle(&self, report: &mut Report) -> Vec<Over> {
        let mut over = Vec::new();
        let Report { done, parked, failed } = report;
        let mut open = lock(&self.0);
        let mut end = |id: EntryId, change: &dyn Fn(&mut Open)| {
            let Some(pack) = open.get_mut(&id.entry()) else { return };
            change(pack);
            pack.running -= 1;
            if pack.running == 0 {
                over.extend(open.remove_entry(&id.entry()));
            }
        };
        done.retain(|id| {
            if id.is_part() {
                end(*id, &|_| {});
            }
            !id.is_part()
        });
        parked.retain(|Parked { id, delay, .. }| {
            if id.is_part() {
                end(*id, &|pack| {
                    pack.left.push(id.part);
                    pack.delay = pack.delay.max(*delay);
                });
            }
            !id.is_part()
        });
        for id in failed.drain(..) {
            end(id, &|pack| {
                pack.left.push(id.part);
                pack.any_failed = true;
            });
        }
        let (whole, over): (Vec<_>, Vec<_>) = over
            .into_iter()
            .partition(|(_, pack)| pack.left.len() == usize::from(pack.size) && !pack.any_failed);
        parked.extend(whole.into_iter().map(|(id, pack)| Parked { id, delay: pack.delay, count: 0 }));
        over.into_iter().map(|(id, Open { size, left, .. })| Over { id, size, left }).collect()
    }
}
