-- Sending from SQL, inside the caller's own transaction: a rollback leaves nothing.
-- Nobody but the owner may call these until `herald grant send` says so.

-- RFC 9562 version 7: time-ordered, so that new rows stand together in every index.
create function herald.uuid_v7() returns uuid language sql volatile parallel safe as $$
    select encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                    from 1 for 6),
            52, 1), 53, 1), 'hex')::uuid
$$;

-- One fingerprint for one request, whichever way it came in: jsonb orders keys, nulls count as absent, a time is an instant.
create function herald.request_hash(request jsonb) returns bytea language sql stable parallel safe as $$
    select sha256(convert_to((jsonb_strip_nulls(request)
        || coalesce((select jsonb_object_agg(field, extract(epoch from (request->>field)::timestamptz))
                     from unnest(array['deliver_at', 'due_at']) field where request->>field is not null), '{}'))::text, 'UTF8'))
$$;

-- Takes a key for the request that `id` stands for: null. The same request again: its earlier id. What else it was used for is told.
create function herald.claim_key(sender text, key text, request jsonb, id uuid, expires_at timestamptz) returns uuid
language plpgsql as $$
#variable_conflict use_variable
declare
    hash    bytea := herald.request_hash(request);
    earlier herald.idempotency;
begin
    insert into herald.idempotency (sender, key, request_hash, message_id, expires_at) values (sender, key, hash, id, expires_at)
        on conflict on constraint idempotency_pkey do nothing;
    if found then
        return null;
    end if;
    select * into earlier from herald.idempotency i where i.sender = sender and i.key = key;
    if earlier.request_hash <> hash then
        raise exception using message = format('idempotency_key: was used for another request, %s', earlier.message_id),
            errcode = 'unique_violation', column = 'idempotency_key',
            detail = 'The argument idempotency_key was refused, and nothing was sent.',
            hint = 'A key stands for one request: use another for another.';
    end if;
    return earlier.message_id;
end $$;

create function herald.upsert_user(
    username     text,
    display_name text default null,
    email        text default null,
    mobile       text default null,
    locale       text default null,
    time_zone    text default null,
    active       boolean default null
) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    user_id bigint;
begin
    if upsert_user.time_zone is not null
       and not exists (select from pg_timezone_names z where z.name = upsert_user.time_zone) then
        raise exception 'time_zone: there is no time zone %', upsert_user.time_zone
            using errcode = 'invalid_parameter_value', hint = 'Use an IANA name such as Europe/Berlin.';
    end if;
    insert into herald.app_user as u (username, display_name, email, mobile, locale, time_zone, active)
    values (lower(upsert_user.username), coalesce(upsert_user.display_name, ''), upsert_user.email,
            upsert_user.mobile, coalesce(upsert_user.locale, 'en'), coalesce(upsert_user.time_zone, 'UTC'),
            coalesce(upsert_user.active, true))
    on conflict on constraint app_user_username_key do update set
        display_name = coalesce(upsert_user.display_name, u.display_name),
        email        = coalesce(upsert_user.email, u.email),
        mobile       = coalesce(upsert_user.mobile, u.mobile),
        locale       = coalesce(upsert_user.locale, u.locale),
        time_zone    = coalesce(upsert_user.time_zone, u.time_zone),
        active       = coalesce(upsert_user.active, u.active),
        updated_at   = now()
    returning id into user_id;
    return user_id;
end $$;

-- Refuses one argument of a call: the same sentence as every other way in, and the argument's name where programs find it.
create function herald.refuse(argument text, problem text, hint text default null) returns void
language plpgsql as $$
begin
    raise exception using message = argument || ': ' || problem, errcode = 'invalid_parameter_value', column = argument,
        detail = format('The argument %s was refused, and nothing was sent.', argument),
        hint = coalesce(hint, 'See docs/sending.md for what each argument takes.');
end $$;

-- The channel of an outside contact, which the form of the reference decides; null: it is neither address nor number.
create function herald.contact_channel(reference text) returns text language sql immutable parallel safe as $$
    select case
        when regexp_replace(reference, '[ .()-]', '', 'g') ~ '^\+[1-9][0-9]{6,14}$' then 'sms'
        when reference ~ '^[A-Za-z0-9!#$%&''*+/=?^_`{|}~.][A-Za-z0-9!#$%&''*+/=?^_`{|}~.-]{0,63}@([[:alnum:]]([[:alnum:]-]{0,61}[[:alnum:]])?\.)+[[:alpha:]][[:alnum:]-]{0,61}[[:alnum:]]$'
             and reference !~ '(^\.|\.\.|\.@)' and length(reference) <= 254 then 'email'
    end
$$;

