"""Cutting a plan into stages.

The plan is cut at every Exchange ShuffleRead. The root stage is 0 and is the sink. A walk from
the root, depth first, children left to right, gives each ShuffleRead's input the next free id
when it meets the ShuffleRead, before it goes on below. A CteRef is its plan in place, cut again
each time it stands in the plan. SharedReads of one number read one stage, which is cut where the
first of them stands.

Cutting is deterministic: a coordinator and a worker that cut the same bytes get the same graph.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs

from ffq.errors import PlanningError
from ffq.ids import StageId
from ffq.plan import model
from ffq.plan.bound import Match, Place
from ffq.plan.distribution import DistributionKind, distribution_of
from ffq.plan.inline import InlineTable
from ffq.plan.limits import DEFAULT_LIMITS, PlanLimits
from ffq.plan.model import Node, Partitioning, ShuffleRead, ShuffleWrite
from ffq.plan.names import MAX_SHOWN, text_of
from ffq.plan.ranges import Following
from ffq.plan.terms import Bound
from ffq.plan.walk import child_fields, node_name, stage_reads, stage_scans, walk_stage

_REDUCED = frozenset({Match.INNER, Match.LEFT, Match.SEMI, Match.ANTI})
"""Matches of which nothing is made of a right row without a partner."""
_KEYED = frozenset({Match.INNER, Match.SEMI})
"""Matches of which nothing is made of a left row without a partner."""


class Parallelism(enum.Enum):
    """What a stage's tasks share out.

    SINGLE: one task; every source is read whole. SCAN: scan splits. HASH: reduce partitions.
    """

    SINGLE = "single"
    SCAN = "scan"
    HASH = "hash"


@attrs.frozen
class ShuffleSource:
    """One ShuffleRead of a stage.

    Attributes:
        leaf: number of the ShuffleRead in the stage's walk order, from 0.
        stage_id: the stage it reads.
        partitions: how many reduce partitions that stage writes.
        whole: True: every task reads all partitions. False: its assigned_reduce_partitions only.
        keys: every task reads the partition of keys that is behind those, and no other.
    """

    leaf: int
    stage_id: StageId
    partitions: int
    whole: bool
    keys: bool = False


@attrs.frozen
class ScanSource:
    """One ParquetScan of a stage.

    Attributes:
        leaf: number of the ParquetScan in the stage's walk order, from 0.
        table: its table's name.
        split: True: a task reads its share. False: every task reads the whole table.
        follows: the scan whose share it follows: a task reads what may meet its share of that one.
        home: the stage and leaf that it is in the plan as it was cut: another than this one where
            that stage is inlined.
    """

    leaf: int
    table: str
    split: bool
    home: tuple[StageId, int]
    follows: Following | None = None


@attrs.frozen
class StagePlan:
    """One stage: what it reads, needs and writes.

    Attributes:
        parents: its shuffle sources, by leaf.
        scans: its scan sources, by leaf.
        operators: `op_name`s of the Custom nodes in it: what a task of it needs (R10).
        output: how its output is partitioned; None for the sink.
        output_partitions: reduce partitions it writes: 0 for the sink, 1 for Single, else n, and
            one more where it writes its keys alone as well.
        fragment: its subtree. The root of a non-sink is its ShuffleWrite. ShuffleReads stand in
            place as leaves; what is below them belongs to other stages.
        reduce_partitions: for HASH: the partitions that its tasks share out; else 0.
        inline: the tables of its Inline nodes, each once, by their names.
    """

    stage_id: StageId
    parents: tuple[ShuffleSource, ...]
    scans: tuple[ScanSource, ...]
    operators: frozenset[str]
    parallelism: Parallelism
    output: Partitioning | None
    output_partitions: int
    fragment: Node
    reduce_partitions: int
    inline: tuple[InlineTable, ...] = ()


@attrs.frozen
class Reduction:
    """How the rows of a join's probe are reduced: `read` has the build's rows, or their keys.

    places: of each key, where it stands among the columns of `read` and of the probe.
    """

    read: ShuffleRead
    places: tuple[tuple[int, int], ...]


@attrs.frozen
class JoinChoice:
    """An AdaptiveJoin or ReducedJoin: how it is run is decided when a side's stage is finished.

    Attributes:
        stage_id: the stage that joins.
        probe: the stage of one side, which waits for the decision: of an AdaptiveJoin the left one,
            which may be inlined; of a ReducedJoin the right one.
        build: the stage of the other side.
        broadcast_bytes: of the build stage's output, up to which the probe's tasks read it whole.
        reduction: of a ReducedJoin, and of an AdaptiveJoin whose build gives out its keys.
        keys_bytes: of such an AdaptiveJoin: of the keys of a larger build, up to which the probe's
            tasks read them.
    """

    stage_id: StageId
    probe: StageId
    build: StageId
    broadcast_bytes: int
    reduction: Reduction | None = attrs.field(default=None, repr=False)
    keys_bytes: int | None = None

    @property
    def inlines(self) -> bool:
        """Whether the probe may be inlined: it is an AdaptiveJoin's."""
        return self.reduction is None or self.keys_bytes is not None


