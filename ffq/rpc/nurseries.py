"""Nurseries of helper tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def nursery_without_groups() -> AsyncIterator[trio.Nursery]:
    """For helper tasks that raise nothing themselves: what the block raises stays ungrouped."""
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        if len(group.exceptions) != 1:
            raise
        only = group.exceptions[0]
    else:
        return
    try:
        raise only  # out here: its cause and context stay what they are
    finally:
        del only
