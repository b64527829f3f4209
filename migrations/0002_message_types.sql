-- Message types: how a message behaves. A message copies the behaviour of its type when it is made.

create table herald.choice_set (
    code        text primary key constraint choice_set_code_form check (code ~ '^[A-Z0-9][A-Z0-9_.-]{0,59}$'),
    description text not null default '',
    -- Shipped with Herald: can be adjusted, not deleted.
    standard    boolean not null default false
);

create table herald.choice (
    choice_set text not null references herald.choice_set (code) on delete cascade,
    position   integer not null,
    -- What is recorded as the reply, and what the recipient sees.
    value      text not null constraint choice_value_length check (length(value) between 1 and 200),
    label      text not null,
    primary key (choice_set, value),
    unique (choice_set, position)
);

create table herald.message_type (
    code              text primary key
                      constraint message_type_code_form check (code ~ '^[A-Z0-9][A-Z0-9_.-]{0,59}$'),
    description       text not null,
    -- alert: kept and shown apart from messages, with a notice.
    delivery_method   text not null default 'queue'
                      constraint message_type_delivery_method check (delivery_method in ('queue', 'alert')),
    required_action   text not null default 'view'
                      constraint message_type_required_action check (required_action in ('view', 'reply', 'action')),
    -- Days after which a view message is purged, seen or not; null: never.
    expiry_days       integer
                      constraint message_type_expiry_positive check (expiry_days > 0),
    external_delivery text not null default 'none'
                      constraint message_type_external_delivery check (external_delivery in ('none', 'email', 'sms', 'both')),
    choice_set        text references herald.choice_set (code),
    action_url        text,
    -- click: opening the action's URL acts the message; callback: the program behind it reports back.
    complete_on       text not null default 'click'
                      constraint message_type_complete_on check (complete_on in ('click', 'callback')),
    -- What becomes of an e-mail or SMS of which nobody knows whether it arrived.
    on_unknown        text not null default 'retry_once'
                      constraint message_type_on_unknown check (on_unknown in ('retry_once', 'hold')),
    lane              text not null default 'normal'
                      constraint message_type_lane check (lane in ('alert', 'normal', 'bulk')),
    -- What is delivered when a template cannot be rendered; null: that there is a message, and from whom.
    fallback_text     text
                      constraint message_type_fallback_length check (length(fallback_text) between 1 and 2000),
    standard          boolean not null default false,
    updated_at        timestamptz not null default now(),
    constraint message_type_expiry_only_view check (expiry_days is null or required_action = 'view'),
    constraint message_type_choices_only_reply check (choice_set is null or required_action = 'reply'),
    constraint message_type_url_only_action check ((action_url is not null) = (required_action = 'action'))
);

create function herald.keep_standard() returns trigger language plpgsql as $$
begin
    if old.standard then
        raise exception '% is a standard row: it can be adjusted, not deleted', old.code using errcode = 'restrict_violation';
    end if;
    return old;
end $$;
create trigger message_type_standard_stays before delete on herald.message_type
    for each row execute function herald.keep_standard();
create trigger choice_set_standard_stays before delete on herald.choice_set
    for each row execute function herald.keep_standard();
create trigger message_type_changed after insert or update or delete on herald.message_type
    for each statement execute function herald.notify_table();

insert into herald.choice_set (code, description, standard) values ('YESNO-CHOICES', 'Yes or No', true);
insert into herald.choice (choice_set, position, value, label) values
    ('YESNO-CHOICES', 1, 'Yes', 'Yes'),
    ('YESNO-CHOICES', 2, 'No', 'No');

insert into herald.message_type
    (code, description, delivery_method, required_action, expiry_days, external_delivery, choice_set, lane, standard)
values
    ('VIEW-NORMAL', 'Message', 'queue', 'view', 10, 'none', null, 'normal', true),
    ('REPLY-YESNO', 'Question', 'queue', 'reply', null, 'none', 'YESNO-CHOICES', 'normal', true),
    ('ALERT-VIEW', 'Alert', 'alert', 'view', 10, 'none', null, 'alert', true),
    ('ALERT-YESNO', 'Alert: please answer', 'alert', 'reply', null, 'none', 'YESNO-CHOICES', 'alert', true),
    ('ALERT-SMS', 'Alert', 'alert', 'view', 10, 'sms', null, 'alert', true),
    ('ALERT-EMAIL', 'Alert', 'alert', 'view', 10, 'email', null, 'alert', true),
    ('ALERT-BOTH', 'Alert', 'alert', 'view', 10, 'both', null, 'alert', true);
