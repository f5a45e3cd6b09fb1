"""Whether joins that sizes have decided are run by these: a part of the state's consistency."""

from __future__ import annotations

from collections.abc import Iterator

from ffq.core.records import QueryRecord, StageRecord
from ffq.plan.stages import partition_count


def wrong_in_decisions(query: QueryRecord) -> Iterator[str]:
    """Of joins that were decided: by which sizes, and whether they are run so."""
    if query.state.terminal:
        return
    for probe_id, decision in query.decisions.items():
        choice, probe = decision.choice, query.stages[probe_id]
        build = query.stages[choice.build]
        name = f": what stage {choice.build} decides of stage {probe_id}"
        if build.is_readable and all(len(task.attempts) == 1 for task in build.tasks):
            rows, keys = _given_out(build)
            if (rows, keys) != (decision.build_bytes, decision.keys_bytes):
                yield f"{name} is decided by other sizes than {rows} of rows and {keys} of keys"
        if (decision.build_bytes > choice.broadcast_bytes) and not decision.why:
            yield f"{name} takes too large a stage for a small one"
        reduces = not decision.why
        if choice.inlines:
            most = choice.keys_bytes
            reduces = not reduces and most is not None and decision.keys_bytes <= most
        if decision.reduces != reduces:
            yield f"{name} is not decided by the sizes"
        if decision.reduces != (choice.build in probe.inlined):
            yield f"{name} is not run as was decided"


def _given_out(stage: StageRecord) -> tuple[int, int]:
    """Bytes of the rows that its committed attempts gave out, and of the keys behind them."""
    rows = keys = 0
    for task in stage.tasks:
        output = task.committed.output if task.committed is not None else None
        for number, each in output.partitions.items() if output is not None else ():
            if stage.plan.output is not None and number < partition_count(stage.plan.output):
                rows += each.bytes
            else:
                keys += each.bytes
    return rows, keys
