//! The pages, the API, live updates, the schedule and the figures, over real servers and with real workers behind them.

#[path = "support/mod.rs"]
mod support;

#[cfg(test)]
mod web {
    mod acting;
    mod administering;
    mod api;
    mod api_lists;
    mod api_refusals;
    mod authoring;
    mod bad_input;
    mod bounces;
    mod entering;
    mod forms;
    mod keys;
    mod lists;
    mod live;
    mod maintaining;
    mod naughty;
    mod operating;
    mod ops;
    mod outputs;
    mod people;
    mod reminders;
    mod roles;
    mod routes;
    mod rules;
    mod running;
    mod schedule;
    mod schemathesis;
    mod searching;
    mod sms_reports;
    mod snippets;
    mod switch;
    mod telling;
    mod templates;
}
