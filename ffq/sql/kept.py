"""Plans that hold for the next query of the same words, in the process that has queries planned.

What plans says which do, and as which it found their tables' files (`ffq.sql.lasting`). A kept plan
is given for as long as these are found so again: that is a look at files, and no process is asked.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import attrs

from ffq.catalog import Catalog
from ffq.catalog.versions import digest_of, version_of, whole_table
from ffq.errors import FfqError
from ffq.messages import ClusterSize, PlanSql, SqlPlan

_MOST: Final = 256
_MOST_BYTES: Final = 4 << 20
"""Of questions and answers together."""
_LARGEST: Final = 256 << 10


@attrs.frozen
class Asked:
    """All that a plan depends on but the tables' files: what is equal gets equal plans."""

    message: PlanSql
    cluster: ClusterSize

    @property
    def size(self) -> int:
        """About, in bytes."""
        asked = self.message
        texts = (asked.sql, asked.parameters_json, asked.folder, *asked.tables)
        return sum(map(len, texts)) + sum(len(each.parquet) for each in asked.inline)


@attrs.frozen
class Basis:
    """As what a plan's tables were found.

    Attributes:
        definitions: of those that the coordinator's catalog has not, or not so.
        versions: of each table that is files, by name.
    """

    definitions: tuple[str, ...]
    versions: Mapping[str, str]

    def holds(self, catalog: Catalog) -> bool:
        """Whether planning would find the same now. Looks at files.

        Args:
            catalog: the coordinator's with the definitions.
        """
        try:
            return all(
                digest_of(version_of(catalog, name, whole_table(catalog, name))) == known
                for name, known in self.versions.items()
            )
        except FfqError:
            return False  # planning says what is wrong


@attrs.frozen
class _Kept:
    plan: SqlPlan
    basis: Basis
    catalog: Catalog
    size: int


class KeptPlans:
    """Those that were asked for last stay, within bounds. From any thread.

    A plan is kept when the same is asked again: a process of one query learns nothing for later
    ones.

    Args:
        catalog: tables that every query may read.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._asked: OrderedDict[bytes, None] = OrderedDict()
        self._kept: OrderedDict[Asked, _Kept] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, asked: Asked) -> bool:
        """Whether there is one, good or not: without a look at files."""
        return asked.size <= _LARGEST and asked in self._kept

    def find(self, asked: Asked) -> SqlPlan | None:
        """What planning it again would give; None: it must be planned. Looks at files."""
        kept = self._kept.get(asked)
        if kept is None:
            return None
        holds = kept.basis.holds(kept.catalog)
        with self._lock:
            if self._kept.get(asked) is kept:
                if holds:
                    self._kept.move_to_end(asked)
                else:
                    self._drop(asked)
        return kept.plan if holds else None

    def comes_again(self, asked: Asked, request: bytes) -> bool:
        """Whether it was asked before, which is remembered of it now: then its plan may be kept.

        Args:
            request: all of it in bytes.
        """
        if asked.size > _LARGEST:
            return False
        digest = hashlib.blake2b(request, digest_size=32).digest()
        with self._lock:
            before = digest in self._asked
            self._asked[digest] = None
            self._asked.move_to_end(digest)
            if len(self._asked) > _MOST:
                self._asked.popitem(last=False)
        return before

    def keep(self, asked: Asked, plan: SqlPlan, basis: Basis) -> None:
        size = asked.size + len(plan.plan_bytes) + sum(map(len, basis.definitions))
        if size > _LARGEST:
            return
        kept = _Kept(plan, basis, self._catalog.over(basis.definitions), size)
        with self._lock:
            if asked in self._kept:
                self._drop(asked)
            self._kept[asked] = kept
            self._size += size
            while len(self._kept) > _MOST or self._size > _MOST_BYTES:
                self._drop(next(iter(self._kept)))

    def _drop(self, asked: Asked) -> None:
        self._size -= self._kept.pop(asked).size
