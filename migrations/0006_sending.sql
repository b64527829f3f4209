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
        || case when request->>'deliver_at' is null then '{}'
                else jsonb_build_object('deliver_at', extract(epoch from (request->>'deliver_at')::timestamptz)) end)::text, 'UTF8'))
$$;

create function herald.upsert_user(
    username     text,
    display_name text default null,
    email        text default null,
    mobile       text default null,
    locale       text default null,
    time_zone    text default null,
    active       boolean default true
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
            upsert_user.active)
    on conflict on constraint app_user_username_key do update set
        display_name = coalesce(upsert_user.display_name, u.display_name),
        email        = coalesce(upsert_user.email, u.email),
        mobile       = coalesce(upsert_user.mobile, u.mobile),
        locale       = coalesce(upsert_user.locale, u.locale),
        time_zone    = coalesce(upsert_user.time_zone, u.time_zone),
        active       = upsert_user.active,
        updated_at   = now()
    returning id into user_id;
    return user_id;
end $$;

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
    instance          jsonb default null
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
    -- In bytes, as over HTTP.
    max_instance   constant integer := 1048576;
    id        uuid := herald.uuid_v7();
    type      herald.message_type;
    has_model boolean;
    retired   boolean;
    parameter jsonb;
    position  integer := 0;
    request   jsonb;
    earlier   herald.idempotency;
