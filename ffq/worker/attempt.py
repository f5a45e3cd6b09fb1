"""One attempt, from its assignment to its last report (R3, R13 to R17, R22, R26).

    fetch inputs → run the fragment → register map output, or upload the result → report

An assignment without any extension field comes from a coordinator that knows none
(`Assignment.fixed_wire`). Then inputs are looked for in the folder that all share, map output is
left there, and a result goes in one call, since each call is the whole result there.

Whatever goes wrong on the way is a FAILED report that says whose fault it was. An attempt ends
silently only when the coordinator says that nobody waits for it any more, or is gone for good.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import attrs
import trio

from ffq.errors import ExecutionError, FfqError, Unavailable, UnknownId
from ffq.ids import StageId
from ffq.messages import (
    NO_USAGE,
    Assignment,
    AttemptEnd,
    AttemptUsage,
    EndAnswer,
    ErrorKind,
    RegisterMapOutput,
    RegisterQueryResults,
    ReportTaskStatus,
    TaskState,
)
from ffq.plan.stages import StagePlan
from ffq.worker.failures import Failure, failure_of, undelivered
from ffq.worker.inputs import FetchSettings, fetch_inputs
from ffq.worker.link import CoordinatorLink, WorkerIdentity, logger
from ffq.worker.plans import PlanCache
from ffq.worker.ports import (
    Executor,
    MapOutput,
    ResultOutput,
    ShuffleTransport,
    Spool,
    TaskOutput,
    Work,
)
from ffq.worker.wanted import InputPart, SharedOutput, committed_output, wanted_parts

_REPORT_QUOTA_TRIES = 2**31
"""A report is tried again until it is answered: only a stop ends it."""
PEER_MESSAGE_BYTES = 4 << 20
"""What peers receive in one message, where they were not set up otherwise: gRPC's default."""
_CALL_BYTES = 1 << 10
"""What one message has besides its payload, generously."""
_MAX_RESULT_AT_ONCE = 32 << 10
"""Bytes of a result that travels in its report."""
_MAX_PARTITIONS_AT_ONCE = 1_000
"""Of an output that travels in its report."""
STOPPED_MESSAGE = "the worker is shutting down"
RETURNED_MESSAGE = "it is given back: it had not begun, and another worker has a slot for it"


@attrs.frozen
class AttemptSettings:
    """Bounds of one attempt.

    Attributes:
        result_chunk_bytes: payload of one upload call.
        max_message_bytes: largest message that can be sent: bounds a result that goes in one call.
    """

    fetch: FetchSettings = attrs.field(factory=FetchSettings)
    result_chunk_bytes: int = 1 << 20
    max_message_bytes: int = 64 << 20


@attrs.frozen
class AttemptContext:
    """What every attempt of a worker shares.

    `end`: tells how one ended on the worker's stream; None where that is not possible. Raises
    Unavailable: it was told, and no answer came.
    """

    identity: WorkerIdentity
    settings: AttemptSettings
    link: CoordinatorLink
    executor: Executor
    transport: ShuffleTransport
    plans: PlanCache
    end: Callable[[AttemptEnd], Awaitable[EndAnswer | None]]