-- Whether a JSON value holds a number that no program can read again.
create function herald.is_beyond_range(value jsonb) returns boolean language sql immutable parallel safe as $$
    select jsonb_path_exists(value, 'strict $.** ? (@.type() == "number" && (@ > 1.7976931348623157e308 || @ < -1.7976931348623157e308))')
$$;

create function herald.send_message(
    recipient         text,
    message_text      text default null,
    message_type      text default null,
    sender            text default null,
    sender_instance   text default null,
    external_message  text default null,
    action_parameters jsonb default null,
    subject           text default null,
    idempotency_key   text default null,
    deliver_at        timestamptz default null,
    -- A message template makes the texts, over the record model_key of its model (a JSON list for a key of several columns) or over
    -- instance, a JSON object. Without a template, the texts of this message are templates over instance.
    template          text default null,
    model_key         jsonb default null,
    instance          jsonb default null,
    -- Outside contacts: a JSON list of {"contact_reference": ..., "email_mode": "To" (default), "Cc" or "Bcc"}.
    recipients        jsonb default null,
    -- How the texts of a message with an instance are written: token (default) or handlebars.
    syntax            text default null,
    -- Instead of the type's: alert, normal or bulk.
    lane              text default null,
    -- Where the answer goes: webhook:NAME, stream:NAME or notify. See docs/workflow.md.
    answer_to         text default null
) returns uuid
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$
#variable_conflict use_variable
declare
    -- Longest text, in characters, most parameters, and longest of these: the same as every other way in.
    max_text       constant integer := 100000;
    max_parameters constant integer := 50;
    max_parameter  constant integer := 2000;
    max_contacts   constant integer := 100;
    -- In bytes, as over HTTP.
    max_instance   constant integer := 1048576;
    id        uuid := herald.uuid_v7();
    type      herald.message_type;
    has_model boolean;
    retired   boolean;
    element   jsonb;
    position  integer := 0;
    request   jsonb;
    earlier   uuid;
