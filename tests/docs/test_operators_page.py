"""docs/operators.md: what it shows runs, and its numbers are those of the code."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from ffq.engine import OperatorRegistry
from ffq.engine.batches import MAX_BATCH_BYTES
from ffq.engine.configs import RESERVED
from ffq.engine.fragment_run import BATCH_ROWS, VARYING_BATCH_ROWS
from ffq.engine.frames import FORMATS
from ffq.engine.instances import MOST_IDLE
from ffq.engine.operators import operator
from tests.docs.pages import read, section

PAGE = "docs/operators.md"


def blocks(heading: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", section(PAGE, heading), re.M | re.S)


class Api:
    """`ffq` as the page imports it, with a registry of its own."""

    def __init__(self) -> None:
        self.registry = OperatorRegistry()

    def operator(self, name: str, **options: Any) -> Any:
        return operator(name, registry=self.registry, **options)


def test_its_function_does_what_its_test_says() -> None:
    api = Api()
    names: dict[str, Any] = {"ffq": api, "pa": pa}
    (function,), (test,) = blocks("## A function"), blocks("## Testing one")
    exec(function.replace("import ffq\n", ""), names)
    exec(test, names)
    names["test_warm"]()
    found = api.registry.get("warm")
    assert found is not None
    assert found.parameters.read("warm", {"above": "30"}) == {"above": 30.0}


def test_its_class_and_its_schemas_are_ones() -> None:
    api = Api()
    names: dict[str, Any] = {"ffq": api, "pa": pa}
    (churn,) = blocks("## A class with a model")
    exec(churn, names)
    (schemas,) = blocks("## What it gives out")
    for line in schemas.splitlines():
        exec(f"{line}\ndef one(batches): return batches", names)
    assert api.registry.names() == {"churn", "a", "b", "c"}


def test_its_numbers_and_names_are_those_of_the_code() -> None:
    text = read(PAGE)
    assert f"at most {BATCH_ROWS:,} rows, or {VARYING_BATCH_ROWS:,} where" in text
    assert f"about {MAX_BATCH_BYTES >> 20} MiB" in text
    assert MOST_IDLE == 8
    assert "the eight used last" in text
    assert all(f'"{name}"' in text for name in FORMATS)
    assert all(f"`{name} => " in text for name in RESERVED)
