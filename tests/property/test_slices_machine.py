"""Much is lost, ended and forgotten in slices of a record or two; all else goes on in between.

Whatever the other machine knows of workers that fall silent holds between any two slices: above all
that nothing is read which is lost, though only a part of it is marked so (R8).
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.property.cluster import LONGER, Held, task_of
from tests.property.recording import cut_small
from tests.property.test_stale_requeue_machine import StaleRequeueMachine


class SlicesMachine(StaleRequeueMachine):
    def __init__(self) -> None:
        super().__init__()
        self.d.core.at_once = False

    @initialize(records=st.sampled_from([1, 1, 2]))
    def are_cut(self, records: int) -> None:
        cut_small(self.d.core, records)

    @rule(times=st.sampled_from([1, 1, 2, 20]))
    def goes_on(self, times: int) -> None:
        for _ in range(times):
            self.d.go_on()

    def has_its_inputs(self, held: Held) -> bool:
        """What is lost is not there, though it may not have been withdrawn yet."""
        newest = {task_of(each.key): each for each in self.d.attempts(held.key.query_id)}
        below = {source.stage_id for source in self.stage(held.key).parents}
        return super().has_its_inputs(held) and not any(
            each.key in self.lost for each in newest.values() if each.key.stage_id in below
        )

    def teardown(self) -> None:
        self.d.core.at_once = True
        super().teardown()
        scheduling, registry = self.d.core.scheduling.state, self.d.core.registry.state
        assert not scheduling.chores
        assert not registry.forgotten


TestSlices = SlicesMachine.TestCase
TestSlices.settings = LONGER
