"""Config of operators: text by key on the wire, values of the declared types in the operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import pyarrow as pa
import pytest

from ffq.engine import OperatorRegistry, operator
from ffq.engine.operators import Operator
from ffq.errors import FfqError, InvalidRequest, PlanningError, StartupError
from ffq.plan.configs import config_pairs

Batches = Iterator[pa.RecordBatch]


def registered(code: Any) -> Operator:
    registry = OperatorRegistry()
    operator("o", registry=registry)(code)
    found = registry.get("o")
    assert found is not None
    return found


def read(code: Any, **config: str) -> Mapping[str, object]:
    return registered(code).parameters.read("o", config)


def typed(  # type: ignore[no-untyped-def]
    batches: Batches,
    *,
    text: str = "",
    count: int = 0,
    rate: float = 0.0,
    flag: bool = False,
    rates: list[float] | None = None,
    names: list[str] | None = None,
    weights: dict[str, float] | None = None,
    mode: Literal["fast", "exact"] = "fast",
    either: int | float = 0,
    title: str | None = None,
    plain="x",
    guessed=3,
) -> Batches:
    return batches


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("text", "0.5", "0.5"),
        ("text", "null", "null"),
        ("text", '"quoted"', '"quoted"'),
        ("count", 7, 7),
        ("rate", 0.5, 0.5),
        ("rate", 1, 1.0),
        ("rate", float("inf"), float("inf")),
        ("flag", True, True),
        ("rates", [1, 2.5], [1.0, 2.5]),
        ("rates", None, None),
        ("names", ["a", "5"], ["a", "5"]),
        ("weights", {"a": 1}, {"a": 1.0}),
        ("mode", "exact", "exact"),
        ("either", 1, 1),
        ("either", 1.5, 1.5),
        ("title", None, None),
        ("title", "7", "7"),
        ("plain", "7", "7"),
        ("guessed", 7, 7),
    ],
)
def test_a_value_arrives_as_it_was_given(key: str, value: Any, wanted: object) -> None:
    got = read(typed, **dict(config_pairs("o", {key: value})))
    assert got == {key: wanted}
    assert type(got[key]) is type(wanted)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("count", "1.5", "operator 'o': config 'count' is '1.5'; right would be a whole number"),
        ("count", "true", "config 'count' is 'true'; right would be a whole number"),
        ("rate", "much", "config 'rate' is 'much'; right would be a number"),
        ("rate", "1" * 400, r"config 'rate' is '1{80}…'; right would be a number"),
        ("flag", "1", "config 'flag' is '1'; right would be true or false"),
        ("flag", "True", "config 'flag' is 'True'; right would be true or false"),
        ("rates", '["a"]', r"config 'rates' is .*; right would be a list of numbers or null"),
        ("rates", "[" * 5000, "right would be a list of numbers or null"),
        ("mode", "slow", "config 'mode' is 'slow'; right would be one of 'fast', 'exact'"),
        ("weights", "[1]", "right would be an object of numbers or null"),
        ("rat", "1", r"operator 'o' has no config 'rat'; did you mean 'rate'\?"),
        ("zzz", "1", "operator 'o' has no config 'zzz'; it has: text, count, rate, flag"),
    ],
)
def test_a_text_that_is_none_of_its_type_is_refused_by_key(
    key: str, text: str, message: str
) -> None:
    with pytest.raises(PlanningError, match=message):
        read(typed, **{key: text})


class Model:
    def __init__(self, path: str, threshold: float = 0.5) -> None: ...

    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch


class Bare:
    def __call__(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch


class Whole(Bare):
    def __init__(self, config: Mapping[str, str]) -> None: ...


def test_a_class_has_the_config_of_its_init() -> None:
    assert read(Model, path="p", threshold="1") == {"path": "p", "threshold": 1.0}
    with pytest.raises(PlanningError, match="operator 'o' needs config 'path': a text"):
        read(Model, threshold="1")
    with pytest.raises(PlanningError, match="operator 'o' has no config 'x'; it has: none"):
        read(Bare, x="1")
    assert read(Whole, x="1") == {"x": "1"}


def test_other_keys_of_one_that_takes_any_are_texts() -> None:
    def open_to_all(batches: Batches, *, n: int = 0, **others: str) -> Batches:
        return batches

    assert read(open_to_all, n="1", x="1") == {"n": 1, "x": "1"}


def second_bare(batches, config):  # type: ignore[no-untyped-def]
    return batches


def second_mapping(batches: Batches, settings: Mapping[str, str]) -> Batches:
    return batches


def second_unknown(batches: Batches, settings: OfAnotherModule) -> Batches:  # type: ignore[name-defined]  # noqa: F821
    return batches


@pytest.mark.parametrize("code", [second_bare, second_mapping, second_unknown, min])
def test_a_second_argument_that_is_a_mapping_is_the_whole_config(code: Any) -> None:
    """As peers and older operators have it: whatever the texts are, they stay."""
    assert read(code, a="0.5", b="x") == {"a": "0.5", "b": "x"}


def unresolved(batches: Batches, *, n: OfAnotherModule) -> Batches:  # type: ignore[name-defined]  # noqa: F821
    return batches


def of_bytes(batches: Batches, *, n: list[bytes]) -> Batches:
    return batches


def by_place(batches: Batches, n: int, /) -> Batches:
    return batches


def takes_over(batches: Batches, *, over: str) -> Batches:
    return batches


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (unresolved, "operator 'o': parameter 'n' is of type OfAnotherModule, which no config"),
        (of_bytes, r"parameter 'n' is of type list.*, which no config has; right would be str"),
        (by_place, "parameter 'n' is positional only"),
        (takes_over, r"parameter 'over' has a name that op\(...\) in SQL takes for itself"),
    ],
)
def test_a_parameter_that_no_config_fits_is_refused_where_it_is_defined(
    code: Callable[..., Any], message: str
) -> None:
    with pytest.raises(StartupError, match=message):
        registered(code)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x"])
def test_what_is_no_json_is_refused_where_it_is_given(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="operator 'o': config 'k' is .*, which JSON has not"):
        config_pairs("o", {"k": value})


def test_errors_are_of_our_tree_and_one_line() -> None:
    with pytest.raises(FfqError) as raised:
        read(typed, count="a\nb")
    assert "\n" not in raised.value.message
