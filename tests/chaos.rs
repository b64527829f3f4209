//! Worker processes, Redis, Postgres and the mail server die, hang and lose things while messages are on their way. Whatever
//! happens, each accepted message has exactly one row in an inbox.

mod support;

#[cfg(test)]
mod chaos {
    mod demo;
    mod live;
    mod mails;
    mod poison;
    mod postgres;
    mod producers;
    mod redis;
    #[cfg(target_os = "linux")]
    mod schedule;
    mod smtp;
    mod stage;
    mod workers;
    mod workflow;
}
