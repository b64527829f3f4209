//! The instants at which a periodic job is due: the same on every machine.

use std::time::Duration;

use chrono::{DateTime, Days, LocalResult, NaiveDate, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

/// A day's usual length, in seconds.
const DAY: i64 = 24 * 3_600;

/// Once a day at `start` in `zone`, and then every so often until the next day's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots {
    every: TimeDelta,
    start: NaiveTime,
    zone: Tz,
}

/// Slots that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("every: must be 1 second to 24 hours")]
pub struct SlotsError;

impl Slots {
    /// `every` 1 second to 24 hours, in whole seconds.
    ///
    /// # Errors
    /// `every` is shorter or longer than that.
    pub fn new(every: Duration, start: NaiveTime, zone: Tz) -> Result<Self, SlotsError> {
        let seconds = i64::try_from(every.as_secs()).map_err(|_| SlotsError)?;
        if !(1..=DAY).contains(&seconds) {
            return Err(SlotsError);
        }
        Ok(Self { every: TimeDelta::seconds(seconds), start, zone })
    }

    /// Seconds from one slot to the next.
    pub fn seconds(&self) -> u64 {
        self.every.num_seconds().unsigned_abs()
    }

    /// The time of the day's first slot, and its zone.
    pub fn start(&self) -> (NaiveTime, Tz) {
        (self.start, self.zone)
    }

    /// The first slot after `now`.
    pub fn next(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let (day, number) = self.position(now);
        if number + 1 < self.many(day) { self.slot(day, number + 1) } else { self.first_of(day, 1) }
    }

    /// The slot at or before `now`.
    pub fn latest(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let (day, number) = self.position(now);
        self.slot(day, number)
    }

    /// The slot at or before `at`: its day, and its number within that.
    fn position(&self, at: DateTime<Utc>) -> (NaiveDate, i64) {
        let day = self.day_of(at);
        let passed = (at - self.first_of(day, 0)).num_seconds() / self.every.num_seconds();
        (day, passed.min(self.many(day) - 1))
    }

    fn slot(&self, day: NaiveDate, number: i64) -> DateTime<Utc> {
        self.first_of(day, 0) + TimeDelta::seconds(number * self.every.num_seconds())
    }

    /// How many slots a day has. The hour that is there twice a year gets slots of its own only where they keep their distance.
    fn many(&self, day: NaiveDate) -> i64 {
        let length = (self.first_of(day, 1) - self.first_of(day, 0)).num_seconds();
        let every = self.every.num_seconds();
        let usual = (length.min(DAY) + every - 1) / every;
        usual + (length - usual * every) / every
    }

    /// The day whose slots `at` falls among: the one before where the day has not started yet.
    fn day_of(&self, at: DateTime<Utc>) -> NaiveDate {
        let today = at.with_timezone(&self.zone).date_naive();
        if self.first_of(today, 0) <= at { today } else { today.pred_opt().unwrap_or(today) }
    }

    /// The first slot of the day that is `later` days after `day`.
    fn first_of(&self, day: NaiveDate, later: u64) -> DateTime<Utc> {
        let day = day.checked_add_days(Days::new(later)).unwrap_or(day);
        let mut start = day.and_time(self.start);
        loop {
            match self.zone.from_local_datetime(&start) {
                LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => return at.with_timezone(&Utc),
                // The clocks go forward over it: the first minute that there is.
                LocalResult::None => start += TimeDelta::minutes(1),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(every_hours: u64, start: &str, zone: Tz) -> Slots {
        Slots::new(Duration::from_secs(every_hours * 3_600), start.parse().unwrap(), zone).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn every_machine_names_the_same_slots() {
        let hourly = slots(1, "06:00:00", Tz::UTC);
        for second in [0, 1, 1_800, 3_599] {
            let now = at("2026-07-01T09:00:00Z") + TimeDelta::seconds(second);
            assert_eq!(hourly.latest(now), at("2026-07-01T09:00:00Z"));
            assert_eq!(hourly.next(now), at("2026-07-01T10:00:00Z"));
        }
    }

    #[test]
    fn a_day_begins_at_its_start_in_its_zone() {
        let five_hourly = slots(5, "06:00:00", Tz::Europe__Berlin);
        assert_eq!(five_hourly.next(at("2026-07-01T03:59:00Z")), at("2026-07-01T04:00:00Z"));
        assert_eq!(five_hourly.next(at("2026-07-01T04:00:00Z")), at("2026-07-01T09:00:00Z"));
        assert_eq!(five_hourly.next(at("2026-07-02T00:30:00Z")), at("2026-07-02T04:00:00Z"), "not 05:00");
        assert_eq!(five_hourly.latest(at("2026-07-02T03:00:00Z")), at("2026-07-02T00:00:00Z"));
    }

    #[test]
    fn changes_of_the_clock_neither_skip_nor_double_a_day() {
        let nightly = slots(24, "02:30:00", Tz::Europe__Berlin);
        assert_eq!(nightly.next(at("2026-03-28T12:00:00Z")), at("2026-03-29T01:00:00Z"), "there is no 02:30");
        assert_eq!(nightly.next(at("2026-03-29T01:00:00Z")), at("2026-03-30T00:30:00Z"));
        assert_eq!(nightly.next(at("2026-10-24T12:00:00Z")), at("2026-10-25T00:30:00Z"), "the first 02:30");
        let mut slot = at("2026-01-01T01:30:00Z");
        for _ in 0..365 {
            let next = nightly.next(slot);
            assert!((23..=25).contains(&(next - slot).num_hours()), "{slot} to {next}");
            slot = next;
        }
    }

    #[test]
    fn what_is_too_often_or_too_rare_is_refused() {
        let midnight = NaiveTime::MIN;
        assert!(Slots::new(Duration::from_millis(999), midnight, Tz::UTC).is_err());
        assert!(Slots::new(Duration::from_secs(86_401), midnight, Tz::UTC).is_err());
    }
}
