"""The plans that the harness submits, each with its stages written down by hand.

The stages are not computed from the plan: they are what a coordinator's own stage cutting is
checked against. `operator` is the custom operator that some of them need.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs

Json = dict[str, Any]

PARTITIONS = 4


@attrs.frozen
class StageShape:
    """One stage: the stages it reads, the operators it needs, and the partitions it is given.

    `reduce_partitions` is None where the stage reads no hash exchange: nothing is expected then.
    """

    parents: tuple[int, ...] = ()
    operators: frozenset[str] = frozenset()
    reduce_partitions: tuple[int, ...] | None = None


@attrs.frozen
class PlanShape:
    """A plan and its stages; the index is the stage id, 0 is the sink."""

    name: str
    plan: bytes = attrs.field(repr=False)
    stages: tuple[StageShape, ...]

    def partitions_of(self, stage_id: int) -> frozenset[int]:
        """The reduce partitions that a stage writes; none, where nobody reads it."""
        readers = [stage for stage in self.stages if stage_id in stage.parents]
        return frozenset(number for each in readers for number in each.reduce_partitions or (0,))


def plan_shapes(operator: str, wide: int = 6) -> dict[str, PlanShape]:
    """Every plan of the harness, by name.

    Args:
        operator: name of the custom operator.
        wide: map stages of the plan "wide", all of which can run at once.
    """
    needs = frozenset({operator})
    hashed = tuple(range(PARTITIONS))
    reads_one = StageShape(parents=(1,), reduce_partitions=hashed)
    leaf = StageShape()
    shapes = [
        _shape("scan", _scan(), leaf),
        _shape("aggregate", _aggregate(_scan()), reads_one, leaf),
        _shape(
            "join",
            _join(_exchange(_scan("left")), _exchange(_scan("right"))),
            StageShape(parents=(1, 2), reduce_partitions=hashed),
            leaf,
            leaf,
        ),
        _shape(
            "chain",
            _aggregate(_aggregate(_scan())),
            reads_one,
            StageShape(parents=(2,), reduce_partitions=hashed),
            leaf,
        ),
        _shape(
            "limit", {"Limit": {"n": 3, "input": _single(_scan())}}, StageShape(parents=(1,)), leaf
        ),
        _shape("custom", _custom(operator, _scan()), StageShape(operators=needs)),
        _shape(
            "custom-map",
            _aggregate(_custom(operator, _scan())),
            reads_one,
            StageShape(operators=needs),
        ),
        _shape(
            "custom-sink",
            _custom(operator, _aggregate(_scan())),
            StageShape(parents=(1,), operators=needs, reduce_partitions=hashed),
            leaf,
        ),
        _wide("wide", wide, leaf, lambda scan: scan),
        _wide(
            "custom-wide", wide, StageShape(operators=needs), lambda scan: _custom(operator, scan)
        ),
    ]
    return {shape.name: shape for shape in shapes}


def _shape(name: str, plan: Json, *stages: StageShape) -> PlanShape:
    return PlanShape(name, json.dumps(plan).encode(), stages)


def _wide(name: str, width: int, leaf: StageShape, below: Callable[[Json], Json]) -> PlanShape:
    sink = StageShape(
        parents=tuple(range(1, width + 1)), reduce_partitions=tuple(range(PARTITIONS))
    )
    return _shape(
        name, _union([_exchange(below(_scan())) for _ in range(width)]), sink, *[leaf] * width
    )


def _union(branches: list[Json]) -> Json:
    """Halved again and again: a wide plan must not be a deep one."""
    if len(branches) == 1:
        return branches[0]
    middle = len(branches) // 2
    return {"UnionAll": {"left": _union(branches[:middle]), "right": _union(branches[middle:])}}


def _scan(table: str = "t") -> Json:
    return {"ParquetScan": {"table": table, "schema": None, "projection": ["k"], "filters": []}}


def _custom(operator: str, below: Json) -> Json:
    return {"Custom": {"op_name": operator, "config": {}, "input": below}}


def _exchange(below: Json) -> Json:
    return _shuffle(below, {"HashKeys": {"keys": ["k"], "partitions": PARTITIONS}})


def _single(below: Json) -> Json:
    return _shuffle(below, "Single")


def _shuffle(below: Json, partitioning: Json | str) -> Json:
    write = {"Exchange": {"ShuffleWrite": {"input": below, "partitioning": partitioning}}}
    return {"Exchange": {"ShuffleRead": {"input": write, "partitioning": partitioning}}}


def _aggregate(below: Json) -> Json:
    parts = {
        "group_exprs": [{"Column": "k"}],
        "aggr_exprs": [[{"Count": {"Column": "k"}}, "n"]],
    }
    partial = {"PartialHashAggregate": {**parts, "input": below}}
    return {"FinalHashAggregate": {**parts, "input": _exchange(partial)}}


def _join(left: Json, right: Json) -> Json:
    return {
        "HashJoin": {
            "left": left,
            "right": right,
            "on": [["k", "k"]],
            "join_type": "Inner",
            "strategy_hint": "Shuffle",
            "build_side": "Right",
        }
    }