@attrs.frozen
class GatherChoice:
    """An AdaptiveGather: whether it is left out is decided when all that its stage reads is there.

    Attributes:
        stage_id: the stage that gathers.
        below: the stage that it reads, which may be inlined.
        in_place_bytes: of what `below` reads from other stages, up to which it is.
    """

    stage_id: StageId
    below: StageId
    in_place_bytes: int


@attrs.frozen
class StageGraph:
    """All stages of a plan; a stage's index is its id. joins: by the number of their stages."""

    stages: tuple[StagePlan, ...]
    joins: tuple[JoinChoice, ...] = ()
    gathers: tuple[GatherChoice, ...] = ()

    def parents_of(self, stage_id: StageId) -> tuple[StageId, ...]:
        """Stages that it reads, by leaf."""
        return tuple(source.stage_id for source in self.stages[stage_id].parents)

    def consumers_of(self, stage_id: StageId) -> tuple[StageId, ...]:
        """Stages that read it: one, or those of its SharedReads; none of the sink."""
        return tuple(
            stage.stage_id
            for stage in self.stages
            if any(source.stage_id == stage_id for source in stage.parents)
        )


def cut(plan: Node, *, limits: PlanLimits = DEFAULT_LIMITS) -> StageGraph:
    """Cut a plan into its stages.

    Raises:
        PlanningError: exchanges that do not pair up, or more nodes or stages than `limits` allow.
    """
    return _Cutter(limits).cut(plan)


@attrs.define
class _Cutter:
    _limits: PlanLimits
    _nodes: int = 0
    _roots: list[Node] = attrs.field(factory=list)
    _parents: list[list[StageId]] = attrs.field(factory=list)
    _joins: list[JoinChoice] = attrs.field(factory=list)
    _gathers: list[GatherChoice] = attrs.field(factory=list)
    _inline: Mapping[str, InlineTable] = attrs.field(factory=dict)
    _shared: dict[int, tuple[ShuffleRead, StageId]] = attrs.field(factory=dict)

    def cut(self, plan: Node) -> StageGraph:
        if isinstance(plan, model.WithTables):
            self._inline = {each.name: each for each in plan.inline}
        self._open(plan, "plan", 0)
        return StageGraph(
            tuple(
                stage_of(StageId(index), root, tuple(parents), self._inline)
                for index, (root, parents) in enumerate(
                    zip(self._roots, self._parents, strict=True)
                )
            ),
            tuple(sorted(self._joins, key=lambda join: join.probe)),
            tuple(sorted(self._gathers, key=lambda gather: gather.below)),
        )

    def _open(self, root: Node, path: str, depth: int) -> StageId:
        stage_id = StageId(len(self._roots))
        if stage_id >= self._limits.max_stages:
            raise PlanningError(
                f"the plan has more than {self._limits.max_stages} stages: use fewer exchanges"
            )
        self._roots.append(root)
        self._parents.append([])
        self._walk(root, stage_id, path, depth)
        return stage_id

    def _walk(self, node: Node, stage_id: StageId, path: str, depth: int) -> None:
        self._nodes += 1
        if self._nodes > self._limits.max_nodes or depth > self._limits.max_depth:
            raise PlanningError(
                f"the plan has more than {self._limits.max_nodes} nodes, or nests deeper than "
                f"{self._limits.max_depth}, when every CteRef is written out in its place"
            )
        here = f"{path}.{node_name(node)}"
        if isinstance(node, ShuffleRead):
            below = self._read(node, here, depth)
            self._parents[stage_id].append(below)
            if isinstance(node, model.AdaptiveGather):
                self._gathers.append(GatherChoice(stage_id, below, _in_place_bytes(node, here)))
            return
        is_output = stage_id > 0 and node is self._roots[stage_id]
        if isinstance(node, ShuffleWrite) and not is_output:
            raise PlanningError(f"{here} has no ShuffleRead directly above it: exchanges pair up")
        if isinstance(node, model.WithTables) and depth:
            raise PlanningError(f"{here} is not the root of the plan: right would be only there")
        if isinstance(node, model.Inline) and node.table not in self._inline:
            listed = ", ".join(list(self._inline)[:MAX_SHOWN]) or "none"
            raise PlanningError(
                f"{here}: the plan brings no rows of table {node.table!r}; its ffq.WithTables "
                f"brings inline: {listed}"
            )
        for name in child_fields(node):
            self._walk(getattr(node, name), stage_id, f"{here}.{name}", depth + 1)
        if isinstance(node, model.AdaptiveJoin | model.ReducedJoin):
            self._joins.append(self._choice(node, stage_id, here))

    def _choice(
        self, node: model.AdaptiveJoin | model.ReducedJoin, stage_id: StageId, here: str
    ) -> JoinChoice:
        """Of a join whose sides have just been walked."""
        _check_sides(node, here)
        left, right = self._parents[stage_id][-2:]
        roots = self._roots[left], self._roots[right]
        if isinstance(node, model.ReducedJoin):
            reduction = _reduction(node, *roots, here)
            return JoinChoice(stage_id, right, left, node.broadcast_bytes, reduction)
        choice = JoinChoice(stage_id, left, right, node.broadcast_bytes)
        by = roots[1].partitioning if isinstance(roots[1], ShuffleWrite) else None
        if not isinstance(by, model.KeyedPartitioning):
            return choice
        reduction = _by_keys(node, *roots, by, here)
        return attrs.evolve(choice, reduction=reduction, keys_bytes=by.keys_bytes)

    def _read(self, node: ShuffleRead, path: str, depth: int) -> StageId:
        """The stage that it reads: a new one, or that of another SharedRead of its number."""
        number = node.number if isinstance(node, model.SharedRead) else None
        if number is not None and number in self._shared:
            first, below = self._shared[number]
            if first != node:
                raise PlanningError(f"{path} has the number {number}, and another one reads others")
            return below
        below = self._open(_map_side(node, path), f"{path}.input", depth + 1)
        if number is not None:
            if number in self._shared:
                raise PlanningError(
                    f"{path} has the number {number}, and what it reads has it, too"
                )
            self._shared[number] = node, below
        return below


