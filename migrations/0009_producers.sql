-- Who may send from SQL, and how a message is cancelled.

create table herald.send_grant (
    -- A role of the database; those that are members of it may send as its senders too.
    role       text not null,
    -- A model's name or a username; '*': any.
    sender     text not null,
    granted_at timestamptz not null default now(),
    primary key (role, sender)
);
comment on table herald.send_grant is 'As whom a role may send from SQL: see herald grant.';

-- Who owns Herald, or may write its outbox anyway, sends as anybody. It is the session's user that counts: `set role` and functions
-- with their owner's rights make nobody another sender.
create function herald.check_sender(sender text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
    if not has_table_privilege(session_user, 'herald.outbox', 'insert')
       and not exists (select from herald.send_grant g join pg_roles r on r.rolname = g.role
                       where (g.sender in (sender, '*') or g.sender = lower(sender)) and pg_has_role(session_user, r.oid, 'member')) then
        raise exception using message = format('sender: the role %s may not send as %s', session_user, sender),
            errcode = 'insufficient_privilege', column = 'sender',
            detail = 'The argument sender was refused, and nothing was sent.',
            hint = format('Let an administrator run: herald grant send %s --as %s', session_user, sender);
    end if;
end $$;

-- The same of whoever sent this message. Nothing is said of others' messages, nor whether they are there.
create function herald.check_sender_of(message_id uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    sender text := coalesce((select o.payload->'message'->>'sender' from herald.outbox o where o.id = message_id),
                            (select m.sender from herald.message m where m.id = message_id));
begin
    perform herald.check_sender(sender) where sender is not null;
exception when insufficient_privilege then
    perform herald.refuse('message_id', format('there is no message %s', message_id));
end $$;

-- Closes messages, in their inboxes or on the way there, and their copies that have not gone out. Answers how many it closed, and those in
-- whose inboxes they were. What never reached its inbox is kept as a message that was closed, its texts as they were sent.
create function herald.close_messages(ids uuid[], into_status text, why text, now timestamptz, out many bigint, out told text[])
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
    -- A worker that is about to insert one of these is waited for; its message is found by the next statement then.
    with send as (
        delete from herald.outbox o where o.id = any(ids) returning o.*
    ), kept as (
        insert into herald.message (id, recipient_id, message_type, alert, required_action, choice_set, action_url, complete_on,
                                    on_unknown, lane, subject, message_text, external_message, template, sender, sender_instance,
                                    action_parameters, status, closed_at, closed_reason, created_at, batch_id, sent_by)
        select s.id, u.id, t.code, t.delivery_method = 'alert', t.required_action, t.choice_set, t.action_url, t.complete_on,
               t.on_unknown, s.lane, coalesce(m->>'subject', t.description), coalesce(m->>'message_text', ''),
               m->>'external_message', m->>'template', m->>'sender', m->>'sender_instance', (m->'action_parameters')::jsonb,
               into_status, now, why, s.accepted_at, s.batch_id, s.payload->>'sent_by'
        from send s cross join lateral (select s.payload->'message') as p(m)
        join herald.app_user u on u.username = m->>'recipient'
        join herald.message_type t on t.code = m->>'message_type'
        on conflict (id) do nothing
    )
    select count(*) into many from send;
    -- In the order in which everybody locks messages.
    perform from herald.message m where m.id = any(ids) order by m.id for update;
    with closed as (
        update herald.message m set status = into_status, closed_at = now, closed_reason = why where m.id = any(ids) and m.status = 'pending'
        returning m.recipient_id
    )
    select array_agg(recipient_id::text) into told from closed;
    update herald.delivery d
        set state = 'cancelled', reason = 'The message was ' || into_status || '.', finished_at = now, pushed_at = null
        where d.message_id = any(ids) and d.state = 'pending';
    delete from herald.answer_route r where r.message_id = any(ids)
        and not exists (select from herald.message m where m.id = r.message_id and m.status = 'pending');
    many := many + coalesce(cardinality(told), 0);
end $$;

-- Takes messages back: cancelled by who sent them, or withdrawn by an authorisation. Answers how many were taken back now.
create function herald.take_back(ids uuid[], into_status text, why text, now timestamptz) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    many bigint;
    told text[];
begin
    select c.many, c.told into many, told from herald.close_messages(ids, into_status, why, now) c;
    if told is not null then
        perform pg_notify('herald_inbox', case when cardinality(told) > 500 then '*'
            else (select string_agg(distinct recipient, ',') from unnest(told) recipient) end);
    end if;
    return many;
end $$;

-- Cancels messages. Those of an authorisation are its own to withdraw.
create function herald.cancel(ids uuid[], now timestamptz) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    return herald.take_back(array(select id from unnest(ids) id
                                  where not exists (select from herald.approver a where a.message_id = id)), 'cancelled', null, now);
end $$;

-- Cancels one message. True: it is cancelled now; false: it was cancelled before.
create function herald.cancel_message(message_id uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    status text;
begin
    perform herald.check_sender_of(message_id);
    if exists (select from herald.approver a where a.message_id = message_id) then
        raise exception using message = 'message_id: the message asks for an authorisation: withdraw that',
            errcode = 'object_not_in_prerequisite_state', column = 'message_id',
            detail = 'The argument message_id was refused, and nothing was cancelled.',
            hint = 'Use herald.withdraw_authorisation.';
    end if;
    -- With its batch, even where its own row has yet to say so.
    if exists (select from herald.cancelling c
               where c.id = coalesce((select o.batch_id from herald.outbox o where o.id = message_id),
                                     (select m.batch_id from herald.message m where m.id = message_id and m.status = 'pending'))) then
        return false;
    elsif herald.cancel(array[message_id], clock_timestamp()) > 0 then
        return true;
    end if;
    select m.status into status from herald.message m where m.id = message_id;
    if not found then
        perform herald.refuse('message_id', format('there is no message %s', coalesce(message_id::text, '')));
    elsif status <> 'cancelled' then
        raise exception using message = format('message_id: the message was %s', status),
            errcode = 'object_not_in_prerequisite_state', column = 'message_id',
            detail = 'The argument message_id was refused, and nothing was cancelled.',
            hint = 'Only a message that waits can be cancelled.';
    end if;
    return false;
end $$;

revoke execute on all functions in schema herald from public;

-- What was made for somebody and waits to be fetched: reports, exports.
create table herald.output (
    id           uuid primary key,
    message_id   uuid not null,
    -- herald.app_user.id: nobody else can fetch it. No foreign key: a caller's open transaction locks nothing of ours.
    owner_id     bigint not null,
    -- The file's name as it is saved.
    name         text not null,
    content_type text not null,
    -- In bytes.
    size         bigint not null default 0,
    -- Where it is; null: in herald.output_part.
    url          text,
    expires_at   timestamptz not null
);
create index output_by_message on herald.output (message_id);
create index output_expiry on herald.output (expires_at);

-- A part for each mebibyte, so that nobody holds the whole in memory.
create table herald.output_part (
    output_id uuid not null references herald.output (id) on delete cascade,
    number    integer not null,
    bytes     bytea not null,
    primary key (output_id, number)
);
