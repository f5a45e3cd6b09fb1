"""What workers report and register, and which of it counts (R3, R13 to R17, R22, R26)."""

from __future__ import annotations

from ffq.core.lifecycle import evict
from ffq.core.records import AttemptRecord, Output, QueryRecord
from ffq.core.recovery import lose_input, recover
from ffq.core.state import Located, SchedulingState
from ffq.core.tasks import (
    commit,
    fail_charged,
    fail_elsewhere,
    fail_query,
    fail_returned,
    fail_uncharged,
    renew_lease,
)
from ffq.core.transitions import QUEUED, RUNNING, SUCCEEDED
from ffq.errors import FfqError, InvalidRequest, InvariantViolated, QuotaExceeded, UnknownId
from ffq.ids import AttemptKey, WorkerId
from ffq.messages import (
    AdmitResult,
    AttemptReport,
    ErrorKind,
    FinishAttempts,
    Layout,
    OutputPartition,
    PublishMapOutput,
    PublishMapOutputs,
    RegisterMapOutput,
    RegisterReply,
    ReportAnswer,
    ReportReply,
    ReportTaskStatus,
    ResultAdmission,
)

_COUNTED, _NOT_COUNTED = ReportAnswer(counted=True), ReportAnswer(counted=False)


def report_task_status(state: SchedulingState, msg: ReportTaskStatus, now_ms: int) -> ReportReply:
    """Take a report if it is of a current attempt by its holder; else it changes nothing (R13).

    Raises:
        InvalidRequest: a state that no worker can report.
        UnknownId: no such query, or the attempt was never assigned.
    """
    if msg.state is QUEUED:
        raise _not_reportable(msg.key)
    at = state.locate(msg.key)
    counted = _counts(at, msg.layout, msg.worker_id, msg.incarnation)
    if counted:
        _take(state, at, msg, now_ms)
    return ReportReply(counted, at.attempt.worker_id)


def finish_attempts(
    state: SchedulingState, msg: FinishAttempts, now_ms: int
) -> tuple[ReportAnswer, ...]:
    """Take reports one after the other, each with the output that it carries (R13, R22).

    Each is exactly RegisterMapOutput, where it carries one, and then ReportTaskStatus. What either
    would raise is its answer; it then has changed nothing after that, and the others are taken all
    the same. Readers find the outputs at the registry before this is answered.
    """
    answers = tuple([_finish(state, msg, report, now_ms) for report in msg.reports])
    published = [each for each in state.notices if isinstance(each, PublishMapOutput)]
    if len(published) > 1:
        # What else there is are removals, of attempts whose outputs are told of before.
        others = [each for each in state.notices if not isinstance(each, PublishMapOutput)]
        state.notices[:] = [PublishMapOutputs(tuple(published)), *others]
    return answers


def _finish(
    state: SchedulingState, batch: FinishAttempts, report: AttemptReport, now_ms: int
) -> ReportAnswer:
    try:
        counted = _finish_one(state, batch, report, now_ms)
    except InvariantViolated:
        raise
    except FfqError as error:
        return ReportAnswer(counted=False, error=error.with_traceback(None))
    return _COUNTED if counted else _NOT_COUNTED


def _finish_one(
    state: SchedulingState, batch: FinishAttempts, report: AttemptReport, now_ms: int
) -> bool:
    """Whether it counted. Raises what either call would raise."""
    if report.output is None and report.state is QUEUED:
        raise _not_reportable(report.key)
    at = state.locate(report.key)
    counted = _counts(at, report.layout, batch.worker_id, batch.incarnation)
    if report.output is not None:
        _check_partitions(at, report.output)
        if counted:
            _merge_output(state, at, report.output, batch.endpoint)
    if report.state is QUEUED:
        raise _not_reportable(report.key)
    if counted:
        _take(state, at, report, now_ms)
    return counted


def _take(
    state: SchedulingState, at: Located, report: ReportTaskStatus | AttemptReport, now_ms: int
) -> None:
    """A report that counts: the attempt runs, has succeeded or has failed (R14, R15)."""
    if report.state is SUCCEEDED:
        at.attempt.usage = report.usage
        _succeeded(state, at, now_ms)
    elif report.state is RUNNING:
        renew_lease(state, at.attempt, now_ms)
    else:
        _failed(state, at, report, now_ms)


def _not_reportable(key: AttemptKey) -> InvalidRequest:
    return InvalidRequest(
        f"report of {key}: a worker reports RUNNING, SUCCEEDED or FAILED, not QUEUED"
    )


