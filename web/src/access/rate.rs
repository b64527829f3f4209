//! How many messages a token may send. Kept in memory, by each process for itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
/// Tokens that are remembered.
const REMEMBERED: usize = 10_000;

/// Counts what tokens send: a full minute's worth at once, and then as much as trickles in.
#[derive(Default)]
pub(crate) struct Rates(Mutex<HashMap<String, Bucket>>);

struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    /// Takes one message of `rate` a minute.
    ///
    /// # Errors
    /// There were too many: how long to wait.
    pub(crate) fn take(&self, token: &str, rate: i32, now: Instant) -> Result<(), Duration> {
        let rate = f64::from(rate.max(1));
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(token) {
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at) < MINUTE);
        }
        let bucket = buckets.entry(token.to_owned()).or_insert(Bucket { left: rate, at: now });
        let passed = now.saturating_duration_since(bucket.at);
        bucket.left = (bucket.left + rate * passed.as_secs_f64() / MINUTE.as_secs_f64()).min(rate);
        bucket.at = now;
        if bucket.left < 1.0 {
            return Err(MINUTE.mul_f64((1.0 - bucket.left) / rate));
        }
        bucket.left -= 1.0;
        Ok(())
    }

    /// Gives back one message of `rate` a minute that was taken and not sent.
    pub(crate) fn give_back(&self, token: &str, rate: i32) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(token) {
            bucket.left = (bucket.left + 1.0).min(f64::from(rate.max(1)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_goes_at_once_and_the_rest_trickles() {
        let (rates, now) = (Rates::default(), Instant::now());
        let sent = |now| (0..1_000).filter(|_| rates.take("a", 60, now).is_ok()).count();
        assert_eq!(sent(now), 60);
        let wait = rates.take("a", 60, now).unwrap_err();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        assert!(rates.take("b", 60, now).is_ok(), "another token has its own");
        assert_eq!(sent(now + Duration::from_secs(10)), 10);
        assert_eq!(sent(now + Duration::from_secs(1_000)), 60, "no more than a minute's worth is saved up");
    }

    #[test]
    fn what_was_not_sent_is_given_back() {
        let (rates, now) = (Rates::default(), Instant::now());
        let sent = || (0..10).filter(|_| rates.take("a", 2, now).is_ok()).count();
        assert_eq!(sent(), 2);
        rates.give_back("a", 2);
        assert_eq!(sent(), 1);
        (0..10).for_each(|_| rates.give_back("a", 2));
        assert_eq!(sent(), 2, "no more than a minute's worth");
        rates.give_back("unknown", 2);
    }
}
