"""Fragments as SQL, translated once for all tasks that read their rows in the same way.

A fragment is the same object for all tasks of its stage, and for those of a query that is run
again. What it becomes depends on nothing but it and the SQL of its leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from ffq.engine.known import Answers, Known
from ffq.engine.oracle import TypeOracle, Unasked
from ffq.engine.scans import Source
from ffq.engine.sql import Columns
from ffq.engine.translate import Leaves, Translator
from ffq.plan import model
from ffq.plan.model import Node

_CHARACTERS: Final = 4 * 1024 * 1024
_LEAVES: Final = 4 * 1024

_Key = tuple[str, Columns, tuple[str, ...]]


@attrs.frozen
class _Translated:
    """fragment: held, so that no other one has its id. unasked: of its oracle."""

    fragment: Node
    sql: str
    columns: Columns
    unasked: tuple[Unasked, ...]


@attrs.frozen
class _Order:
    """A fragment's scans and reads, in the order in which they are translated."""

    fragment: Node
    leaves: tuple[model.ParquetScan | model.ShuffleRead, ...]


@attrs.frozen
class Translations:
    """Those of one engine. Thread-safe; those not asked for longest are dropped.

    known: what else the engine need not ask again.
    """

    known: Known = attrs.field(factory=Known)
    _orders: Answers[_Order] = attrs.field(factory=lambda: Answers(_LEAVES), init=False)
    _translated: Answers[_Translated] = attrs.field(
        factory=lambda: Answers(_CHARACTERS), init=False
    )

    def query(self, fragment: Node, oracle: TypeOracle, leaves: Leaves) -> tuple[str, Columns]:
        """As `Translator.query`."""
        order = self._orders.get(id(fragment))
        if order is None:
            recorder = _Recorder(leaves)
            sql, columns = Translator(oracle, recorder).query(fragment)
            if recorder.is_whole:
                order = _Order(fragment, tuple(leaf for leaf, _ in recorder.found))
                self._orders.keep(id(fragment), order, 1 + len(order.leaves))
                sources = [source for _, source in recorder.found]
                self._keep(sources, _Translated(fragment, sql, columns, tuple(oracle.unasked)))
            return sql, columns
        sources = [_source(leaf, leaves) for leaf in order.leaves]
        known = self._translated.get(_key(fragment, sources))
        if known is not None:
            oracle.unasked += known.unasked
            return known.sql, known.columns
        sql, columns = Translator(oracle, _Given(leaves, iter(sources))).query(fragment)
        self._keep(sources, _Translated(fragment, sql, columns, tuple(oracle.unasked)))
        return sql, columns

    def _keep(self, sources: list[Source], translated: _Translated) -> None:
        weight = len(translated.sql) + sum(len(source.sql) for source in sources)
        self._translated.keep(_key(translated.fragment, sources), translated, weight)


def _key(fragment: Node, sources: list[Source]) -> tuple[int, tuple[_Key, ...]]:
    return id(fragment), tuple((each.sql, each.columns, tuple(each.own)) for each in sources)


def _source(leaf: model.ParquetScan | model.ShuffleRead, leaves: Leaves) -> Source:
    return leaves.scan(leaf) if isinstance(leaf, model.ParquetScan) else leaves.read(leaf)


@attrs.define
class _Recorder:
    """Leaves, and what they gave. is_whole: none gave what is made anew for each run."""

    _leaves: Leaves
    found: list[tuple[model.ParquetScan | model.ShuffleRead, Source]] = attrs.field(
        factory=list, init=False
    )
    is_whole: bool = attrs.field(default=True, init=False)

    def scan(self, node: model.ParquetScan) -> Source:
        self.found.append((node, self._leaves.scan(node)))
        return self.found[-1][1]

    def read(self, node: model.ShuffleRead) -> Source:
        self.found.append((node, self._leaves.read(node)))
        return self.found[-1][1]

    def inline(self, node: model.Inline) -> Source:
        self.is_whole = False
        return self._leaves.inline(node)

    def custom(self, node: model.Custom) -> Source:
        self.is_whole = False
        return self._leaves.custom(node)

    def write(self, node: model.Write) -> Source:
        self.is_whole = False
        return self._leaves.write(node)

    def commit(self, node: model.Commit) -> Source:
        self.is_whole = False
        return self._leaves.commit(node)

    def fetch(self, node: model.FetchedRows) -> Source:
        self.is_whole = False
        return self._leaves.fetch(node)


@attrs.define
class _Given(_Recorder):
    """Scans and reads that are there already."""

    _sources: Iterator[Source]

    def scan(self, node: model.ParquetScan) -> Source:
        del node
        return next(self._sources)

    def read(self, node: model.ShuffleRead) -> Source:
        del node
        return next(self._sources)
