//! What Herald does, told on real servers. Tests are named after the behaviours of `docs/behaviours.md`.

mod support;

#[cfg(test)]
mod stories {
    mod accept;
    mod access;
    mod attachments;
    mod bounce;
    mod cancelling;
    mod check;
    mod commands;
    mod commits;
    mod deliveries;
    mod demo;
    mod email;
    mod example;
    mod inbox;
    mod keys;
    mod maintaining;
    mod many;
    mod metadata;
    mod models;
    #[cfg(target_os = "linux")]
    mod postfix;
    mod purge;
    mod recipients;
    mod registering;
    mod registry;
    mod relay;
    mod reminder_commands;
    mod reminder_records;
    mod reminder_rules;
    mod reminder_runs;
    mod reminders;
    mod sms;
    mod sms_reports;
    mod sql;
    mod task_queue;
    mod templates;
    mod windows;
}
