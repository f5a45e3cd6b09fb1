"""Which leaves of a stage may be shared out over tasks, so that the tasks' outputs unite rightly.

Each node of a stage gets a distribution from those of its children, bottom-up:

    SCAN        scan splits are shared out: any row may be in any task
    HASH        reduce partitions are shared out: rows equal in `keys` are in one task
    REPLICATED  every task computes all rows (below a Broadcast)
    GATHER      right only where one task sees all rows, but then always the same rows
    PIN         right only in a stage of one task: a Limit, a TopK, a global aggregate (R31), or a
                node whose outcome may differ from run to run or whose effect must happen once

Broadcast turns all but PIN into REPLICATED, provided that computing it again gives the same rows:
a Custom operator or a window (ties) may not, and several tasks must not disagree about one table.
A stage runs as many tasks if its root is SCAN or HASH. Where the analysis cannot tell, it says
GATHER or PIN: slower, never wrong.

Custom operators see their task's share, as Spark's mapPartitions does; an operator that needs all
rows stands over a Single exchange.

Keys are tracked by names that mean them, first as the ShuffleWrite named them. Where a node adds
columns, a name is dropped that may mean one of these from there on. `keys` is None when they are
not known any more; the rows are still shared out by whole partitions.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

import attrs

from ffq.plan import model
from ffq.plan.bound import Match, Phase, Place
from ffq.plan.model import Node
from ffq.plan.outputs import (
    LEFT_ONLY,
    Output,
    Outputs,
    OutputsOf,
    group_name,
    keeps_meaning,
    own_name,
    own_places,
    place_of,
)
from ffq.plan.ranges import Following, range_columns, ungrouped
from ffq.plan.terms import Bound, Column, ColumnName, JoinStrategy, JoinType
from ffq.plan.volatile import is_volatile
from ffq.plan.walk import walk_stage

# One set of names per hash key: a Project may give the same column out under several names.
Keys = tuple[frozenset[ColumnName], ...]


class DistributionKind(enum.Enum):
    SCAN = "scan"
    HASH = "hash"
    REPLICATED = "replicated"
    GATHER = "gather"
    PIN = "pin"


@attrs.frozen
class Distribution:
    """How one node's rows lie over the tasks of its stage.

    `scans` and `reads` are the leaf numbers that are shared out to make it so (see `walk_stage`);
    `partitions` and `keys` are set for HASH only. `repeatable` is False where computing the rows
    twice may give other rows. `follows`: the scans of which a task reads what may meet its share.
    """

    kind: DistributionKind
    scans: frozenset[int] = frozenset()
    reads: frozenset[int] = frozenset()
    partitions: int = 0
    keys: Keys | None = None
    repeatable: bool = True
    follows: tuple[Following, ...] = ()

    @property
    def is_split(self) -> bool:
        return self.kind in {DistributionKind.SCAN, DistributionKind.HASH}


_GATHER = Distribution(DistributionKind.GATHER)
_PIN = Distribution(DistributionKind.PIN)
_REPLICATED = Distribution(DistributionKind.REPLICATED)

# Join types for which the other side may be shared out while this side is whole in every task:
# those that emit no row on behalf of the whole side alone.
_WHOLE_RIGHT = frozenset({JoinType.INNER, JoinType.LEFT, JoinType.SEMI, JoinType.ANTI})
_WHOLE_LEFT = frozenset({JoinType.INNER, JoinType.RIGHT})
# Join types whose output holds the left keys unchanged. A Right or Full join fills them with
# nulls in rows of the right side, which lie by the right key's hash.
_KEEPS_LEFT_KEYS = frozenset({JoinType.INNER, JoinType.LEFT, JoinType.SEMI, JoinType.ANTI})


def distribution_of(fragment: Node) -> Distribution:
    """The distribution of a stage's root. Leaves are numbered as `walk_stage` meets them."""
    return _Analysis().visit(fragment)


