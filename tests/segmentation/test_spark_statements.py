"""Statements as Spark gets them: what is read again is worked out once."""

import pytest

pytest.importorskip("pyspark", reason="pyspark is not installed: `make dev-ready` installs it")

from segmentation import spark_engine

ORDERS = """
with
orders as materialized (select customer_id, amount from agg.orders where amount > 0),
totals as (select customer_id, sum(amount) as total from orders group by customer_id)
select o.customer_id, o.amount / t.total as share, e.total as every
from orders as o
inner join totals as t on o.customer_id = t.customer_id
cross join (select sum(total) as total from totals) as e
"""


def parts(statement):
    """(view -> what it has to hold, the statement that is left)."""
    tree = spark_engine._tree(statement, None, "p__")
    views = {name: spark_engine.taken_out(tree, name, f"v_{name}") for name in spark_engine.read_again(tree)}
    return views, tree.sql(dialect="spark")


def test_a_cte_that_is_read_twice_becomes_a_view_that_later_ones_read():
    views, left = parts(ORDERS)
    assert views == {
        "orders": "SELECT customer_id, amount FROM p__agg__orders AS orders WHERE amount > 0",
        "totals": "SELECT customer_id, SUM(amount) AS total FROM v_orders AS orders GROUP BY customer_id",
    }
    assert left == (
        "SELECT o.customer_id, o.amount / t.total AS share, e.total AS every FROM v_orders AS o "
        "INNER JOIN v_totals AS t ON o.customer_id = t.customer_id "
        "CROSS JOIN (SELECT SUM(total) AS total FROM v_totals AS totals) AS e"
    )


def test_a_cte_that_is_read_once_stays_where_it_is_and_goes_with_who_reads_it():
    views, left = parts("with a as (select 1 as x), b as (select x from a), c as (select 2 as y) "
                        "select b.x, d.x, c.y from b, b as d, c")  # fmt: skip
    assert views == {"b": "WITH a AS (SELECT 1 AS x) SELECT x FROM a"}
    assert left.startswith("WITH a AS (SELECT 1 AS x), c AS (SELECT 2 AS y) SELECT b.x, d.x, c.y FROM v_b AS b")
    assert "v_b AS d" in left


@pytest.mark.parametrize(
    "statement",
    [
        "select a.x from raw.a as a inner join raw.a as b on a.x = b.x",
        "with a as (select 1 as x) select x from a",
        "with a as (select 1 as x) select x from (with a as (select 2 as x) select a.x from a, a as b)",
    ],
)
def test_other_statements_stay_whole(statement):
    assert parts(statement)[0] == {}


def test_a_table_that_has_the_name_of_a_cte_is_another_one():
    views, left = parts("with orders as (select 1 as x) select o.x from orders as o, raw.orders as r")
    assert views == {}
    assert "p__raw__orders AS r" in left
