-- Tries of the ways out that somebody asked for: the last one of each.

create table herald.channel_check (
    channel     text primary key constraint channel_check_channel check (channel in ('email', 'sms')),
    -- Names this try: the next one takes its row.
    id          uuid not null,
    address     text not null,
    asked_by    text not null,
    asked_at    timestamptz not null,
    -- When a worker began it; it is tried once.
    started_at  timestamptz,
    finished_at timestamptz,
    succeeded   boolean,
    -- What the server said, or what failed and where to look.
    said        text
);
