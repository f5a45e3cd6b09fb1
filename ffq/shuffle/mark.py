"""The mark in every stream of map output: whose hashes and partial states are in it (R31).

It is metadata of the stream's Arrow schema. Streams of other implementations may well parse, and
still hold other rows in a partition, and other states in a column, than this family means: read as
ours they would give a wrong answer and no error. So what has no mark of ours is refused. The mark
ends where the stream is read: no schema behind it has any.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from ffq.errors import ShuffleInputError

FAMILY_KEY: Final = b"ffq.engine_family"


def marked(schema: pa.Schema, family: str) -> pa.Schema:
    """The schema of a stream that this family writes."""
    return schema.with_metadata({FAMILY_KEY: family.encode()})


def unmarked(schema: pa.Schema, family: str) -> pa.Schema:
    """The schema without its mark, once that was found to be right.

    Raises:
        ShuffleInputError: another family wrote it, or another implementation: says which.
    """
    found = (schema.metadata or {}).get(FAMILY_KEY)
    if found is None:
        raise ShuffleInputError(
            f"an Arrow IPC stream without the mark of an engine family: another implementation of "
            f"FFQ wrote it; right would be {family!r}. {_ADVICE}"
        )
    if found != family.encode():
        raise ShuffleInputError(
            f"written by engine family {found.decode(errors='replace')!r}; right would be "
            f"{family!r}. {_ADVICE}"
        )
    return schema.remove_metadata()


NO_STREAM: Final = "no Arrow IPC stream, so its framing is another implementation's or it is broken"
_ADVICE: Final = "All tasks of a query must run on workers of one family (R31)"
