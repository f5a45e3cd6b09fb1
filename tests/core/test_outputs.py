"""Map outputs and results: R22, R23, R25, R26; lost outputs."""

from __future__ import annotations

import attrs
import pytest

from ffq.core import CoordinatorSettings
from ffq.errors import InvalidRequest, NotReady, QuotaExceeded, UnknownId
from ffq.ids import QueryId, TaskId
from ffq.messages import (
    Assignment,
    ErrorKind,
    FetchShufflePartition,
    LostInput,
    OutputPartition,
    QueryState,
    RegisterMapOutput,
    RegisterQueryResults,
    RegisterReply,
    TaskState,
)
from ffq.plan import model
from tests.core.driver import Driver, key
from tests.strategies.graphs import aggregate, exchange, gather, operator, scan

FAST = CoordinatorSettings(
    worker_liveness_timeout_ms=1000, retry_backoff_base_ms=0, adaptive_target_bytes=1
)


def register(d: Driver, of: Assignment, *partitions: OutputPartition) -> RegisterReply:
    return d.ask(RegisterMapOutput(of.key, partitions, of.layout))


def part(
    number: int, offset: int, *, epoch: int = 0, rows: int = 1, finalized: bool = True
) -> OutputPartition:
    return OutputPartition(number, offset, rows, 1, epoch, offset, finalized)


def located(d: Driver, task: int, attempt: int, partition: int) -> OutputPartition | None:
    where = FetchShufflePartition(key("q", 1, task, attempt), partition)
    return d.ask(where).size


# --- R22 -------------------------------------------------------------------------------------


def test_R22_registrations_merge_by_partition_and_whoever_got_further_wins() -> None:
    d = Driver()
    d.submit("q", aggregate(scan(), 4))
    task = d.pull_one("w")
    assert register(d, task, part(0, 10, finalized=False), part(1, 10)).counted is True
    register(d, task, part(0, 20), part(2, 5))
    register(d, task, part(0, 15, rows=99), part(1, 1, epoch=1), part(1, 500))
    register(d, task, part(2, 5, finalized=False))
    assert d.succeed(task).counted is True
    assert located(d, 0, 1, 0) == part(0, 20)
    assert located(d, 0, 1, 1) == part(1, 1, epoch=1)
    assert located(d, 0, 1, 2) == part(2, 5)
    assert located(d, 0, 1, 3) is None
    maps = d.status("q").stages[1]
    assert (maps.map_output_partitions, maps.map_output_bytes) == (3, 26)


def test_R22_a_partition_that_is_not_finalized_fails_the_attempt() -> None:
    d = Driver(FAST)
    d.submit("q", aggregate(scan(), 2))
    task = d.pull_one("w")
    register(d, task, part(0, 10), part(1, 10, finalized=False))
    assert d.succeed(task).counted is True
    assert d.attempt_states("q") == {"1/0/1": "FAILED", "1/0/2": "QUEUED"}
    assert "unfinished output partition" in d.attempts("q")[0].message
    assert d.core.registry.state.held_partitions() == 0


def test_R22_a_worker_of_ours_that_succeeds_without_registering_fails() -> None:
    d = Driver(FAST)
    d.submit("q", aggregate(scan()))
    d.beat("w")
    d.succeed(d.pull_one("w"))
    assert d.attempt_states("q") == {"1/0/1": "FAILED", "1/0/2": "QUEUED"}
    worker = d.worker("w")
    assert worker is not None
    assert worker.consecutive_failures == 1
    task = d.pull_one("w")
    assert d.register(task, {}).counted is True
    d.succeed(task)
    assert d.attempt_states("q")["1/0/2"] == "SUCCEEDED*"


def test_R22_from_a_peer_no_registration_means_that_all_are_empty() -> None:
    d = Driver()
    d.submit("q", aggregate(scan(), 2))
    d.succeed(d.pull_one("peer"))
    assert located(d, 0, 0, 1) is None
    assert d.pull_one("peer").key == key("q", 0, 0, 1)


def test_R22_a_partition_that_the_stage_does_not_write_is_refused() -> None:
    d = Driver()
    d.submit("q", aggregate(scan(), 2))
    task = d.pull_one("w")
    with pytest.raises(InvalidRequest, match="writes 2 reduce partitions, there is no partition 2"):
        register(d, task, part(1, 5), part(2, 5))
    assert d.core.registry.state.held_partitions() == 0
    d.submit("sink", scan())
    sink = d.pull_one("w")
    with pytest.raises(InvalidRequest, match="writes 0 reduce partitions"):
        register(d, sink, part(0, 5))