def _check_sides(join: model.AdaptiveJoin | model.ReducedJoin, path: str) -> None:
    """Of a side whose stage may be left out, or leave rows out, nobody else may read."""
    alone, shared = (ShuffleRead,), (ShuffleRead, model.SharedRead)
    allowed = alone, shared if isinstance(join, model.AdaptiveJoin) else alone
    for side, right in zip((join.left, join.right), allowed, strict=True):
        if type(side) not in right:
            raise PlanningError(
                f"{path} reads {node_name(side)}; right would be a ShuffleRead on each side"
            )


def _reduction(node: model.ReducedJoin, left: Node, right: Node, path: str) -> Reduction:
    assert isinstance(node.left, ShuffleRead)
    return Reduction(node.left, _places(node, left, right, _REDUCED, path))


def _by_keys(
    node: model.AdaptiveJoin, left: Node, right: Node, by: model.KeyedPartitioning, path: str
) -> Reduction:
    """Of a join whose right side gives out its keys, each once by its name."""
    places = _places(node, left, right, _KEYED, path)
    names = list(dict.fromkeys(map(text_of, by.keys)))
    if {name for _, name in node.keys} != set(names):
        raise PlanningError(
            f"{path} joins by {node.keys}, and its right side gives out the keys {by.keys}; right "
            f"would be the same ones"
        )
    assert isinstance(node.right, ShuffleRead)
    pairs = list(zip((name for _, name in node.keys), places, strict=True))
    of_right = {name: at for name, (_, at) in pairs}
    exprs = tuple((Bound(Place(of_right[name])), name) for name in names)
    read = model.KeysRead(model.Project(exprs, node.right.input), node.right.partitioning)
    return Reduction(read, tuple((names.index(name), probe) for name, (probe, _) in pairs))


def _places(
    node: model.AdaptiveJoin | model.ReducedJoin,
    left: Node,
    right: Node,
    matches: frozenset[Match],
    path: str,
) -> tuple[tuple[int, int], ...]:
    """Where each key stands among the columns of the left side and of the right one."""
    names = [
        [name for _, name in write.input.exprs]
        for write in (left, right)
        if isinstance(write, ShuffleWrite) and isinstance(write.input, model.Project)
    ]
    known = len(names) == 2 and all(
        each.count(key) == 1 for pair in node.keys for key, each in zip(pair, names, strict=True)
    )
    if not known or not node.keys or node.match not in matches:
        raise PlanningError(
            f"{path} is {node.match.value} and exchanges its sides by {node.keys}; right would be "
            f"{', '.join(sorted(each.value for each in matches))}, and exchanges of a Project on "
            f"each side that gives out each key by its name"
        )
    of_left, of_right = names
    return tuple((of_left.index(a), of_right.index(b)) for a, b in node.keys)