@attrs.define
class AttemptRun:
    """One attempt under way; `scope` stops it. `began_at`: on Trio's clock."""

    context: AttemptContext
    assignment: Assignment
    began_at: float = attrs.field(factory=trio.current_time)
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _claimed: bool = False
    """A SUCCEEDED was sent: the output may be committed, whether or not an answer came."""
    _fetched: AttemptUsage = NO_USAGE

    async def run(self) -> None:
        """Carry it through; returns when it is reported, dropped, or stopped by `scope`."""
        try:
            with self.scope:
                await self._carry_through()
        finally:
            with trio.CancelScope(shield=True):
                await self.context.executor.release(self.assignment.key, keep_output=self._claimed)

    async def report_stopped(self) -> None:
        """Tell the coordinator that the worker gave it up (R17)."""
        if not self._claimed:
            await self._report_failed(Failure(ErrorKind.STOPPED, STOPPED_MESSAGE))

    async def give_back(self, why: str) -> None:
        """Tell the coordinator that it is not run here."""
        failure = Failure(ErrorKind.STOPPED, why)
        answer = None
        with suppress(Unavailable):
            answer = await self.context.end(AttemptEnd(self._report_of(TaskState.FAILED, failure)))
        if answer not in {EndAnswer.COUNTED, EndAnswer.TOO_LATE}:
            await self._report_failed(failure)

    async def _carry_through(self) -> None:
        try:
            output = await self._produce()
        except Exception as error:  # noqa: BLE001 - whatever a fragment raises is reported
            await self._fail(error, failure_of(error))
            return
        try:
            if await self._end_at_once(output):
                return
            await self._deliver(output)
            self._claimed = True
            await self._report(TaskState.SUCCEEDED, usage=self._usage_of(output))
        except UnknownId as error:
            logger.warning("attempt %s is dropped: %s", self.assignment.key, error.message)
        except Exception as error:  # noqa: BLE001 - refused, or the output cannot be read back
            await self._fail(error, undelivered(error))

    async def _fail(self, error: Exception, failure: Failure) -> None:
        key = self.assignment.key
        logger.warning("attempt %s failed (%s): %s", key, failure.kind.name, failure.message)
        if not isinstance(error, FfqError):
            logger.debug("attempt %s raised", key, exc_info=error)
        await self._report_failed(failure)

    async def _produce(self) -> TaskOutput:
        context, assignment = self.context, self.assignment
        stage = await context.plans.stage_of(assignment)
        began = trio.current_time()
        parts = wanted_parts(assignment, stage, await self._shared_outputs(stage))
        inputs = await fetch_inputs(
            parts,
            context.transport,
            context.settings.fetch,
            lambda part: context.executor.spool(assignment.key, part),
            self._local,
        )
        self._fetched = AttemptUsage(
            input_bytes=sum(part.bytes for leaf in parts.values() for part in leaf),
            fetch_us=round((trio.current_time() - began) * 1e6),
        )
        return await context.executor.run(Work(assignment, stage, inputs))

    def _usage_of(self, output: TaskOutput) -> AttemptUsage | None:
        """None: this coordinator sets no extension fields, and is sent none."""
        if self.assignment.fixed_wire:
            return None
        ran, fetched = output.usage, self._fetched
        return attrs.evolve(
            ran, input_bytes=ran.input_bytes + fetched.input_bytes, fetch_us=fetched.fetch_us
        )

    async def _shared_outputs(self, stage: StagePlan) -> dict[StageId, SharedOutput]:
        found: dict[StageId, SharedOutput] = {}
        if self.assignment.fixed_wire:
            for source in stage.parents:
                key = committed_output(self.assignment, source.stage_id)
                output = await self.context.executor.newest_output(key)
                if output is not None:
                    found[source.stage_id] = output
        return found

    def _local(self, part: InputPart) -> Spool | None:
        served_here = part.endpoint == self.context.identity.endpoint
        return self.context.executor.local(part) if served_here else None

    async def _end_at_once(self, output: TaskOutput) -> bool:
        """Hand over the output and claim that it is there, in one message, where it is small.

        False: it has to be done in calls, also where it may have been done already: what is said
        twice counts once (R13, R15, R22).
        """
        if self.assignment.fixed_wire:
            return False
        made: RegisterMapOutput | RegisterQueryResults
        contents: tuple[bytes, ...] = ()
        if isinstance(output, MapOutput):
            contents = output.contents
            if len(output.partitions) > _MAX_PARTITIONS_AT_ONCE:
                return False
            made = self._registration(output)
        else:
            if output.size > _MAX_RESULT_AT_ONCE:
                return False
            made = self._piece(await output.read(0, output.size), 0, last=True)
        report = self._report_of(TaskState.SUCCEEDED, usage=self._usage_of(output))
        self._claimed = True
        try:
            answer = await self.context.end(AttemptEnd(report, made, contents))
        except Unavailable:
            return False
        self._claimed = answer in {EndAnswer.COUNTED, EndAnswer.TOO_LATE}
        return self._claimed

    async def _deliver(self, output: TaskOutput) -> None:
        """Hand the output over, before SUCCEEDED claims that it is there (R3, R22)."""
        if isinstance(output, MapOutput):
            await self._register(output)
        elif self.assignment.fixed_wire:
            await self._upload_whole(output)
        else:
            await self._upload(output)

    async def _register(self, output: MapOutput) -> None:
        await self.context.link.ask(self._registration(output))

    def _registration(self, output: MapOutput) -> RegisterMapOutput:
        context = self.context
        return RegisterMapOutput(
            key=self.assignment.key,
            partitions=output.partitions,
            layout=self.assignment.layout,
            worker_id=context.identity.worker_id,
            incarnation=context.identity.incarnation,
            endpoint=context.identity.endpoint,
        )

    async def _upload(self, output: ResultOutput) -> None:
        context = self.context
        offset = 0
        last = False
        while not last:
            payload = await output.read(offset, context.settings.result_chunk_bytes)
            last = not payload or offset + len(payload) >= output.size
            reply = await context.link.ask(self._piece(payload, offset, last=last))
            if not reply.counted:
                return
            offset += len(payload)

    def _piece(self, payload: bytes, offset: int, *, last: bool) -> RegisterQueryResults:
        key = self.assignment.key
        return RegisterQueryResults(key.query_id, payload, key, offset, last)

    async def _upload_whole(self, output: ResultOutput) -> None:
        """In one call: for whoever takes each call as the whole result (R26).

        Raises ExecutionError: no message that is sent, or that the coordinator takes, is so large.
        """
        context, size = self.context, output.size
        limit = context.settings.max_message_bytes - _CALL_BYTES
        if size > limit:
            raise ExecutionError(
                f"the result has {size} bytes, and must go in one message: this coordinator sets "
                f"no extension fields; this worker sends at most {limit} (--max-message-bytes)"
            )
        payload = await output.read(0, size)
        message = RegisterQueryResults(self.assignment.key.query_id, payload, self.assignment.key)
        too_large = size > PEER_MESSAGE_BYTES - _CALL_BYTES
        try:
            await context.link.ask(message, quota_tries=1 if too_large else None)
        except UnknownId:
            raise
        except FfqError as error:
            if not too_large:
                raise
            raise ExecutionError(
                f"the result has {size} bytes, and must go in one message: this coordinator sets "
                f"no extension fields, and such take at most {PEER_MESSAGE_BYTES} bytes a message "
                f"unless set up otherwise; it answered: {error.message}"
            ) from error

    async def _report_failed(self, failure: Failure) -> None:
        try:
            await self._report(TaskState.FAILED, failure)
        except FfqError as error:
            logger.warning("attempt %s: its report was refused: %s", self.assignment.key, error)

    async def _report(
        self, state: TaskState, failure: Failure | None = None, usage: AttemptUsage | None = None
    ) -> None:
        message = self._report_of(state, failure, usage)
        await self.context.link.ask(message, quota_tries=_REPORT_QUOTA_TRIES)

    def _report_of(
        self, state: TaskState, failure: Failure | None = None, usage: AttemptUsage | None = None
    ) -> ReportTaskStatus:
        context = self.context
        return ReportTaskStatus(
            key=self.assignment.key,
            state=state,
            message="" if failure is None else failure.message,
            layout=self.assignment.layout,
            worker_id=context.identity.worker_id,
            incarnation=context.identity.incarnation,
            kind=None if failure is None else failure.kind,
            lost_inputs=() if failure is None else failure.lost,
            usage=usage,
        )