def test_R22_registration_after_the_commit_changes_nothing() -> None:
    d = Driver()
    d.submit("q", aggregate(scan(), 2))
    task = d.pull_one("w")
    d.finish(task, {0: 3})
    assert d.register(task, {1: 9}).counted is False
    assert located(d, 0, 1, 1) is None


def test_R30_registered_partitions_are_bounded_and_freed_at_the_end() -> None:
    d = Driver(CoordinatorSettings(max_registered_partitions=3))
    d.submit("a", aggregate(scan(), 4))
    d.submit("b", aggregate(scan(), 4))
    first, second = d.pull("w", 2)
    d.register(first, {0: 1, 1: 1})
    with pytest.raises(QuotaExceeded, match="3 map output partitions"):
        d.register(second, {0: 1, 1: 1})
    d.cancel("a")
    assert d.register(second, {0: 1, 1: 1}).counted is True
    assert d.register(first, {0: 1, 1: 1, 2: 1, 3: 1}).counted is False


# --- R23 -------------------------------------------------------------------------------------


def test_R23_attempt_0_is_the_committed_one() -> None:
    d = Driver(FAST)
    d.submit("q", aggregate(scan()))
    where = FetchShufflePartition(key("q", 1, 0, 0), 0)
    with pytest.raises(NotReady, match="stage 1 of query q has not started"):
        d.ask(where)
    d.fail(d.pull_one("w"))
    with pytest.raises(NotReady, match="task q/1/0 has no committed attempt"):
        d.ask(where)
    d.finish(d.pull_one("w"), {0: 4}, endpoint="w:1")
    location = d.ask(where)
    assert (location.key, location.endpoint) == (key("q", 1, 0, 2), "w:1")
    assert location.size is not None
    assert location.size.rows == 4


def test_R23_a_stale_or_unknown_attempt_is_an_explicit_error() -> None:
    d = Driver(FAST)
    d.submit("q", aggregate(scan()))
    old = d.pull_one("w")
    d.register(old, {0: 1})
    d.fail(old)
    with pytest.raises(NotReady, match="q/1/0/1 is stale") as stale:
        located(d, 0, 1, 0)
    assert stale.value.stable_reason == "STALE_ATTEMPT"
    new = d.pull_one("w")
    with pytest.raises(NotReady, match="q/1/0/2 has not registered any output"):
        located(d, 0, 2, 0)
    with pytest.raises(UnknownId, match="q/1/0/3 was never assigned"):
        located(d, 0, 3, 0)
    with pytest.raises(UnknownId, match="no task q/1/7"):
        located(d, 7, 0, 0)
    with pytest.raises(UnknownId, match="stages 0 to 1, not 9"):
        d.ask(FetchShufflePartition(key("q", 9, 0, 0), 0))
    with pytest.raises(UnknownId, match="is the sink"):
        d.ask(FetchShufflePartition(key("q", 0, 0, 0), 0))
    d.finish(new)
    for partition in (1, 2**32 - 1):
        with pytest.raises(UnknownId, match="there is no partition") as beyond:
            located(d, 0, 0, partition)
        assert beyond.value.stable_reason == "UNKNOWN_PARTITION"
    d.cancel("q")
    with pytest.raises(NotReady, match="CANCELED: its outputs are removed"):
        located(d, 0, 0, 0)


def test_R24_a_partition_tells_how_far_it_is_written_and_whether_it_is_final() -> None:
    d = Driver()
    d.submit("q", aggregate(scan()))
    task = d.pull_one("w")
    register(d, task, part(0, 10, finalized=False))
    assert located(d, 0, 1, 0) == part(0, 10, finalized=False)
    register(d, task, part(0, 30))
    size = located(d, 0, 1, 0)
    assert size is not None
    assert (size.committed_offset, size.finalized) == (30, True)


# --- R26 -------------------------------------------------------------------------------------


def upload(
    d: Driver, of: Assignment, payload: bytes, offset: int = 0, *, last: bool = True
) -> RegisterReply:
    msg = RegisterQueryResults(of.key.query_id, payload, of.key, offset, last)
    return d.ask(msg)


