"""What scheduling goes by, beside how a plan is cut."""

from __future__ import annotations

import pytest

from ffq import plan as p
from ffq.plan import cut, model
from ffq.plan.model import Node
from ffq.plan.properties import has_own_words, needs_own_numbering
from tests.strategies.graphs import aggregate, exchange, join, scan

PLAIN = model.CteRef("plain", scan())
CTE = model.CteRef("c", aggregate(scan()))
OTHER = model.CteRef("o", model.Limit(1, aggregate(CTE)))


def union(*nodes: Node) -> Node:
    below, *more = nodes
    for node in more:
        below = model.UnionAll(below, node)
    return below


@pytest.mark.parametrize(
    ("plan", "own"),
    [
        (union(CTE, exchange(scan())), False),  # stands once
        (union(PLAIN, PLAIN, exchange(scan())), False),  # no exchange inside
        (join(PLAIN, PLAIN), False),  # an exchange above each is met by everybody
        (union(CTE, CTE), False),  # none after it
        (union(exchange(scan()), CTE, CTE, CTE), False),
        (model.UnionAll(CTE, exchange(CTE)), False),  # the exchange is met before the copy
        (aggregate(union(CTE, CTE)), False),
        (union(OTHER, CTE), False),
        (union(CTE, CTE, exchange(scan())), True),
        (union(CTE, exchange(CTE), exchange(scan())), True),
        (union(OTHER, CTE, exchange(scan())), True),
        (join(CTE, CTE), False),
        (union(join(CTE, CTE), aggregate(scan())), True),
    ],
)
def test_numbers_are_our_own_where_an_exchange_follows_a_copy_of_one(plan: Node, own: bool) -> None:
    assert needs_own_numbering(cut(plan)) is own


@pytest.mark.parametrize(
    ("relation", "own"),
    [
        (p.scan("t", ["a"]).join(p.scan("u"), "a").repartition(["a"]), False),
        (p.scan("t").filter(p.col("t.a") > 1), True),
        (p.scan("t", ["t.a"]), True),
        (p.scan("t").join(p.scan("u"), [("a", "u.a")]), True),
        (p.scan("t").join(p.scan("u"), [("t.a", "a")], strategy="broadcast_right"), True),
        (p.scan("t").repartition(["t.a"]), True),
    ],
)
def test_a_dotted_name_is_a_word_of_our_own_wherever_it_stands(
    relation: p.Relation, own: bool
) -> None:
    assert has_own_words(cut(relation.node)) is own
