-- The source contract: what the pipeline reads from a shop's warehouse.
--
-- In the practice shop these are tables of schema `shop`. A real shop keeps its own tables and edits
-- include/sql/extract/<entity>.sql, one SELECT per entity, until each returns these columns.
-- Only `customers` and `orders` are required. Every other entity may be missing (no rows, or no SELECT):
-- the features, scores and strategies that need it switch themselves off and say so.
--
-- Keys are text: shops use integers, UUIDs and external ids alike.
-- Times are timestamptz and stored in UTC. Money is numeric(14,2) in one currency per shop.
-- `updated_at` is set on every insert and update; it is the watermark of the incremental extract.
create schema if not exists shop;

create table if not exists shop.customers (
    customer_id text primary key,
    signed_up_at timestamptz not null,
    birth_year smallint,
    gender text,
    income_band text,  -- low | middle | high, or null
    city text,
    country text,
    acquisition_channel text,  -- organic | search_ad | social_ad | referral | store ...
    email_consent boolean not null default false,
    sms_consent boolean not null default false,
    push_consent boolean not null default false,
    profiling_consent boolean not null default true,  -- false: never scored, never published
    updated_at timestamptz not null
);

create table if not exists shop.products (
    product_id text primary key,
    name text not null,
    category text not null,
    brand text,
    list_price numeric(14, 2),
    unit_cost numeric(14, 2),
    launched_at timestamptz,
    stock_on_hand integer,
    updated_at timestamptz not null
);

create table if not exists shop.orders (
    order_id text primary key,
    customer_id text not null,
    ordered_at timestamptz not null,
    status text not null,  -- placed | paid | shipped | delivered | cancelled
    channel text,  -- web | app | store | social
    coupon_code text,
    discount_amount numeric(14, 2) not null default 0,
    total_amount numeric(14, 2) not null,  -- what the customer paid, after discount
    updated_at timestamptz not null
);

create table if not exists shop.order_items (
    order_id text not null,
    line_no integer not null,
    product_id text not null,
    quantity integer not null,
    unit_price numeric(14, 2) not null,
    returned_quantity integer not null default 0,
    updated_at timestamptz not null,
    primary key (order_id, line_no)
);

create table if not exists shop.events (
    event_id text primary key,
    customer_id text not null,
    occurred_at timestamptz not null,
    -- page_view | product_view | search | add_to_cart | remove_from_cart
    -- | ad_view | ad_click | article_read | video_view
    event_type text not null,
    channel text,  -- web | app | email | wechat | douyin | bilibili ...
    session_id text,
    product_id text,
    dwell_seconds real,
    updated_at timestamptz not null
);

create table if not exists shop.support_tickets (
    ticket_id text primary key,
    customer_id text not null,
    opened_at timestamptz not null,
    category text not null,  -- complaint | return | refund | question
    resolved_at timestamptz,
    satisfaction smallint,  -- 1 (bad) .. 5 (good)
    updated_at timestamptz not null
);

create table if not exists shop.campaigns (
    campaign_id text primary key,
    name text not null,
    strategy_id text,
    channel text,
    starts_at timestamptz not null,
    ends_at timestamptz not null,  -- outcomes count from contacted_at to here
    cost_per_contact numeric(14, 4) not null default 0,
    fixed_cost numeric(14, 2) not null default 0,
    updated_at timestamptz not null
);

-- One row per customer drawn for a campaign, the held-out ones included.
create table if not exists shop.campaign_contacts (
    campaign_id text not null,
    customer_id text not null,
    arm text not null,  -- 'control' is the held-out arm; any other name is a treatment
    contacted_at timestamptz not null,  -- for control: when it would have been contacted
    opened_at timestamptz,
    clicked_at timestamptz,
    unsubscribed_at timestamptz,
    satisfaction smallint,  -- 1..5, from a survey after the contact
    updated_at timestamptz not null,
    primary key (campaign_id, customer_id)
);
