"""docs/operators.md: what it shows runs, and its numbers are those of the code."""

from __future__ import annotations

from pathlib import Path

from ffq.engine.batches import MAX_BATCH_BYTES
from ffq.engine.configs import RESERVED
from ffq.engine.fragment_run import BATCH_ROWS, VARYING_BATCH_ROWS
from ffq.engine.frames import FORMATS
from ffq.engine.instances import MOST_IDLE
from ffq.engine.operators import REGISTRY
from tests.docs.blocks import blocks_of, reading
from tests.docs.pages import read

PAGE = "docs/operators.md"


def test_its_operators_are_what_it_says(tmp_path: Path) -> None:
    with reading(tmp_path) as reader:
        for block in blocks_of(PAGE):
            if block.language == "python":
                reader.follow(block)
        assert REGISTRY.names() >= {"warm", "churn"}
        warm = REGISTRY.get("warm")
        assert warm is not None
        assert warm.parameters.read("warm", {"above": "30"}) == {"above": 30.0}


def test_its_numbers_and_names_are_those_of_the_code() -> None:
    text = read(PAGE)
    assert f"at most {BATCH_ROWS:,} rows, or {VARYING_BATCH_ROWS:,} where" in text
    assert f"about {MAX_BATCH_BYTES >> 20} MiB" in text
    assert MOST_IDLE == 8
    assert "the eight used last" in text
    assert all(f'"{name}"' in text for name in FORMATS)
    assert all(f"`{name} => " in text for name in RESERVED)
