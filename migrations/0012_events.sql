-- Application events: what happens in the host's tables becomes messages.

create table herald.event_watch (
    id           bigint generated always as identity primary key,
    table_schema text not null,
    table_name   text not null,
    operation    text not null constraint event_watch_operation check (operation in ('insert', 'update', 'delete')),
    -- Only updates that change this column; null: any change of a row.
    column_name  text,
    -- Only those that change it to this value, as text.
    value        text,
    created_at   timestamptz not null default now(),
    constraint event_watch_column check (column_name is null or operation = 'update'),
    constraint event_watch_value check (value is null or column_name is not null)
);
comment on table herald.event_watch is 'Triggers on tables of the host application: see herald watch.';
create unique index event_watch_once
    on herald.event_watch (table_schema, table_name, operation, coalesce(column_name, ''), coalesce(value, ''), (value is null));

create table herald.event (
    id         bigint generated always as identity primary key,
    -- No foreign key: the host's transaction locks nothing of ours.
    watch_id   bigint not null,
    at         timestamptz not null default clock_timestamp(),
    -- The row before and after. json, not jsonb: it takes whatever the row holds, and costs least.
    old        json,
    new        json,
    -- How often it could not be read or sent for a passing reason, and when it is tried again.
    tries      integer not null default 0,
    retry_at   timestamptz,
    handled_at timestamptz,
    -- What became of it; whether a rule could not send what it was to; and the rules that have sent something: a replay leaves those out.
    result     text,
    failed     boolean not null default false,
    sent_by    text[] not null default '{}'
);
create index event_waiting on herald.event (id) where handled_at is null;
create index event_failed on herald.event (id) where failed;
create index event_of_watch on herald.event (watch_id, id);
create index event_handled on herald.event (handled_at) where handled_at is not null;

create table herald.event_rule (
    code       text primary key constraint event_rule_code_form check (code ~ '^[A-Z0-9][A-Z0-9_.-]{0,59}$'),
    watch_id   bigint not null constraint event_rule_watch references herald.event_watch (id),
    -- The rule as it was saved, as JSON.
    rule       jsonb not null,
    enabled    boolean not null default true,
    updated_at timestamptz not null default now()
);
create index event_rule_of_watch on herald.event_rule (watch_id);

-- All that the host's transaction pays for: one insert for each event, by two triggers that run one after the other. The first makes
-- JSON of the row, with the rights of whoever changes it: a type of the host's may bring code of its own. The second has the rights of
-- its owner, so that who changes the table needs none here.
create function herald.read_event() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform set_config('herald.old', case when tg_op = 'INSERT' then '' else row_to_json(old)::text end, true),
            set_config('herald.new', case when tg_op = 'DELETE' then '' else row_to_json(new)::text end, true);
    return null;
end $$;
create function herald.record_event() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into herald.event (watch_id, old, new)
    values (tg_argv[0]::bigint, nullif(current_setting('herald.old'), '')::json, nullif(current_setting('herald.new'), '')::json);
    return null;
end $$;

-- The triggers of a watch, as its table's owner would make them. They fire in the order of their names.
create function herald.watch_statements(watch herald.event_watch) returns setof text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('create or replace trigger %I after %s on %I.%I for each row %s execute function herald.%I(%L)',
        format('herald_watch_%s_%s', watch.id, step.name), watch.operation, watch.table_schema, watch.table_name,
        case
            -- Compared as they are stored: some types know no equality.
            when watch.value is not null then
                format('when (pg_catalog.record_image_ne(row(old.%1$I), row(new.%1$I)) and new.%1$I::text = %2$L)', watch.column_name, watch.value)
            when watch.column_name is not null then format('when (pg_catalog.record_image_ne(row(old.%1$I), row(new.%1$I)))', watch.column_name)
            when watch.operation = 'update' then 'when (pg_catalog.record_image_ne(old, new))'
            else ''
        end, step.function, watch.id)
    from (values ('read', 'read_event'), ('record', 'record_event')) as step (name, function)
$$;

-- Watches a table, and says by which id. The same again is the same watch.
create function herald.watch(watched regclass, operation text, column_name text, value text) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    it      herald.event_watch;
    step    text;
    in_here text;
    name    text;
    kind    text;
begin
    select n.nspname, c.relname, c.relkind into in_here, name, kind
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = watched;
    if in_here = 'herald' then
        perform herald.refuse('table', 'is one of Herald''s own');
    elsif kind not in ('r', 'p') then
        perform herald.refuse('table', 'is no table, and so has no such triggers');
    elsif column_name is not null and not exists (
        select from pg_attribute a where a.attrelid = watched and a.attname = column_name and a.attnum > 0 and not a.attisdropped) then
        perform herald.refuse('on', format('%s has no column "%s"', name, column_name));
    end if;
    insert into herald.event_watch as w (table_schema, table_name, operation, column_name, value)
        values (in_here, name, operation, column_name, value)
        on conflict do nothing returning w.* into it;
    if not found then
        select * into it from herald.event_watch w
            where w.table_schema = in_here and w.table_name = name and w.operation = operation
              and w.column_name is not distinct from column_name and w.value is not distinct from value;
        -- A table that was made anew has lost them.
        if (select count(*) = 2 from pg_trigger t
            where t.tgrelid = watched and t.tgname like format('herald\_watch\_%s\_re%%', it.id)) then
            return it.id;
        end if;
    end if;
    begin
        for step in select herald.watch_statements(it) loop
            execute step;
        end loop;
    exception when insufficient_privilege then
        raise exception using message = format('table: this user may not put a trigger on %s', watched), column = 'table',
            errcode = 'invalid_parameter_value', hint = 'Let its owner run: grant trigger on ' || watched || ' to ' || current_user;
    end;
    return it.id;
end $$;

-- Watches no more. False: there is no such watch.
create function herald.unwatch(watch_id bigint) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    it   herald.event_watch;
    name text;
    tab  regclass;
begin
    delete from herald.event_watch w where w.id = watch_id returning w.* into it;
    if not found then
        return false;
    end if;
    -- By their names: the table may have another one by now.
    for name, tab in
        select t.tgname, t.tgrelid from pg_trigger t
        where t.tgname in (format('herald_watch_%s_read', it.id), format('herald_watch_%s_record', it.id)) and not t.tgisinternal
          and t.tgparentid = 0
    loop
        begin
            execute format('drop trigger %I on %s', name, tab);
        exception when insufficient_privilege then
            raise exception using column = 'table', errcode = 'invalid_parameter_value',
                message = format('table: only the owner of %s may drop its triggers; let the owner run: drop trigger %I on %s', tab, name, tab);
        end;
    end loop;
    return true;
end $$;

revoke execute on all functions in schema herald from public;