def splittable_reads(fragment: Node) -> frozenset[int]:
    """Reads of which several tasks may have a partition, each some of its rows.

    Each of them has the partition of all the other reads whole then. Custom operators over an
    exchange count on all rows of a key, whatever the analysis can tell of them.
    """
    shared = distribution_of(fragment).reads
    if any(isinstance(node, model.Custom) for node in walk_stage(fragment)):
        return frozenset()
    found = set()
    for leaf in shared:
        lies = dict.fromkeys(shared, _REPLICATED)
        lies[leaf] = Distribution(DistributionKind.SCAN, reads=frozenset({leaf}))
        root = _Analysis(lies).visit(fragment)
        if root.kind is DistributionKind.SCAN and root.reads == {leaf} and not root.scans:
            found.add(leaf)
    return frozenset(found)


class _Analysis:
    """`lies`: of some reads how their rows lie, whatever they were exchanged by."""

    def __init__(self, lies: Mapping[int, Distribution] | None = None) -> None:
        self._lies = lies or {}
        self._scans = 0
        self._reads = 0
        self._outputs = OutputsOf()

    def visit(self, node: Node) -> Distribution:
        found = self._of(node)
        return attrs.evolve(found, repeatable=False) if is_volatile(node) else found

    def _of(self, node: Node) -> Distribution:  # noqa: PLR0911, PLR0912
        match node:
            case model.ParquetScan():
                leaf, self._scans = self._scans, self._scans + 1
                return Distribution(DistributionKind.SCAN, scans=frozenset({leaf}))
            case model.ShuffleRead():
                leaf, self._reads = self._reads, self._reads + 1
                return self._lies.get(leaf) or _of_read(node, leaf)
            case (
                model.Filter() | model.CoalesceBatches() | model.ShuffleWrite() | model.WithTables()
            ):
                return self.visit(node.input)
            case model.CteRef():
                return self.visit(node.plan)
            case model.Broadcast():
                return _replicate(self.visit(node.input))
            case model.Project():
                return self._of_project(node, self.visit(node.input))
            case model.PartialHashAggregate():
                return _of_partial(node, self.visit(node.input))
            case model.FinalHashAggregate():
                return self._of_final(node, self.visit(node.input))
            case model.Window():
                return self._of_window(node, self.visit(node.input))
            case model.Custom() | model.Write():
                # Each task writes its share, wherever its rows lie; each attempt other files.
                return _of_custom(self.visit(node.input))
            case model.HashJoin():
                return self._of_join(node, self.visit(node.left), self.visit(node.right))
            case model.Sort(partial=True) | model.OverWindows(partial=True):
                return self.visit(node.input)
            case model.Aggregate():
                return self._of_aggregate(node, self.visit(node.input))
            case model.Values() | model.Series() | model.Inline() | model.RecursionRef():
                return _REPLICATED
            case model.Recursion():
                return _whole(self.visit(node.start), self.visit(node.step))
            case model.Unnest() | model.RowsOf():
                return self.visit(node.input)
            case model.SetOperation():
                return self._of_set(node, self.visit(node.left), self.visit(node.right))
            case model.OverWindows():
                return _of_windows(node, self.visit(node.input))
            case model.RangeJoin():
                return self._of_ranges(node)
            case model.Join():
                return self._of_own_join(node, self.visit(node.left), self.visit(node.right))
            case model.UnionAll():
                return _of_union(self.visit(node.left), self.visit(node.right))
            case _:
                # Limit, TopK, subquery filters, ParquetWrite, Commit, vector search. PIN wins all
                # the way up, so that the leaves below need no numbers.
                return _PIN

    def _of_ranges(self, node: model.RangeJoin) -> Distribution:
        """Where one side is a scan that is shared out, that of the other side may follow it."""
        columns = range_columns(node)
        if columns is None:
            return self._of_own_join(node, self.visit(node.left), self.visit(node.right))
        sides = [node.left, node.right]
        follower = 0 if node.right_leads else 1
        whole = sides[follower]
        sides[follower] = ungrouped(whole)
        lies = []
        for side, found in zip(sides, columns, strict=True):
            leaf = self._scans + found.leaf
            lies.append((self.visit(side), leaf, found.column))
        others, leaf, column = lies[follower]
        rows, leads, by = lies[1 - follower]
        if (
            _is_of_scan(rows, leads)
            and _is_of_scan(others, leaf)
            and not others.follows
            and others.repeatable
        ):
            follows = (*rows.follows, Following(leaf, column, leads, by))
            return attrs.evolve(rows, keys=None, follows=follows)
        if sides[follower] is not whole:
            return _PIN
        return self._of_own_join(node, lies[0][0], lies[1][0])

    def _of_project(self, node: model.Project, below: Distribution) -> Distribution:
        if below.keys is None:
            return below
        columns = self._outputs(node.input)
        places = {name: place_of(name, columns) for key in below.keys for name in key}
        pairs: list[tuple[ColumnName, str]] = []
        for expr, above in node.exprs:
            match expr:
                # A ColumnRef's index wins over its name, so the name proves nothing here.
                case Column():
                    pairs.append((expr.name, above))
                case Bound(tree=Place(index=index)):
                    pairs += [(name, above) for name, at in places.items() if at == index]
        return _rename_keys(below, pairs)

    def _of_aggregate(self, node: model.Aggregate, below: Distribution) -> Distribution:
        """Right where all rows of a group are in one task: those are exchanged by what groups them.

        States, and results of a share, are of the rows of a task; what makes one of them comes
        later.
        """
        if node.phase in _OF_EACH_TASK:
            return attrs.evolve(below, keys=None) if below.is_split else _whole(below)
        if node.sets or below.kind is not DistributionKind.HASH or below.keys is None:
            # Of several sets of groups, some hold rows of all keys.
            return _PIN
        columns = self._outputs(node.input)
        groups = [each.index if isinstance(each, Place) else None for each in node.groups]
        keys = tuple(
            frozenset(
                own_name(at)
                for at, group in enumerate(groups)
                if group is not None and group in own_places(key, columns)
            )
            for key in below.keys
        )
        return attrs.evolve(below, keys=keys, repeatable=False) if all(keys) else _PIN

    def _of_set(
        self, node: model.SetOperation, left: Distribution, right: Distribution
    ) -> Distribution:
        """Right where equal rows of both sides lie in one task: hashed alike by the same places."""
        both = left.kind is right.kind is DistributionKind.HASH
        if not both or left.partitions != right.partitions or not left.keys or not right.keys:
            return _whole(left, right)
        columns, others = self._outputs(node.left), self._outputs(node.right)
        alike = len(left.keys) == len(right.keys) and all(
            own_places(a, columns) & own_places(b, others)
            for a, b in zip(left.keys, right.keys, strict=True)
        )
        return _by_hash(left, right) if alike else _whole(left, right)

    def _of_own_join(
        self, node: model.Join, left: Distribution, right: Distribution
    ) -> Distribution:
        if left.kind is right.kind is DistributionKind.HASH and node.keys:
            wanted = tuple(zip(*node.keys, strict=True))
            lies = left.keys, right.keys
            if left.partitions == right.partitions and all(
                keys is not None
                and len(keys) == len(names)
                and all(name in key for name, key in zip(names, keys, strict=True))
                for keys, names in zip(lies, wanted, strict=True)
            ):
                return attrs.evolve(_by_hash(left, right), keys=self._own_keys(node, left, right))
        if left.is_split and node.match in _OWN_WHOLE_RIGHT and _is_replicated(right):
            return attrs.evolve(left, keys=None)
        return _whole(left, right)

    def _own_keys(self, node: model.Join, left: Distribution, right: Distribution) -> Keys | None:
        """What the pairs of two sides that were exchanged alike lie by.

        Of those that sizes decide, nothing: they may yet be run otherwise.
        """
        if type(node) is not model.Join or left.keys is None or right.keys is None:
            return None
        columns = self._outputs(node.left)
        if columns is None or node.match not in _OWN_WHOLE_RIGHT:
            return None
        keys = [own_places(key, columns) for key in left.keys]
        others = self._outputs(node.right)
        if node.match is Match.INNER and others is not None:
            # Both keys of a pair are equal, and hash alike.
            keys = [
                places | {at + len(columns) for at in own_places(key, others)}
                for places, key in zip(keys, right.keys, strict=True)
            ]
        return tuple(frozenset(map(own_name, places)) for places in keys) if all(keys) else None

    def _of_final(self, node: model.FinalHashAggregate, below: Distribution) -> Distribution:
        if not node.group_exprs:
            return _PIN
        if below.kind is DistributionKind.HASH and below.keys is not None:
            # It takes groups by position: names in its expressions are what it calls them.
            columns = self._outputs(node.input)
            groups = {at: group_name(expr, at) for at, expr in enumerate(node.group_exprs)}
            keys = tuple(
                frozenset(groups[at] for name in key if (at := place_of(name, columns)) in groups)
                for key in below.keys
            )
            if all(keys):
                return attrs.evolve(below, keys=keys)
        return _whole(below)

    def _of_window(self, node: model.Window, below: Distribution) -> Distribution:
        if below.kind is not DistributionKind.HASH or below.keys is None:
            return _PIN
        for window in node.exprs:
            names = {expr.name for expr in window.partition_by if isinstance(expr, Column)}
            if not all(key & names for key in below.keys):
                return _PIN
        added = tuple(Output(window.output_name) for window in node.exprs)
        keys = _keys_beside(added, below.keys, self._outputs(node.input))
        return attrs.evolve(below, keys=keys, repeatable=False)

    def _of_join(
        self, node: model.HashJoin, left: Distribution, right: Distribution
    ) -> Distribution:
        if _is_copartitioned(node, left, right):
            # Of an inner join both keys of a pair are equal and hash alike: one may be taken for
            # the other.
            inner = node.join_type is JoinType.INNER
            either = frozenset(a for a, b in node.on if inner and a == b)
            keeps = node.join_type in _KEEPS_LEFT_KEYS
            return Distribution(
                DistributionKind.HASH,
                reads=left.reads | right.reads,
                partitions=left.partitions,
                keys=self._left_keys(node, left, either) if keeps else None,
                repeatable=left.repeatable and right.repeatable,
            )
        if left.is_split and node.join_type in _WHOLE_RIGHT:
            by_hint = node.strategy_hint is JoinStrategy.BROADCAST_RIGHT and _is_replicable(right)
            if by_hint or _is_replicated(right):
                return attrs.evolve(left, keys=self._left_keys(node, left))
        if right.is_split and node.join_type in _WHOLE_LEFT:
            by_hint = node.strategy_hint is JoinStrategy.BROADCAST_LEFT and _is_replicable(left)
            if by_hint or _is_replicated(left):
                return attrs.evolve(right, keys=None)
        return _whole(left, right)

    def _left_keys(
        self,
        node: model.HashJoin,
        left: Distribution,
        either: frozenset[ColumnName] = frozenset(),
    ) -> Keys | None:
        if left.keys is None:
            return None
        added = () if node.join_type in LEFT_ONLY else self._outputs(node.right)
        return _keys_beside(added, left.keys, self._outputs(node.left), either)


