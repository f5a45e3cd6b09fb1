"""What each task of a stage reads, as columns: a task that waits costs a few bytes, or none.

A stage may have a million tasks of which a few run. What the others will read is told by their
position alone; a `TaskShare` is made when it is asked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import overload

import attrs

from ffq.core.records import TaskShare


class _Column(Sequence[TaskShare]):
    """A sequence by its length and what stands at a position."""

    __slots__ = ()

    @overload
    def __getitem__(self, position: int) -> TaskShare: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[TaskShare, ...]: ...
    def __getitem__(self, position: int | slice) -> TaskShare | tuple[TaskShare, ...]:
        if not isinstance(position, slice):
            return self._at(position if position >= 0 else position + len(self))
        return tuple([self._at(each) for each in range(len(self))[position]])

    def _at(self, position: int) -> TaskShare:
        """Raises IndexError: there are not so many."""
        raise NotImplementedError


@attrs.frozen
class ScanShares(_Column):
    """A task for each share of each split leaf. `leaves`: (leaf, number of its shares)."""

    leaves: tuple[tuple[int, int], ...]
    _length: int = attrs.field(
        default=attrs.Factory(lambda self: sum(count for _, count in self.leaves), takes_self=True),
        init=False,
        repr=False,
    )

    def __len__(self) -> int:
        return self._length

    def _at(self, position: int) -> TaskShare:
        for leaf, count in self.leaves:
            if position < count:
                return TaskShare(scan=(leaf, position))
            position -= count
        raise IndexError(position)


@attrs.frozen
class PartitionShares(_Column):
    """A task for each group of neighbouring partitions.

    `bounds`: where each group begins, and behind them where the last one ends.
    """

    bounds: array[int]

    @classmethod
    def of(cls, groups: Sequence[tuple[int, ...]]) -> PartitionShares:
        return cls(array("I", [*(group[0] for group in groups), groups[-1][-1] + 1]))

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def _at(self, position: int) -> TaskShare:
        return TaskShare(partitions=tuple(range(self.bounds[position], self.bounds[position + 1])))