def _map_side(read: ShuffleRead, path: str) -> ShuffleWrite:
    """The ShuffleWrite that feeds a ShuffleRead.

    CteRef and CoalesceBatches between the two change no row: the latter moves below the write.
    """
    below = read.input
    batch_rows: list[int] = []
    while not isinstance(below, ShuffleWrite):
        match below:
            case model.CteRef(plan=plan):
                below = plan
            case model.CoalesceBatches(target_batch_rows=rows, input=child):
                batch_rows.append(rows)
                below = child
            case _:
                raise PlanningError(
                    f"{path} reads {node_name(below)}; right would be a ShuffleWrite, "
                    f"so that the stage below has an output to read"
                )
    if below.partitioning != read.partitioning:
        raise PlanningError(
            f"{path} reads {describe(read.partitioning)}, "
            f"but the ShuffleWrite below it writes {describe(below.partitioning)}"
        )
    for rows in reversed(batch_rows):
        below = attrs.evolve(below, input=model.CoalesceBatches(rows, below.input))
    return below


def _in_place_bytes(gather: model.AdaptiveGather, path: str) -> int:
    if isinstance(gather.partitioning, model.HashPartitioning):
        raise PlanningError(
            f"{path} reads {describe(gather.partitioning)}; right would be Single: its rows are "
            f"made where they are read, in one task"
        )
    return gather.in_place_bytes


def describe(partitioning: Partitioning) -> str:
    """A partitioning in words, for messages and plan listings."""
    match partitioning:
        case model.HashPartitioning(keys=keys, partitions=partitions):
            return f"HashKeys({', '.join(map(text_of, keys))}; {partitions} partitions)"
        case model.SinglePartitioning():
            return "Single"


def partition_count(partitioning: Partitioning) -> int:
    """Reduce partitions that an exchange's rows lie in: n of HashKeys, also without keys; 1 of
    Single."""
    match partitioning:
        case model.HashPartitioning(partitions=partitions):
            return partitions
        case model.SinglePartitioning():
            return 1


def _written(partitioning: Partitioning) -> int:
    """Reduce partitions that a task writes: keys alone are in one more."""
    return partition_count(partitioning) + isinstance(partitioning, model.KeyedPartitioning)


def stage_of(
    stage_id: StageId,
    root: Node,
    parents: tuple[StageId, ...],
    inline: Mapping[str, InlineTable],
    homes: tuple[tuple[StageId, int], ...] | None = None,
) -> StagePlan:
    """The stage of a fragment.

    Args:
        parents: the stages that its ShuffleReads read, by leaf.
        inline: the inline tables that it may read, by name.
        homes: of its scans, by leaf; None: this stage is their home.
    """
    rows = distribution_of(root)
    match rows.kind:
        case DistributionKind.SCAN:
            parallelism = Parallelism.SCAN
        case DistributionKind.HASH:
            parallelism = Parallelism.HASH
        case _:
            parallelism = Parallelism.SINGLE
    output = root.partitioning if isinstance(root, ShuffleWrite) else None
    follows = {each.leaf: each for each in rows.follows}
    read = {node.table for node in walk_stage(root) if isinstance(node, model.Inline)}
    return StagePlan(
        stage_id=stage_id,
        parents=tuple(
            ShuffleSource(
                leaf,
                parent,
                partition_count(source.partitioning),
                whole=leaf not in rows.reads,
                keys=isinstance(source, model.KeysRead),
            )
            for leaf, (source, parent) in enumerate(zip(stage_reads(root), parents, strict=True))
        ),
        scans=tuple(
            ScanSource(
                leaf,
                scan.table,
                split=leaf in rows.scans,
                home=(stage_id, leaf) if homes is None else homes[leaf],
                follows=follows.get(leaf),
            )
            for leaf, scan in enumerate(stage_scans(root))
        ),
        operators=frozenset(
            node.op_name for node in walk_stage(root) if isinstance(node, model.Custom)
        ),
        parallelism=parallelism,
        output=output,
        output_partitions=0 if output is None else _written(output),
        fragment=root,
        reduce_partitions=rows.partitions,
        inline=tuple(inline[name] for name in sorted(read)),
    )
