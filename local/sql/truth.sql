-- What is behind a simulated shop, for judging what is inferred from it. Nobody but its owner may look.
create schema if not exists truth;
revoke all on schema truth from public;

create table if not exists truth.settings (
    seed bigint not null,
    customers bigint not null,
    first_day date not null,
    last_day date not null,
    parameters jsonb not null
);

create table if not exists truth.customers (
    customer_no bigint primary key,
    customer_id text not null,
    latent_type text not null,
    is_prospect boolean not null,
    signed_up_at timestamptz not null,
    orders_a_day double precision not null,
    drop_out_probability double precision not null,
    order_value_mean double precision not null,
    cancelled_share double precision not null,
    coupon_share double precision not null,
    returned_share double precision not null,
    complaint_share double precision not null,
    visits_a_day double precision not null,
    favourite_brand text,
    taste real[] not null,
    order_channels real[] not null,
    media real[] not null,
    content real[] not null,
    welcome_order_us bigint not null,
    orders_made bigint not null,
    last_ordered_us bigint not null,
    lost_us bigint not null,
    email_withdrawn_us bigint not null,
    sms_withdrawn_us bigint not null,
    push_withdrawn_us bigint not null
);

create table if not exists truth.products (
    product_no bigint primary key,
    product_id text not null,
    movement text not null,
    share_of_category double precision not null,
    on_hand bigint not null,
    on_order bigint not null,
    arrives_on_day bigint,
    daily_demand double precision not null,
    counted_us bigint not null
);

create table if not exists truth.campaign_effects (
    campaign_id text not null,
    arm text not null,
    latent_type text not null,
    strategy_id text not null,
    rate_multiplier double precision not null,
    contacts bigint not null,
    is_complete boolean not null,
    alive_share double precision not null,
    purchase_probability double precision not null,
    effect_on_purchase_probability double precision not null,
    orders_mean double precision not null,
    effect_on_orders double precision not null,
    spend_mean double precision not null,
    effect_on_spend double precision not null,
    primary key (campaign_id, arm, latent_type)
);

create table if not exists truth.answers (
    answer_no integer primary key,
    as_of_date date not null unique,
    begins_us bigint not null
);

create table if not exists truth.answered_campaigns (
    campaign_id text primary key,
    answer_no integer not null,
    name text not null,
    strategy_id text not null,
    works_like text not null,
    channel text,
    cost_per_contact double precision not null,
    starts_us bigint not null,
    ends_us bigint not null
);

create table if not exists truth.answered_contacts (
    campaign_id text not null,
    customer_no bigint not null,
    channel text not null,
    is_treated boolean not null,
    contacted_us bigint not null,
    primary key (campaign_id, customer_no)
);

comment on table truth.settings is 'What the shop was made from, and how far it has come; one row';
comment on column truth.settings.customers is 'Customers by the end of the span in the parameters; more come after it';
comment on column truth.settings.parameters is 'All settings, as local/simulator/settings.py has them';
comment on table truth.customers is 'Everybody who ever signed up, the deleted included; _us: microseconds since 1970';
comment on column truth.customers.orders_a_day is 'Rate of orders while alive, at a usual season and untreated';
comment on column truth.customers.drop_out_probability is 'That an order is the last';
comment on column truth.customers.order_value_mean is 'Expected total_amount of an order';
comment on column truth.customers.cancelled_share is 'Of the orders; none of those in the store';
comment on column truth.customers.taste is 'Shares of the categories, in the order of latent_types.CATEGORIES';
comment on column truth.customers.order_channels is 'Shares, in the order of latent_types.ORDER_CHANNELS';
comment on column truth.customers.media is 'Shares of the channels of sessions, in the order of latent_types.MEDIA';
comment on column truth.customers.content is 'Shares of the kinds of events, in the order of latent_types.EVENTS';
comment on column truth.customers.lost_us is 'Of the last order ever; 2^62 for those who are still alive';
comment on table truth.products is 'How the products truly sell, and the state of the storeroom';
comment on column truth.products.movement is 'fast, steady, slow or dead, in the best of its days';
comment on column truth.products.share_of_category is 'Of what is chosen in its category on the last day';
comment on table truth.campaign_effects is 'Expected outcomes per contact, of both arms alike: plain, and the effect';
comment on column truth.campaign_effects.is_complete is 'Whether everybody who was drawn has been contacted';
comment on column truth.campaign_effects.alive_share is 'Of the contacts: who could still order at all';
comment on column truth.campaign_effects.orders_mean is 'Orders from the contact to the end if nobody is treated';
comment on column truth.campaign_effects.effect_on_orders is 'What treating everybody adds to that';
comment on column truth.campaign_effects.spend_mean is 'As orders_mean, in money, cancelled orders left out';
comment on table truth.answers is 'The published days that the shop has taken up; see local/simulator/answers.py';
comment on table truth.answered_campaigns is 'The campaigns that it made of them';
comment on column truth.answered_campaigns.works_like is 'The simulated strategy whose factors its contacts have';
comment on table truth.answered_contacts is 'Whom these drew, the held-out ones included';