def running_sink(d: Driver, worker: str = "w") -> Assignment:
    d.submit("q", scan())
    return d.pull_one(worker)


def test_R26_a_result_may_come_in_pieces() -> None:
    d = Driver()
    sink = running_sink(d)
    upload(d, sink, b"abc", last=False)
    upload(d, sink, b"de", 3, last=False)
    upload(d, sink, b"abc", last=False)
    upload(d, sink, b"f", 5)
    upload(d, sink, b"f", 5)
    d.succeed(sink)
    assert d.fetch("q") == [b"abcdef"]


def test_R26_a_result_without_its_last_piece_is_no_result() -> None:
    d = Driver(FAST)
    sink = running_sink(d)
    upload(d, sink, b"abc", last=False)
    d.succeed(sink)
    assert d.attempt_states("q") == {"0/0/1": "FAILED", "0/0/2": "QUEUED"}
    assert d.core.results.state.held_bytes() == 0


@pytest.mark.parametrize(("offset", "payload"), [(2, b"x"), (4, b"x"), (0, b"xyz"), (0, b"ab")])
def test_R26_a_piece_that_does_not_continue_its_upload_is_refused(
    offset: int, payload: bytes
) -> None:
    d = Driver()
    sink = running_sink(d)
    upload(d, sink, b"abc", last=False)
    with pytest.raises(InvalidRequest, match=f"continues at offset 3, not {offset}"):
        upload(d, sink, payload, offset, last=False)
    upload(d, sink, b"", 3)
    with pytest.raises(InvalidRequest, match="is complete"):
        upload(d, sink, b"d", 3)
    d.succeed(sink)
    assert d.fetch("q") == [b"abc"]


def test_R26_an_empty_payload_is_an_empty_result() -> None:
    d = Driver()
    sink = running_sink(d)
    d.upload(sink, b"", keyed=False)
    d.succeed(sink)
    assert d.fetch("q") == [b""]


def test_R26_without_a_key_the_last_upload_before_success_counts() -> None:
    d = Driver()
    sink = running_sink(d)
    d.upload(sink, b"first", keyed=False)
    d.upload(sink, b"second", keyed=False)
    d.succeed(sink)
    assert d.upload(sink, b"third", keyed=False).counted is False
    assert d.fetch("q") == [b"second"]


def test_R26_requeueing_the_sink_discards_its_upload() -> None:
    d = Driver(FAST)
    sink = running_sink(d)
    d.upload(sink, b"from the first attempt", keyed=False)
    d.fail(sink)
    assert d.core.results.state.held_bytes() == 0
    d.succeed(d.pull_one("w"))
    assert d.attempt_states("q")["0/0/2"] == "FAILED"


def test_R26_without_a_key_a_sink_of_several_tasks_cannot_be_told() -> None:
    d = Driver()
    d.submit("q", scan(), tables={"t": 2})
    d.beat("w")
    first, second = d.pull("w", 2)
    with pytest.raises(InvalidRequest, match="has 2 tasks: a result needs the key"):
        d.upload(first, keyed=False)
    d.upload(first, b"1")
    d.upload(second, b"2")


def test_R26_a_result_for_a_sink_that_was_never_assigned_is_not_found() -> None:
    d = Driver()
    d.submit("q", gather(scan()))
    task = d.pull_one("w")
    with pytest.raises(UnknownId, match="no attempt of the sink"):
        d.upload(task, keyed=False)
    with pytest.raises(InvalidRequest, match="q/1/0/1 is not of the sink"):
        d.upload(task)
    msg = RegisterQueryResults(QueryId("other"), b"", task.key)
    with pytest.raises(UnknownId, match="no query other"):
        d.ask(msg)


# --- lost output -----------------------------------------------------------------------------


def two_maps(d: Driver, plan: model.Node) -> tuple[Assignment, Assignment]:
    """Two map tasks committed, the first by worker a, the second by b, each served by it."""
    d.submit("q", plan, tables={"t": 2})
    d.beat("a")
    d.beat("b")
    first, second = d.pull_one("a"), d.pull_one("b")
    d.finish(first, {0: 5, 1: 5}, endpoint="a:1")
    d.finish(second, {0: 5, 1: 5}, endpoint="b:1")
    return first, second


