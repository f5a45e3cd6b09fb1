"""Processes of an embedded cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from ffq.client.children import Child, Children
from ffq.errors import StartupError


async def test_one_that_ends_before_it_is_ready_is_told_to_whoever_starts_it(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """And to nobody else: a session starts it again, and goes on."""
    ended: list[Child] = []
    children = Children(
        nursery, tmp_path, lambda _name, _line: None, lambda _, child: ended.append(child)
    )
    with pytest.raises(StartupError, match="^w1 ended with exit code 0: it said nothing$"):
        await children.start("w1", ["--version"], ready_prefix="worker w1 ready")
    assert not ended
    assert not nursery.cancel_scope.cancel_called
