-- The workflow loop: answers and where they go, and requests for a decision.

create table herald.webhook (
    name       text primary key constraint webhook_name_form check (name ~ '^[a-z0-9][a-z0-9_.-]{0,59}$'),
    url        text not null,
    -- What its requests are signed with, sealed.
    secret     text not null constraint webhook_secret_sealed check (secret like 'herald:1:%'),
    created_at timestamptz not null
);
comment on table herald.webhook is 'Programs that are told of answers by HTTP: see herald webhook.';

create table herald.answer_route (
    -- No foreign key: the row is made when the message is accepted, and so before it.
    message_id uuid primary key,
    -- webhook:NAME, stream:NAME or notify.
    answer_to  text not null
);
comment on table herald.answer_route is 'Where the answer to a message goes, until it has come.';

create table herald.answer_event (
    -- The same at each attempt: receivers tell repeats by it.
    id               uuid primary key,
    message_id       uuid,
    authorisation_id uuid,
    -- Null: it is kept here for whoever looks.
    answer_to        text,
    -- What is delivered, to the letter: signatures are made over it.
    payload          json not null,
    state            text not null default 'pending'
                     constraint answer_event_state check (state in ('pending', 'sending', 'sent', 'failed', 'kept')),
    attempts         integer not null default 0,
    -- The last answer of the receiver, or what went wrong here.
    reason           text,
    next_attempt_at  timestamptz not null,
    lease_token      uuid,
    lease_until      timestamptz,
    created_at       timestamptz not null,
    finished_at      timestamptz,
    -- One row for each answer, whoever races.
    constraint answer_event_of_message unique (message_id),
    constraint answer_event_of_authorisation unique (authorisation_id),
    constraint answer_event_of_one check ((message_id is null) <> (authorisation_id is null))
);
create index answer_event_due on herald.answer_event (answer_to, next_attempt_at) where state = 'pending';
create index answer_event_lease on herald.answer_event (lease_until) where state = 'sending';
create index answer_event_failed on herald.answer_event (finished_at) where state = 'failed';
create index answer_event_ended on herald.answer_event (finished_at) where finished_at is not null;

create table herald.answer_attempt (
    event_id    uuid not null references herald.answer_event (id) on delete cascade,
    number      integer not null,
    started_at  timestamptz not null,
    finished_at timestamptz not null,
    outcome     text not null constraint answer_attempt_outcome check (outcome in ('sent', 'deferred', 'refused', 'unknown', 'fault')),
    -- The HTTP status, where there was one.
    code        integer,
    reply       text not null,
    primary key (event_id, number)
);

create table herald.authorisation (
    id         uuid primary key,
    -- The record that it is about, as templates read it.
    model      text not null,
    model_key  jsonb not null,
    -- The username of who asks, and so does not decide.
    requester  text not null,
    -- any: the first answer decides; all: one refusal does, or the last approval.
    mode       text not null constraint authorisation_mode check (mode in ('any', 'all')),
    -- What each approver is sent: arguments of herald.send_message.
    message    jsonb not null,
    -- The replies that approve; any other refuses.
    approving  text[] not null,
    -- Who is to be asked next; null: all have been.
    to_ask     jsonb,
    due_at     timestamptz,
    -- How long those have who are asked next.
    patience   interval,
    on_timeout text not null constraint authorisation_on_timeout check (on_timeout in ('expire', 'approve', 'refuse', 'ask')),
    -- Who is asked when the time is over.
    then_ask   jsonb,
    answer_to  text,
    status     text not null default 'pending' constraint authorisation_status check
               (status in ('pending', 'approved', 'refused', 'expired', 'withdrawn', 'failed')),
    -- What was answered, by whom and when; nobody where time decided.
    reply_value text,
    decided_by text,
    decided_at timestamptz,
    -- Why it ended as it did, where no answer says it.
    reason     text,
    -- Under which it was asked, by this model.
    idempotency_key text,
    -- How often a record could not be read, and when it is tried again.
    tries      integer not null default 0,
    retry_at   timestamptz,
    -- Through what it came in.
    sent_by    text not null,
    created_at timestamptz not null,
    constraint authorisation_due check (due_at is not null or on_timeout = 'expire'),
    constraint authorisation_ask check ((then_ask is not null) = (on_timeout = 'ask'))
);
create index authorisation_overdue on herald.authorisation (due_at) where status = 'pending' and due_at is not null;
create index authorisation_unasked on herald.authorisation (created_at) where status = 'pending' and to_ask is not null;
create index authorisation_subject on herald.authorisation (model, model_key, id);
create index authorisation_model on herald.authorisation (model, id);
create index authorisation_ended on herald.authorisation (decided_at) where decided_at is not null;
create index authorisation_pending on herald.authorisation (id) where status = 'pending';