def only_beats(d: Driver, *workers: str) -> None:
    """Time passes in which only these workers are heard of."""
    for _ in range(3):
        d.advance(500)
        for worker in workers:
            d.beat(worker)


def test_output_that_only_a_lost_worker_served_is_made_again() -> None:
    d = Driver(FAST)
    two_maps(d, aggregate(scan(), 2))
    only_beats(d, "b")
    assert d.attempt_states("q") == {
        "0/0/1": "QUEUED",
        "0/1/1": "QUEUED",
        "1/0/1": "SUCCEEDED",
        "1/0/2": "QUEUED",
        "1/1/1": "SUCCEEDED*",
    }
    assert d.core.registry.state.held_partitions() == 2
    again = d.pull("b", 9)
    assert [each.key for each in again] == [key("q", 1, 0, 2)]
    d.finish(again[0], {0: 5, 1: 5}, endpoint="b:1")
    reducers = d.pull("b", 9)
    assert len(reducers) == 2
    assert [each.attempt for each in reducers[0].inputs] == [2, 1]


def test_output_on_a_shared_folder_survives_its_worker() -> None:
    d = Driver(FAST)
    d.submit("q", aggregate(scan(), 2))
    d.finish(d.pull_one("a"), {0: 1})
    d.pull("b", 0)
    d.advance(900)
    d.pull_one("b")
    d.advance(101)
    assert d.worker("a") is None
    assert d.attempt_states("q") == {"0/0/1": "RUNNING", "1/0/1": "SUCCEEDED*"}


def test_lost_output_that_nobody_has_to_read_stays_committed() -> None:
    d = Driver(FAST)
    d.submit("q", gather(aggregate(scan(), 2)), tables={"t": 1})
    d.beat("a")
    d.beat("b")
    d.finish(d.pull_one("a"), {0: 5}, endpoint="a:1")
    d.finish(d.pull_one("b"), {0: 5}, endpoint="b:1")
    sink = d.pull_one("b")
    only_beats(d, "b")
    assert d.attempt_states("q") == {
        "0/0/1": "RUNNING",
        "1/0/1": "SUCCEEDED*",
        "2/0/1": "SUCCEEDED*",
    }
    with pytest.raises(NotReady, match="q/2/0/1 is lost") as caught:
        d.ask(FetchShufflePartition(key("q", 2, 0, 0), 0))
    assert caught.value.stable_reason == "OUTPUT_LOST"
    d.finish(sink)
    assert d.status("q").state is QueryState.SUCCEEDED


def test_when_a_consumer_must_run_again_its_lost_inputs_are_made_again_too() -> None:
    d = Driver(FAST)
    d.submit("q", gather(aggregate(scan(), 2)), tables={"t": 1})
    for worker in "abc":
        d.beat(worker)
    d.finish(d.pull_one("a"), {0: 5}, endpoint="a:1")
    d.finish(d.pull_one("b"), {0: 5}, endpoint="b:1")
    only_beats(d, "b", "c")
    assert d.attempt_states("q")["2/0/1"] == "SUCCEEDED*"
    only_beats(d, "c")
    assert d.attempt_states("q") == {
        "0/0/1": "QUEUED",
        "1/0/1": "SUCCEEDED",
        "1/0/2": "QUEUED",
        "2/0/1": "SUCCEEDED",
        "2/0/2": "QUEUED",
    }
    d.run_all("c")
    assert d.status("q").state is QueryState.SUCCEEDED


def lost(of: Assignment) -> LostInput:
    return LostInput(of.key.stage_id, of.key.task_id, of.key.attempt)


def report_lost(d: Driver, reader: Assignment, *inputs: LostInput) -> None:
    kind = ErrorKind.SHUFFLE_INPUT
    d.report(reader, TaskState.FAILED, "cannot fetch", kind=kind, lost=inputs)


