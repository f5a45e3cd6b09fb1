"""The tables are complete: each of these tests lists what is missing, and where it belongs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from ffq import messages
from ffq.core import CoordinatorSettings
from ffq.core.machine import (
    MAY_ASK,
    Kind,
    Machine,
    Notice,
    Party,
    Removal,
    Row,
    Table,
    Told,
)
from ffq.core.planning import PLANNER
from ffq.core.scheduling import scheduling_machine
from ffq.core.state import SchedulingState
from ffq.core.walks import OWNERS, TABLES, WALKS, submit_query, walks
from ffq.errors import InvariantViolated, UnknownId
from ffq.ids import QueryId, WorkerId
from ffq.messages import (
    CancelQuery,
    DropMapOutputs,
    Heartbeat,
    Rpc,
    StreamRpc,
    SubmitQuery,
    Tick,
    WorkerLost,
)
from ffq.runtime.message import Request

BASES = {Rpc, StreamRpc, Request}


def requests() -> set[type]:
    """Every message class there is."""
    return {
        each
        for each in vars(messages).values()
        if isinstance(each, type) and issubclass(each, Request) and each not in BASES
    }


def names(found: Iterable[type]) -> list[str]:
    return sorted(each.__name__ for each in found)


def outer() -> set[type]:
    return {each for each in requests() if issubclass(each, Rpc | StreamRpc)}


def test_every_message_is_answered_by_a_machine_a_walk_or_the_planner() -> None:
    unanswered = requests() - OWNERS.keys() - WALKS.keys()
    assert names(unanswered) == [], "add a row beside the machine, or a walk in core/walks.py"


def test_every_message_has_one_owner() -> None:
    rows = [*PLANNER, *(message for table in TABLES for message in table.rows)]
    twice = {message for message in rows if rows.count(message) > 1}
    assert names(twice) == [], "two parties answer these"


def test_only_messages_of_the_outer_world_have_walks() -> None:
    assert names(WALKS.keys() - outer()) == [], "what parties tell each other goes to its owner"


def test_what_makes_a_machine_wait_is_carried_through_and_nothing_else() -> None:
    """A caller who leaves must not leave two machines that disagree: such messages are detached."""
    waits = {
        message
        for table in TABLES
        for message, row in table.rows.items()
        if row.kind in {Kind.TELLS, Kind.HOLDS}
    }
    detached = {message for message in requests() if message.detached}  # type: ignore[attr-defined]
    assert names(waits - detached) == [], "add `detached: ClassVar[bool] = True`"
    assert names(detached - waits) == [], "nothing makes these wait: they need not be detached"


def test_no_machine_waits_for_one_that_may_wait_for_it() -> None:
    assert MAY_ASK.keys() == set(Party)
    free: set[Party] = set()
    while left := MAY_ASK.keys() - free:
        ready = {party for party in left if MAY_ASK[party] <= free}
        assert ready, f"these wait for each other: {left}"
        free |= ready


def test_every_notice_has_a_party_that_takes_it() -> None:
    notices = set(Notice.__args__)
    assert names(notices - OWNERS.keys()) == []
    assert notices == set(Told.__args__) | set(Removal.__args__)
    for notice in Told.__args__:
        askers = [party for party, others in MAY_ASK.items() if OWNERS[notice] in others]
        assert askers, f"nobody may tell {notice.__name__} before it replies"


@pytest.mark.parametrize(
    ("kind", "notice", "refused"),
    [
        (Kind.READS, DropMapOutputs(()), True),
        (Kind.READS, WorkerLost(WorkerId("w"), "silent"), True),
        (Kind.CHANGES, DropMapOutputs(()), False),
        (Kind.CHANGES, WorkerLost(WorkerId("w"), "silent"), True),
        (Kind.TELLS, DropMapOutputs(()), False),
        (Kind.TELLS, WorkerLost(WorkerId("w"), "silent"), False),
    ],
)
def test_a_step_leaves_no_notice_that_its_row_does_not_announce(
    kind: Kind, notice: Notice, refused: bool
) -> None:
    def step(state: SchedulingState, _msg: Tick, _now_ms: int) -> None:
        state.notices.append(notice)

    table = Table[SchedulingState](Party.SCHEDULING, lambda _: None)
    table.add(Tick, Row(kind, step=step))
    machine = Machine(table, SchedulingState(CoordinatorSettings()))
    if refused:
        with pytest.raises(InvariantViolated, match=f"scheduling {kind.value} with Tick"):
            machine.step(Tick(), 0)
    else:
        assert machine.step(Tick(), 0).notices == (notice,)


# --- what the tables refuse ------------------------------------------------------------------


def test_a_message_cannot_have_two_rows_in_a_machine() -> None:
    table = Table[SchedulingState](Party.SCHEDULING, lambda _: None)
    table.reads(CancelQuery)(lambda _state, _msg, _now: messages.CancelReply)  # type: ignore[arg-type, return-value]
    with pytest.raises(InvariantViolated, match="scheduling has two rows for CancelQuery"):
        table.changes(CancelQuery)(lambda _state, _msg, _now: messages.CancelReply)  # type: ignore[arg-type, return-value]


def test_a_message_cannot_have_two_walks() -> None:
    with pytest.raises(InvariantViolated, match="SubmitQuery has two walks"):
        walks(SubmitQuery)(submit_query)


def test_a_machine_names_a_message_that_it_has_no_step_for() -> None:
    machine = scheduling_machine(CoordinatorSettings())
    beat = Heartbeat(worker_id="w", at_ms=0, running_tasks=0, capabilities=frozenset())  # type: ignore[arg-type]
    with pytest.raises(InvariantViolated, match="scheduling has no step for Heartbeat"):
        machine.step(beat, 0)
    with pytest.raises(UnknownId, match="there is no query q"):
        machine.step(CancelQuery(QueryId("q"), ""), 0)
