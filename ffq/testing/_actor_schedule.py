"""Running Trio with a seeded schedule on a virtual clock, and noticing when nothing can happen.

Trio shuffles the tasks that are ready in one pass with a random generator of its own. Seeding that
generator, and sorting each pass by task number before the shuffle, makes a run a function of its
seed.

All that ffq knows of Trio beyond its documentation stands here, since Trio offers no other way:

    _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING   the schedule; pytest-trio uses both as well
    Task._cancel_status                             scopes around a task, to end a stuck program
    names of functions and of the first system task, which tell what a task waits for

tests/testing/test_schedule.py fails when Trio changes one of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

import trio
from trio._core import _run


@contextmanager
def seeded_schedule(seed: int) -> Iterator[None]:
    """Within the block, `trio.run` schedules tasks in an order that `seed` alone decides."""
    generator, deterministic = _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING
    _run._r = random.Random(seed)
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    try:
        yield
    finally:
        _run._r = generator
        _run._ALLOW_DETERMINISTIC_SCHEDULING = deterministic  # type: ignore[misc]


class StallDetector(trio.abc.Instrument):
    """Calls `on_stall` when no task can ever run again by itself.

    That is: no task is ready, no deadline is pending, no thread works for a task, and nothing
    waits for a socket. A real clock would now wait for ever. `on_stall` should cancel the program;
    what a shield keeps from ending then loses its shield.
    """

    def __init__(self, on_stall: Callable[[], None]) -> None:
        self._on_stall = on_stall
        self._token = trio.lowlevel.current_trio_token()
        self._stalls = 0

    def before_io_wait(self, timeout: float) -> None:
        """Trio is about to wait for the outside world."""
        statistics = trio.lowlevel.current_statistics()
        if (
            statistics.tasks_runnable == 0
            and statistics.seconds_to_next_deadline == inf
            and statistics.run_sync_soon_queue_size == 0
            and not any(_will_be_woken(task) for task in _all_tasks())
        ):
            self._stalls += 1
            if self._stalls == 1:
                self._token.run_sync_soon(self._on_stall)
            elif self._stalls == 2:
                self._token.run_sync_soon(_drop_shields)


def _all_tasks() -> Iterator[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    todo = [root] if root is not None else []
    while todo:
        task = todo.pop()
        # The first system task waits for other threads to call in; everybody else is the program.
        if task.name != "<TrioToken.run_sync_soon task>":
            yield task
        for nursery in task.child_nurseries:
            todo.extend(nursery.child_tasks)


def _drop_shields() -> None:
    for task in _all_tasks():
        status: Any = task._cancel_status
        while status is not None:
            status._scope.shield = False
            status = status._parent


_WOKEN = {"to_thread_run_sync", "wait_readable", "wait_writable", "wait_all_tasks_blocked"}
"""Where a task waits for a thread, a socket, or for everybody else to wait."""


def _will_be_woken(task: trio.lowlevel.Task) -> bool:
    """True when this task goes on though no other does anything."""
    return any(frame.f_code.co_name in _WOKEN for frame, _ in task.iter_await_frames())


def waiting_tasks() -> tuple[str, ...]:
    """What the program's tasks wait in: one line per task, the innermost frames first."""
    lines = []
    for task in _all_tasks():
        frames = [
            f"{frame.f_code.co_qualname}:{line}"
            if hasattr(frame.f_code, "co_qualname")
            else f"{frame.f_code.co_name}:{line}"
            for frame, line in task.iter_await_frames()
            if "/trio/" not in frame.f_code.co_filename
        ]
        if frames:
            lines.append(f"{task.name}: {' < '.join(reversed(frames[-3:]))}")
    return tuple(sorted(lines))
