"""What the worker loop needs of the world, as protocols.

A worker process plugs in DuckDB, disk and gRPC; the simulated cluster plugs in memory, on a
virtual clock. Neither this module nor the loop knows which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

import attrs

from ffq.ids import AttemptKey, QueryId
from ffq.messages import (
    NO_USAGE,
    Assignment,
    AttemptUsage,
    Bytes,
    OutputPartition,
    ShuffleChunk,
)
from ffq.plan.stages import StagePlan
from ffq.worker.wanted import InputPart, SharedOutput


class ShuffleStream(Protocol):
    """One open fetch."""

    async def receive(self) -> ShuffleChunk | None:
        """The next chunk; None when the stream has ended. Raises as `ShuffleTransport.fetch`."""
        ...


class ShuffleTransport(Protocol):
    """Reads map output from where it lies."""

    def fetch(
        self, part: InputPart, start_offset: int, also: Sequence[InputPart] = ()
    ) -> AbstractAsyncContextManager[ShuffleStream]:
        """Stream one partition from `start_offset` on.

        Args:
            also: parts of the same query and endpoint that follow, as if all were one. Who serves
                it may not do that, and serve the first one alone: the chunks' watermarks tell.

        Raises (on entry or while receiving):
            Unavailable: whoever serves it cannot be reached, or the stream broke.
            UnknownId, NotReady: it is not there: stale, never registered, or lost.
        """
        ...


class Spool(Protocol):
    """Holds one fetched part until the fragment has read it; bounded by whoever made it."""

    async def write(self, data: Bytes) -> None:
        """Append. Raises DiskError when there is no room."""
        ...


@attrs.frozen
class Fetched:
    """A part whose bytes are all in `spool`."""

    part: InputPart
    spool: Spool


@attrs.frozen
class Work:
    """One attempt, ready to run.

    Attributes:
        stage: its stage, cut from the plan.
        inputs: by shuffle leaf of the stage, everything it reads from other stages.
    """

    assignment: Assignment = attrs.field(repr=False)
    stage: StagePlan = attrs.field(repr=False)
    inputs: Mapping[int, Sequence[Fetched]] = attrs.field(repr=False)


@attrs.frozen
class MapOutput:
    """A non-sink attempt's output: complete, on this worker's disk, ready to be served.

    usage: of running the fragment. contents: of a small one its partitions, in their order, to be
    told with its end; else empty.
    """

    partitions: tuple[OutputPartition, ...]
    usage: AttemptUsage = NO_USAGE
    contents: tuple[bytes, ...] = attrs.field(default=(), repr=False)


class ResultOutput(Protocol):
    """A sink attempt's output: one Arrow IPC stream."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def usage(self) -> AttemptUsage:
        """Of running the fragment."""
        ...

    async def read(self, offset: int, max_bytes: int) -> bytes:
        """At most `max_bytes` from `offset`; empty at the end."""
        ...


TaskOutput: TypeAlias = MapOutput | ResultOutput


class Executor(Protocol):
    """Runs fragments and keeps what they wrote, keyed by attempt."""

    @property
    def stuck(self) -> int:
        """Threads that were told to stop and have not: each takes a slot until it ends."""
        ...

    def spool(self, reader: AttemptKey, part: InputPart) -> Spool:
        """A place for one fetched part of the attempt `reader`."""
        ...

    def local(self, part: InputPart) -> Spool | None:
        """The part itself, when its whole bytes lie here already: nothing is fetched then.

        Asked only for parts that this worker serves.
        """
        ...

    async def newest_output(self, key: AttemptKey) -> SharedOutput | None:
        """The newest attempt of `key`'s task in the folder that all share.

        Asked only under a coordinator that sets no extension fields. None: there is none.

        Raises:
            StorageError: the folder cannot be read.
        """
        ...

    async def run(self, work: Work) -> TaskOutput:
        """Run a fragment to its end. Cancelling interrupts it.

        Raises:
            FfqError: by class, what was at fault (see `ffq.worker.failures`).
        """
        ...

    async def release(self, key: AttemptKey, *, keep_output: bool) -> None:
        """The attempt is over: remove what it used, and its output too unless it counted."""
        ...

    def held_queries(self) -> Sequence[QueryId]:
        """Queries whose map outputs, or files that are not seen yet, are kept here."""
        ...

    def writes(self, query_id: QueryId) -> bool:
        """Whether something of that query was to become visible files: `forget` must know more."""
        ...

    async def forget(self, query_id: QueryId, *, succeeded: bool | None = None) -> None:
        """Remove all outputs of a query that is over.

        Args:
            succeeded: False: files that it had made visible go as well. None: not known.

        Raises:
            StorageError: something of it could not be removed.
        """
        ...
