-- Reminders: rules, and what they have sent.

create table herald.reminder_rule (
    code          text primary key constraint reminder_rule_code_form check (code ~ '^[A-Z0-9][A-Z0-9_.-]{0,59}$'),
    -- The rule as it was written: its fields are those of the API and of the files.
    definition    jsonb not null,
    -- Counts the changes: a run that began with an earlier one sends nothing more.
    version       integer not null default 1,
    -- What came due before this is not sent; null: all that is overdue is.
    armed_at      timestamptz,
    -- When and why it paused itself; null: it has not. Enabling it ends the pause.
    paused_at     timestamptz,
    pause_reason  text,
    created_at    timestamptz not null,
    updated_at    timestamptz not null,
    -- The last run: when, what it did, and whether it did what it should.
    last_run_at   timestamptz,
    last_result   text,
    last_failed   boolean not null default false
);

-- An occurrence that was sent. The key lets each be sent once, whoever runs the rule; the row is committed together with the
-- outbox row of its message.
create table herald.reminder_log (
    rule       text not null references herald.reminder_rule (code) on delete cascade,
    -- The record's key, as text.
    record     text[] not null,
    -- The record's initial date and time. One without a zone stands here as if it were of UTC, so that another zone of the rule makes
    -- no new occurrence of it.
    initial    timestamptz not null,
    -- From 1: the first reminder, and those that repeat it.
    occurrence integer not null,
    due_at     timestamptz not null,
    sent_at    timestamptz not null,
    message_id uuid not null,
    recipient  text not null,
    -- How many outside contacts were to get a copy.
    contacts   integer not null,
    primary key (rule, record, initial, occurrence)
);
create index reminder_log_sent on herald.reminder_log (rule, sent_at desc);

-- What was installed with Herald once, so that it does not come back where somebody removed it.
create table herald.shipped (
    name         text primary key,
    installed_at timestamptz not null
);

-- The rule that is shipped looks for these.
create index message_actions on herald.message (created_at) where status = 'pending' and required_action = 'action';

-- What was purged although its recipient had not seen it, counted.
create table herald.purged_unread (
    -- In UTC.
    purged_on    date not null,
    recipient_id bigint not null,
    message_type text not null,
    messages     bigint not null,
    primary key (purged_on, recipient_id, message_type)
);
-- What the purge looks for.
create index message_ended on herald.message ((coalesce(acted_at, closed_at, created_at))) where status <> 'pending';
create index delivery_ended on herald.delivery (finished_at) where finished_at is not null;