begin
    recipient := lower(btrim(recipient));
    sender := btrim(sender);
    select * into type from herald.message_type t where t.code = message_type;
    if not found then
        perform herald.refuse('message_type', format('there is no message type "%s"', coalesce(message_type, '')));
    end if;
    if coalesce(recipient, '') = '' then
        perform herald.refuse('recipient', 'must not be empty');
    elsif length(recipient) > 100 then
        perform herald.refuse('recipient', 'must be at most 100 characters');
    elsif recipient ~ '[[:space:][:cntrl:]/]' then
        perform herald.refuse('recipient', 'must not hold white space, control characters or a slash');
    elsif not exists (select from herald.app_user u where u.username = recipient and u.active) then
        perform herald.refuse('recipient', 'there is no active user of this name',
            'Add the user with herald.upsert_user, or activate it.');
    end if;

    if template is not null then
        if message_text is not null or external_message is not null or subject is not null or syntax <> 'token' then
            perform herald.refuse(case when message_text is not null then 'message_text' when external_message is not null
                    then 'external_message' when subject is not null then 'subject' else 'syntax' end,
                'comes from the template: leave it out');
        elsif model_key is null and instance is null then
            perform herald.refuse('model_key', 'this or an instance is needed with a template');
        elsif model_key is not null and instance is not null then
            perform herald.refuse('model_key', 'cannot be together with an instance');
        elsif model_key is not null and exists (
            select from jsonb_array_elements(case when jsonb_typeof(model_key) = 'array' then model_key
                                                  else jsonb_build_array(model_key) end) part
            having count(*) not between 1 and 8 or bool_or(jsonb_typeof(part) not in ('number', 'string')
                                                           or length(part #>> '{}') > 500)) then
            perform herald.refuse('model_key', 'must be a number or a text, or a list of these for a key of several columns');
        elsif herald.is_beyond_range(model_key) then
            perform herald.refuse('model_key', 'holds a number out of range');
        end if;
        select m.model is not null, m.retired into has_model, retired from herald.message_template m
            where m.code = template order by m.version desc limit 1;
        if not found or retired then
            perform herald.refuse('template', format('there is no template "%s"', template));
        elsif model_key is not null and not has_model then
            perform herald.refuse('model_key', format('the template %s has no model: send an instance', template));
        end if;
    elsif model_key is not null then
        perform herald.refuse('model_key', 'is only of use with a template');
    elsif coalesce(message_text, '') !~ '[^[:space:]]' then
        perform herald.refuse('message_text', 'must not be empty');
    end if;
    if length(message_text) > max_text then
        perform herald.refuse('message_text', format('is longer than %s characters', max_text));
    elsif length(external_message) > max_text then
        perform herald.refuse('external_message', format('is longer than %s characters', max_text));
    elsif length(subject) > 500 or subject ~ '[[:cntrl:]]' then
        perform herald.refuse('subject', 'must be one line of at most 500 characters');
    elsif syntax not in ('token', 'handlebars') then
        perform herald.refuse('syntax', 'must be one of token, handlebars');
    elsif lane not in ('alert', 'normal', 'bulk') then
        perform herald.refuse('lane', 'must be one of alert, normal, bulk');
    elsif deliver_at not between '0001-01-01 00:00+00' and '9999-12-31 00:00+00' then
        perform herald.refuse('deliver_at', 'must be a time between the years 1 and 9999');
    elsif jsonb_typeof(instance) <> 'object' then
        perform herald.refuse('instance', 'must be an object');
    elsif octet_length(instance::text) > max_instance then
        perform herald.refuse('instance', format('is larger than %s bytes', max_instance));
    elsif jsonb_path_exists(instance, '$.**{100} ? (@.type() == "object" || @.type() == "array")') then
        perform herald.refuse('instance', 'is nested more than 100 deep');
    elsif herald.is_beyond_range(instance) then
        perform herald.refuse('instance', 'holds a number out of range');
    elsif coalesce(sender, '') = '' or length(sender) > 200 or sender ~ '[[:cntrl:]]' then
        perform herald.refuse('sender', 'must be 1 to 200 characters, none of them a control character');
    elsif length(sender_instance) > 200 or sender_instance = '' or sender_instance ~ '[[:cntrl:]]' then
        perform herald.refuse('sender_instance', 'must be 1 to 200 characters, none of them a control character');
    elsif idempotency_key is not null
          and (length(idempotency_key) not between 1 and 255 or idempotency_key ~ '[[:cntrl:]]') then
        perform herald.refuse('idempotency_key', 'must be 1 to 255 characters, none of them a control character');
    end if;

    perform herald.check_answer_to(answer_to, type.code, type.required_action);
    if action_parameters is not null then
        if jsonb_typeof(action_parameters) <> 'array' then
            perform herald.refuse('action_parameters', 'must be a list');
        elsif type.required_action <> 'action' then
            perform herald.refuse('action_parameters', format('%s is not an action type', type.code));
        elsif jsonb_array_length(action_parameters) > max_parameters then
            perform herald.refuse('action_parameters', format('has more than %s values', max_parameters));
        end if;
        for element in select * from jsonb_array_elements(action_parameters) loop
            if jsonb_typeof(element) not in ('number', 'string', 'boolean') then
                perform herald.refuse('action_parameters/' || position, 'must be a number, a string or a boolean');
            elsif jsonb_typeof(element) = 'string' and length(element #>> '{}') > max_parameter then
                perform herald.refuse('action_parameters/' || position, format('is longer than %s characters', max_parameter));
            elsif herald.is_beyond_range(element) then
                perform herald.refuse('action_parameters/' || position, 'holds a number out of range');
            end if;
            position := position + 1;
        end loop;
    end if;
    if recipients is not null then
        if jsonb_typeof(recipients) <> 'array' then
            perform herald.refuse('recipients', 'must be a list');
        elsif jsonb_array_length(recipients) > max_contacts then
            perform herald.refuse('recipients', format('has more than %s entries', max_contacts));
        end if;
        position := 0;
        for element in select * from jsonb_array_elements(recipients) loop
            if jsonb_typeof(element) <> 'object' then
                perform herald.refuse('recipients/' || position, 'must be an object');
            elsif (element - 'contact_reference' - 'email_mode') <> '{}' then
                perform herald.refuse(format('recipients/%s/%s', position, key), 'is no field of this')
                    from jsonb_object_keys(element - 'contact_reference' - 'email_mode') key limit 1;
            elsif not element ? 'contact_reference' then
                perform herald.refuse(format('recipients/%s/contact_reference', position), 'is missing');
            elsif lower(btrim(coalesce(element->>'email_mode', 'To'))) not in ('to', 'cc', 'bcc') then
                perform herald.refuse(format('recipients/%s/email_mode', position), 'must be To, Cc or Bcc');
            elsif herald.contact_channel(btrim(element->>'contact_reference')) is null then
                perform herald.refuse(format('recipients/%s/contact_reference', position),
                    'must be an e-mail address or a mobile number such as +491701234567');
            end if;
            position := position + 1;
        end loop;
        -- Numbers in their one form, as the other ways in have them: the key of a send stands for the same request.
        select nullif(jsonb_agg(jsonb_build_object('contact_reference', case herald.contact_channel(btrim(e->>'contact_reference'))
                                                       when 'sms' then regexp_replace(btrim(e->>'contact_reference'), '[ .()-]', '', 'g')
                                                       else e->>'contact_reference' end,
                                                   'email_mode', coalesce(e->>'email_mode', 'To'))), '[]')
            into recipients from jsonb_array_elements(recipients) e;
    end if;
    if sender_instance is null and not exists (select from herald.app_user u where u.username = lower(sender)) then
        perform herald.refuse('sender', 'there is no user of this name; name a model together with sender_instance');
    end if;
    perform herald.check_sender(sender);

    request := jsonb_strip_nulls(jsonb_build_object(
        'recipient', recipient, 'message_type', message_type, 'message_text', message_text,
        'external_message', external_message, 'subject', subject, 'sender', sender,
        'sender_instance', sender_instance, 'action_parameters', action_parameters, 'deliver_at', deliver_at,
        'template', template, 'model_key', model_key, 'recipients', recipients,
        'syntax', nullif(syntax, 'token'), 'lane', lane, 'answer_to', answer_to));
    if instance is not null then
        -- By itself: its nulls are values.
        request := request || jsonb_build_object('instance', instance);
    end if;

    if idempotency_key is not null then
        earlier := herald.claim_key(sender, idempotency_key, request, id, now() + interval '7 days');
        if earlier is not null then
            return earlier;
        end if;
    end if;

    insert into herald.outbox (id, lane, payload, due_at)
    values (id, coalesce(lane, type.lane),
            json_build_object('id', id, 'accepted_at', (extract(epoch from clock_timestamp()) * 1000)::bigint,
                              'origin', 'outbox', 'sent_by', 'role ' || session_user, 'message', request - 'answer_to'),
            coalesce(deliver_at, now()));
    if answer_to is not null then
        insert into herald.answer_route (message_id, answer_to) values (id, answer_to);
    end if;
    return id;
end $$;

create function herald.add_recipient(message_id uuid, contact_reference text, email_mode text default 'To') returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    reference text := btrim(contact_reference);
    mode      text := lower(btrim(email_mode));
    channel   text;
    sent_with boolean;
    is_off    boolean;
    -- Row headers hold the lower half of a transaction's number.
    this_xact bigint := pg_current_xact_id()::text::bigint;
begin
    if mode is null or mode not in ('to', 'cc', 'bcc') then
        perform herald.refuse('email_mode', 'must be To, Cc or Bcc');
    end if;
    channel := herald.contact_channel(reference);
    if channel is null then
        perform herald.refuse('contact_reference', 'must be an e-mail address or a mobile number such as +491701234567');
    elsif channel = 'sms' then
        reference := regexp_replace(reference, '[ .()-]', '', 'g');
    else
        -- One domain in any case.
        reference := split_part(reference, '@', 1) || '@' || lower(split_part(reference, '@', 2));
    end if;
    perform herald.check_sender_of(message_id);
    if exists (select from herald.outbox o where o.id = message_id) then
        -- A row that can be seen although its transaction is under way is of this transaction, or of a block within it.
        sent_with := exists (select from herald.outbox o where o.id = message_id
                             and pg_xact_status((this_xact + ((o.xmin::text::bigint - this_xact + 2147483648) & 4294967295)
                                                 - 2147483648)::text::xid8) = 'in progress');
    elsif exists (select from herald.message m
                  where m.id = message_id and herald.status_of(m.status, m.batch_id) in ('cancelled', 'withdrawn')) then
        raise exception using message = 'message_id: the message was cancelled',
            errcode = 'object_not_in_prerequisite_state', column = 'message_id',
            detail = 'The argument message_id was refused, and nothing was sent.',
            hint = 'Send a new message.';
    elsif exists (select from herald.message m where m.id = message_id) then
        sent_with := false;
    else
        perform herald.refuse('message_id', format('there is no message %s', coalesce(message_id::text, '')));
    end if;
    is_off := channel = 'sms' and not exists (
        select from herald.registry r where r.key = 'SMS-PROVIDER' and coalesce(nullif(btrim(r.value), ''), 'off') <> 'off');
    insert into herald.delivery (id, message_id, channel, address, mode, with_message, lane, state, reason,
                                 next_attempt_at, created_at, finished_at)
    values (herald.uuid_v7(), message_id, channel, reference, mode, sent_with,
            coalesce((select o.lane from herald.outbox o where o.id = message_id),
                     (select m.lane from herald.message m where m.id = message_id)),
            case when is_off then 'suppressed' else 'pending' end,
            case when is_off then 'SMS is off' end,
            now(), now(), case when is_off then now() end)
    on conflict on constraint delivery_one_copy do nothing;
end $$;

revoke execute on all functions in schema herald from public;