def test_a_lost_input_is_made_again_and_not_charged_to_its_reader() -> None:
    d = Driver(attrs.evolve(FAST, max_task_attempts=1))
    first, _ = two_maps(d, aggregate(scan(), 2))
    reader = d.pull_one("b")
    report_lost(d, reader, lost(first))
    assert d.attempt_states("q") == {
        "0/0/1": "FAILED",
        "0/0/2": "QUEUED",
        "0/1/1": "QUEUED",
        "1/0/1": "SUCCEEDED",
        "1/0/2": "QUEUED",
        "1/1/1": "SUCCEEDED*",
    }
    (again,) = d.pull("b", 9)
    assert again.key == key("q", 1, 0, 2)
    d.finish(again, {0: 5, 1: 5})
    assert {str(each.key) for each in d.pull("b", 9)} == {"q/0/0/2", "q/0/1/1"}
    worker = d.worker("b")
    assert worker is not None
    assert worker.consecutive_failures == 0


def test_a_lost_input_that_was_made_again_already_is_not_made_twice() -> None:
    d = Driver(FAST)
    first, _ = two_maps(d, aggregate(scan(), 2))
    one, two = d.pull("b", 2)
    report_lost(d, one, lost(first))
    d.finish(d.pull_one("b"), {0: 5, 1: 5})
    report_lost(d, two, lost(first))
    assert "1/0/3" not in d.attempt_states("q")
    assert d.attempt_states("q")["1/0/2"] == "SUCCEEDED*"


def test_a_reader_can_only_lose_what_it_reads() -> None:
    d = Driver(CoordinatorSettings(retry_backoff_base_ms=100))
    d.submit("q", gather(aggregate(scan(), 2)), tables={"t": 1})
    d.beat("w")
    d.finish(d.pull_one("w"), {0: 5})
    d.finish(d.pull_one("w"), {0: 5})
    sink = d.pull_one("w")
    grandparent = LostInput(key("q", 2, 0, 1).stage_id, sink.key.task_id, sink.key.attempt)
    no_task = attrs.evolve(grandparent, stage_id=key("q", 1, 0, 1).stage_id, map_task=TaskId(9))
    report_lost(d, sink, grandparent, no_task)
    states = d.attempt_states("q")
    assert (states["2/0/1"], states["1/0/1"]) == ("SUCCEEDED*", "SUCCEEDED*")
    assert d.pull("w") == (), "it pauses, as nothing is made again"
    d.now_ms += 100
    assert d.pull_one("w").key == key("q", 0, 0, 2)


def test_a_reader_that_finishes_though_its_input_was_lost_counts() -> None:
    d = Driver(FAST)
    d.submit("q", gather(scan()), tables={"t": 1})
    d.beat("a")
    d.beat("b")
    d.finish(d.pull_one("a"), {0: 5}, endpoint="a:1")
    sink = d.pull_one("b")
    only_beats(d, "b")
    assert d.attempt_states("q")["1/0/2"] == "QUEUED"
    d.finish(sink, payload=b"whole")
    assert d.status("q").state is QueryState.RUNNING, "every task needs a committed attempt (R3)"
    d.finish(d.pull_one("b"), {0: 5}, endpoint="b:1")
    assert d.status("q").state is QueryState.SUCCEEDED
    assert d.fetch("q") == [b"whole"]


@pytest.mark.parametrize("repeatable", [True, False])
def test_R25_readers_of_different_runs_are_not_mixed(repeatable: bool) -> None:
    """A map task that may choose its rows anew makes those start again that read the old ones."""
    d = Driver(FAST)
    below = scan() if repeatable else operator("op.a", scan())
    d.submit("q", gather(aggregate(below, 2)), tables={"t": 2})
    capabilities = {"ffq.splits", "op.a"}
    d.beat("a", capabilities)
    d.beat("b", capabilities)
    first, second = d.pull_one("a"), d.pull_one("b")
    d.finish(first, {0: 5, 1: 5}, endpoint="a:1")
    d.finish(second, {0: 5, 1: 5}, endpoint="b:1")
    done, running = d.pull("b", 2)
    d.finish(done, {0: 5}, endpoint="b:1")
    for _ in range(3):
        d.advance(500)
        d.beat("b", capabilities)
    states = d.attempt_states("q")
    assert states["2/0/1"] == "SUCCEEDED"
    if repeatable:
        assert (states["1/0/1"], states["1/1/1"]) == ("SUCCEEDED*", "RUNNING")
    else:
        assert (states["1/0/1"], states["1/1/1"]) == ("SUCCEEDED", "FAILED")
        assert (states["1/0/2"], states["1/1/2"]) == ("QUEUED", "QUEUED")
        assert d.finish(running).counted is False


