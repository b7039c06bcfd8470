"""
The bad inputs: what is wrong with the shop, as SQL on schema `shop`, and what has to come of it.

The shop is a day old: `:day` is the day that is run, the last rows are of the day before it, and the day before that
was accepted and published. `new` is a customer, order, item, event, ticket or contact of that last day.
"""

from dataclasses import dataclass

QUARANTINED, STOPPED, WARNED = "quarantined", "stopped", "published, with a warning"


@dataclass(frozen=True)
class Case:
    """One bad input.

    :param name: for the test's id, and for `python -m local.bad_inputs NAME`.
    :param table: the entity.
    :param what: what is wrong, for people.
    :param spoil: SQL that makes it so.
    :param outcome: QUARANTINED, STOPPED or WARNED.
    :param told: how the first reason, or the message, goes on.
    :param rows: how many rows have to be in quarantine in the end.
    """

    name: str
    table: str
    what: str
    spoil: str
    outcome: str
    told: str
    rows: int = 0


def _copy(table: str, key: str, **changes: str) -> str:
    """SQL: one more row, like the latest but for its key and the changes."""
    shown = {**{key: f"{key} || '-bad'"}, "updated_at": "timestamptz ':day' - interval '1 hour'", **changes}
    sets = ", ".join(f"{column} = {value}" for column, value in shown.items())
    return f"""
        create temp table bad as select * from shop.{table} order by updated_at desc, {key} limit 1;
        update bad set {sets};
        insert into shop.{table} select * from bad;
        drop table bad;
    """


def _loose(table: str, *columns: str) -> str:
    """SQL: a table that lets in what its constraints would not."""
    drops = "".join(f", alter {column} drop not null" for column in columns)
    return f"alter table shop.{table} drop constraint {table}_pkey cascade {drops};"


def _retyped(table: str, column: str, kind: str) -> str:
    """SQL: a column of another type, which lets in what the contract's would not."""
    return f"alter table shop.{table} alter {column} drop default, alter {column} type {kind};"


def _contradicting(table: str, key: str, column: str, one: str, other: str) -> str:
    """SQL: two new rows of one key."""
    return (
        _loose(table)
        + _copy(table, key, **{column: one})
        + f"insert into shop.{table} select * from shop.{table} where {key} like '%-bad';"
        + f"update shop.{table} set {column} = {other} "
        + f"where ctid = (select max(ctid) from shop.{table} where {key} like '%-bad')"
    )


NEW_ORDERS = "updated_at >= timestamptz ':day' - interval '1 day'"
ITEM = """
    insert into shop.order_items (order_id, line_no, product_id, quantity, unit_price, returned_quantity, updated_at)
    select order_id, 99, {product}, {quantity}, {price}, {returned}, timestamptz ':day' - interval '1 hour'
    from shop.orders order by ordered_at desc limit 1;
"""


def _item(order: str = "", product: str = "'P000001'", quantity: int = 1, price: str = "5", returned: int = 0) -> str:
    sql = ITEM.format(product=product, quantity=quantity, price=price, returned=returned)
    return sql.replace("select order_id,", f"select {order},") if order else sql


