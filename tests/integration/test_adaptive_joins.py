"""Joins that the size of a finished stage decides, on real processes."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pyarrow as pa

from ffq.messages import QueryState
from ffq.plan import dump_plan, model
from ffq.plan.bound import Call, Match, Place, SqlType
from ffq.plan.model import Node
from tests.integration.cluster import (
    FILES,
    LIVENESS_MS,
    ROWS,
    ROWS_OF_T,
    SPECIAL_OPERATORS,
    Dataset,
    cluster,
)
from tests.profiles import heavy


def joined(dataset: Dataset, most: int) -> bytes:
    """Rows of t, of which the left ones wait at the gate, with those that have the same v.

    Stage 0 gathers what 1 joins: 2, the left side, and 3, the right one.
    """
    by = model.HashPartitioning(("v",), 4)
    single = model.SinglePartitioning()

    def exchanged(rows: Node) -> Node:
        return model.ShuffleRead(model.ShuffleWrite(rows, by), by)

    join = model.AdaptiveJoin(
        exchanged(dataset.gated_scan().node),
        exchanged(ROWS_OF_T.node),
        Match.INNER,
        Call("=", (Place(1), Place(3)), SqlType("BOOLEAN")),
        (("v", "v"),),
        most,
    )
    return dump_plan(model.ShuffleRead(model.ShuffleWrite(join, single), single))


def pairs(result: pa.Table) -> list[tuple[int, ...]]:
    return sorted(zip(*(column.to_pylist() for column in result.columns), strict=True))


EXPECTED = sorted((v % 10, v, v % 10, v) for v in range(ROWS))


async def test_the_right_side_is_lost_with_its_worker_when_it_was_decided_to_read_it_whole(
    tmp_path: Path,
) -> None:
    """It is made again, and those that have not read it yet read that; the decision stands."""
    async with cluster(tmp_path, liveness_ms=LIVENESS_MS) as it:
        # It lacks the gate's operator, so that it runs the right side and no other.
        with it.worker("w1", operators=SPECIAL_OPERATORS) as doomed:
            query = await it.client.submit(joined(it.dataset, 2**20))

            async def decided() -> bool:
                return (await query.status()).stages[2].skipped

            await it.sees(decided)
            with it.worker("w2", "--slots=2"):
                # Both slots hold a task that has read the right side; two are left that have not.
                await it.running_on(query, "w2", stage=1)
                doomed.signal(signal.SIGKILL)

                async def lost() -> bool:
                    return "w1" not in {each.worker_id for each in await it.client.workers()}

                await it.sees(lost)
                it.dataset.gate.touch()
                assert pairs(await query.result()) == EXPECTED
            attempts = await query.attempts()
            counted = Counter(each.key.stage_id for each in attempts if each.committed)
            assert counted == {0: 1, 1: FILES, 3: FILES}
            again = [each for each in attempts if each.key.stage_id == 3 and each.committed]
            assert {(each.worker_id, each.key.attempt) for each in again} == {("w2", 2)}
            status = await query.status()
            assert status.state is QueryState.SUCCEEDED
            assert status.stages[2].decisions[0].startswith("skipped: stage 3 has ")


@heavy
async def test_both_sides_are_exchanged_where_the_right_one_is_large(tmp_path: Path) -> None:
    async with cluster(tmp_path) as it:
        it.dataset.gate.touch()
        with it.workers("w1", "w2"):
            query = await it.client.submit(joined(it.dataset, 100))
            assert pairs(await query.result()) == EXPECTED
            status = await query.status()
            assert not any(each.skipped for each in status.stages)
            (decision,) = status.stages[1].decisions
            assert decision.startswith("shuffled: stage 3 has ")
            assert decision.endswith("more than 100 B")
