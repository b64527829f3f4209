//! What the pages say on which Herald itself is looked after: the registry, the schedule, tokens, the audit log.

use herald_jobs::store::users::Imported;

use super::running::Running;
use crate::app::Role;

/// All of it, in one language. Labels are paired with a hint where one is needed; an empty hint is not shown.
pub(crate) struct Operations {
    /// The group in the menus.
    pub(crate) title: &'static str,
    pub(crate) only_operators: &'static str,
    /// Deliveries, and the events of watched tables.
    pub(crate) running: &'static Running,

    pub(crate) registry: &'static str,
    /// The keys of a channel.
    pub(crate) keys_of: fn(&str) -> &'static str,
    pub(crate) not_set: &'static str,
    pub(crate) set_secret: &'static str,
    pub(crate) change: &'static str,
    pub(crate) as_if_unset: &'static str,
    pub(crate) secret_hint: &'static str,
    pub(crate) secret_again: &'static str,
    pub(crate) unset: fn(&str) -> String,
    /// Why secrets cannot be sealed.
    pub(crate) no_keys: fn(&str) -> String,
    /// Where the test of a channel goes.
    pub(crate) test_to: fn(&str) -> (&'static str, &'static str),
    pub(crate) send_test: &'static str,
    /// To whom, when.
    pub(crate) test_waits: fn(&str, &str) -> String,
    pub(crate) test_worked: fn(&str, &str, &str) -> String,
    pub(crate) test_failed: fn(&str, &str, &str) -> String,
    pub(crate) look_again: &'static str,

    pub(crate) schedule: &'static str,
    pub(crate) job_does: fn(&str) -> &'static str,
    pub(crate) planned: &'static str,
    /// From when, seconds between, time zone.
    pub(crate) every: fn(&str, u64, &str) -> String,
    pub(crate) disabled: &'static str,
    pub(crate) next_run: &'static str,
    pub(crate) last_run: &'static str,
    pub(crate) never_ran: &'static str,
    pub(crate) still_runs: &'static str,
    pub(crate) took: &'static str,
    /// Milliseconds.
    pub(crate) duration: fn(i64) -> String,
    pub(crate) result: &'static str,
    pub(crate) failed: &'static str,
    pub(crate) run_now: &'static str,
    pub(crate) ran: fn(&str) -> String,
    pub(crate) asked_to_run: fn(&str) -> String,
    pub(crate) not_asked: &'static str,

    pub(crate) tokens: &'static str,
    pub(crate) new_token: &'static str,
    pub(crate) token: &'static str,
    pub(crate) token_name: (&'static str, &'static str),
    pub(crate) senders: (&'static str, &'static str),
    pub(crate) sends_as: &'static str,
    pub(crate) only_types: (&'static str, &'static str),
    /// The columns of a list: types, rate.
    pub(crate) may_send: &'static str,
    pub(crate) rate_column: &'static str,
    pub(crate) rate: (&'static str, &'static str),
    pub(crate) rate_of: fn(i32) -> String,
    pub(crate) any: &'static str,
    pub(crate) administers: (&'static str, &'static str),
    pub(crate) expires: (&'static str, &'static str),
    pub(crate) ends: &'static str,
    pub(crate) never: &'static str,
    pub(crate) ended: fn(&str) -> String,
    pub(crate) revoked: fn(&str) -> String,
    pub(crate) last_used: &'static str,
    pub(crate) revoke: &'static str,
    pub(crate) revoke_now: &'static str,
    pub(crate) token_revoked: &'static str,
    pub(crate) token_made: &'static str,
    pub(crate) token_shown_once: &'static str,
    pub(crate) create: &'static str,
    pub(crate) to_tokens: &'static str,

    pub(crate) audit: &'static str,
    pub(crate) when: &'static str,
    pub(crate) actor: (&'static str, &'static str),
    pub(crate) action: (&'static str, &'static str),
    pub(crate) subject: (&'static str, &'static str),
    pub(crate) filter: &'static str,
    pub(crate) show_all: &'static str,
    pub(crate) nothing_recorded: &'static str,
    pub(crate) older: &'static str,

    pub(crate) import: &'static str,
    pub(crate) import_users: &'static str,
    pub(crate) import_what: (&'static str, &'static str),
    pub(crate) import_file: &'static str,
    pub(crate) not_utf8: &'static str,
    pub(crate) not_read: &'static str,
    pub(crate) check_first: &'static str,
    /// How many would be added, and changed.
    pub(crate) would_import: fn(&Imported) -> String,
    pub(crate) imported: fn(&Imported) -> String,
    pub(crate) nobody_imported: &'static str,
    pub(crate) row: fn(usize) -> String,
    pub(crate) log_in_link: &'static str,
    pub(crate) log_in_link_why: &'static str,
    pub(crate) make_link: &'static str,
    pub(crate) link_made: fn(&str) -> String,
    pub(crate) link_shown_once: &'static str,
    pub(crate) to_users: &'static str,
    pub(crate) no_link: &'static str,

    pub(crate) you_are: &'static str,
    /// Who, and what for.
    pub(crate) persona: fn(&str, Role) -> String,
}