def _of_read(node: model.ShuffleRead, leaf: int) -> Distribution:
    match node.partitioning:
        case model.HashPartitioning(keys=keys, partitions=partitions) if keys:
            return Distribution(
                DistributionKind.HASH,
                reads=frozenset({leaf}),
                partitions=partitions,
                keys=tuple(frozenset({key}) for key in keys),
            )
        case _:
            return _GATHER


def _replicate(below: Distribution) -> Distribution:
    return _REPLICATED if _is_replicable(below) else _PIN


def _is_replicated(below: Distribution) -> bool:
    return below.kind is DistributionKind.REPLICATED and below.repeatable


def _is_replicable(below: Distribution) -> bool:
    return below.kind is not DistributionKind.PIN and below.repeatable


def _rename_keys(below: Distribution, columns: Iterable[tuple[ColumnName, str]]) -> Distribution:
    """`columns` as (name below, name above); unknown keys when one of them is not given out."""
    if below.keys is None:
        return below
    pairs = tuple(columns)
    renamed = tuple(
        frozenset(above for name, above in pairs if name in names) for names in below.keys
    )
    return attrs.evolve(below, keys=renamed if all(renamed) else None)


def _keys_beside(
    added: Outputs, keys: Keys, columns: Outputs, either: frozenset[ColumnName] = frozenset()
) -> Keys | None:
    """Keys by the names that still mean them when columns are added to those of the input.

    `either`: names that may mean an added column as well.
    """
    kept = tuple(
        frozenset(name for name in names if name in either or keeps_meaning(name, columns, added))
        for names in keys
    )
    return kept if all(kept) else None


