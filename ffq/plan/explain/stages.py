"""The plan as a tree, and its stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from ffq.plan import model
from ffq.plan.bound import Phase
from ffq.plan.explain.expressions import shortened
from ffq.plan.explain.nodes import FINAL, Describer
from ffq.plan.model import HashPartitioning, Node, ShuffleRead
from ffq.plan.stages import Parallelism, StageGraph, StagePlan
from ffq.plan.walk import children

_DEEPEST: Final = 200
"""Levels of a tree that are drawn."""
_KIB: Final = 1024


@attrs.frozen
class Estimate:
    """What is known of a table before it is read; None: it is not. `files_bytes`: as stored."""

    rows: int | None = None
    files_bytes: int | None = None


def explain_logical(plan: Node, estimates: Mapping[str, Estimate]) -> str:
    """What is computed, without regard to where: the plan's nodes as a tree, the last one first.

    Args:
        estimates: by table; of one that is not among them nothing is said.
    """
    return "\n".join(_Drawing(Describer(), estimates, None).lines(plan))


def explain_stages(graph: StageGraph, estimates: Mapping[str, Estimate]) -> str:
    """The stages, the last one first: what each does, in how many tasks, and who reads it."""
    describe = Describer()
    reads = {id(read): stage for stage, read in _reads(graph)}
    drawing = _Drawing(describe, estimates, reads)
    return "\n\n".join(
        "\n".join([_heading(stage, graph, describe), *drawing.lines(stage.fragment)])
        for stage in graph.stages
    )


def _reads(graph: StageGraph) -> Iterator[tuple[StagePlan, ShuffleRead]]:
    """Each ShuffleRead with the stage that it reads."""
    for stage in graph.stages:
        pending: list[Node] = [stage.fragment]
        found: list[ShuffleRead] = []
        while pending:
            node = pending.pop()
            if isinstance(node, ShuffleRead):
                found.append(node)
            else:
                pending.extend(reversed(children(node)))
        for source, read in zip(stage.parents, found, strict=True):
            yield graph.stages[source.stage_id], read


def _heading(stage: StagePlan, graph: StageGraph, describe: Describer) -> str:
    match stage.parallelism:
        case Parallelism.SINGLE:
            tasks = "1 task"
        case Parallelism.SCAN:
            tables = ", ".join(sorted({scan.table for scan in stage.scans if scan.split}))
            tasks = f"a task for each share of {tables}"
            if beside := sorted(
                f"{scan.table} by {scan.follows.column.name}"
                for scan in stage.scans
                if scan.follows
            ):
                tasks += f", with what may meet it of {', '.join(beside)}"
        case Parallelism.HASH:
            tasks = f"up to {stage.reduce_partitions} tasks, each some of the partitions"
    consumers = graph.consumers_of(stage.stage_id)
    to = "the result"
    if consumers:
        listed = ", ".join(map(str, consumers))
        word = "stage" if len(consumers) == 1 else "stages"
        to = f"to {word} {listed}: {_partitioning(stage, describe)}"
    for choice in graph.joins:
        if choice.probe == stage.stage_id:
            then = f"this is done in stage {choice.stage_id}"
            if not choice.inlines:
                then = "rows are left out here whose keys it has not"
            elif choice.keys_bytes is not None:
                then += f", else up to {bytes_text(choice.keys_bytes)} of its keys rows with others"
                then += " are left out here"
            to += (
                f"; decided when stage {choice.build} is finished: up to "
                f"{bytes_text(choice.broadcast_bytes)} {then}"
            )
    for gather in graph.gathers:
        if gather.below == stage.stage_id:
            to += (
                f"; decided when all that it reads is there: up to "
                f"{bytes_text(gather.in_place_bytes)} this is done in stage {gather.stage_id}"
            )
    return _one_line(f"Stage {stage.stage_id} · {tasks} · {to}")


def _partitioning(stage: StagePlan, describe: Describer) -> str:
    match stage.output:
        case HashPartitioning(keys=keys, partitions=partitions) if keys:
            names = describe(stage.fragment).names
            by = ", ".join(_key(str(getattr(key, "name", key)), names) for key in keys)
            return f"shuffled by hash of {shortened(by, 80)} into {partitions} partitions"
        case _:
            return "gathered into 1 partition"


def _key(name: str, names: tuple[str, ...]) -> str:
    place = name.removeprefix("c")
    if name.startswith("c") and place.isdecimal() and int(place) < len(names):
        return names[int(place)]
    return name


@attrs.frozen
class _Drawing:
    """Draws trees. reads: which stage an exchange reads; None: what is below it is drawn."""

    describe: Describer
    estimates: Mapping[str, Estimate]
    reads: Mapping[int, StagePlan] | None

    def lines(self, root: Node) -> Iterator[str]:
        pending = [(root, "", "", 0)]
        while pending:
            node, first, rest, depth = pending.pop()
            if depth > _DEEPEST:
                yield f"{first}…"
                continue
            text, below = self._node(node)
            if text is None:
                pending.extend((each, first, rest, depth) for each in reversed(below))
                continue
            yield f"{first}{text}"
            for at, each in reversed(list(enumerate(below))):
                is_last = at == len(below) - 1
                branch, under = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
                pending.append((each, rest + branch, rest + under, depth + 1))

    def _node(self, node: Node) -> tuple[str | None, tuple[Node, ...]]:
        """What stands for a node, or None; and what is drawn below."""
        if isinstance(node, ShuffleRead) and self.reads is not None:
            return f"Read stage {self.reads[id(node)].stage_id}", ()
        line = self.describe(node)
        if not line.shown or (self.reads is None and _is_of_stages(node)):
            return None, children(node)
        title = line.title
        if self.reads is None and title == FINAL:
            title = "Aggregate"
        text = _one_line(f"{title}  {line.details}").rstrip()
        if isinstance(node, model.ParquetScan | model.Inline):
            text += self._estimate(node.table)
        return text, children(node)

    def _estimate(self, table: str) -> str:
        found = self.estimates.get(table)
        known = []
        if found is not None and found.rows is not None:
            known.append(f"{found.rows:,} rows")
        if found is not None and found.files_bytes is not None:
            known.append(bytes_text(found.files_bytes))
        return f"  ({', '.join(known)})" if known else ""


def _is_of_stages(node: Node) -> bool:
    """Whether it is there because of how the plan is cut, and computes nothing of its own."""
    match node:
        case model.Aggregate(phase=Phase.STATES) | model.Sort(partial=True):
            return True
        case model.OverWindows(partial=True) | model.Broadcast() | model.PartialHashAggregate():
            return True
        case _:
            return False


def _one_line(text: str) -> str:
    """Names may hold anything: what ends a line, or acts on a terminal, is an escape."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def bytes_text(count: float) -> str:
    """A number of bytes in the largest unit that leaves at least one of it."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= _KIB and len(units) > 1:
        size /= _KIB
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"
