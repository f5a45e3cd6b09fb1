"""Relations and expressions in Python: they write SQL, and so mean what SQL means. Pure.

    orders.filter(col("total") > 100).group_by("customer").agg(col("total").sum())

`expressions` and `steps` are what a program builds, `writing` makes the text of a query of them.
Names are quoted and constants written with their types, each in one place: nothing that a program
passes as a name or a value is ever read as SQL.
"""

from ffq.relation.expressions import Expression, col
from ffq.relation.functions import (
    coalesce,
    concat,
    count,
    function,
    lit,
    rank,
    row_number,
    sql_expression,
    struct,
    when,
)

__all__ = [
    "Expression",
    "coalesce",
    "col",
    "concat",
    "count",
    "function",
    "lit",
    "rank",
    "row_number",
    "sql_expression",
    "struct",
    "when",
]
