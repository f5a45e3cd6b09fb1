"""Blocks with nurseries behind them, whose errors come out as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from ffq.runtime._failures import has_cancelled, only_cancelled
from ffq.worker.failures import innermost

T = TypeVar("T")


@asynccontextmanager
async def ungrouped(manager: AbstractAsyncContextManager[T], kind: str) -> AsyncIterator[T]:
    """As `manager`, but an error of the block, or one alone of what is behind it, is in no group.

    Args:
        kind: what failed too, in the group of both.
    """
    own: BaseException | None = None
    left: BaseException | None = None
    try:
        async with manager as value:
            try:
                yield value
            except BaseException as error:
                if has_cancelled(error):
                    raise
                # Trio rebuilds groups that pass a nursery: this one need not.
                own = error
    except BaseException as error:  # noqa: BLE001  # raised below
        left = innermost(error)
    if own is not None:
        if left is None or only_cancelled(left):
            left = own
        else:
            left = BaseExceptionGroup(f"a {kind} failed too", [own, left])
    try:
        if left is not None:
            raise left  # out here: its cause and context stay what they are
    finally:
        del own, left
