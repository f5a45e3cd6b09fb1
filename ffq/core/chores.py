"""What is too much for one step is done in slices, and others are served in between.

A query may have a million tasks, and a worker may be the only one to serve as many outputs. What
the end of the one or the loss of the other asks for is done at once up to a slice. The rest waits
in the state as a chore, and the machine tells itself to go on (`GoOn`), by courier as it tells
others what to forget. Between two slices all that is checked holds. Chores take turns.

Attempts that run end in one go, whatever ends them: nothing of a query may run when it has ended.
Settings bound how many a query and a worker have; the benchmark `core-scale` measures a thousand.
"""

from __future__ import annotations

from ffq.core.state import Chore, SchedulingState
from ffq.messages import GoOn


def begin(state: SchedulingState, chore: Chore, now_ms: int) -> None:
    """Do now what a slice holds of it, and the rest later."""
    if not chore.go_on(state, now_ms):
        put_off(state, chore)


def put_off(state: SchedulingState, chore: Chore) -> None:
    """Begin with it later: this step has enough to do."""
    if not state.chores:
        state.notices.append(GoOn())
    state.chores.append(chore)
    state.changed()


def go_on(state: SchedulingState, _msg: GoOn, now_ms: int) -> None:
    """The next slice of the chore whose turn it is."""
    if not state.chores:
        return
    state.changed()
    chore = state.chores[0]
    done = chore.go_on(state, now_ms)
    if done:
        state.chores.popleft()
    else:
        state.chores.rotate(-1)
    if state.chores:
        state.notices.append(GoOn())