create table herald.approver (
    authorisation_id uuid not null references herald.authorisation (id) on delete cascade,
    message_id       uuid not null unique,
    username         text not null,
    -- released: what others did, or the time, made the answer superfluous.
    state            text not null default 'asked' constraint approver_state check (state in ('asked', 'approved', 'refused', 'released')),
    reply_value      text,
    answered_at      timestamptz,
    primary key (authorisation_id, message_id)
);
comment on table herald.approver is 'Who was asked for an authorisation, by which message, and what came of it.';

-- Refuses an address for answers that cannot be.
create function herald.check_answer_to(answer_to text, message_type text, required_action text) returns void
language plpgsql as $$
#variable_conflict use_variable
begin
    if answer_to is null then
        return;
    elsif required_action = 'view' then
        perform herald.refuse('answer_to', format('is of no use with %s, which nobody answers', message_type));
    elsif answer_to !~ '^(notify|(webhook|stream):[a-z0-9][a-z0-9_.-]{0,59})$' then
        perform herald.refuse('answer_to', 'must be notify, webhook:NAME or stream:NAME');
    elsif answer_to like 'webhook:%' and not exists (select from herald.webhook w where w.name = substr(answer_to, 9)) then
        perform herald.refuse('answer_to', format('there is no webhook "%s"', substr(answer_to, 9)),
            'Let an administrator run: herald webhook add');
    end if;
end $$;

