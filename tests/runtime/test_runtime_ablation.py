"""The mechanisms behind the guarantees, switched off: the scenario that checks one must then fail.

A row names the guarantee (docs/actors.md), the scenario, a way to break its mechanism, and how the
scenario notices. Every scenario also runs with nothing broken, and then passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from ffq.runtime import (
    Actor,
    ActorSystem,
    _cell,
    _family,
    _handlers,
    _mailbox,
    _serve,
    _waits,
)
from ffq.runtime import _actor_base as actor_module
from ffq.runtime import ref as ref_module
from ffq.runtime._envelope import Envelope
from ffq.runtime.errors import LedgerMismatch
from ffq.runtime.ledger import Ledger
from ffq.testing import Deadlock
from ffq.testing import actors as testing_module
from ffq.testing._actor_schedule import StallDetector
from tests.runtime.scenarios import (
    a_lost_message_is_noticed,
    deadlines_are_inherited,
    deadlocks_are_reported,
    definition_is_checked,
    detached_handlers_finish,
    every_fate,
    expired_mail_is_skipped_and_counted,
    full_mailboxes_in_a_ring_are_refused,
    handlers_are_cancelled_with_their_askers,
    late_replies_go_nowhere,
    no_orphans,
    rings_are_refused,
    seeds_decide,
    senders_wait,
    time_is_virtual,
)
from tests.runtime.stock import Holder

Patch = pytest.MonkeyPatch


def children_outside_of_their_parents_nursery(patch: Patch) -> None:
    real = _family.Family.__init__

    def loose(self: Any, system: Any, owner: Any, path: str, nursery: Any, policy: Any) -> None:
        def start(function: Any, *args: Any, name: object = None) -> None:
            trio.lowlevel.spawn_system_task(function, *args, name=name)

        outside = SimpleNamespace(start_soon=start, cancel_scope=nursery.cancel_scope)
        real(self, system, owner, path, outside, policy)  # type: ignore[arg-type]

    patch.setattr(_family.Family, "__init__", loose)


def nobody_is_waited_for(patch: Patch) -> None:
    async def stop_all(self: Any) -> None:
        for child in self.children.values():
            child.stop()

    children_outside_of_their_parents_nursery(patch)
    patch.setattr(_family.Family, "stop_all", stop_all)


def no_protocol_check(patch: Patch) -> None:
    patch.setattr(actor_module, "check_protocol", lambda *_: None)


def no_declared_protocol(patch: Patch) -> None:
    patch.setattr(actor_module, "declared_protocol", lambda *_: frozenset())


def unbounded_mailbox(patch: Patch) -> None:
    real = _mailbox.MailboxCell.__init__

    def roomy(self: Any, *args: Any) -> None:
        real(self, *args)
        self.limit = 10**9

    patch.setattr(_mailbox.MailboxCell, "__init__", roomy)


def room_is_never_given(patch: Patch) -> None:
    patch.setattr(_mailbox.MailboxCell, "admit", lambda _: None)


def no_deadline_in_the_message(patch: Patch) -> None:
    patch.setattr(ref_module, "current_effective_deadline", lambda: float("inf"))


def askers_only_forget(patch: Patch) -> None:
    def abandon(self: Envelope, _: Any) -> trio.lowlevel.Abort:
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED

    patch.setattr(Envelope, "abandon", abandon)


def askers_are_never_forgotten(patch: Patch) -> None:
    def abandon(self: Envelope, _: Any) -> trio.lowlevel.Abort:
        return trio.lowlevel.Abort.SUCCEEDED

    patch.setattr(Envelope, "abandon", abandon)


def the_loop_sees_no_clock(patch: Patch) -> None:
    shim = SimpleNamespace(CancelScope=trio.CancelScope, current_time=lambda: -float("inf"))
    patch.setattr(_serve, "trio", shim)


def nothing_is_detached(patch: Patch) -> None:
    real = _handlers.Route.__init__

    def attached(self: Any, *args: Any) -> None:
        real(self, *args)
        self.detached = False

    patch.setattr(_handlers.Route, "__init__", attached)
    routes = {kind: _handlers.Route(r.attribute, r.function, kind) for kind, r in _routes(Holder)}
    patch.setattr(Holder, "__routes__", routes)


def _routes(kind: type[Actor[Any]]) -> list[tuple[type, _handlers.Route]]:
    return list(kind.__routes__.items())


def no_search_for_cycles(patch: Patch) -> None:
    patch.setattr(_waits._Search, "chain", lambda *_: None)


def only_direct_cycles(patch: Patch) -> None:
    def direct(self: Any, node: Any) -> Any:
        return (node.cell,) if node.cell is self._origin.cell else None

    patch.setattr(_waits._Search, "chain", direct)


def no_ledger_check(patch: Patch) -> None:
    patch.setattr(_cell.Cell, "check_ledger", lambda _: None)
    patch.setattr(Ledger, "check", lambda *_: None)


def uncounted(owner: Any, method: str, counter: str) -> Callable[[Patch], None]:
    """The method works as it should but counts one too few."""

    def breaks(patch: Patch) -> None:
        real = getattr(owner, method)

        def forgets(self: Any, *args: Any) -> Any:
            before = getattr(self, counter)
            try:
                return real(self, *args)
            finally:
                setattr(self, counter, before)

        patch.setattr(owner, method, forgets)

    return breaks


def handled_counts_twice(patch: Patch) -> None:
    real = _serve._settle

    def settle_twice(cell: Any, envelope: Envelope, error: BaseException) -> None:
        real(cell, envelope, error)
        cell.handled += 1

    patch.setattr(_serve, "_settle", settle_twice)


def no_seed(patch: Patch) -> None:
    patch.setattr(testing_module, "seeded_schedule", lambda _: nullcontext())


def real_clock(patch: Patch) -> None:
    patch.setattr(trio.testing, "MockClock", lambda **_: None)


def no_stall_detector(patch: Patch) -> None:
    patch.setattr(StallDetector, "before_io_wait", lambda *_: None)


def stalls_name_no_asks(patch: Patch) -> None:
    patch.setattr(ActorSystem, "pending_asks", lambda _: ())


# A scenario's own assertions, and those of pytest.raises.
NOTICED = (AssertionError, pytest.fail.Exception)
Row = tuple[str, Callable[[], None], Callable[[Patch], None], Any]
MUTANTS: tuple[Row, ...] = (
    *(
        ("A1", partial(no_orphans, end), children_outside_of_their_parents_nursery, NOTICED)
        for end in ("raise", "cancel", "crash")
    ),
    ("A1", partial(no_orphans, "leave"), nobody_is_waited_for, NOTICED),
    ("A2", definition_is_checked, no_protocol_check, NOTICED),
    ("A2", definition_is_checked, no_declared_protocol, NOTICED),
    ("A3", senders_wait, unbounded_mailbox, NOTICED),
    ("A3", senders_wait, room_is_never_given, Deadlock),
    ("A3", full_mailboxes_in_a_ring_are_refused, no_search_for_cycles, Deadlock),
    ("A5", deadlines_are_inherited, no_deadline_in_the_message, NOTICED),
    ("A5", handlers_are_cancelled_with_their_askers, askers_only_forget, NOTICED),
    ("A5", late_replies_go_nowhere, askers_are_never_forgotten, RuntimeError),
    ("A5", expired_mail_is_skipped_and_counted, the_loop_sees_no_clock, NOTICED),
    ("A5", detached_handlers_finish, nothing_is_detached, NOTICED),
    ("A8", rings_are_refused, no_search_for_cycles, Deadlock),
    ("A8", rings_are_refused, only_direct_cycles, Deadlock),
    ("A11", a_lost_message_is_noticed, no_ledger_check, NOTICED),
    *(
        ("A11", every_fate, uncounted(owner, method, counter), LedgerMismatch)
        for owner, method, counter in (
            (_mailbox.MailboxCell, "reject", "rejected"),
            (_mailbox.MailboxCell, "_expired", "expired"),
            (_mailbox.MailboxCell, "bury", "dead"),
            (_mailbox.MailboxCell, "post", "sent"),
        )
    ),
    ("A11", every_fate, handled_counts_twice, LedgerMismatch),
    ("A14", seeds_decide, no_seed, NOTICED),
    ("A14", time_is_virtual, real_clock, NOTICED),
    ("A14", deadlocks_are_reported, no_stall_detector, NOTICED),
    ("A14", deadlocks_are_reported, stalls_name_no_asks, NOTICED),
)


def label(row: Row) -> str:
    scenario = row[1]
    ends = scenario.args if isinstance(scenario, partial) else ()
    name = scenario.func.__name__ if isinstance(scenario, partial) else scenario.__name__
    return "-".join([row[0], name, *ends, row[2].__name__])


@pytest.mark.parametrize("row", MUTANTS, ids=label)
def test_ablation_sound_scenarios_pass(row: Row) -> None:
    row[1]()


@pytest.mark.parametrize("row", MUTANTS, ids=label)
def test_ablation_a_mechanism_switched_off_is_noticed(
    row: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, scenario, breaks, noticed = row
    breaks(monkeypatch)
    found: list[BaseException] = []
    try:
        scenario()
    except BaseException as error:  # noqa: BLE001  # pytest's own failures are no Exceptions
        found.extend(leaves(error))
    assert any(isinstance(error, noticed) for error in found), found


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a nest of groups."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from leaves(part)
    else:
        yield error
