"""What is done again when a worker, or an output, is lost (R19; "lost output" in docs/protocol.md).

An output that only its worker could serve is lost with it. It is made again only if some task
still has to read it: the stages are walked from the sink down, so that a consumer that has to be
run again is seen before its parents. A lost output that nobody needs stays committed, marked lost.

Where a worker served very many, they are told apart, and made again, in slices. Meanwhile their
stage is not readable, and none of them can be located: it is as if all were marked.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import attrs

from ffq.core import chores
from ffq.core.pieces import ByAttempt
from ffq.core.records import QueryRecord, StageRecord, TaskRecord
from ffq.core.stages import became_readable, became_unreadable
from ffq.core.state import Located, SchedulingState
from ffq.core.tasks import (
    fail_beside_rival,
    fail_lost,
    fail_suspected,
    fail_uncharged,
    has_rival,
    mark_lost,
    queue_uncharged,
    withdraw_commit,
)
from ffq.ids import AttemptKey, QueryId, WorkerId
from ffq.messages import LostInput, TaskState, WorkerLost


def worker_lost(state: SchedulingState, msg: WorkerLost, now_ms: int) -> None:
    """As `lose_worker`."""
    lose_worker(state, msg.worker_id, msg.reason, now_ms)


def lose_worker(state: SchedulingState, worker_id: WorkerId, reason: str, now_ms: int) -> None:
    """A worker is gone: its attempts fail, what only it could serve is lost (R19).

    Charged is the task that ran there alone, else the suspect among them. All others are suspects
    from now on. So each loss charges a task or makes suspects, and a task is spared but once until
    it commits: no query goes on for ever. The worker is not blamed: a restart with eight attempts
    running must not exclude the restarted worker. One of two attempts of a task is lost without
    any of that: the other goes on (R13). An unknown worker changes nothing.
    """
    worker = state.workers.live.get(worker_id)
    if worker is None:
        return
    state.changed()
    touched: dict[QueryId, QueryRecord] = {}
    message = f"worker lost: {worker_id}: {reason}"
    room = state.slice
    put_off: list[Loss] = []
    for query_id, by_stage in worker.outputs.items():
        query = touched[query_id] = state.queries[query_id]
        query.output_workers.discard(worker_id)
        for stage_id, keys in by_stage.items():
            loss = Loss(query, query.stages[stage_id], keys, message)
            if len(keys) <= room:
                room -= len(keys)
                loss.mark_all(state, now_ms)
            else:
                loss.announce(state, now_ms)
                put_off.append(loss)
    worker.outputs = {}
    # Located before any of it fails: a query that ends by that may be forgotten at once (R27).
    lost = [state.locate(key) for key in worker.running]
    alone = len(lost) == 1
    for at in lost:
        touched[at.query.query_id] = at.query
        if at.query.state.terminal:
            continue
        if has_rival(at):
            fail_beside_rival(state, at, message, now_ms)
        elif alone or at.attempt.suspect:
            fail_lost(state, at, message, now_ms, alone=alone)
        else:
            fail_suspected(state, at, message, now_ms)
    for query in touched.values():
        recover(state, query, message, now_ms)
    for loss in put_off:
        chores.put_off(state, loss)
    state.workers.remove(worker_id, now_ms)


@attrs.define(eq=False)
class Loss:
    """What a stage gave out that a worker served who is gone. `keys`: what is not marked yet."""

    query: QueryRecord
    stage: StageRecord
    keys: ByAttempt[None]
    _message: str

    def mark_all(self, state: SchedulingState, now_ms: int) -> None:
        for key in self.keys:
            mark_lost(state, self.query, self.stage, key, now_ms)

    def announce(self, state: SchedulingState, now_ms: int) -> None:
        """Nobody is to read any of it from now on."""
        was_readable = self.stage.is_readable
        self.stage.losing.append(self.keys)
        if was_readable:
            became_unreadable(state, self.query, self.stage, now_ms)

    def go_on(self, state: SchedulingState, now_ms: int) -> bool:
        ended = self.query.state.terminal
        for _ in range(state.slice):
            if not self.keys:
                break
            key, _ = self.keys.popitem()
            if not ended:
                self._mark(state, key, now_ms)
        if self.keys:
            return False
        if not ended:
            losing = self.stage.losing
            losing[:] = [each for each in losing if each is not self.keys]
            if self.stage.is_readable:  # all of it was made again, for other reasons
                became_readable(state, self.query, self.stage, now_ms)
            recover(state, self.query, self._message, now_ms)
        return True

    def _mark(self, state: SchedulingState, key: AttemptKey, now_ms: int) -> None:
        committed = self.stage.tasks[key.task_id].committed
        if committed is not None and committed.key == key:
            mark_lost(state, self.query, self.stage, key, now_ms)


def lose_input(state: SchedulingState, at: Located, lost: LostInput, now_ms: int) -> None:
    """A task could not fetch this output: it is made again if it is still the committed one.

    Only what the task's stage reads can be lost to it; anything else is ignored.
    """
    if lost.stage_id not in at.stage.parents:
        return
    stage = at.query.stages[lost.stage_id]
    if not 0 <= lost.map_task < len(stage.tasks):
        return
    task = stage.tasks[lost.map_task]
    committed = task.committed
    if committed is not None and committed.key.attempt == lost.attempt:
        revoke(state, at.query, stage, [task], f"its output was lost to {at.attempt.key}", now_ms)


def recover(state: SchedulingState, query: QueryRecord, message: str, now_ms: int) -> None:
    """Make lost outputs again that a task still has to read, until none is left."""
    if not query.recovering:
        query.recovering = True
        chores.begin(state, Recovery(query, message), now_ms)


@attrs.define(eq=False)
class Recovery:
    """The lost outputs of a query are made again, for this reason."""

    query: QueryRecord
    _message: str

    def go_on(self, state: SchedulingState, now_ms: int) -> bool:
        left = state.slice
        while left and (needed := self._needed()) is not None:
            lost = sorted(each.task_id for each in islice(needed.lost, left))
            tasks = [needed.tasks[each] for each in lost]
            left -= len(tasks)
            revoke(state, self.query, needed, tasks, self._message, now_ms)
        self.query.recovering = self._needed() is not None
        return not self.query.recovering

    def _needed(self) -> StageRecord | None:
        """A stage of which lost outputs are to be read by one that is not done."""
        if self.query.state.terminal:
            return None
        stages = self.query.stages
        return next(
            (
                stages[parent_id]
                for consumer in stages
                if not consumer.is_committed
                for parent_id in consumer.parents
                if stages[parent_id].lost
            ),
            None,
        )


def revoke(
    state: SchedulingState,
    query: QueryRecord,
    stage: StageRecord,
    tasks: Iterable[TaskRecord],
    message: str,
    now_ms: int,
) -> None:
    """Committed attempts count no more; the tasks' next attempts are queued, without charge.

    Where one of them may give other rows when it is run again, whatever read the old ones is run
    again too: else some consumers would have read one run and some the other (R25). That is done
    once, whatever the number of tasks.
    """
    other_rows: AttemptKey | None = None
    for task in tasks:
        if query.state.terminal:
            return
        attempt = withdraw_commit(state, query, stage, task, now_ms)
        queue_uncharged(state, Located(query, stage, task, attempt), message, now_ms)
        if not stage.repeatable or attempt.outdated:
            other_rows = attempt.key
    if other_rows is not None:
        _restart_consumers(state, query, stage, other_rows, now_ms)


def _restart_consumers(
    state: SchedulingState, query: QueryRecord, stage: StageRecord, lost: AttemptKey, now_ms: int
) -> None:
    """Attempts that stop here may run on healthy workers: their message names the input (R20)."""
    message = f"its input {lost} is made again and may have other rows"
    for consumer_id in stage.consumers:
        consumer = query.stages[consumer_id]
        # Of attempts long withdrawn too: where their stage is made again, their readers go on.
        made_before = [
            attempt.key
            for task in consumer.tasks
            for attempt in task.attempts
            if attempt.state is TaskState.SUCCEEDED
        ]
        if len(consumer.shares) == 1 and not consumer.is_committed:
            # A running attempt reads one run of everything, whichever that is. It may commit what
            # only it has read.
            for task in consumer.tasks:
                for attempt in task.attempts[-2:]:
                    attempt.outdated = attempt.state is TaskState.RUNNING
        else:
            _restart_tasks(state, query, consumer, message, now_ms)
        if made_before and consumer.repeatable and not query.state.terminal:
            _restart_consumers(state, query, consumer, made_before[-1], now_ms)


def _restart_tasks(
    state: SchedulingState, query: QueryRecord, stage: StageRecord, message: str, now_ms: int
) -> None:
    committed = [task for task in stage.tasks if task.state is TaskState.SUCCEEDED]
    for task in stage.tasks:
        for attempt in task.running:
            if not query.state.terminal:
                fail_uncharged(state, Located(query, stage, task, attempt), message, now_ms)
    revoke(state, query, stage, committed, message, now_ms)