def _of_partial(node: model.PartialHashAggregate, below: Distribution) -> Distribution:
    return _rename_keys(
        below, ((expr.name, expr.name) for expr in node.group_exprs if isinstance(expr, Column))
    )


def _whole(*below: Distribution) -> Distribution:
    """For a node that must see all rows of its children, and then is deterministic."""
    if not all(_is_replicable(child) for child in below):
        return _PIN
    return (
        _REPLICATED
        if all(child.kind is DistributionKind.REPLICATED for child in below)
        else _GATHER
    )


def _of_custom(below: Distribution) -> Distribution:
    # The operator may give out anything: keys are lost.
    return attrs.evolve(below, keys=None, repeatable=False) if below.is_split else _PIN


def _is_copartitioned(node: model.HashJoin, left: Distribution, right: Distribution) -> bool:
    """Whether rows that join lie in the same task: both sides hashed alike on join keys."""
    if left.kind is not DistributionKind.HASH or right.kind is not DistributionKind.HASH:
        return False
    if left.partitions != right.partitions or left.keys is None or right.keys is None:
        return False
    if len(left.keys) != len(right.keys):
        return False
    return all(
        any(on_left in names and on_right in others for on_left, on_right in node.on)
        for names, others in zip(left.keys, right.keys, strict=True)
    )


