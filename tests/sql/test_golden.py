"""The engine writes its plans as when they were first read, and what is new in one is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from ffq.errors import UnsupportedPlan
from ffq.sql.distribute import READ_NODES, distribute
from ffq.sql.planning import Planned
from ffq.sql.serialized import READ_EXPRESSIONS
from tests.sql.golden_plans import FOLDER, QUERIES, nodes, planned, text_of


@pytest.fixture(scope="module")
def plans() -> dict[str, Planned]:
    return planned()


def test_plans_are_written_as_they_were(plans: dict[str, Planned]) -> None:
    kept = {path.stem: path.read_text() for path in FOLDER.glob("*.json")}
    assert kept.keys() == QUERIES.keys()
    for name, one in plans.items():
        assert text_of(one.plan) == kept[name], name


def test_each_kind_of_node_and_expression_has_one() -> None:
    found = [json.loads(path.read_text()) for path in FOLDER.glob("*.json")]
    kinds = {kind for plan in found for kind in nodes(plan, "type")}
    assert kinds >= READ_NODES
    classes = {kind for plan in found for kind in nodes(plan, "expression_class")}
    assert classes >= READ_EXPRESSIONS


def test_each_is_read(plans: dict[str, Planned]) -> None:
    for one in plans.values():
        distribute(one, partitions=2)


def _changed(plan: Any, key: str, old: str, new: str) -> Any:
    """The plan with one value of this key replaced everywhere."""
    if isinstance(plan, list):
        return [_changed(each, key, old, new) for each in plan]
    if isinstance(plan, dict):
        made = {name: _changed(each, key, old, new) for name, each in plan.items()}
        return made | ({key: new} if plan.get(key) == old else {})
    return plan


def _renamed(key: str, old: str, new: str) -> Callable[[Any], Any]:
    return lambda plan: _changed(plan, key, old, new)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("filters", _renamed("type", "LOGICAL_GET", "LOGICAL_NEW_GET"), "NEW GET"),
        ("expressions", _renamed("expression_class", "BOUND_CASE", "BOUND_NEW"), "BOUND_NEW"),
        ("expressions", _renamed("type", "OPERATOR_COALESCE", "OPERATOR_NEW"), "OPERATOR_NEW"),
        ("filters", _renamed("filter_type", "LEGACY_IS_NOT_NULL", "NEW_FILTER"), "NEW_FILTER"),
        ("constants", _renamed("id", "INTERVAL", "NEWTYPE"), "NEWTYPE"),
        ("joins", _renamed("join_type", "LEFT", "NEW"), "a join of kind NEW"),
        ("joins", _renamed("comparison", "COMPARE_EQUAL", "COMPARE_NEW"), "COMPARE_NEW"),
        ("limit", _renamed("type", "CONSTANT_VALUE", "NEW_VALUE"), "NEW_VALUE"),
    ],
)
def test_what_is_new_is_refused_by_name(
    plans: dict[str, Planned], name: str, change: Callable[[Any], Any], said: str
) -> None:
    one = plans[name]
    plan = change(copy.deepcopy(one.plan))
    assert plan != one.plan
    with pytest.raises(UnsupportedPlan, match=said):
        distribute(attrs.evolve(one, plan=plan), partitions=2)
