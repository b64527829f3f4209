//! How often somebody may try to log in. Kept in memory, by each process for itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long attempts count.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Attempts by one address at one user within the window.
const AT_ONE_USER: u32 = 10;
/// Attempts by one address at any user: people behind one gateway share it.
const BY_ONE_ADDRESS: u32 = 100;
/// Addresses and users that are remembered.
const REMEMBERED: usize = 50_000;

/// Counts attempts.
#[derive(Default)]
pub(crate) struct Attempts {
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    at_user: HashMap<(IpAddr, String), Count>,
    by_address: HashMap<IpAddr, Count>,
}

struct Count {
    since: Instant,
    many: u32,
}

impl Attempts {
    /// Counts an attempt before it is made, so that many at once are counted too.
    ///
    /// # Errors
    /// There were too many: how long to wait.
    pub(crate) fn begin(&self, address: IpAddr, user: &str, now: Instant) -> Result<(), Duration> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let at_user = count(&mut counts.at_user, (address, user.to_owned()), AT_ONE_USER, now);
        let by_address = count(&mut counts.by_address, address, BY_ONE_ADDRESS, now);
        at_user.and(by_address)
    }

    /// Forgets the attempts that led to a success.
    pub(crate) fn succeeded(&self, address: IpAddr, user: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let made = counts.at_user.remove(&(address, user.to_owned())).map_or(0, |count| count.many);
        if let Some(count) = counts.by_address.get_mut(&address) {
            count.many = count.many.saturating_sub(made);
        }
    }
}

fn count<K: Eq + Hash>(
    counts: &mut HashMap<K, Count>,
    key: K,
    most: u32,
    now: Instant,
) -> Result<(), Duration> {
    let age = |count: &Count| now.saturating_duration_since(count.since);
    if counts.len() >= REMEMBERED {
        counts.retain(|_, count| age(count) < WINDOW);
        if counts.len() >= REMEMBERED {
            counts.clear();
        }
    }
    let count = counts.entry(key).or_insert(Count { since: now, many: 0 });
    if age(count) >= WINDOW {
        *count = Count { since: now, many: 0 };
    }
    if count.many >= most {
        return Err(WINDOW.saturating_sub(age(count)));
    }
    count.many += 1;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_slowed_down_by_user_and_by_address() {
        let attempts = Attempts::default();
        let (here, there): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = Instant::now();
        for _ in 0..AT_ONE_USER {
            assert!(attempts.begin(here, "ann", now).is_ok());
        }
        assert!(attempts.begin(here, "ann", now).is_err());
        assert!(attempts.begin(there, "ann", now).is_ok(), "nobody can lock ann out from elsewhere");
        assert!(attempts.begin(here, "bob", now).is_ok());
        assert!(attempts.begin(here, "ann", now + WINDOW).is_ok(), "it passes");
        let spraying = (0..200).filter(|n| attempts.begin(here, &format!("user{n}"), now).is_ok()).count();
        assert!(spraying < 100, "{spraying}");
    }

    #[test]
    fn a_success_forgets_what_led_to_it() {
        let attempts = Attempts::default();
        let (here, now) = ("192.0.2.1".parse().unwrap(), Instant::now());
        for _ in 0..200 {
            assert!(attempts.begin(here, "ann", now).is_ok());
            attempts.succeeded(here, "ann");
        }
    }
}