begin
    recipient := lower(btrim(recipient));
    sender := btrim(sender);
    if not exists (select from herald.app_user u where u.username = recipient and u.active) then
        raise exception 'recipient: there is no active user "%"', coalesce(recipient, '')
            using errcode = 'invalid_parameter_value', hint = 'Add the user with herald.upsert_user or activate it.';
    end if;
    select * into type from herald.message_type t where t.code = message_type;
    if not found then
        raise exception 'message_type: there is no message type "%"', coalesce(message_type, '')
            using errcode = 'invalid_parameter_value';
    end if;
    if template is not null then
        if message_text is not null or external_message is not null or subject is not null then
            raise exception '%: comes from the template: leave it out',
                case when message_text is not null then 'message_text' when subject is not null then 'subject' else 'external_message' end
                using errcode = 'invalid_parameter_value';
        elsif (model_key is null) = (instance is null) then
            raise exception 'model_key: with a template, either this or instance is needed' using errcode = 'invalid_parameter_value';
        end if;
        select m.model is not null, m.retired into has_model, retired from herald.message_template m
            where m.code = template order by m.version desc limit 1;
        if not found or retired then
            raise exception 'template: there is no template "%"', template using errcode = 'invalid_parameter_value';
        elsif model_key is not null and not has_model then
            raise exception 'model_key: the template % has no model; send an instance', template using errcode = 'invalid_parameter_value';
        elsif model_key is not null and exists (
            select from jsonb_array_elements(case when jsonb_typeof(model_key) = 'array' then model_key
                                                  else jsonb_build_array(model_key) end) part
            having count(*) not between 1 and 8 or bool_or(jsonb_typeof(part) not in ('number', 'string')
                                                           or length(part #>> '{}') > 500)) then
            raise exception 'model_key: must be a number or a text, or a list of these for a key of several columns'
                using errcode = 'invalid_parameter_value';
        end if;
    elsif model_key is not null then
        raise exception 'model_key: is only of use with a template' using errcode = 'invalid_parameter_value';
    elsif coalesce(message_text, '') !~ '[^[:space:]]' then
        raise exception 'message_text: must not be empty' using errcode = 'invalid_parameter_value';
    end if;
    if jsonb_typeof(instance) <> 'object' then
        raise exception 'instance: must be a JSON object' using errcode = 'invalid_parameter_value';
    elsif octet_length(instance::text) > max_instance then
        raise exception 'instance: is larger than % bytes', max_instance using errcode = 'invalid_parameter_value';
    elsif jsonb_path_exists(instance, '$.**{100}') then
        raise exception 'instance: is nested more than 100 deep' using errcode = 'invalid_parameter_value';
    elsif length(message_text) > max_text then
        raise exception 'message_text: is longer than % characters', max_text using errcode = 'invalid_parameter_value';
    elsif length(external_message) > max_text then
        raise exception 'external_message: is longer than % characters', max_text using errcode = 'invalid_parameter_value';
    elsif length(subject) > 500 or subject ~ '[[:cntrl:]]' then
        raise exception 'subject: must be one line of at most 500 characters' using errcode = 'invalid_parameter_value';
    elsif coalesce(sender, '') = '' or length(sender) > 200 or sender ~ '[[:cntrl:]]' then
        raise exception 'sender: must be 1 to 200 characters, none of them a control character'
            using errcode = 'invalid_parameter_value';
    elsif length(sender_instance) > 200 or sender_instance = '' or sender_instance ~ '[[:cntrl:]]' then
        raise exception 'sender_instance: must be 1 to 200 characters, none of them a control character'
            using errcode = 'invalid_parameter_value';
    elsif sender_instance is null
          and not exists (select from herald.app_user u where u.username = lower(sender)) then
        raise exception 'sender: there is no user "%"', sender using errcode = 'invalid_parameter_value',
            hint = 'Name a user, or a model together with sender_instance.';
    elsif idempotency_key is not null
          and (length(idempotency_key) not between 1 and 255 or idempotency_key ~ '[[:cntrl:]]') then
        raise exception 'idempotency_key: must be 1 to 255 characters, none of them a control character'
            using errcode = 'invalid_parameter_value';
    end if;
    if action_parameters is not null then
        if type.required_action <> 'action' then
            raise exception 'action_parameters: % is not an action type', type.code using errcode = 'invalid_parameter_value';
        elsif jsonb_typeof(action_parameters) <> 'array' then
            raise exception 'action_parameters: must be a list' using errcode = 'invalid_parameter_value';
        elsif jsonb_array_length(action_parameters) > max_parameters then
            raise exception 'action_parameters: has more than % values', max_parameters using errcode = 'invalid_parameter_value';
        end if;
        for parameter in select * from jsonb_array_elements(action_parameters) loop
            if jsonb_typeof(parameter) not in ('number', 'string', 'boolean') then
                raise exception 'action_parameters/%: must be a number, a string or a boolean', position
                    using errcode = 'invalid_parameter_value';
            elsif jsonb_typeof(parameter) = 'string' and length(parameter #>> '{}') > max_parameter then
                raise exception 'action_parameters/%: is longer than % characters', position, max_parameter
                    using errcode = 'invalid_parameter_value';
            end if;
            position := position + 1;
        end loop;
    end if;

    request := jsonb_strip_nulls(jsonb_build_object(
        'recipient', recipient, 'message_type', message_type, 'message_text', message_text,
        'external_message', external_message, 'subject', subject, 'sender', sender,
        'sender_instance', sender_instance, 'action_parameters', action_parameters,
        'deliver_at', deliver_at, 'template', template, 'model_key', model_key));
    if instance is not null then
        -- By itself: its nulls are values.
        request := request || jsonb_build_object('instance', instance);
    end if;

    if idempotency_key is not null then
        insert into herald.idempotency as i (sender, key, request_hash, message_id, expires_at)
        values (sender, idempotency_key, herald.request_hash(request), id, now() + interval '7 days')
        on conflict on constraint idempotency_pkey do nothing;
        if not found then
            select * into earlier from herald.idempotency i where i.sender = sender and i.key = idempotency_key;
            if earlier.request_hash <> herald.request_hash(request) then
                raise exception 'idempotency_key: was used for another message' using errcode = 'unique_violation',
                    detail = format('Message %s was sent with this key.', earlier.message_id);
            end if;
            return earlier.message_id;
        end if;
    end if;

    insert into herald.outbox (id, lane, payload, due_at)
    values (id, type.lane,
            json_build_object('id', id, 'accepted_at', (extract(epoch from clock_timestamp()) * 1000)::bigint,
                              'origin', 'outbox', 'message', request),
            coalesce(deliver_at, now()));
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
        raise exception 'email_mode: must be To, Cc or Bcc' using errcode = 'invalid_parameter_value';
    end if;
    -- The reference decides the channel.
    if reference ~ '^\+[1-9][0-9]{6,14}$' then
        channel := 'sms';
    elsif reference ~ '^[A-Za-z0-9!#$%&''*+/=?^_`{|}~.][A-Za-z0-9!#$%&''*+/=?^_`{|}~.-]{0,63}@([[:alnum:]]([[:alnum:]-]{0,61}[[:alnum:]])?\.)+[[:alpha:]][[:alnum:]-]{0,61}[[:alnum:]]$'
          and reference !~ '(^\.|\.\.|\.@)' and length(reference) <= 254 then
        channel := 'email';
        -- One domain in any case.
        reference := split_part(reference, '@', 1) || '@' || lower(split_part(reference, '@', 2));
    else
        raise exception 'contact_reference: must be an e-mail address or a mobile number such as +491701234567'
            using errcode = 'invalid_parameter_value';
    end if;
    if exists (select from herald.outbox o where o.id = message_id) then
        -- A row that can be seen although its transaction is under way is of this transaction, or of a block within it.
        sent_with := exists (select from herald.outbox o where o.id = message_id
                             and pg_xact_status((this_xact + ((o.xmin::text::bigint - this_xact + 2147483648) & 4294967295)
                                                 - 2147483648)::text::xid8) = 'in progress');
    elsif exists (select from herald.message m where m.id = message_id) then
        sent_with := false;
    else
        raise exception 'message_id: there is no message %', message_id using errcode = 'invalid_parameter_value';
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