def layers(d: Driver) -> None:
    """Stage 2, that may choose its rows anew, below 1, below the sink; two workers for them."""
    plan = aggregate(exchange(operator("op.a", scan())), 2)
    d.submit("q", plan, tables={"t": 1})
    for worker in ("a", "b"):
        d.beat(worker, {"ffq.splits", "op.a"})


def test_R25_whoever_read_through_a_stage_that_is_lost_too_starts_again() -> None:
    """a made both stages; b has read them in one task of the sink, and is about to in the other."""
    d = Driver(FAST)
    layers(d)
    d.finish(d.pull_one("a"), {0: 5}, endpoint="a:1")
    d.finish(d.pull_one("a"), {0: 5, 1: 5}, endpoint="a:1")
    done, running = d.pull("b", 2)
    d.finish(done)
    d.beat("a", {"ffq.splits", "op.a"}, incarnation=2)
    states = d.attempt_states("q")
    assert (states["2/0/2"], states["1/0/2"]) == ("QUEUED", "QUEUED")
    assert (states["0/0/1"], states["0/1/1"]) == ("SUCCEEDED", "FAILED")
    assert (states["0/0/2"], states["0/1/2"]) == ("QUEUED", "QUEUED")
    (message,) = (each.message for each in d.attempts("q") if each.key == running.key)
    assert message == "its input q/1/0/1 is made again and may have other rows"


def test_R25_what_was_made_of_rows_that_are_gone_cannot_be_made_again() -> None:
    """Stage 1 commits what it read before its input was made again; then it is lost as well."""
    d = Driver(FAST)
    layers(d)
    d.finish(d.pull_one("a"), {0: 5}, endpoint="a:1")
    reader = d.pull_one("b")
    d.beat("a", {"ffq.splits", "op.a"}, incarnation=2)
    d.finish(d.pull_one("a"), {0: 5}, endpoint="a:2")
    d.finish(reader, {0: 5, 1: 5}, endpoint="b:1")
    done, _ = d.pull("a", 2)
    d.finish(done)
    d.beat("b", {"ffq.splits", "op.a"}, incarnation=2)
    states = d.attempt_states("q")
    assert (states["2/0/2"], states["1/0/2"]) == ("SUCCEEDED*", "QUEUED")
    assert (states["0/0/1"], states["0/1/1"]) == ("SUCCEEDED", "FAILED")


def test_R20_who_is_restarted_for_an_input_names_it_and_does_not_call_its_worker_lost() -> None:
    d = Driver(FAST)
    d.submit("q", aggregate(operator("op.a", scan()), 2), tables={"t": 2})
    capabilities = {"ffq.splits", "op.a"}
    d.beat("a", capabilities)
    d.beat("b", capabilities)
    for worker in ("a", "b"):
        d.finish(d.pull_one(worker), {0: 5, 1: 5}, endpoint=f"{worker}:1")
    lost, healthy = d.pull_one("a"), d.pull_one("b")
    d.beat("a", capabilities, incarnation=2)
    messages = {each.key: each.message for each in d.attempts("q")}
    assert messages[lost.key] == "worker lost: a: it was restarted"
    assert messages[healthy.key] == "its input q/1/0/1 is made again and may have other rows"


def test_a_shuffle_that_is_lost_for_ever_ends_the_query() -> None:
    d = Driver(attrs.evolve(FAST, max_uncharged_retries_per_stage=3))
    d.submit("q", exchange(scan()), tables={"t": 1})
    d.beat("w")
    for _ in range(4):
        made = d.pull_one("w")
        d.finish(made, {0: 1})
        report_lost(d, d.pull_one("w"), lost(made))
    status = d.status("q")
    assert status.state is QueryState.FAILED
    assert "through no fault of its own" in status.message


def test_losing_many_outputs_at_once_is_one_loss_for_each_task() -> None:
    d = Driver(attrs.evolve(FAST, max_uncharged_retries_per_stage=1))
    d.submit("q", aggregate(scan(), 2), tables={"t": 8})
    d.beat("a")
    d.beat("b")
    for task in d.pull("a", 8):
        d.finish(task, {0: 5}, endpoint="a:1")
    only_beats(d, "b")
    assert d.status("q").state is QueryState.RUNNING
    assert len(d.pull("b", 8)) == 8
