//! Tells answers to whoever wants to know: at least once each, under one event id.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use herald_jobs::answer::AnswerTo;
use herald_jobs::deliver::{AttemptOutcome, Verdict};
use herald_jobs::id;
use herald_jobs::store;
use herald_jobs::store::answer_events::{ClaimedEvent, EventRecord, EventState, PER_TARGET};
use reqwest::Client;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::now;
use crate::Context;
use crate::repeat::{AFTER_FAILURE, PAUSE};
use crate::workflow::webhook;

/// Most answers that are told at once by one process.
const AT_ONCE: usize = 16;
/// How long a claim may stay silent before another process takes it over, in seconds. Longer than a request may take.
const LEASE_SECONDS: i64 = 60;
/// How long after a failure the next attempt follows, in seconds; the last one repeats.
const BACKOFF_SECONDS: [i64; 8] = [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000];
/// Attempts until an answer waits for an operator: about two days.
const MOST_ATTEMPTS: i32 = 12;

/// Tells answers.
pub(super) struct Teller {
    context: Arc<Context>,
    client: Client,
}

impl Teller {
    pub(super) fn new(context: Context, client: Client) -> Self {
        Self { context: Arc::new(context), client }
    }

    /// Tells what is due until `stop`, then lets what is under way end.
    pub(super) async fn run(self, stop: CancellationToken) {
        let (busy, idle) = PAUSE;
        let mut pause = busy;
        let (mut under_way, mut targets) = (JoinSet::new(), HashMap::<String, i64>::new());
        while !stop.is_cancelled() {
            let room = AT_ONCE.saturating_sub(under_way.len());
            pause = match self.claim(room, &targets).await {
                Ok((_, events)) if events.is_empty() => (pause * 2).min(idle),
                Ok((begun, events)) => {
                    for event in events {
                        *targets.entry(event.answer_to.clone()).or_default() += 1;
                        under_way.spawn(tell(self.context.clone(), self.client.clone(), event, begun));
                    }
                    busy
                }
                Err(error) => {
                    tracing::warn!("Answers wait for the database: {error}");
                    AFTER_FAILURE
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                Some(told) = under_way.join_next(), if under_way.len() >= AT_ONCE => free(&mut targets, told),
            }
            while let Some(told) = under_way.try_join_next() {
                free(&mut targets, told);
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Claims for the room that there is, and answers when.
    async fn claim(
        &self,
        room: usize,
        targets: &HashMap<String, i64>,
    ) -> Result<(DateTime<Utc>, Vec<ClaimedEvent>), sqlx::Error> {
        let now = now(&self.context).await?;
        if room == 0 {
            return Ok((now, Vec::new()));
        }
        let busy: Vec<String> =
            targets.iter().filter(|(_, many)| **many >= PER_TARGET).map(|(name, _)| name.clone()).collect();
        let until = now + TimeDelta::seconds(LEASE_SECONDS);
        let (pool, room) = (&self.context.pool, i64::try_from(room).unwrap_or(1));
        Ok((now, store::answer_events::claim(pool, id::new(now), now, until, room, &busy).await?))
    }
}

/// One to this target less.
fn free(targets: &mut HashMap<String, i64>, told: Result<String, JoinError>) {
    match told {
        Ok(target) => {
            targets.entry(target).and_modify(|many| *many -= 1);
            targets.retain(|_, many| *many > 0);
        }
        // Nobody knows to whom it was: all are counted anew.
        Err(panic) => {
            tracing::error!("An answer could not be told: {panic}");
            targets.clear();
        }
    }
}

/// Tells one that was claimed at `started_at`, and answers whom.
async fn tell(
    context: Arc<Context>,
    client: Client,
    event: ClaimedEvent,
    started_at: DateTime<Utc>,
) -> String {
    let (verdict, wait) = match event.answer_to.parse() {
        Ok(AnswerTo::Webhook(name)) => webhook::post(&context, &client, &name, &event).await,
        Ok(AnswerTo::Stream(name)) => (stream(&context, &name, &event).await, None),
        Ok(AnswerTo::Notify) | Err(_) => {
            let reply = format!("{} cannot be told", event.answer_to);
            (Verdict { outcome: AttemptOutcome::Refused, code: None, reply }, None)
        }
    };
    // By the database's clock, as it was claimed.
    let now = now(&context).await.unwrap_or_else(|_| context.clock.now().max(started_at));
    let outcome = verdict.outcome;
    metrics::counter!("herald_answers_told_total", "outcome" => outcome.as_str()).increment(1);
    if outcome != AttemptOutcome::Sent {
        tracing::info!(event.id = %event.id, "An answer to {} was {outcome}: {}", event.answer_to, verdict.reply);
    }
    let (state, at) = next(&event, outcome, wait, now);
    let record = EventRecord {
        id: event.id,
        lease_token: event.lease_token,
        verdict,
        state,
        next_attempt_at: at,
        started_at,
    };
    if let Err(error) = store::answer_events::record(&context.pool, &record, now).await {
        // The claim runs out, and it is told once more under the same id.
        tracing::warn!(event.id = %event.id, "Could not record that an answer was told: {error}");
    }
    event.answer_to
}

async fn stream(context: &Context, name: &str, event: &ClaimedEvent) -> Verdict {
    match context.queues.tell(name, &event.id.to_string(), &event.payload).await {
        Ok(()) => Verdict { outcome: AttemptOutcome::Sent, code: None, reply: "appended".to_owned() },
        Err(error) => Verdict { outcome: AttemptOutcome::Deferred, code: None, reply: error.to_string() },
    }
}

/// What follows an attempt, and when.
fn next(
    event: &ClaimedEvent,
    outcome: AttemptOutcome,
    wait: Option<TimeDelta>,
    now: DateTime<Utc>,
) -> (EventState, DateTime<Utc>) {
    match outcome {
        AttemptOutcome::Sent => (EventState::Sent, now),
        AttemptOutcome::Refused => (EventState::Failed, now),
        _ if event.attempts >= MOST_ATTEMPTS => (EventState::Failed, now),
        _ => {
            let step = usize::try_from(event.attempts - 1).unwrap_or(0).min(BACKOFF_SECONDS.len() - 1);
            let pause = TimeDelta::seconds(BACKOFF_SECONDS[step]);
            // From 0 to a tenth, different for each: retries of one moment do not come back as one.
            let spread = pause * i32::from(event.id.as_bytes()[15]) / 2_560;
            (EventState::Pending, now + (pause + spread).max(wait.unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn after(outcome: AttemptOutcome, attempts: i32, wait: Option<TimeDelta>) -> (EventState, i64) {
        let now = DateTime::UNIX_EPOCH;
        let event = ClaimedEvent {
            id: Uuid::nil(),
            lease_token: Uuid::nil(),
            answer_to: "webhook:erp".into(),
            payload: String::new(),
            attempts,
            created_at: now,
        };
        let (state, at) = next(&event, outcome, wait, now);
        (state, (at - now).num_seconds())
    }

    #[test]
    fn failures_back_off_and_end_with_an_operator() {
        assert_eq!(after(AttemptOutcome::Sent, 1, None), (EventState::Sent, 0));
        assert_eq!(after(AttemptOutcome::Deferred, 1, None), (EventState::Pending, 5));
        assert_eq!(after(AttemptOutcome::Unknown, 3, None), (EventState::Pending, 120));
        assert_eq!(
            after(AttemptOutcome::Deferred, 1, Some(TimeDelta::minutes(2))),
            (EventState::Pending, 120)
        );
        assert_eq!(after(AttemptOutcome::Deferred, 12, None).0, EventState::Failed);
        assert_eq!(after(AttemptOutcome::Refused, 1, None).0, EventState::Failed);
    }
}
