"""Tables whose rows travel in the plan: small ones, of programs whose files no worker can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

MAX_INLINE_BYTES: Final = 2 * 1024 * 1024
"""Of all inline tables of a plan together, as Parquet. In JSON they take a third more, and each
assignment of the query's tasks holds them: an answer to GetTask has room for 3.5 MB."""

_MOST_NAMED: Final = 10


@attrs.frozen
class InlineTable:
    """A table that a plan brings, rows and all.

    Parquet, since it is small, reads as the types that it would have as a file, and its readers
    take no size or offset in it on trust, as those of Arrow's own format do.

    Attributes:
        parquet: the bytes of a Parquet file.
    """

    name: str
    parquet: bytes = attrs.field(repr=False)


def too_large(sizes: Mapping[str, int]) -> str:
    """Why inline tables of these sizes, in bytes, cannot travel; empty: they can."""
    total = sum(sizes.values())
    if total <= MAX_INLINE_BYTES:
        return ""
    largest = sorted(sizes.items(), key=lambda each: -each[1])[:_MOST_NAMED]
    listed = ", ".join(f"{name!r} {size:,}" for name, size in largest if size)
    more = ", ..." if len(sizes) > _MOST_NAMED else ""
    return (
        f"tables whose rows travel with the query have {total:,} bytes as Parquet "
        f"({listed}{more}), and may have {MAX_INLINE_BYTES:,} together; right would be a Parquet "
        "file that the workers can read, registered by its path"
    )
