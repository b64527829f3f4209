use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// The handles of a consumer's metrics, made once.
pub(crate) struct Figures {
    pub(crate) done: Counter,
    pub(crate) retried: Counter,
    pub(crate) dead: Counter,
    pub(crate) outage: Counter,
    pub(crate) interrupted: Counter,
    pub(crate) lost: Counter,
    pub(crate) taken_over: Counter,
    pub(crate) wait: Histogram,
    pub(crate) run: Histogram,
    pub(crate) in_flight: Gauge,
}

impl Figures {
    pub(crate) fn new(queue: &str) -> Self {
        let outcome = |outcome: &'static str| counter!("queue_jobs_total", "queue" => queue.to_owned(), "outcome" => outcome);
        Self {
            done: outcome("done"),
            retried: outcome("retried"),
            dead: outcome("dead"),
            outage: outcome("outage"),
            interrupted: outcome("interrupted"),
            lost: outcome("lost"),
            taken_over: counter!("queue_taken_over_total", "queue" => queue.to_owned()),
            wait: histogram!("queue_job_wait_seconds", "queue" => queue.to_owned()),
            run: histogram!("queue_job_run_seconds", "queue" => queue.to_owned()),
            in_flight: gauge!("queue_in_flight", "queue" => queue.to_owned()),
        }
    }
}
