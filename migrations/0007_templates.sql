-- Message templates, and the host's tables that they may read.

create table herald.model (
    name         text primary key constraint model_name_form check (name ~ '^[A-Za-z_][A-Za-z0-9_]{0,59}$'),
    -- A table or view of the host application. Herald reads it as role herald_reader, and never writes.
    table_schema text not null,
    table_name   text not null,
    -- The columns that identify a record.
    key          text[] not null constraint model_key_columns check (cardinality(key) between 1 and 8),
    -- The column that a relation to this model prints by itself.
    label        text,
    -- Columns that nothing may reach.
    hidden       text[] not null default '{}',
    -- Relations that no foreign key tells: [{"name", "columns", "model", "references"}].
    relations    jsonb not null default '[]',
    updated_at   timestamptz not null default now(),
    unique (table_schema, table_name)
);
create trigger model_changed after insert or update or delete on herald.model
    for each statement execute function herald.notify_table();

-- Every version that was ever saved: a message tells which one made it. The highest is in force.
create table herald.message_template (
    code             text not null
                     constraint message_template_code_form check (code ~ '^[A-Z0-9][A-Z0-9_.-]{0,59}$'),
    -- From 1, without gaps: two people who save over the same version collide here.
    version          integer not null constraint message_template_version_positive check (version > 0),
    -- herald.model.name; null: rendered over what the producer sends along only.
    model            text,
    syntax           text not null
                     constraint message_template_syntax check (syntax in ('token', 'handlebars')),
    -- Null: the description of the message's type.
    subject          text,
    message_text     text not null,
    -- What e-mail and SMS carry; null: message_text.
    external_message text,
    -- What e-mail carries beside the plain text.
    external_html    text,
    -- Taken out of use by this version; a later one brings it back.
    retired          boolean not null default false,
    saved_at         timestamptz not null default now(),
    -- A username, a token's name, or "command line".
    saved_by         text not null,
    primary key (code, version)
);
create trigger message_template_changed after insert or update or delete on herald.message_template
    for each statement execute function herald.notify_table();