def _counts(
    at: Located, layout: Layout | None, worker_id: WorkerId | None, incarnation: int
) -> bool:
    """Whether this comes from the holder of an attempt that is running (R4, R13)."""
    attempt = at.attempt
    return (
        attempt.state is RUNNING
        and (layout is None or layout == attempt.layout)
        and (worker_id is None or worker_id == attempt.worker_id)
        and incarnation in (0, attempt.incarnation)
    )


def _succeeded(state: SchedulingState, at: Located, now_ms: int) -> None:
    attempt = at.attempt
    if at.stage.is_sink:
        if not attempt.result_complete:
            why = f"attempt {attempt.key} reported SUCCEEDED without registering a result"
            fail_charged(state, at, why, now_ms, blame=True)
            return
    elif attempt.output is None and attempt.incarnation != 0:
        why = f"attempt {attempt.key} reported SUCCEEDED without registering its output"
        fail_charged(state, at, why, now_ms, blame=True)
        return
    elif attempt.output is not None and not attempt.output.complete:
        why = f"attempt {attempt.key} reported SUCCEEDED with an unfinished output partition"
        fail_charged(state, at, why, now_ms, blame=True)
        return
    commit(state, at, now_ms)


def _failed(
    state: SchedulingState, at: Located, msg: ReportTaskStatus | AttemptReport, now_ms: int
) -> None:
    match msg.kind:
        case ErrorKind.PLAN | ErrorKind.DATA:
            fail_query(state, at, msg.message, now_ms)
        case ErrorKind.OPERATOR:
            fail_charged(state, at, msg.message, now_ms, blame=False)
        case ErrorKind.ENVIRONMENT:
            fail_elsewhere(state, at, msg.message, now_ms, blame=True)
        case ErrorKind.EXTERNAL:
            fail_elsewhere(state, at, msg.message, now_ms, blame=False)
        case ErrorKind.STOPPED if at.attempt.recalled and not at.task.returned:
            fail_returned(state, at, msg.message, now_ms)
        case ErrorKind.STOPPED:
            fail_uncharged(state, at, msg.message, now_ms)
        case ErrorKind.SHUFFLE_INPUT:
            _lost_inputs(state, at, msg, now_ms)
        case ErrorKind.EXECUTION | None:
            fail_charged(state, at, msg.message, now_ms, blame=True)


def _lost_inputs(
    state: SchedulingState, at: Located, msg: ReportTaskStatus | AttemptReport, now_ms: int
) -> None:
    """The inputs are made again first; where none has to be, the reader pauses before it retries.

    That way a reader that cannot reach an output which is still there does not spin.
    """
    for lost in msg.lost_inputs:
        if not at.query.state.terminal:
            lose_input(state, at, lost, now_ms)
    recover(state, at.query, msg.message, now_ms)
    if at.attempt.state is RUNNING:
        fail_uncharged(state, at, msg.message, now_ms, delay=at.stage.unmet == 0)


# --- map outputs and results -----------------------------------------------------------------


def register_map_output(
    state: SchedulingState, msg: RegisterMapOutput, _now_ms: int
) -> RegisterReply:
    """Merge it with what the attempt has registered, if the attempt is running (R13, R22).

    Readers find it at the registry before this is answered.

    Raises:
        InvalidRequest: a partition that the stage does not write.
        QuotaExceeded: more partition records than are allowed in all.
        UnknownId: no such query, or the attempt was never assigned.
    """
    at = state.locate(msg.key)
    _check_partitions(at, msg.partitions)
    reply = RegisterReply(
        counted=_counts(at, msg.layout, msg.worker_id, msg.incarnation),
        worker_id=at.attempt.worker_id,
    )
    if reply.counted:
        _merge_output(state, at, msg.partitions, msg.endpoint)
    return reply


def _check_partitions(at: Located, partitions: tuple[OutputPartition, ...]) -> None:
    written = at.stage.plan.output_partitions
    for partition in partitions:
        if not 0 <= partition.reduce_partition < written:
            key = at.attempt.key
            raise InvalidRequest(
                f"output of {key}: stage {key.stage_id} writes {written} reduce "
                f"partitions, there is no partition {partition.reduce_partition}"
            )


