"""Which rows meet where: exchanges by keys, all rows in one task, small sides in every task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import Final, Protocol

import attrs

from ffq.catalog.ranges import GroupRange
from ffq.messages import NO_CLUSTER, ClusterSize
from ffq.plan.bound import BoundExpr, Place, SqlType
from ffq.plan.distribution import DistributionKind, distribution_of
from ffq.plan.model import (
    AdaptiveGather,
    Broadcast,
    Filter,
    HashPartitioning,
    Join,
    KeyedPartitioning,
    Node,
    ParquetScan,
    Project,
    ShuffleRead,
    ShuffleWrite,
    SinglePartitioning,
)
from ffq.plan.ranges import RangeColumn
from ffq.plan.volatile import is_volatile
from ffq.plan.walk import walk_stage
from ffq.sql.defined import Definitions
from ffq.sql.pieces import Rows, is_plain, project

_MIB: Final = 1024 * 1024
BROADCAST_BYTES: Final = 8 * _MIB
"""A side of at most so many bytes, by estimate, is read whole by every task, where not more is
known: neither how many workers there are, nor how large the other side is; and no larger one before
true sizes are known, where there are some to wait for."""
_LEAST_BROADCAST: Final = _MIB
"""So much is always sent: two exchanges take longer than that does."""
MOST_BROADCAST: Final = 64 * _MIB
"""More is never sent: each task has the side in memory."""
_FEWER: Final = 4
"""So many times fewer bytes than the rows that they are to reduce have keys that go first."""
_MOST_TINY: Final = 4
"""Tiny tables that a side of a join may be of, and still be read by each task."""
_OF_TINY: Final = (ParquetScan, Filter, Project, Join, Broadcast)
"""What such a side is made of: nothing that its task would have to see more than once."""
_IN_PLACE_BYTES: Final = _MIB
"""What a stage reads at most, for its work to be done by the one task that gathers its rows: that
takes less time than a stage does."""
PARTITION_BYTES: Final = 32 * _MIB
"""Each slot has as many partitions of an exchange as it takes for none to be larger by estimate."""
ROW_BYTES: Final = 16.0
"""Of what says which row of which file it is."""
_UNLIKELY: Final = 8
"""No estimate of a size is hoped to be more than so many times too low, where it may be."""


class Footers(Protocol):
    """What the files of a table tell, where somebody asks."""

    def stored_bytes(self, columns: Sequence[str] | None, /) -> int:
        """What columns of these names take in the files; None: all."""
        ...

    def ranges(self, column: RangeColumn, /) -> Sequence[GroupRange]:
        """Between which values each row group lies that has some; none: it takes too long to tell.

        This and the other raise StorageError: a file that has gone meanwhile.
        """
        ...


@attrs.frozen
class TableEstimate:
    """What a table holds, as the footers of its files say.

    Attributes:
        rows: how many.
        bytes: of all columns together.
        widths: of columns, by name, bytes of a value in Arrow's form: of the first rows. Where
            there are none, values are taken to be of one size.
        tiny: for certain it is so little that whoever joins it may read its files itself.
        footers: what else its files tell; None: nothing.
        numbered: its rows can be found again, by their file and their number in that.
    """

    rows: int
    bytes: int
    widths: Mapping[str, float] = attrs.field(factory=dict)
    tiny: bool = False
    footers: Footers | None = attrs.field(default=None, eq=False, repr=False)
    numbered: bool = False

    def width(self, name: str, columns: int) -> float:
        """Bytes of a value of a column, by its name, of a table of so many columns."""
        return self.widths.get(name, self.bytes / max(self.rows * max(columns, 1), 1))


@attrs.frozen(eq=False)
class Scanned:
    """A scan as it was planned.

    Attributes:
        scan: its node.
        read: names of the columns that it was asked for; None: of what only counts rows.
        types: of these, as they were planned.
        widths: bytes of a value of each.
        count: how many rows its conditions leave, by estimate.
    """

    scan: ParquetScan
    read: tuple[str | None, ...]
    types: Mapping[str, SqlType]
    widths: Mapping[str, float]
    count: float


@attrs.define
class Exchanges:
    """
    Attributes:
        partitions: of an exchange.
        estimates: of tables, by name; of others nothing is known.
        choices: why joins broadcast or shuffle, one line each, in the order of the plan.
        repeats: what is planned now stands in the plan several times, and each must be the same.
        whole: what is planned now must be in one task, and exchange nothing but what it reads.
        inline: names of the tables whose rows are in the plan.
        cluster: what is to run the plan, as far as that is known.
        most_bytes: of an exchange by keys, by estimate, the largest that was made.
        defined: what is exchanged for several joins at once.
        scanned: scans, by the planner's numbers of their tables.
        later: by the same number, columns that such a scan leaves out: in place of the first it
            gives out which row of which file it is, and in place of others nothing.
        reads_later: that may be done.
    """

    partitions: int
    estimates: Mapping[str, TableEstimate] = attrs.field(factory=dict)
    choices: list[str] = attrs.field(factory=list)
    repeats: bool = False
    whole: bool = False
    inline: Set[str] = frozenset()
    cluster: ClusterSize = NO_CLUSTER
    most_bytes: float = 0.0
    defined: Definitions = attrs.field(factory=Definitions)
    scanned: dict[int, Scanned] = attrs.field(factory=dict)
    later: Mapping[int, Set[str]] = attrs.field(factory=dict)
    reads_later: bool = True

    def broadcast_bytes(self, other: float | None) -> int:
        """Of a side, up to which each worker gets it whole, so that the other side stays where it
        is: what that sends to all workers but one is less than the other side has.

        Args:
            other: bytes of the other side, by estimate; None: not known.
        """
        if other is None or not self.cluster.workers:
            return BROADCAST_BYTES
        receivers = self.cluster.workers - 1
        pays = other / receivers if receivers else MOST_BROADCAST
        return int(min(max(pays, _LEAST_BROADCAST), MOST_BROADCAST))

    def keys_bytes(self, probe: Rows, build: Rows, keys: Sequence[BoundExpr]) -> int:
        """Of a build's keys, up to which they go first, so that fewer rows of the probe are
        exchanged; 0: they never do.

        That is where sending them to all workers but one is far less than the probe has, and where
        they are not most of those that there are: else few rows would be left out.
        """
        size, other = build.size, probe.size
        if size is None or other is None or build.base is None or is_plain(build.node):
            return 0
        bound = self.broadcast_bytes(other)
        if not self.cluster.workers or (build.most_bytes or math.inf) <= bound:
            return 0
        width = sum(map(build.bytes_of, keys))
        most = other / max(self.cluster.workers - 1, 1)
        if width * (build.count or 0.0) > most:
            return 0
        return int(min(most / _FEWER, width * build.base / 2, MOST_BROADCAST))

    def by_keys(
        self, rows: Rows, keys: Sequence[BoundExpr], keys_bytes: int = 0
    ) -> tuple[Node, tuple[Place, ...], int]:
        """Rows exchanged by these keys, where those are, and how many columns there are.

        A key that is no column of the rows is one more behind these.

        Args:
            keys_bytes: the keys alone are written apart, for others that may read up to so many
                bytes of them; 0: they are not.
        """
        size, most = rows.size or 0.0, rows.most_bytes or 0.0
        self.most_bytes = max(self.most_bytes, size, most / _UNLIKELY)
        columns: list[BoundExpr] = [*map(Place, range(rows.width))]
        places = []
        for key in keys:
            places.append(key if isinstance(key, Place) else Place(len(columns)))
            if not isinstance(key, Place):
                columns.append(key)
        names = tuple(f"c{key.index}" for key in places)
        by = HashPartitioning(names, self.partitions)
        if keys_bytes:
            by = KeyedPartitioning(names, self.partitions, keys_bytes)
        node = project(rows.node, columns)
        return ShuffleRead(ShuffleWrite(node, by), by), tuple(places), len(columns)

    def gather(self, rows: Rows) -> Rows:
        """All rows in one task. Where few are shared out to others before, none need be."""
        if not rows.split:
            return rows
        gathered = self.once(rows)
        if self.repeats or distribution_of(rows.node).kind is not DistributionKind.HASH:
            return gathered
        single = SinglePartitioning()
        node = AdaptiveGather(ShuffleWrite(rows.node, single), single, _IN_PLACE_BYTES)
        return attrs.evolve(gathered, node=node)

    def broadcast(self, rows: Rows) -> Node:
        """Rows that every task reads whole. What is neither the query's own nor of tiny tables is
        computed once."""
        lies = distribution_of(rows.node)
        if lies.kind is DistributionKind.REPLICATED and lies.repeatable:
            return Broadcast(rows.node)
        return Broadcast(rows.node if self.is_tiny(rows) else self.once(rows).node)

    def is_tiny(self, rows: Rows) -> bool:
        """Whether they are of tiny tables, and joins of such: a stage of their own costs more than
        each task that needs them takes to make them itself."""
        nodes = list(walk_stage(rows.node))
        if not all(isinstance(node, _OF_TINY) for node in nodes) or any(map(is_volatile, nodes)):
            return False
        tables = [node.table for node in nodes if isinstance(node, ParquetScan)]
        known = [self.estimates.get(table) for table in tables]
        return 0 < len(tables) <= _MOST_TINY and all(each and each.tiny for each in known)

    def once(self, rows: Rows) -> Rows:
        """Rows that are computed once, however often whoever gets them reads them."""
        single = SinglePartitioning()
        node = ShuffleRead(ShuffleWrite(rows.node, single), single)
        return attrs.evolve(rows, node=node, split=False, order=None, placed=False)

    def steady(self, rows: Rows) -> Rows:
        """Rows that are the same each time that they are read, within one task."""
        return self.once(rows) if any(map(is_volatile, walk_stage(rows.node))) else rows

    def alike(self, inputs: Sequence[Rows]) -> list[Rows]:
        """Rows that lie in the same tasks: as they do, or exchanged by all of their columns."""
        if not any(rows.split for rows in inputs):
            return list(inputs)
        lies = [distribution_of(rows.node) for rows in inputs]
        if len({(each.kind, each.partitions, each.is_split) for each in lies}) == 1:
            return list(inputs)
        return [
            rows
            if each.kind is DistributionKind.HASH and each.partitions == self.partitions
            else self._by_all(rows)
            for rows, each in zip(inputs, lies, strict=True)
        ]

    def _by_all(self, rows: Rows) -> Rows:
        places = [Place(at) for at in range(rows.width)]
        node, keys, _ = self.by_keys(rows, places)
        return attrs.evolve(rows, node=project(node, keys), split=True)
