-- What comes back of mail, who gets no more of it, what mails carry, and how long they are tried.

insert into herald.registry (key, secret, description) values
    ('SMTP-BOUNCE-ADDRESS', false, 'Where mail servers report what they could not deliver; unset: to the sender address');

alter table herald.delivery_attempt
    drop constraint delivery_attempt_outcome,
    add constraint delivery_attempt_outcome check
        (outcome in ('sent', 'deferred', 'refused', 'unknown', 'fault', 'bounced', 'delayed', 'delivered')),
    -- Tells one bounce from another: the same one that comes twice is recorded once.
    add column report bytea;
create unique index delivery_attempt_report on herald.delivery_attempt (delivery_id, report) where report is not null;

create table herald.suppression (
    -- An e-mail address in lower case: who did not exist as "Ann" does not exist as "ann".
    address     text primary key constraint suppression_address_form check (address = lower(address) and address <> ''),
    reason      text not null,
    -- Whose bounce it was; null: an operator's doing.
    delivery_id uuid,
    created_at  timestamptz not null
);
comment on table herald.suppression is 'Copies to these addresses are not sent; each says so in the ledger.';

-- What e-mails carry besides their text.
create table herald.attachment (
    -- No foreign key: the row is made when the message is accepted, and so before it.
    message_id   uuid not null,
    position     integer not null,
    name         text not null,
    content_type text not null,
    content      bytea,
    -- Below the directory that the setting email.attachment_root names; read when the mail is made.
    path         text,
    -- In herald.output, for as long as it is kept there.
    output_id    uuid,
    primary key (message_id, position),
    constraint attachment_source check (num_nonnulls(content, path, output_id) = 1)
);

-- However a message goes, its files go with it.
create function herald.delete_attachments() returns trigger language plpgsql as $$
begin
    delete from herald.attachment where message_id = any(array(select id from gone));
    return null;
end $$;
revoke execute on function herald.delete_attachments() from public;
create trigger message_gone after delete on herald.message referencing old table as gone
    for each statement execute function herald.delete_attachments();

alter table herald.message_type
    -- Hours after which a copy that a server keeps putting off is given up.
    add column retry_hours integer not null default 120
               constraint message_type_retry_hours check (retry_hours between 0 and 8760);
