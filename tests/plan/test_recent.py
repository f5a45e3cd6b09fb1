"""Plans are read once, however often they are run."""

from __future__ import annotations

import pytest

from ffq.errors import InvalidPlan, PlanningError
from ffq.plan import builder as p
from ffq.plan import recent
from ffq.plan.codec import dump_plan, parse_plan
from ffq.plan.limits import PlanLimits
from ffq.plan.recent import graph_of
from ffq.plan.stages import cut


def plan(column: str) -> bytes:
    return p.scan("t", [column]).to_json()


def test_a_plan_has_its_own_graph_and_has_it_once() -> None:
    graphs = {name: graph_of(plan(name)) for name in "abc"}
    for name, graph in graphs.items():
        assert graph == cut(parse_plan(plan(name)))
        assert graph_of(plan(name)) is graph


def test_limits_hold_for_plans_that_were_read_under_others() -> None:
    data = plan("k")
    graph_of(data)
    with pytest.raises(InvalidPlan):
        graph_of(data, PlanLimits(max_bytes=len(data) - 1))


def test_what_is_refused_is_refused_again() -> None:
    for _ in range(2):
        with pytest.raises((InvalidPlan, PlanningError)):
            graph_of(b"{}")


def test_large_plans_are_not_kept() -> None:
    data = dump_plan(parse_plan(p.scan("t", ["x" * recent._LARGEST]).to_json()))
    assert graph_of(data) == graph_of(data)
    assert graph_of(data) is not graph_of(data)
