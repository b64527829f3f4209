-- People and how they get in: users, sessions, one-use login links, API tokens, the audit log.

create table herald.app_user (
    id            bigint generated always as identity primary key,
    -- Lower case, so that "Ann" and "ann" are one person.
    username      text not null unique
                  constraint app_user_username_form check (username = lower(username) and username ~ '^[^[:space:]/]{1,100}$'),
    display_name  text not null default '',
    email         text,
    -- E.164, as in +491701234567.
    mobile        text,
    -- BCP 47 and IANA names: how dates and numbers are shown to this person.
    locale        text not null default 'en',
    time_zone     text not null default 'UTC',
    -- operator and admin say what one may do here; any other is the house's own, by which approvers are found.
    roles         text[] not null default '{}'
                  constraint app_user_roles_form check (array_to_string(roles, ',') ~ '^([a-z][a-z0-9_-]{0,59}(,|$))*$'),
    -- Argon2id in PHC form; null: may enter by a login link only.
    password_hash text,
    active        boolean not null default true,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);
comment on table herald.app_user is 'A person who receives messages. Never deleted, only deactivated.';

-- Messages name their recipient without a foreign key, whose checks would lock one row per message.
create function herald.refuse_delete() returns trigger language plpgsql as $$
begin
    raise exception '% rows are never deleted', tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger app_user_stays before delete on herald.app_user
    for each row execute function herald.refuse_delete();

-- Workers keep users in memory and forget them when told.
create function herald.notify_table() returns trigger language plpgsql as $$
begin
    perform pg_notify('herald_' || tg_table_name, '');
    return null;
end $$;
create trigger app_user_changed after insert or update on herald.app_user
    for each statement execute function herald.notify_table();

create table herald.session (
    -- SHA-256 of the cookie's value: the table gives nobody a way in.
    token_hash   bytea primary key,
    user_id      bigint not null references herald.app_user (id),
    -- What a form must send back with each change (CSRF).
    form_token   text not null,
    created_at   timestamptz not null,
    last_seen_at timestamptz not null,
    expires_at   timestamptz not null
);
create index session_by_user on herald.session (user_id);
create index session_expiry on herald.session (expires_at);

create table herald.login_link (
    token_hash bytea primary key,
    user_id    bigint not null references herald.app_user (id),
    expires_at timestamptz not null,
    used_at    timestamptz
);

create table herald.api_token (
    id           bigint generated always as identity primary key,
    -- The token's first characters, shown in lists so that people can tell tokens apart.
    prefix       text not null,
    token_hash   bytea not null unique,
    name         text not null,
    -- Messages sent with this token come from this sender,
    sender       text not null,
    -- or from one of these, where they say so.
    senders      text[] not null default '{}',
    -- The only message types that it may send; null: any.
    message_types text[],
    -- Messages a minute at most; null: any number.
    rate         integer constraint api_token_rate_positive check (rate > 0),
    -- May also change templates and models, and read records through them.
    admin        boolean not null default false,
    created_at   timestamptz not null,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);

create table herald.audit (
    id      bigint generated always as identity primary key,
    at      timestamptz not null default now(),
    -- A username, a token's prefix, or "command line".
    actor   text not null,
    action  text not null,
    subject text not null,
    detail  jsonb
);
create index audit_at on herald.audit (at);
create index audit_actor on herald.audit (actor, id);
create index audit_subject on herald.audit (subject, id);