-- Records what is to be told of one answer, in the answer's own transaction.
create function herald.record_answer(of_message uuid, of_authorisation uuid, answer_to text, kind text, data jsonb, now timestamptz)
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    is_kept boolean := answer_to is null or answer_to = 'notify';
begin
    insert into herald.answer_event (id, message_id, authorisation_id, answer_to, payload, state, next_attempt_at, created_at, finished_at)
    values (herald.uuid_v7(), of_message, of_authorisation, answer_to,
            json_build_object('type', kind, 'timestamp', to_char(now at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'data', data),
            case when is_kept then 'kept' else 'pending' end, now, now, case when is_kept then now end);
end $$;

-- Ends an authorisation whose row the caller has locked: nobody else's answer is waited for any more.
create function herald.decide(id uuid, outcome text, value text, by text, why text, now timestamptz) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    it      herald.authorisation;
    waiting uuid[];
begin
    update herald.authorisation a
        set status = outcome, reply_value = value, decided_by = by, decided_at = now, reason = why, to_ask = null
        where a.id = id and a.status = 'pending' returning a.* into it;
    if not found then
        return;
    end if;
    update herald.idempotency i set expires_at = now + interval '7 days' where i.sender = it.model and i.key = it.idempotency_key;
    with released as (
        update herald.approver p set state = 'released' where p.authorisation_id = id and p.state = 'asked' returning p.message_id
    )
    select array_agg(message_id) into waiting from released;
    if waiting is not null then
        perform herald.take_back(waiting, 'withdrawn',
            case when by is null then why else format('%s answered: %s', by, value) end, now);
    end if;
    perform herald.record_answer(null, id, it.answer_to, 'authorisation.' || outcome, jsonb_build_object(
        'authorisation_id', id, 'model', it.model, 'model_key', it.model_key, 'requester', it.requester, 'status', outcome,
        'reply_value', value, 'decided_by', by, 'decided_at', now, 'reason', why, 'answers', coalesce((
            select jsonb_agg(jsonb_build_object('approver', p.username, 'state', p.state, 'reply_value', p.reply_value,
                                                'answered_at', p.answered_at) order by p.message_id)
            from herald.approver p where p.authorisation_id = id), '[]')), now);
    perform pg_notify('herald_answer', id::text);
end $$;

-- Counts the answer to one approver's message, in an authorisation whose row the caller has locked.
create function herald.count_answer(message_id uuid, reply text, by text, now timestamptz) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    it       herald.authorisation;
    approves boolean;
begin
    select a.* into it from herald.authorisation a join herald.approver p on p.authorisation_id = a.id
        where p.message_id = message_id and p.state = 'asked' and a.status = 'pending';
    if not found then
        return;
    end if;
    approves := coalesce(reply = any(it.approving), false);
    update herald.approver p
        set state = case when approves then 'approved' else 'refused' end, reply_value = reply, answered_at = now
        where p.message_id = message_id;
    if not approves then
        perform herald.decide(it.id, 'refused', reply, by, null, now);
    elsif it.mode = 'any' or it.to_ask is null
          and not exists (select from herald.approver p where p.authorisation_id = it.id and p.state = 'asked') then
        perform herald.decide(it.id, 'approved', reply, by, null, now);
    end if;
end $$;

-- The one way in which a message is answered, wherever that happens: acts on those that are still pending, of this recipient where one
-- is named, and answers which. Whoever comes second is not among them.
create function herald.answer(recipient bigint, ids uuid[], replies text[], by text, via text, now timestamptz) returns setof uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    one herald.message;
begin
    -- Authorisations before messages, and both in the order of their ids: all wait in one line, and nobody in a circle.
    perform from herald.authorisation a
        where a.id = any(array(select p.authorisation_id from herald.approver p where p.message_id = any(ids)))
        order by a.id for update;
    perform from herald.message m where m.id = any(ids) order by m.id for update;
    for one in
        update herald.message m
            set status = 'acted', reply_value = a.reply, acted_at = now, acted_by = by, acted_via = via,
                seen_at = coalesce(m.seen_at, now)
            from unnest(ids, replies) as a(id, reply)
            where m.id = any(ids) and m.id = a.id and herald.status_of(m.status, m.batch_id) = 'pending'
              and (recipient is null or m.recipient_id = recipient)
            returning m.*
    loop
        perform pg_notify('herald_inbox', one.recipient_id::text);
        if one.required_action <> 'view' then
            perform pg_notify('herald_answer', one.id::text);
            perform herald.record_answer(one.id, null, r.answer_to, 'message.answered', jsonb_build_object(
                'message_id', one.id, 'message_type', one.message_type, 'sender', one.sender, 'sender_instance', one.sender_instance,
                'recipient', (select u.username from herald.app_user u where u.id = one.recipient_id),
                'reply_value', one.reply_value, 'answered_by', by, 'answered_via', via, 'answered_at', now), now)
                from herald.answer_route r where r.message_id = one.id;
            delete from herald.answer_route r where r.message_id = one.id;
            perform herald.count_answer(one.id, one.reply_value, by, now);
        end if;
        return next one.id;
    end loop;
end $$;

-- Refuses who cannot be asked about a record of this model. The users of a list are told by their position.
create function herald.check_approvers(field text, approvers jsonb, model text, requester text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    most_users constant integer := 100;
    position   integer := 0;
    name       text;
begin
    if jsonb_typeof(approvers) <> 'object' then
        perform herald.refuse(field, 'must be an object with users, role or path');
    elsif approvers - 'users' - 'role' - 'path' <> '{}' then
        perform herald.refuse(field || '/' || key, 'is no field of this') from jsonb_object_keys(approvers - 'users' - 'role' - 'path') key limit 1;
    elsif approvers = '{}' then
        perform herald.refuse(field, 'must name users, a role or a path');
    elsif approvers ? 'users' and (jsonb_typeof(approvers->'users') <> 'array' or jsonb_array_length(approvers->'users') not between 1 and most_users) then
        perform herald.refuse(field || '/users', format('must be a list of 1 to %s usernames', most_users));
    elsif approvers ? 'role' and (jsonb_typeof(approvers->'role') <> 'string' or btrim(approvers->>'role') = '') then
        perform herald.refuse(field || '/role', 'must be a role of users');
    elsif approvers ? 'path' and (jsonb_typeof(approvers->'path') <> 'string'
                                  or approvers->>'path' !~ '^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,7}$') then
        perform herald.refuse(field || '/path', 'must be names of fields with dots between, as in customer.account_manager');
    elsif approvers ? 'path' and not exists (select from herald.model m where m.name = model) then
        perform herald.refuse(field || '/path', format('%s is no model that is registered: see herald model add', model));
    end if;
    for name in select lower(btrim(element)) from jsonb_array_elements_text(approvers->'users') element loop
        if name = requester then
            perform herald.refuse(format('%s/users/%s', field, position), 'is who asks: somebody else has to decide');
        elsif not exists (select from herald.app_user u where u.username = name and u.active) then
            perform herald.refuse(format('%s/users/%s', field, position), 'there is no active user of this name');
        end if;
        position := position + 1;
    end loop;
    if approvers ? 'role' and not exists (
        select from herald.app_user u where u.active and u.username <> requester and u.roles @> array[approvers->>'role']) then
        perform herald.refuse(field || '/role', format('nobody else has the role "%s"', approvers->>'role'));
    end if;
end $$;

-- Asks those who are to be asked next, of an authorisation whose row the caller has locked: its users, who has its role, and those who
-- were found by its path. Answers how many were asked; with nobody to ask it ends.
create function herald.ask_next(id uuid, found_by_path text[], now timestamptz) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    it      herald.authorisation;
    name    text;
    asked   integer := 0;
    message uuid;
    many    bigint;
    most    constant integer := 500;
begin
    select * into it from herald.authorisation a where a.id = id and a.status = 'pending' and a.to_ask is not null;
    if not found then
        return 0;
    end if;
    update herald.authorisation a set to_ask = null where a.id = id;
    select count(*) into many from herald.app_user u where u.active and u.roles @> array[it.to_ask->>'role'];
    if many + cardinality(found_by_path) > most then
        perform herald.refuse('approvers', format('are more than %s', most));
    end if;
    for name in
        select u.username from herald.app_user u
        where u.active and u.username <> it.requester
          and (u.username in (select lower(btrim(e)) from jsonb_array_elements_text(it.to_ask->'users') e)
               or u.roles @> array[it.to_ask->>'role']
               or u.username in (select lower(btrim(e)) from unnest(found_by_path) e))
          and not exists (select from herald.approver p where p.authorisation_id = id and p.username = u.username
                          and p.state in ('asked', 'approved'))
        order by u.username
    loop
        message := herald.send_message(recipient => name, message_text => it.message->>'message_text',
            message_type => it.message->>'message_type', sender => it.model, sender_instance => herald.key_text(it.model_key),
            external_message => it.message->>'external_message', action_parameters => it.message->'action_parameters',
            subject => it.message->>'subject', template => it.message->>'template',
            model_key => case when it.message ? 'template' then it.model_key end);
        insert into herald.approver (authorisation_id, message_id, username) values (id, message, name);
        asked := asked + 1;
    end loop;
    if asked = 0 and not exists (select from herald.approver p where p.authorisation_id = id and p.state = 'asked') then
        perform herald.decide(id, 'failed', null, null, 'There was nobody to ask.', now);
    end if;
    return asked;
end $$;

-- A record's key as the sender's instance.
create function herald.key_text(model_key jsonb) returns text language sql immutable as $$
    select case when jsonb_typeof(model_key) = 'array'
        then (select string_agg(part #>> '{}', ',') from jsonb_array_elements(model_key) part)
        else model_key #>> '{}' end
$$;

-- Takes a request for a decision, as JSON with the arguments of herald.request_authorisation.
create function herald.authorise(request jsonb, idempotency_key text, sent_by text, now timestamptz) returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
#variable_conflict use_variable
declare
    id        uuid := herald.uuid_v7();
    model     text := btrim(request->>'model');
    requester text := lower(btrim(request->>'requester'));
    mode      text := coalesce(request->>'mode', 'any');
    due_at    timestamptz := (request->>'due_at')::timestamptz;
    at_end    text := coalesce(request->>'on_timeout', 'expire');
    kind      herald.message_type;
    approving text[];
    offered   text[];
    message   jsonb;
    earlier   uuid;
    deferred  boolean;
begin
    if coalesce(model, '') = '' or length(model) > 200 or model ~ '[[:cntrl:]]' then
        perform herald.refuse('model', 'must be 1 to 200 characters, none of them a control character');
    end if;
    perform herald.check_sender(model);
    if length(idempotency_key) not between 1 and 255 or idempotency_key ~ '[[:cntrl:]]' then
        perform herald.refuse('idempotency_key', 'must be 1 to 255 characters, none of them a control character');
    elsif idempotency_key is not null then
        -- Before all else: what was right once is answered as before, whoever has left since. The key is kept while an answer is waited for.
        earlier := herald.claim_key(model, idempotency_key, request, id, 'infinity');
        if earlier is not null then
            return earlier;
        end if;
    end if;
    if request->'model_key' is null or exists (
        select from jsonb_array_elements(case when jsonb_typeof(request->'model_key') = 'array' then request->'model_key'
                                              else jsonb_build_array(request->'model_key') end) part
        having count(*) not between 1 and 8 or bool_or(jsonb_typeof(part) not in ('number', 'string') or length(part #>> '{}') not between 1 and 200))
       or length(herald.key_text(request->'model_key')) > 200 then
        perform herald.refuse('model_key', 'must be a number or a text, or a list of these for a key of several columns');
    elsif herald.is_beyond_range(request->'model_key') then
        perform herald.refuse('model_key', 'holds a number out of range');
    elsif not exists (select from herald.app_user u where u.username = requester and u.active) then
        perform herald.refuse('requester', 'there is no active user of this name');
    elsif mode not in ('any', 'all') then
        perform herald.refuse('mode', 'must be one of any, all');
    elsif at_end not in ('expire', 'approve', 'refuse', 'ask') then
        perform herald.refuse('on_timeout', 'must be one of expire, approve, refuse, ask');
    elsif due_at is null and at_end <> 'expire' then
        perform herald.refuse('due_at', format('is needed with on_timeout %s', at_end));
    elsif due_at <= now or due_at > '9999-12-31 00:00+00' then
        perform herald.refuse('due_at', 'must be in the future, and before the year 10000');
    elsif (at_end = 'ask') <> (request->'then_ask' is not null) then
        perform herald.refuse('then_ask', case when at_end = 'ask' then 'is needed with on_timeout ask'
                                               else 'is only of use with on_timeout ask' end);
    end if;
    perform herald.check_approvers('approvers', coalesce(request->'approvers', '{}'), model, requester);
    if at_end = 'ask' then
        perform herald.check_approvers('then_ask', request->'then_ask', model, requester);
    end if;

    select * into kind from herald.message_type t where t.code = coalesce(request->>'message_type', 'REPLY-YESNO');
    if not found then
        perform herald.refuse('message_type', format('there is no message type "%s"', request->>'message_type'));
    elsif not (kind.choice_set is not null or kind.required_action = 'action' and kind.complete_on = 'callback') then
        perform herald.refuse('message_type', 'must be a reply type with choices, or an action type that a callback completes');
    end if;
    offered := array(select c.value from herald.choice c where c.choice_set = kind.choice_set order by c.position);
    approving := coalesce(array(select jsonb_array_elements_text(nullif(request->'approving', '[]'))), '{}');
    if approving = '{}' then
        approving := array[coalesce(offered[1], 'Yes')];
    elsif offered <> '{}' and not approving <@ offered then
        perform herald.refuse('approving', 'must be among ' || array_to_string(offered, ', '));
    end if;
    perform herald.check_answer_to(request->>'answer_to', kind.code, kind.required_action);

    message := jsonb_strip_nulls(jsonb_build_object('message_type', kind.code, 'message_text', request->'message_text',
        'external_message', request->'external_message', 'subject', request->'subject', 'template', request->'template',
        'action_parameters', request->'action_parameters'));
    deferred := coalesce(request->'approvers' ? 'path', false);
    insert into herald.authorisation (id, model, model_key, requester, mode, message, approving, to_ask, due_at, patience, on_timeout,
                                      then_ask, answer_to, idempotency_key, sent_by, created_at)
    values (id, model, request->'model_key', requester, mode, message, approving, request->'approvers', due_at, due_at - now,
            at_end, request->'then_ask', request->>'answer_to', idempotency_key, sent_by, now);
    if not deferred then
        perform herald.ask_next(id, '{}', now);
        return id;
    end if;
    -- The record may be of the caller's own transaction, so a worker follows the path later. What is wrong with the texts is told now.
    begin
        perform herald.send_message(recipient => requester, message_text => message->>'message_text', message_type => kind.code,
            sender => model, sender_instance => herald.key_text(request->'model_key'),
            external_message => message->>'external_message', action_parameters => message->'action_parameters',
            subject => message->>'subject', template => message->>'template',
            model_key => case when message ? 'template' then request->'model_key' end);
        raise exception using errcode = 'HR001';
    exception when sqlstate 'HR001' then
        null;
    end;
    return id;
end $$;

-- Asks people for a decision on a record, inside the caller's own transaction. Answers the authorisation's id.
create function herald.request_authorisation(
    model             text,
    model_key         jsonb,
    requester         text,
    -- {"users": ["ann"], "role": "manager", "path": "customer.account_manager"}: one of these or more.
    approvers         jsonb,
    message_text      text default null,
    -- A reply type with choices, or an action type that a callback completes.
    message_type      text default null,
    template          text default null,
    subject           text default null,
    external_message  text default null,
    action_parameters jsonb default null,
    mode              text default null,
    -- The replies that approve; null: the first choice.
    approving         text[] default null,
    due_at            timestamptz default null,
    on_timeout        text default null,
    then_ask          jsonb default null,
    answer_to         text default null,
    idempotency_key   text default null
) returns uuid
language sql security definer set search_path = pg_catalog, pg_temp as $$
    select herald.authorise(jsonb_strip_nulls(jsonb_build_object('model', model, 'model_key', model_key, 'requester', requester,
        'approvers', approvers, 'message_text', message_text, 'message_type', message_type, 'template', template, 'subject', subject,
        'external_message', external_message, 'action_parameters', action_parameters, 'mode', mode, 'approving', approving,
        'due_at', due_at, 'on_timeout', on_timeout, 'then_ask', then_ask, 'answer_to', answer_to)),
        idempotency_key, 'role ' || session_user, clock_timestamp())
$$;

-- Refuses an authorisation that is not the caller's as if there were none.
create function herald.check_authorisation(authorisation_id uuid) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    model text;
begin
    select a.model into model from herald.authorisation a where a.id = authorisation_id;
    if found then
        begin
            perform herald.check_sender(model);
            return;
        exception when insufficient_privilege then
            null;
        end;
    end if;
    perform herald.refuse('authorisation_id', format('there is no authorisation %s', coalesce(authorisation_id::text, '')));
end $$;

-- Withdraws a request for a decision. True: it is withdrawn now; false: it was before.
create function herald.withdraw_authorisation(authorisation_id uuid, reason text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    it  herald.authorisation;
    why text := nullif(btrim(reason), '');
begin
    if length(why) > 500 or why ~ '[[:cntrl:]]' then
        perform herald.refuse('reason', 'must be one line of at most 500 characters');
    end if;
    perform herald.check_authorisation(authorisation_id);
    select * into it from herald.authorisation a where a.id = authorisation_id for update;
    if it.status = 'withdrawn' then
        return false;
    elsif it.status <> 'pending' then
        raise exception using message = format('authorisation_id: it was %s', it.status),
            errcode = 'object_not_in_prerequisite_state', column = 'authorisation_id',
            detail = 'The argument authorisation_id was refused, and nothing was withdrawn.',
            hint = 'Only what waits can be withdrawn.';
    end if;
    perform herald.decide(authorisation_id, 'withdrawn', null, null,
        'The request was withdrawn' || coalesce(': ' || why, '.'), clock_timestamp());
    return true;
end $$;

-- The program behind an action reports that it is done, and how: true. False: it was reported, or answered, before.
create function herald.complete_message(message_id uuid, reply_value text default null, done_by text default null) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    it   herald.message;
    name text := nullif(btrim(done_by), '');
begin
    perform herald.check_sender_of(message_id);
    if length(reply_value) not between 1 and 200 or reply_value ~ '[[:cntrl:]]' then
        perform herald.refuse('reply_value', 'must be one line of 1 to 200 characters');
    elsif length(name) > 200 or name ~ '[[:cntrl:]]' then
        perform herald.refuse('done_by', 'must be one line of at most 200 characters');
    end if;
    select * into it from herald.message m where m.id = message_id;
    if not found then
        perform herald.refuse('message_id', format('there is no message %s', coalesce(message_id::text, '')),
            'It has to be in its inbox before it can be completed.');
    elsif it.required_action <> 'action' or it.complete_on <> 'callback' then
        perform herald.refuse('message_id', format('a callback completes no %s', it.message_type));
    end if;
    perform herald.check_decision(message_id, reply_value, coalesce(name, ''));
    return exists (select from herald.answer(null, array[message_id], array[reply_value],
                                             coalesce(name, 'role ' || session_user), 'callback', clock_timestamp()));
end $$;

-- Refuses what cannot decide an authorisation; nothing is said of other messages.
create function herald.check_decision(message_id uuid, reply_value text, by text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    requester text;
begin
    select a.requester into requester from herald.authorisation a join herald.approver p on p.authorisation_id = a.id
        where p.message_id = message_id;
    if found and reply_value is null then
        perform herald.refuse('reply_value', 'must say what was decided');
    elsif found and lower(by) = requester then
        perform herald.refuse('done_by', 'is who asks: somebody else has to decide');
    end if;
end $$;

-- How a message or an authorisation stands, for whoever sent it.
create function herald.answer_of(id uuid) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    it herald.authorisation;
begin
    select * into it from herald.authorisation a where a.id = id;
    if found then
        perform herald.check_authorisation(id);
        return jsonb_build_object('status', it.status, 'reply_value', it.reply_value, 'answered_by', it.decided_by,
                                  'answered_at', it.decided_at, 'reason', it.reason);
    end if;
    perform herald.check_sender_of(id);
    return (select jsonb_build_object('status', herald.status_of(m.status, m.batch_id), 'reply_value', m.reply_value, 'answered_by', m.acted_by,
                                      'answered_at', m.acted_at, 'reason', m.closed_reason)
            from herald.message m where m.id = id);
end $$;

-- Does with authorisations what is to be done when their time is over, at most so many. Answers with how many.
create function herald.time_out(now timestamptz, most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    it       herald.authorisation;
    waiting  uuid[];
    done     integer := 0;
    outcomes constant jsonb := '{"approve": "approved", "refuse": "refused", "expire": "expired"}';
begin
    for it in
        select * from herald.authorisation a where a.status = 'pending' and a.due_at <= now
        order by a.due_at limit most for update skip locked
    loop
        done := done + 1;
        if it.on_timeout <> 'ask' then
            perform herald.decide(it.id, outcomes->>it.on_timeout, null, null, 'Nobody answered in time.', now);
            continue;
        end if;
        with released as (
            update herald.approver p set state = 'released' where p.authorisation_id = it.id and p.state = 'asked' returning p.message_id
        )
        select array_agg(message_id) into waiting from released;
        perform herald.take_back(coalesce(waiting, '{}'), 'withdrawn', 'Others are asked now, since there was no answer in time.', now);
        update herald.authorisation a
            set to_ask = it.then_ask, then_ask = null, on_timeout = 'expire', due_at = now + it.patience where a.id = it.id;
        if not it.then_ask ? 'path' then
            begin
                perform herald.ask_next(it.id, '{}', now);
            exception
                when transaction_rollback or insufficient_resources or operator_intervention or lock_not_available then
                    raise;
                when others then
                    perform herald.decide(it.id, 'failed', null, null, left(sqlerrm, 500), now);
            end;
        end if;
    end loop;
    return done;
end $$;

revoke execute on all functions in schema herald from public;
