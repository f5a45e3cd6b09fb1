"""TPC-H queries as plans, with the SQL that they answer (`late_lines` is one of our own).

The vocabulary has no sort. Q1's `ORDER BY` is left out: compare its rows as a set. Q3's rows come
largest revenue first, as TopKByScore gives them; its second key, o_orderdate, is left out, so that
among equal revenues the order, and at the tenth place the choice, is free.
"""

from __future__ import annotations

from typing import Final, Literal

from ffq.errors import InvalidRequest
from ffq.plan.builder import JoinBy, Relation, scan
from ffq.plan.expressions import Expression, col, count

Q1_SQL: Final = """\
SELECT l_returnflag, l_linestatus,
       sum(l_quantity) AS sum_qty,
       sum(l_extendedprice) AS sum_base_price,
       sum(l_extendedprice * (1 - l_discount)) AS sum_disc_price,
       sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) AS sum_charge,
       avg(l_quantity) AS avg_qty,
       avg(l_extendedprice) AS avg_price,
       avg(l_discount) AS avg_disc,
       count(*) AS count_order
FROM lineitem
WHERE l_shipdate <= DATE '1998-12-01' - INTERVAL '90' DAY
GROUP BY l_returnflag, l_linestatus
ORDER BY l_returnflag, l_linestatus
"""

Q3_SQL: Final = """\
SELECT l_orderkey, sum(l_extendedprice * (1 - l_discount)) AS revenue, o_orderdate, o_shippriority
FROM customer, orders, lineitem
WHERE c_mktsegment = 'BUILDING' AND c_custkey = o_custkey AND l_orderkey = o_orderkey
  AND o_orderdate < DATE '1995-03-15' AND l_shipdate > DATE '1995-03-15'
GROUP BY l_orderkey, o_orderdate, o_shippriority
ORDER BY revenue DESC, o_orderdate
LIMIT 10
"""

LATE_LINES_SQL: Final = """\
SELECT l_shipmode, count(*) AS lines, sum(days) AS days_late, max(days) AS worst
FROM (SELECT l_shipmode, l_receiptdate - l_commitdate AS days FROM lineitem)
WHERE days >= {at_least}
GROUP BY l_shipmode
"""


def q1(*, partitions: int = 8) -> Relation:
    """Pricing summary report."""
    return (
        scan(
            "lineitem",
            [
                "l_returnflag",
                "l_linestatus",
                "l_quantity",
                "l_extendedprice",
                "l_discount",
                "l_tax",
                "l_shipdate",
            ],
        )
        .filter(col("l_shipdate") <= "1998-09-02")
        .aggregate(
            ["l_returnflag", "l_linestatus"],
            [
                col("l_quantity").sum().alias("sum_qty"),
                col("l_extendedprice").sum().alias("sum_base_price"),
                _revenue().sum().alias("sum_disc_price"),
                (_revenue() * (1 + col("l_tax"))).sum().alias("sum_charge"),
                col("l_quantity").avg().alias("avg_qty"),
                col("l_extendedprice").avg().alias("avg_price"),
                col("l_discount").avg().alias("avg_disc"),
                count().alias("count_order"),
            ],
            partitions=partitions,
        )
    )


def q3(*, joins: Literal["shuffle", "broadcast"] = "shuffle", partitions: int = 8) -> Relation:
    """Shipping priority: the ten unshipped orders of largest value.

    Args:
        joins: "shuffle": customer, orders and lineitem are exchanged by the join keys.
            "broadcast": the orders of the segment are whole in each task that scans lineitem.
    """
    if joins not in {"shuffle", "broadcast"}:
        raise InvalidRequest(f"q3: unknown joins {joins!r}; known: shuffle, broadcast")
    by: JoinBy = "shuffle" if joins == "shuffle" else "broadcast_right"
    customers = (
        scan("customer", ["c_custkey", "c_mktsegment"])
        .filter(col("c_mktsegment") == "BUILDING")
        .project("c_custkey")
    )
    orders = scan("orders", ["o_orderkey", "o_custkey", "o_orderdate", "o_shippriority"]).filter(
        col("o_orderdate") < "1995-03-15"
    )
    open_orders = orders.join(
        customers, [("o_custkey", "c_custkey")], strategy=by, partitions=partitions
    ).project("o_orderkey", "o_orderdate", "o_shippriority")
    return (
        scan("lineitem", ["l_orderkey", "l_extendedprice", "l_discount", "l_shipdate"])
        .filter(col("l_shipdate") > "1995-03-15")
        .project("l_orderkey", "l_extendedprice", "l_discount")
        .join(open_orders, [("l_orderkey", "o_orderkey")], strategy=by, partitions=partitions)
        .aggregate(
            ["l_orderkey", "o_orderdate", "o_shippriority"],
            [_revenue().sum().alias("revenue")],
            partitions=partitions,
        )
        .project("l_orderkey", "revenue", "o_orderdate", "o_shippriority")
        .top_k(col("revenue"), 10)
    )


def late_lines(
    *, at_least: int = 60, operator: str = "demo.days_late", partitions: int = 8
) -> Relation:
    """Lines received `at_least` days after the promised date, per ship mode.

    Days between dates are beyond the vocabulary: a custom operator counts them. It gets
    l_shipmode, l_commitdate and l_receiptdate, and gives l_shipmode and days_late (an integer)
    of the lines that are at least config["at_least"] days late.
    """
    return (
        scan("lineitem", ["l_shipmode", "l_commitdate", "l_receiptdate"])
        .custom(operator, {"at_least": str(at_least)}, columns=["l_shipmode", "days_late"])
        .aggregate(
            ["l_shipmode"],
            [
                count().alias("lines"),
                col("days_late").sum().alias("days_late"),
                col("days_late").max().alias("worst"),
            ],
            partitions=partitions,
        )
    )


def _revenue() -> Expression:
    return col("l_extendedprice") * (1 - col("l_discount"))
