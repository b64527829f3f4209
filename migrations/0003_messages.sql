-- The way of a message: accepted into the outbox, then one row in its recipient's inbox.

-- No foreign keys: a caller's open transaction must lock nothing that others wait for.
create table herald.outbox (
    -- A uuid v7; the message gets the same id.
    id          uuid primary key,
    lane        text not null,
    -- The send job as it goes through Redis. json, not jsonb: kept to the letter.
    payload     json not null,
    accepted_at timestamptz not null default now(),
    -- Not handed to a worker before this time.
    due_at      timestamptz not null default now(),
    -- When the job was last pushed to Redis; null: the relay has yet to push it.
    pushed_at   timestamptz,
    batch_id    uuid,
    -- The job failed for good: kept for an operator to replay or drop.
    failed_at   timestamptz,
    reason      text
);
comment on table herald.outbox is
    'Accepted sends that are not in an inbox yet. The row is the permit: the commit that inserts the message deletes it.';
-- Each waiting row stands in exactly one of these two.
create index outbox_unpushed on herald.outbox (lane, due_at) where pushed_at is null and failed_at is null;
create index outbox_pushed on herald.outbox (lane, pushed_at) where pushed_at is not null and failed_at is null;
create index outbox_failed on herald.outbox (failed_at) where failed_at is not null;

-- Outlives its message, so that a late repeat is still recognised.
create table herald.idempotency (
    sender       text not null,
    key          text not null constraint idempotency_key_length check (length(key) between 1 and 255),
    request_hash bytea not null,
    message_id   uuid not null,
    expires_at   timestamptz not null,
    primary key (sender, key)
);
create index idempotency_expiry on herald.idempotency (expires_at);

create table herald.message (
    id                uuid primary key,
    -- herald.app_user.id; users are never deleted.
    recipient_id      bigint not null,
    message_type      text not null,
    -- The type's behaviour when the message was made.
    alert             boolean not null,
    required_action   text not null,
    choice_set        text,
    action_url        text,
    complete_on       text not null,
    on_unknown        text not null,
    lane              text not null,
    subject           text not null,
    message_text      text not null,
    -- What e-mail and SMS carry; null: message_text.
    external_message  text,
    -- What e-mail carries beside the plain text.
    external_html     text,
    -- What made the texts: herald.message_template.
    template          text,
    template_version  integer,
    -- Why the texts could not be made: the message then holds its type's fallback text.
    template_error    text,
    -- A model's name with the instance's id, or a username alone.
    sender            text not null,
    sender_instance   text,
    -- A JSON list of scalars, appended to action_url.
    action_parameters jsonb,
    status            text not null default 'pending'
                      constraint message_status check (status in ('pending', 'acted', 'cancelled', 'withdrawn')),
    reply_value       text,
    created_at        timestamptz not null,
    seen_at           timestamptz,
    acted_at          timestamptz,
    -- Who acted: a username, "token ..." or "command line"; and where: inbox, api, email, cli or callback.
    acted_by          text,
    acted_via         text,
    -- When it was cancelled or withdrawn, and why, where there is something to say.
    closed_at         timestamptz,
    closed_reason     text,
    -- Only view messages expire.
    expires_at        timestamptz,
    batch_id          uuid,
    -- Through what it came in, as in "role reports" (SQL) or "token hrld_abcdefgh"; null: a program of Herald's own.
    sent_by           text
);
-- The inbox's lists and counts.
create index message_inbox on herald.message (recipient_id, alert, id desc) where status = 'pending';
create index message_history on herald.message (recipient_id, alert, id desc) where status <> 'pending';
create index message_expiry on herald.message (expires_at) where status = 'pending' and expires_at is not null;
create index message_template_errors on herald.message (id desc) where template_error is not null;
create index outbox_batch on herald.outbox (batch_id) where batch_id is not null;
create index message_batch on herald.message (batch_id, id) where batch_id is not null;