CASES = (
    # customers
    Case("customer_without_id", "customers", "a row without customer_id",
         _loose("customers", "customer_id") + _copy("customers", "customer_id", customer_id="null"),
         QUARANTINED, "customer_id is missing", 1),
    Case("customer_id_padded", "customers", "an id with a space before it",
         _copy("customers", "customer_id", customer_id="' ' || customer_id"),
         QUARANTINED, "customer_id is empty or padded with spaces", 1),
    Case("customer_repeated", "customers", "the same row twice",
         _loose("customers")
         + "insert into shop.customers select * from shop.customers order by updated_at desc limit 1",
         QUARANTINED, "exact repeat of another row", 1),
    Case("customer_contradicting", "customers", "two rows of one new key that contradict each other",
         _contradicting("customers", "customer_id", "city", "'one'", "'other'"),
         QUARANTINED, "key occurs twice with different content", 2),
    Case("customer_born_1066", "customers", "birth_year 1066", _copy("customers", "customer_id", birth_year="1066"),
         QUARANTINED, "birth_year is impossible", 1),
    Case("customer_born_2999", "customers", "birth_year 2999", _copy("customers", "customer_id", birth_year="2999"),
         QUARANTINED, "birth_year is impossible", 1),
    Case("customer_consent_unknown", "customers", "profiling_consent is null",
         "alter table shop.customers alter profiling_consent drop not null;"
         + _copy("customers", "customer_id", profiling_consent="null"),
         QUARANTINED, "profiling_consent is missing", 1),
    Case("customer_of_2099", "customers", "signed up in 2099",
         _copy("customers", "customer_id", signed_up_at="'2099-01-01'"),
         QUARANTINED, "signed_up_at is in the future", 1),
    Case("customer_of_44_bc", "customers", "signed up in 44 BC",
         _copy("customers", "customer_id", signed_up_at="'0044-03-15 BC'"),
         QUARANTINED, "signed_up_at cannot be read as its type", 1),
    Case("customer_of_infinity", "customers", "signed up at infinity",
         _copy("customers", "customer_id", signed_up_at="'infinity'"),
         QUARANTINED, "signed_up_at cannot be read as its type", 1),
    Case("customer_city_damaged", "customers", "a city with U+FFFD, what is left of a wrong encoding",
         _copy("customers", "customer_id", city="'M' || chr(65533) || 'nchen'"),
         QUARANTINED, "city holds damaged characters", 1),
    Case("customer_city_misread", "customers", "a city read as Latin-1 that was UTF-8",
         _copy("customers", "customer_id", city="'M' || chr(195) || chr(188) || 'nchen'", profiling_consent="false"),
         WARNED, "raw.customers: city looks wrongly decoded: 1 of"),
    Case("customer_income_unknown", "customers", "income_band 'huge'",
         _copy("customers", "customer_id", income_band="'huge'"),
         QUARANTINED, "income_band is unknown", 1),
    Case("customer_birth_year_in_words", "customers", "birth_year became text, and one is 'nineteen eighty'",
         _retyped("customers", "birth_year", "text")
         + _copy("customers", "customer_id", birth_year="'nineteen eighty'"),
         QUARANTINED, "birth_year cannot be read as its type", 1),
    Case("customers_retyped", "customers", "birth_year became a date",
         "alter table shop.customers alter birth_year type date using make_date(birth_year, 1, 1);"
         "update shop.customers set updated_at = timestamptz ':day' - interval '1 hour'",
         STOPPED, "include/sql/extract/customers.sql: birth_year must be int16, and more than 1,000 values are not"),
    Case("customers_column_renamed", "customers", "city became town",
         "alter table shop.customers rename city to town", STOPPED, 'column "city" does not exist'),
    Case("customers_column_gone", "customers", "profiling_consent is gone",
         "alter table shop.customers drop profiling_consent", STOPPED, 'column "profiling_consent" does not exist'),
    Case("customers_empty", "customers", "an empty table", "truncate shop.customers",
         STOPPED, "raw.customers: the table is empty: rows_in_all is 0 (at least 1)"),
    Case("customers_half_gone", "customers", "every second row is gone",
         "delete from shop.customers where right(customer_id, 1) in ('0', '2', '4', '6', '8')",
         STOPPED, "raw.customers: too many rows have vanished:"),
    # orders
    Case("order_negative", "orders", "total_amount -5", _copy("orders", "order_id", total_amount="-5"),
         QUARANTINED, "total_amount is negative", 1),
    Case("order_huge", "orders", "total_amount 99,999,999", _copy("orders", "order_id", total_amount="99999999"),
         QUARANTINED, "total_amount is too large to be true", 1),
    Case("order_nan", "orders", "total_amount NaN",
         _retyped("orders", "total_amount", "numeric") + _copy("orders", "order_id", total_amount="'NaN'"),
         QUARANTINED, "total_amount cannot be read as its type", 1),
    Case("order_infinite", "orders", "total_amount infinity",
         _retyped("orders", "total_amount", "numeric") + _copy("orders", "order_id", total_amount="'infinity'"),
         QUARANTINED, "total_amount cannot be read as its type", 1),
    Case("order_without_total", "orders", "total_amount is null",
         "alter table shop.orders alter total_amount drop not null;" + _copy("orders", "order_id", total_amount="null"),
         QUARANTINED, "total_amount is missing", 1),
    Case("order_status_unknown", "orders", "status 'lost'", _copy("orders", "order_id", status="'lost'"),
         QUARANTINED, "status is unknown", 1),
    Case("order_of_2099", "orders", "ordered in 2099", _copy("orders", "order_id", ordered_at="'2099-01-01'"),
         QUARANTINED, "ordered_at is in the future", 1),
    Case("order_of_1066", "orders", "ordered in 1066", _copy("orders", "order_id", ordered_at="'1066-10-14'"),
         QUARANTINED, "ordered_at is before 1990", 1),
    Case("order_updated_spoilt", "orders", "an order that was sound yesterday is negative today",
         "update shop.orders set total_amount = -5, updated_at = timestamptz ':day' - interval '1 hour' "
         "where order_id = (select min(order_id) from shop.orders where status = 'delivered')",
         QUARANTINED, "total_amount is negative", 1),
    Case("order_local_time", "orders", "ordered_at is local time, eight hours ahead of UTC, without saying so",
         _copy("orders", "order_id", ordered_at="timestamptz ':day' + interval '5 hours'"),
         WARNED, "raw.orders: ordered_at is after updated_at (a time zone?): 1 of"),
    Case("order_orphan", "orders", "an order of a customer whom nobody knows",
         _copy("orders", "order_id", customer_id="'ghost'"),
         QUARANTINED, "orphan: customer_id is not in raw.customers", 1),
    Case("order_contradicting", "orders", "two rows of one new key that contradict each other",
         _contradicting("orders", "order_id", "total_amount", "1", "2"),
         QUARANTINED, "key occurs twice with different content", 2),
    Case("orders_twice", "orders", "the whole day was loaded twice, with other amounts",
         _loose("orders") + f"insert into shop.orders select order_id, customer_id, ordered_at, status, channel, "
         f"coupon_code, discount_amount, total_amount + 1, updated_at from shop.orders where {NEW_ORDERS}",
         STOPPED, "raw.orders: keys occur twice:"),
    Case("orders_mostly_broken", "orders", "a third of the day's orders is negative",
         f"update shop.orders set total_amount = -1 where {NEW_ORDERS} and right(order_id, 1) in ('0', '3', '6', '9')",
         STOPPED, "raw.orders: too many rows are quarantined:"),
    Case("orders_tenfold", "orders", "ten times as many orders as on other days",
         "insert into shop.orders select order_id || '-' || n, customer_id, ordered_at, status, channel, coupon_code, "
         "discount_amount, total_amount, updated_at from shop.orders, generate_series(1, 9) as n "
         "where ordered_at >= timestamptz ':day' - interval '1 day'",
         STOPPED, "raw.orders: the last day is out of proportion: last_day_ratio is"),
    Case("orders_tenth", "orders", "a tenth of the orders of other days",
         "delete from shop.orders where ordered_at >= timestamptz ':day' - interval '1 day' and order_id not in "
         "(select order_id from shop.orders where ordered_at >= timestamptz ':day' - interval '1 day' "
         "order by ordered_at desc limit 2)",
         STOPPED, "raw.orders: the last day is out of proportion: last_day_ratio is"),
    Case("orders_half_loaded", "orders", "the load of the last day ended at 07:00",
         "delete from shop.orders where ordered_at >= timestamptz ':day' - interval '17 hours'",
         STOPPED, "raw.orders: the last day"),
    Case("orders_stale", "orders", "no new orders for twenty days",
         "update shop.orders set ordered_at = ordered_at - interval '20 days', "
         "updated_at = timestamptz ':day' - interval '1 hour'",
         STOPPED, "raw.orders: the newest row is too old: newest_age_days is 20"),
    Case("orders_gone", "orders", "the table is gone", "drop table shop.orders",
         STOPPED, 'relation "shop.orders" does not exist'),
    # order_items
    Case("item_orphan", "order_items", "a line of an order that nobody knows", _item(order="'ghost'"),
         QUARANTINED, "orphan: order_id is not in raw.orders", 1),
    Case("item_of_nothing", "order_items", "quantity 0", _item(quantity=0), QUARANTINED, "quantity is below 1", 1),
    Case("item_negative", "order_items", "unit_price -1", _item(price="-1"),
         QUARANTINED, "unit_price is negative", 1),
    Case("item_over_returned", "order_items", "three returned of one that was bought", _item(returned=3),
         QUARANTINED, "more is returned than was bought", 1),
    Case("item_without_product", "order_items", "product_id is null",
         "alter table shop.order_items alter product_id drop not null;" + _item(product="null"),
         QUARANTINED, "product_id is missing", 1),
    # products
    Case("product_negative", "products", "list_price -1", _copy("products", "product_id", list_price="-1"),
         QUARANTINED, "list_price is negative", 1),
    Case("product_without_category", "products", "category is null",
         "alter table shop.products alter category drop not null;" + _copy("products", "product_id", category="null"),
         QUARANTINED, "category is missing", 1),
    # events
    Case("event_nan", "events", "dwell_seconds NaN", _copy("events", "event_id", dwell_seconds="'NaN'"),
         QUARANTINED, "dwell_seconds is not a number", 1),
    Case("event_infinite", "events", "dwell_seconds infinity", _copy("events", "event_id", dwell_seconds="'infinity'"),
         QUARANTINED, "dwell_seconds is not a number", 1),
    Case("event_unknown", "events", "event_type 'dance'", _copy("events", "event_id", event_type="'dance'"),
         QUARANTINED, "event_type is unknown", 1),
    Case("event_orphan", "events", "an event of a customer whom nobody knows",
         _copy("events", "event_id", customer_id="'ghost'"),
         QUARANTINED, "orphan: customer_id is not in raw.customers", 1),
    Case("event_of_2099", "events", "occurred in 2099", _copy("events", "event_id", occurred_at="'2099-01-01'"),
         QUARANTINED, "occurred_at is in the future", 1),
    Case("events_tenfold", "events", "ten times as many events as on other days",
         "insert into shop.events select event_id || '-' || n, customer_id, occurred_at, event_type, channel, "
         "session_id, product_id, dwell_seconds, updated_at from shop.events, generate_series(1, 9) as n "
         "where occurred_at >= timestamptz ':day' - interval '1 day'",
         STOPPED, "raw.events: the last day is out of proportion: last_day_ratio is"),
    # support_tickets
    Case("ticket_satisfaction_9", "support_tickets", "satisfaction 9",
         _copy("support_tickets", "ticket_id", satisfaction="9"),
         QUARANTINED, "satisfaction is not 1 to 5", 1),
    Case("ticket_resolved_early", "support_tickets", "resolved before it was opened",
         _copy("support_tickets", "ticket_id", resolved_at="opened_at - interval '1 day'"),
         QUARANTINED, "resolved before it was opened", 1),
    Case("ticket_unknown", "support_tickets", "category 'praise'",
         _copy("support_tickets", "ticket_id", category="'praise'"),
         QUARANTINED, "category is unknown", 1),
    # campaigns and campaign_contacts
    Case("campaign_backwards", "campaigns", "ends before it starts",
         _copy("campaigns", "campaign_id", ends_at="starts_at - interval '1 day'"),
         QUARANTINED, "it ends before it starts", 1),
    Case("campaign_negative", "campaigns", "cost_per_contact -1",
         _copy("campaigns", "campaign_id", cost_per_contact="-1"),
         QUARANTINED, "cost_per_contact is negative", 1),
    Case("contact_orphan", "campaign_contacts", "a contact of a campaign that nobody knows",
         _copy("campaign_contacts", "campaign_id", campaign_id="'ghost'"),
         QUARANTINED, "orphan: campaign_id is not in raw.campaigns", 1),
    Case("contact_opened_early", "campaign_contacts", "opened before it was sent",
         "update shop.campaign_contacts set opened_at = contacted_at - interval '1 day', "
         "updated_at = timestamptz ':day' - interval '1 hour' where (campaign_id, customer_id) = "
         "(select campaign_id, customer_id from shop.campaign_contacts where arm = 'treatment' limit 1)",
         QUARANTINED, "opened before it was sent", 1),
    Case("contact_without_arm", "campaign_contacts", "arm is null",
         "alter table shop.campaign_contacts alter arm drop not null; update shop.campaign_contacts set arm = null, "
         "updated_at = timestamptz ':day' - interval '1 hour' where (campaign_id, customer_id) = "
         "(select campaign_id, customer_id from shop.campaign_contacts limit 1)",
         QUARANTINED, "arm is missing", 1),
)  # fmt: skip
