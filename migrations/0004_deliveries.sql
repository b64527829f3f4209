-- The ledger of copies that go out by e-mail and SMS, and where they go out through.

create table herald.delivery (
    id              uuid primary key,
    -- No foreign key: a copy for an outside contact may be asked for before the message is in the inbox, and the ledger
    -- outlives the message.
    message_id      uuid not null,
    channel         text not null constraint delivery_channel check (channel in ('email', 'sms')),
    address         text not null,
    -- The name shown beside an e-mail address.
    display_name    text not null default '',
    mode            text not null default 'to' constraint delivery_mode check (mode in ('to', 'cc', 'bcc')),
    -- Asked for together with the message: those belong to one mail and show the same To and Cc.
    with_message    boolean not null default true,
    lane            text not null,
    state           text not null default 'pending'
                    constraint delivery_state check
                    (state in ('pending', 'sending', 'sent', 'delivered', 'failed', 'unknown', 'suppressed', 'cancelled')),
    -- The last answer, in the server's own words, or why nothing was sent.
    reason          text,
    attempts        integer not null default 0,
    -- How often the outcome stayed unknown.
    unknowns        integer not null default 0,
    -- What the SMS provider calls it.
    provider_id     text,
    -- Who holds the row while it is being sent, and until when.
    lease_token     uuid,
    lease_until     timestamptz,
    next_attempt_at timestamptz not null,
    -- When its job was last pushed to Redis; null: the relay has yet to push it.
    pushed_at       timestamptz,
    created_at      timestamptz not null,
    finished_at     timestamptz,
    constraint delivery_one_copy unique (message_id, channel, address)
);
-- Each waiting row stands in exactly one of these two.
create index delivery_due on herald.delivery (channel, lane, next_attempt_at)
    where state = 'pending' and pushed_at is null;
create index delivery_pushed on herald.delivery (channel, lane, pushed_at)
    where state = 'pending' and pushed_at is not null;
create index delivery_provider on herald.delivery (provider_id) where provider_id is not null;
create index delivery_lease on herald.delivery (lease_until) where state = 'sending';

create table herald.delivery_attempt (
    -- herald.delivery.id. No foreign key: each attempt would pay for the check of what its own statement has just read.
    delivery_id uuid not null,
    number      integer not null,
    started_at  timestamptz not null,
    finished_at timestamptz not null,
    outcome     text not null constraint delivery_attempt_outcome check
                (outcome in ('sent', 'deferred', 'refused', 'unknown', 'fault')),
    -- The SMTP reply code, where there was one.
    code        integer,
    reply       text not null,
    primary key (delivery_id, number)
);

create table herald.registry (
    key         text primary key constraint registry_key_form check (key ~ '^[A-Z][A-Z0-9-]{0,59}$'),
    value       text,
    description text not null default '',
    -- Kept sealed only, and never shown.
    secret      boolean not null default false,
    updated_at  timestamptz not null default now(),
    constraint registry_secret_sealed check (not secret or value is null or value like 'herald:1:%')
);
create trigger registry_changed after insert or update or delete on herald.registry
    for each statement execute function herald.notify_table();
-- All keys there are: others cannot be set.
insert into herald.registry (key, secret, description) values
    ('SMTP-SERVER', false, 'Host name of the SMTP server; while unset, e-mail waits'),
    ('SMTP-PORT', false, 'Port of the SMTP server; 25 where unset'),
    ('SMTP-USERNAME', false, 'Account on the SMTP server; unset: no authentication'),
    ('SMTP-PASSWORD', true, 'Password of that account'),
    ('SMTP-SECURITY', false, 'starttls (default), tls, or none'),
    ('SMTP-FROM', false, 'Sender address; SMTP-USERNAME where that is an address'),
    ('SMTP-REPLY-TO', false, 'Where answers to mails go; unset: to the sender address'),
    ('SMTP-HELO', false, 'Name to greet the SMTP server with; unset: the name of this machine'),
    ('SMS-PROVIDER', false, 'off (default), twilio or http'),
    ('SMS-FROM', false, 'Sender of SMS: a number, a name, or a Twilio messaging service'),
    ('SMS-ACCOUNT', false, 'Account at Twilio'),
    ('SMS-PASSWORD', true, 'Twilio''s auth token; for http, what #password# in SMS-HEADERS stands for'),
    ('SMS-URL', false, 'http: where messages are posted to; twilio: instead of its own address'),
    ('SMS-METHOD', false, 'http: POST (default) or PUT'),
    ('SMS-HEADERS', false, 'http: one "Name: value" a line'),
    ('SMS-BODY', false, 'http: a JSON document, or a form as a=b&c=d, with #to#, #from#, #text# and #id# in its values'),
    ('SMS-ID', false, 'http: where the message''s id stands in the answer, as a JSON pointer'),
    ('SMS-MAX-SEGMENTS', false, 'Longer texts are cut to so many SMS; 6 where unset'),
    ('SMS-REPORT-URL', false, 'twilio: where Herald''s /api/v1/sms/reports is seen from outside; unset: no reports'),
    ('SMS-REPORT-SECRET', true, 'http: what the gateway signs its reports with; unset: no reports'),
    ('SMS-REPORT-HEADER', false, 'http: where the signature stands; X-Signature where unset'),
    ('SMS-REPORT-FIELDS', false, 'http: where the parts of a report stand; id=/id&status=/status&from=/from&text=/text where unset'),
    ('SMS-REPORT-ARRIVED', false, 'Words by which the provider says that an SMS has arrived'),
    ('SMS-REPORT-LOST', false, 'Words by which it says that one never will');