pub(super) static ENGLISH: Operations = Operations {
    title: "Herald itself",
    only_operators: "This page is for operators and administrators.",
    running: &super::running::ENGLISH,

    registry: "Application Registry",
    keys_of: |channel| match channel {
        "email" => "E-mail",
        _ => "SMS",
    },
    not_set: "not set",
    set_secret: "set, and never shown",
    change: "Change",
    as_if_unset: "not set",
    secret_hint: "It is kept sealed and never shown. Leave this empty to keep what is there.",
    secret_again: "For safety it was not kept here: type it again.",
    unset: |key| format!("Unset {key}"),
    no_keys: |why| format!("Secrets cannot be saved here: {why}."),
    test_to: |channel| match channel {
        "email" => ("Send a test mail to", "As in you@example.com."),
        _ => ("Send a test SMS to", "As in +491701234567."),
    },
    send_test: "Send a test",
    test_waits: |to, when| {
        format!("The test to {to} ({when}) has not ended yet. A server may take long; or no worker runs.")
    },
    test_worked: |to, when, said| format!("The test to {to} worked ({when}): {said}"),
    test_failed: |to, when, said| format!("The test to {to} failed ({when}): {said}"),
    look_again: "Look again",

    schedule: "Schedule",
    job_does: |job| match job {
        "purge" => "Deletes what has outlived its retention.",
        "reminders" => "Sends the reminders that are due.",
        _ => "",
    },
    planned: "Planned",
    every: |start, seconds, zone| {
        let every = match seconds {
            1 => "second".to_owned(),
            60 => "minute".to_owned(),
            3_600 => "hour".to_owned(),
            86_400 => "day".to_owned(),
            _ if seconds % 3_600 == 0 => format!("{} hours", seconds / 3_600),
            _ if seconds % 60 == 0 => format!("{} minutes", seconds / 60),
            _ => format!("{seconds} seconds"),
        };
        format!("every {every}, each day from {start} ({zone})")
    },
    disabled: "disabled: it runs only when somebody asks for it",
    next_run: "Next run",
    last_run: "Last run",
    never_ran: "never",
    still_runs: "it runs now",
    took: "Took",
    duration: |ms| match ms {
        ..1_000 => format!("{} ms", ms.max(0)),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    },
    result: "Result",
    failed: "failed",
    run_now: "Run now",
    ran: |job| format!("{job} ran: see below."),
    asked_to_run: |job| {
        format!("{job} was asked to run, and has not ended yet. It may take long; or no worker runs.")
    },
    not_asked: "The queue did not take it: Redis does not answer. Try again in a moment.",

    tokens: "API tokens",
    new_token: "New API token",
    token: "Token",
    token_name: ("Name", "What it is for."),
    senders: (
        "Senders",
        "One a line: a model's name or a username. Messages come from the first, or from another that they name.",
    ),
    sends_as: "Sends as",
    only_types: ("Only these message types", "One a line. Empty: any."),
    may_send: "May send",
    rate_column: "Rate",
    rate: ("Messages a minute", "At most, for each web process. Empty: any number."),
    rate_of: |rate| format!("{rate} a minute"),
    any: "any",
    administers: (
        "Administers",
        "May maintain everything, log in as anybody and answer for anybody. Keep it as you keep the database's password.",
    ),
    expires: ("Expires", "Days from now, or a date as in 2027-01-31 (its last day, UTC). Empty: never."),
    ends: "Ends",
    never: "never",
    ended: |when| format!("ended {when}"),
    revoked: |when| format!("revoked {when}"),
    last_used: "Last used",
    revoke: "Revoke",
    revoke_now: "Revoke now",
    token_revoked: "Revoked. Programs that use it are refused from now on.",
    token_made: "The token",
    token_shown_once: "Copy it now: it is shown this once, and stored nowhere.",
    create: "Create",
    to_tokens: "To the tokens",

    audit: "Audit log",
    when: "When",
    actor: ("Who", "The whole name."),
    action: ("Did", "All of it, or its first word."),
    subject: ("To what", "The whole name."),
    filter: "Show these",
    show_all: "Show all",
    nothing_recorded: "Nothing is recorded of this.",
    older: "Older",

    import: "Import",
    import_users: "Import users",
    import_what: (
        "CSV",
        "The first line names the columns: username, display_name, email, mobile, locale, time_zone. \
         Users that are there are changed; an empty column keeps what is there. All rows are taken, or none.",
    ),
    import_file: "Take it from a file",
    not_utf8: "This file is not UTF-8, so its letters would come in wrong. Save it as \"CSV UTF-8\", and choose it again.",
    not_read: "This file cannot be read.",
    check_first: "Check only",
    would_import: |it| {
        format!("All is well: {} would be added and {} changed.{}", it.added, it.changed, still_inactive(it))
    },
    imported: |it| format!("{} added, {} changed.{}", it.added, it.changed, still_inactive(it)),
    nobody_imported: "Nobody was imported:",
    row: |row| format!("Row {row}"),
    log_in_link: "Log-in link",
    log_in_link_why: "Lets this user in once, within a day, without a password.",
    make_link: "Make a log-in link",
    link_made: |name| format!("A link for {name}"),
    link_shown_once: "Whoever opens it is logged in as this user, once, within a day. It is shown this once.",
    to_users: "To the users",
    no_link: "This user is not active, so that no link would let them in.",

    you_are: "This is the demo. You are",
    persona: |name, role| {
        let role = match role {
            Role::Requester => "requester",
            Role::Approver => "approver",
            Role::Administrator => "administrator",
        };
        format!("{name}, {role}")
    },
};

fn still_inactive(imported: &Imported) -> String {
    match imported.inactive {
        0 => String::new(),
        some => format!(" Deactivated, as before: {some}."),
    }
}
