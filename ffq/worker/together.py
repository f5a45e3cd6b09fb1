"""Parts of one endpoint, fetched in one stream.

A stream costs about what sending a megabyte does, and most parts are far smaller. What cannot be
had in this way is left to be fetched part by part, which tells what is wrong, and with which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from ffq.errors import NotReady, QuotaExceeded, ShuffleInputError, Unavailable, UnknownId
from ffq.messages import Bytes
from ffq.retry import RetryPolicy, within
from ffq.worker.ports import Fetched, ShuffleTransport

GROUP_BYTES: Final = 16 * 1024 * 1024
"""From here on another stream pays."""
GROUP_PARTS: Final = 512


@attrs.define(eq=False)
class Wanted:
    """A part on its way into its spool. `offset`: how many of its bytes are there."""

    item: Fetched
    offset: int = 0


def grouped(items: Sequence[Fetched]) -> list[list[Wanted]]:
    """All items, those together that one stream can bring: of one endpoint, of known sizes."""
    groups: list[list[Wanted]] = []
    open_groups: dict[str, list[Wanted]] = {}
    sizes: dict[str, int] = {}
    for item in items:
        part = item.part
        wanted = Wanted(item)
        if not part.endpoint or not part.bytes:
            groups.append([wanted])
            continue
        group = open_groups.get(part.endpoint)
        size = sizes.get(part.endpoint, 0) + part.bytes
        if group is None or size > GROUP_BYTES or len(group) == GROUP_PARTS:
            group, size = [], part.bytes
            open_groups[part.endpoint] = group
            groups.append(group)
        group.append(wanted)
        sizes[part.endpoint] = size
    return groups


async def fetch_together(
    group: Sequence[Wanted], transport: ShuffleTransport, retry: RetryPolicy
) -> bool:
    """Fetch what one stream brings; whether that is all. How far each part came, its offset says.

    Raises DiskError: a spool had no room.
    """
    first, *others = [wanted.item.part for wanted in group]
    total = sum(wanted.item.part.bytes for wanted in group)
    offset = 0
    missing = iter(group)
    current = next(missing)
    try:
        async with transport.fetch(first, 0, others) as stream:
            while offset < total:
                chunk = await within(stream.receive(), retry, str(first))
                if chunk is None or not chunk.payload or not chunk.finalized:
                    return False
                end = offset + len(chunk.payload)
                # Served are other bytes than were registered, or the first part alone.
                if (chunk.start_offset, chunk.end_offset) != (offset, end) or end > total:
                    return False
                if chunk.watermark_offset != total:
                    return False
                offset = end
                current = await _spread(chunk.payload, current, missing)
    except (Unavailable, QuotaExceeded, UnknownId, NotReady, ShuffleInputError):
        return False
    return True


async def _spread(payload: Bytes, current: Wanted, missing: Iterator[Wanted]) -> Wanted:
    """Give each part its bytes. Returns the part that the next bytes belong to."""
    at = 0
    while at < len(payload):
        left = current.item.part.bytes - current.offset
        if not left:
            current = next(missing)
            continue
        piece = payload[at : at + left]
        await current.item.spool.write(piece)
        current.offset += len(piece)
        at += len(piece)
    return current
