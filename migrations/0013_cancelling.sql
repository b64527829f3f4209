-- A batch is cancelled by one row, however many messages it has: docs/decisions/cancelling.md.

create table herald.cancelled_batch (
    -- message.batch_id.
    id           uuid primary key,
    cancelled_at timestamptz not null,
    -- When nothing of it was left that its rows called pending; null: they have yet to follow.
    followed_at  timestamptz
);
comment on table herald.cancelled_batch is
    'Batches that were cancelled: from the commit of this row on nobody sees a message of one as pending, and no worker sends it.';
create index cancelled_batch_open on herald.cancelled_batch (id) where followed_at is null;

-- The batches whose rows may still say otherwise.
create view herald.cancelling as select id from herald.cancelled_batch where followed_at is null;

-- Messages as people see them: those that wait, of a batch that is cancelled, are left out until their rows say so. Whoever looks for
-- what is pending reads this. `is null or` keeps the planner from joining: the lists go by herald.message's indexes, in their order.
create view herald.current_message as
    select m.* from herald.message m
    where m.status <> 'pending' or m.batch_id is null
       or not exists (select from herald.cancelling c where c.id = m.batch_id);

-- How one message stands, by what its row says.
create function herald.status_of(status text, batch_id uuid) returns text language sql stable as $$
    select case when status = 'pending' and exists (select from herald.cancelling c where c.id = batch_id)
                then 'cancelled' else status end
$$;

-- Cancels all that waits of a batch. True: it is cancelled now; false: it was cancelled before.
create function herald.cancel_batch(batch_id uuid) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    -- One call sends a batch, and so one sender.
    sender text := coalesce((select o.payload->'message'->>'sender' from herald.outbox o where o.batch_id = batch_id limit 1),
                            (select m.sender from herald.message m where m.batch_id = batch_id limit 1));
begin
    begin
        perform herald.check_sender(sender) where sender is not null;
    exception when insufficient_privilege then
        sender := null;
    end;
    if sender is null then
        perform herald.refuse('batch_id', format('there is no batch %s', coalesce(batch_id::text, '')));
    end if;
    insert into herald.cancelled_batch (id, cancelled_at) values (batch_id, clock_timestamp()) on conflict do nothing;
    if found then
        perform pg_notify('herald_inbox', '*');
    end if;
    return found;
end $$;

-- Lets rows of a cancelled batch follow: at most so many of each table, and of messages those after this id, so that no group reads
-- again what earlier ones have done. Answers how many, and the last; null: another process is at it, or all have followed.
create function herald.follow_cancelled(batch_id uuid, after uuid, most integer, now timestamptz, out many bigint, out last uuid)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    waiting uuid[];
begin
    perform from herald.cancelled_batch b where b.id = batch_id and b.followed_at is null for update skip locked;
    if not found then
        return;
    end if;
    waiting := array(select m.id from herald.message m
                     where m.batch_id = batch_id and m.id > after and m.status = 'pending' order by m.id limit most);
    last := coalesce(waiting[cardinality(waiting)], after);
    select c.many into many from herald.close_messages(
        waiting || array(select o.id from herald.outbox o where o.batch_id = batch_id limit most), 'cancelled', null, now) c;
end $$;

revoke execute on all functions in schema herald from public;