def _of_union(left: Distribution, right: Distribution) -> Distribution:
    if left.kind is right.kind and left.is_split and left.partitions == right.partitions:
        # UnionAll matches columns by position and names them by its left side: whether the keys
        # of both sides stand in the same places is not known here.
        return Distribution(
            left.kind,
            scans=left.scans | right.scans,
            reads=left.reads | right.reads,
            partitions=left.partitions,
            repeatable=left.repeatable and right.repeatable,
            follows=left.follows + right.follows,
        )
    return _whole(left, right)


def _is_of_scan(rows: Distribution, leaf: int) -> bool:
    """Whether this scan is shared out, and nothing else."""
    return rows.kind is DistributionKind.SCAN and rows.scans == {leaf} and not rows.reads


def _by_hash(left: Distribution, right: Distribution) -> Distribution:
    """Of rows that meet where both sides were exchanged alike."""
    return Distribution(
        DistributionKind.HASH,
        reads=left.reads | right.reads,
        partitions=left.partitions,
        keys=None,
        repeatable=False,
    )


def _of_windows(node: model.OverWindows, below: Distribution) -> Distribution:
    """Right where all rows of each partition are in one task."""
    if below.kind is DistributionKind.HASH and below.keys is not None:
        for window in node.windows:
            places = {f"c{each.index}" for each in window.partitions if isinstance(each, Place)}
            if not all(key & places for key in below.keys):
                return _PIN
        return attrs.evolve(below, repeatable=False)
    return _PIN


_OF_EACH_TASK = frozenset({Phase.STATES, Phase.SHARE})
_OWN_WHOLE_RIGHT = frozenset(
    {Match.INNER, Match.LEFT, Match.SEMI, Match.ANTI, Match.MARK, Match.SINGLE}
)
