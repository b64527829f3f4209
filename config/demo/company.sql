-- A small company for the demo: who works there, who it sells to, what it buys.

create schema if not exists demo;

create table if not exists demo.customer (
    id   integer primary key,
    name text not null
);

create table if not exists demo.contact_person (
    id       integer primary key,
    customer integer not null references demo.customer (id),
    name     text not null,
    email    text not null
);

create table if not exists demo.purchase_order (
    id         integer generated always as identity primary key,
    customer   integer not null references demo.customer (id),
    subject    text not null,
    amount     numeric(12, 2) not null,
    requester  text not null,
    ordered_on date not null default current_date,
    status     text not null default 'submitted' check (status in ('submitted', 'approved'))
);

-- Who decides on it.
alter table demo.purchase_order
    add column if not exists manager text not null default 'ann';
alter table demo.purchase_order drop constraint if exists purchase_order_status_check;
alter table demo.purchase_order add constraint purchase_order_status_check
    check (status in ('submitted', 'approved', 'refused'));

-- What asks for a decision on a purchase order.
create table if not exists demo.asked (
    purchase_order integer primary key references demo.purchase_order (id),
    authorisation  uuid not null
);

create table if not exists demo.report_task (
    id       integer generated always as identity primary key,
    owner    text not null,
    title    text not null,
    finished timestamptz
);

create table if not exists demo.report_line (
    id          integer generated always as identity primary key,
    report_task integer not null references demo.report_task (id),
    region      text not null,
    amount      numeric(12, 2) not null
);

insert into demo.customer values (1, 'Harbour Coffee Ltd'), (2, 'Nordlicht GmbH') on conflict do nothing;
insert into demo.contact_person values
    (1, 1, 'Hana Ito', 'hana@harbour-coffee.example'),
    (2, 2, 'Jonas Brandt', 'jonas@nordlicht.example'),
    (3, 2, 'Mia Lund', 'mia@nordlicht.example')
on conflict do nothing;

insert into demo.purchase_order (id, customer, subject, amount, requester, ordered_on)
overriding system value values (1, 2, 'Lanterns, 40 pieces', 3180.50, 'ann', current_date - 3) on conflict do nothing;
select setval(pg_get_serial_sequence('demo.purchase_order', 'id'), (select max(id) from demo.purchase_order));

select herald.upsert_user('ann', 'Ann Archer', 'ann@demo.example', '+491701234567', time_zone => 'Europe/Berlin');
select herald.upsert_user('bob', 'Bob Baker', 'bob@demo.example');
select herald.upsert_user('ada', 'Ada Adams', 'ada@demo.example');
select herald.upsert_user('drill', 'Who gets what is sent while something breaks', 'drill@demo.example');
update herald.app_user set roles = array['admin'] where username = 'ada' and roles <> array['admin'];
update herald.app_user set roles = '{}' where username = 'ann' and roles = array['admin'];

insert into herald.message_type (code, description, required_action, action_url, lane)
values ('PO-AUTHORISE', 'Purchase order to authorise', 'action', '/po/approve?id=&level=', 'normal')
on conflict (code) do nothing;
insert into herald.message_type (code, description, required_action, choice_set, external_delivery)
values ('PO-DECIDE', 'May this be bought?', 'reply', 'YESNO-CHOICES', 'email')
on conflict (code) do nothing;
insert into herald.message_type (code, description, external_delivery, expiry_days)
values ('REPORT-READY', 'Your report is ready', 'email', 10)
on conflict (code) do nothing;
insert into herald.message_type (code, description, external_delivery, lane)
values ('DRILL', 'Sent while something breaks', 'none', 'normal'), ('DRILL-EMAIL', 'Sent while something breaks', 'email', 'normal')
on conflict (code) do nothing;