def _merge_output(
    state: SchedulingState, at: Located, partitions: tuple[OutputPartition, ...], endpoint: str
) -> None:
    key = at.attempt.key
    known = at.attempt.output
    output = known if known is not None else Output()
    named = output.partitions
    changed: dict[int, OutputPartition] = {}
    growth = 0
    for new in partitions:
        number = new.reduce_partition
        old = changed.get(number) or named.get(number)
        if old is None or _progress(new) > _progress(old):
            growth += old is None
            changed[number] = new
    if state.output_partitions + growth > state.settings.max_registered_partitions:
        raise QuotaExceeded(
            f"{state.settings.max_registered_partitions} map output partitions are registered: "
            f"register {key} again later"
        )
    endpoint = endpoint or output.endpoint
    if known is not None and not changed and endpoint == output.endpoint:
        return
    for partition in changed.values():
        output.put(partition)
    output.endpoint = endpoint
    at.attempt.output = output
    at.query.output_partitions += growth
    state.output_partitions += growth
    told = partitions if len(changed) == len(partitions) else tuple(changed.values())
    state.notices.append(PublishMapOutput(key, endpoint, told))
    state.changed()


def _progress(partition: OutputPartition) -> tuple[int, int, bool]:
    """Of two records of one partition the one that got further wins (R22)."""
    return partition.stream_epoch, partition.committed_offset, partition.finalized


def admit_result(state: SchedulingState, msg: AdmitResult, now_ms: int) -> ResultAdmission:
    """Take a piece of a result, if it belongs to a running sink attempt (R13, R26).

    Without a key it belongs to the running attempt of the sink's only task. A result that alone is
    over the cap fails its query: no other attempt would make a smaller one (R17).

    Raises:
        InvalidRequest: the key is of a stage that is not the sink, a key is needed, or the piece
            does not continue its upload.
        UnknownId: no such query, or the attempt was never assigned.
        QuotaExceeded: with those of other queries, more result bytes than are allowed in all.
    """
    query = state.query(msg.query_id)
    attempt = _sink_attempt(state, query, msg.key)
    if attempt.state is not RUNNING:
        return ResultAdmission(counted=False, worker_id=attempt.worker_id, key=None)
    if msg.problem:
        raise InvalidRequest(f"the result of attempt {attempt.key} {msg.problem}")
    growth = msg.total_bytes - attempt.result_bytes
    # Of two attempts of a task one will count.
    doubled = sum(each.result_bytes for each in _rivals(state, attempt))
    held = query.result_bytes - doubled + growth
    if held > state.settings.max_result_bytes:
        why = (
            f"the result is too large: {held} bytes of it have come, and "
            f"results may have {state.settings.max_result_bytes} bytes (max_result_bytes); right "
            "would be to have the workers write it: COPY (SELECT ...) TO 'folder'"
        )
        fail_query(state, state.locate(attempt.key), why, now_ms)
        return ResultAdmission(counted=False, worker_id=attempt.worker_id, key=None)
    if state.active_result_bytes + growth > state.settings.max_result_bytes:
        raise QuotaExceeded(
            f"results would exceed {state.settings.max_result_bytes} bytes in all with "
            f"{msg.total_bytes} bytes of {attempt.key}"
        )
    if (msg.total_bytes, msg.complete) == (attempt.result_bytes, attempt.result_complete):
        return ResultAdmission(counted=True, worker_id=attempt.worker_id, key=attempt.key)
    state.changed()
    attempt.result_bytes = msg.total_bytes
    attempt.result_complete = msg.complete
    query.result_bytes += growth
    state.active_result_bytes += growth
    if state.held_result_bytes > state.settings.max_result_bytes:
        evict(state, now_ms)
    return ResultAdmission(counted=True, worker_id=attempt.worker_id, key=attempt.key)


def _rivals(state: SchedulingState, attempt: AttemptRecord) -> tuple[AttemptRecord, ...]:
    task = state.locate(attempt.key).task
    return tuple(each for each in task.running if each is not attempt)


def _sink_attempt(
    state: SchedulingState, query: QueryRecord, key: AttemptKey | None
) -> AttemptRecord:
    if key is not None:
        at = state.locate(key)
        if at.query is not query or not at.stage.is_sink:
            raise InvalidRequest(f"attempt {key} is not of the sink of query {query.query_id}")
        return at.attempt
    sink = query.stages[0]
    if len(sink.shares) > 1:
        raise InvalidRequest(
            f"the sink of query {query.query_id} has {len(sink.shares)} tasks: "
            f"a result needs the key of its attempt"
        )
    if not sink.tasks:
        raise UnknownId(
            f"no attempt of the sink of query {query.query_id} was ever assigned",
            reason="UNKNOWN_TASK",
        )
    return sink.tasks[0].attempts[-1]
