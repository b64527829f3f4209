-- What the processes agree on among themselves.

create table herald.lease (
    -- What is held, as in "relay".
    name       text primary key,
    holder     uuid not null,
    expires_at timestamptz not null
);

-- One row per slot of a periodic job: any number of schedulers tick, one run happens.
create table herald.periodic_run (
    job         text not null,
    slot        timestamptz not null,
    worker      text not null,
    started_at  timestamptz not null,
    finished_at timestamptz,
    -- What was done, or the error.
    result      text,
    succeeded   boolean,
    primary key (job, slot)
);
