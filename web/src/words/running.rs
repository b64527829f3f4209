//! What the pages say on which operators see what runs: deliveries, and the events of watched tables.

use herald_jobs::deliver::AttemptOutcome;

/// All of it, in one language. Labels are paired with a hint, as in the rest of the administration.
pub(crate) struct Running {
    pub(crate) deliveries: &'static str,
    pub(crate) state: &'static str,
    /// How a copy stands.
    pub(crate) stands: fn(&str) -> &'static str,
    pub(crate) any: &'static str,
    pub(crate) channel: &'static str,
    pub(crate) address: (&'static str, &'static str),
    pub(crate) no_address: &'static str,
    pub(crate) no_deliveries: &'static str,
    pub(crate) none_so_far: &'static str,
    pub(crate) message: &'static str,
    pub(crate) next_attempt: fn(&str) -> String,
    pub(crate) attempts: fn(usize) -> String,
    pub(crate) outcome: fn(AttemptOutcome) -> &'static str,
    /// How an attempt ended, how long it took, and the reply's code.
    pub(crate) ended: fn(&str, &str, Option<i32>) -> String,
    pub(crate) retry: &'static str,
    /// What follows where it may arrive twice, and the button that does it all the same.
    pub(crate) twice: (&'static str, &'static str),
    pub(crate) cancel: &'static str,
    pub(crate) never_sent: (&'static str, &'static str),
    pub(crate) retried: &'static str,
    pub(crate) cancelled: &'static str,
    pub(crate) now_is: fn(&str) -> String,
    /// To whom, and why not.
    pub(crate) not_done: fn(&str, &str) -> String,

    pub(crate) watched: &'static str,
    /// Which events, as the filter says it.
    pub(crate) which: [(&'static str, &'static str); 3],
    pub(crate) watch: (&'static str, &'static str),
    pub(crate) no_events: &'static str,
    pub(crate) all_of_watch: &'static str,
    pub(crate) failed: &'static str,
    pub(crate) waits: &'static str,
    pub(crate) replay: &'static str,
    pub(crate) replay_of: fn(i64) -> String,
    pub(crate) replayed: &'static str,
}

pub(super) static ENGLISH: Running = Running {
    deliveries: "Deliveries",
    state: "State",
    stands: |state| match state {
        "pending" => "pending",
        "sending" => "under way",
        "sent" => "sent",
        "delivered" => "delivered",
        "failed" => "failed",
        "unknown" => "unknown",
        "suppressed" => "suppressed",
        _ => "cancelled",
    },
    any: "any",
    channel: "By",
    address: ("Recipient", "The whole address or number."),
    no_address: "no address",
    no_deliveries: "There is no such delivery.",
    none_so_far: "Nothing so far. There are older ones to look through.",
    message: "Message",
    next_attempt: |at| format!("Next attempt {at}."),
    attempts: |many| if many == 1 { "1 attempt".to_owned() } else { format!("{many} attempts") },
    outcome: |outcome| match outcome {
        AttemptOutcome::Sent => "sent",
        AttemptOutcome::Deferred => "put off",
        AttemptOutcome::Refused => "refused",
        AttemptOutcome::Unknown => "unknown",
        AttemptOutcome::Fault => "fault of the settings or the server",
        AttemptOutcome::Bounced => "came back",
        AttemptOutcome::Delayed => "reported late",
        AttemptOutcome::Delivered => "reported delivered",
    },
    ended: |outcome, took, code| match code {
        Some(code) => format!("{outcome} after {took}, code {code}"),
        None => format!("{outcome} after {took}"),
    },
    retry: "Try again",
    twice: ("Nobody knows whether it arrived. Tried again, it may arrive twice.", "Try again all the same"),
    cancel: "Cancel",
    never_sent: ("It is never sent then. The message stays in its inbox.", "Cancel it now"),
    retried: "It is tried again now.",
    cancelled: "Cancelled: it is not sent.",
    now_is: |state| format!("is {state} by now: look at it again"),
    not_done: |to, why| format!("Not done: the delivery to {to} {why}."),

    watched: "Watched events",
    which: [("failed", "failed"), ("waiting", "waiting"), ("all", "all")],
    watch: ("Watch", "Its number. Empty: all."),
    no_events: "There is no such event.",
    all_of_watch: "All events of this watch",
    failed: "failed",
    waits: "waits",
    replay: "Replay",
    replay_of: |event| format!("Replay event {event}"),
    replayed: "The rules see it once more now, but for those that have sent something for it.",
};
