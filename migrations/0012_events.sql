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
    handled_at timestamptz,
    -- What became of it.
    result     text
);
create index event_waiting on herald.event (id) where handled_at is null;
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

-- All that the host's transaction pays for: one insert for each event. It has the rights of its owner, so that who changes the table
-- needs none here.
create function herald.record_event() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    insert into herald.event (watch_id, old, new)
    values (tg_argv[0]::bigint, case when tg_op <> 'INSERT' then row_to_json(old) end,
            case when tg_op <> 'DELETE' then row_to_json(new) end);
    return null;
end $$;

-- The trigger of a watch, as its table's owner would make it.
create function herald.watch_statement(watch herald.event_watch) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('create trigger %I after %s on %I.%I for each row %s execute function herald.record_event(%L)',
        'herald_watch_' || watch.id, watch.operation, watch.table_schema, watch.table_name,
        case
            -- Compared as they are stored: some types know no equality.
            when watch.value is not null then
                format('when (pg_catalog.record_image_ne(row(old.%1$I), row(new.%1$I)) and new.%1$I::text = %2$L)', watch.column_name, watch.value)
            when watch.column_name is not null then format('when (pg_catalog.record_image_ne(row(old.%1$I), row(new.%1$I)))', watch.column_name)
            when watch.operation = 'update' then 'when (pg_catalog.record_image_ne(old, new))'
            else ''
        end, watch.id)
$$;

-- Watches a table, and says by which id. The same again is the same watch.
create function herald.watch(watched regclass, operation text, column_name text, value text) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    it      herald.event_watch;
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
        return (select w.id from herald.event_watch w
                where w.table_schema = in_here and w.table_name = name and w.operation = operation
                  and w.column_name is not distinct from column_name and w.value is not distinct from value);
    end if;
    begin
        execute herald.watch_statement(it);
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
    it herald.event_watch;
begin
    delete from herald.event_watch w where w.id = watch_id returning w.* into it;
    if not found then
        return false;
    end if;
    if to_regclass(format('%I.%I', it.table_schema, it.table_name)) is not null then
        begin
            execute format('drop trigger if exists %I on %I.%I', 'herald_watch_' || it.id, it.table_schema, it.table_name);
        exception when insufficient_privilege then
            raise exception using column = 'table', errcode = 'invalid_parameter_value',
                message = format('table: only the owner of %I.%I may drop its triggers; let the owner run: drop trigger %I on %I.%I',
                                 it.table_schema, it.table_name, 'herald_watch_' || it.id, it.table_schema, it.table_name);
        end;
    end if;
    return true;
end $$;

revoke execute on all functions in schema herald from public;
