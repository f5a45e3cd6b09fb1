"""The plan JSON: what is written reads back the same; what is no plan is refused, no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ffq.errors import InvalidPlan
from ffq.plan import PlanLimits, dump_plan, parse_plan
from ffq.plan.codec.cursor import Budget, Cursor
from ffq.plan.codec.types import DATA_TYPE
from ffq.plan.limits import DEFAULT_LIMITS
from ffq.plan.model import Node
from ffq.plan.terms import DataType
from tests.strategies.plans import data_types, plans

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Filter", "input", "Column", "Exchange", "x", "Limit", "n"]), inner
        )
    ),
    max_leaves=8,
)


@given(plans())
def test_a_written_plan_reads_back_the_same(plan: Node) -> None:
    data = dump_plan(plan)
    again = parse_plan(data)
    assert again == plan
    # Python holds 1, 1.0 and True equal; a plan must not.
    assert repr(again) == repr(plan)
    assert dump_plan(again) == data


@given(data_types())
def test_a_written_type_reads_back_the_same(data_type: DataType) -> None:
    written = json.loads(json.dumps(DATA_TYPE.write(data_type, Budget(DEFAULT_LIMITS))))
    assert DATA_TYPE.read(Cursor.root(written, "type", DEFAULT_LIMITS)) == data_type


@given(plans(), st.data())
def test_keys_that_nobody_knows_are_ignored(plan: Node, data: st.DataObject) -> None:
    document = json.loads(dump_plan(plan))
    # Records hold lower-case keys; a variant object holds one capitalized key and no other, and
    # every key of a config says something.
    records = [
        container[key]
        for container, key in places({"": document})
        if key != "config" and isinstance(container[key], dict)
        if any(name.islower() for name in container[key])
    ]
    data.draw(st.sampled_from(records))["from_a_newer_peer"] = [{"any": 1}]
    assert parse_plan(json.dumps(document).encode()) == plan


@given(st.binary(max_size=200))
def test_bytes_that_are_no_plan_are_refused(data: bytes) -> None:
    refused(data)


@given(JSON_VALUES)
def test_json_that_is_no_plan_is_refused(value: Any) -> None:
    refused(json.dumps(value).encode())


@given(plans(), st.data())
def test_a_damaged_plan_reads_as_a_plan_or_is_refused(plan: Node, data: st.DataObject) -> None:
    document = json.loads(dump_plan(plan))
    container, key = data.draw(st.sampled_from(list(places(document))))
    container[key] = data.draw(JSON_VALUES)
    refused(json.dumps(document).encode())


@given(plans(), st.data())
def test_a_truncated_plan_is_refused(plan: Node, data: st.DataObject) -> None:
    written = dump_plan(plan)
    cut = data.draw(st.integers(0, len(written) - 1))
    assert refused(written[:cut])


@given(plans(), st.integers(1, 40), st.integers(1, 40))
def test_bounds_hold_for_reading_and_writing_alike(plan: Node, depth: int, nodes: int) -> None:
    limits = PlanLimits(max_depth=depth, max_nodes=nodes)
    data = dump_plan(plan)
    try:
        parse_plan(data, limits=limits)
    except InvalidPlan:
        read = False
    else:
        read = True
    try:
        dump_plan(plan, limits=limits)
    except InvalidPlan:
        written = False
    else:
        written = True
    assert read is written


def refused(data: bytes) -> bool:
    """False when it reads as a plan; any error but InvalidPlan fails the test."""
    try:
        plan = parse_plan(data)
    except InvalidPlan as error:
        message = error.message
    else:
        assert parse_plan(dump_plan(plan)) == plan
        return False
    assert len(message.encode().splitlines()) == 1
    return True


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(items):
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)
