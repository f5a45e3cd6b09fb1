"""Coordinators that answer clients wrongly."""

from __future__ import annotations

from ffq.testing.adapters.core import CoreAdapter
from ffq.testing.results import result_payload
from ffq.testing.steps import (
    At,
    Beat,
    Cancel,
    Complete,
    Malformed,
    Pull,
    Report,
    Results,
    Status,
    Submit,
    SubmitBytes,
    Upload,
    Wait,
)
from ffq.testing.wire import QueryState, Refusal, StatusView
from tests.testing.broken.case import BAD, MAP, OK, SINK, breaks, changed


@breaks("submit-answers-queued", Submit(0, "scan"))
class _RunsAtOnce(CoreAdapter):
    def submit(self, query_id: str, plan: bytes) -> QueryState | Refusal:
        super().submit(query_id, plan)
        return QueryState.RUNNING


@breaks("submit-is-idempotent", Submit(0, "scan"), Pull(0), Submit(0, "scan"))
class _AlwaysQueued(CoreAdapter):
    def submit(self, query_id: str, plan: bytes) -> QueryState | Refusal:
        super().submit(query_id, plan)
        return QueryState.QUEUED


@breaks("submit-conflict-refused", Submit(0, "scan"), Submit(0, "join"))
@breaks("bad-plan-refused", SubmitBytes(b"{"))
@breaks("over-bound-refused", SubmitBytes(b"[" * 20_000))
@breaks("malformed-refused", Malformed("a/b"))
class _RefusesNothing(CoreAdapter):
    def submit(self, query_id: str, plan: bytes) -> QueryState | Refusal:
        reply = super().submit(query_id, plan)
        return QueryState.QUEUED if isinstance(reply, Refusal) else reply


@breaks("unknown-query-refused", Cancel(0))
@breaks("cancel-answers-standing-state", Submit(0, "scan"), Pull(0), Complete(SINK), Cancel(0))
class _CancelsAll(CoreAdapter):
    def cancel(self, query_id: str, reason: str) -> QueryState | Refusal:
        super().cancel(query_id, reason)
        return QueryState.CANCELED


@breaks("cancel-takes-effect", Submit(0, "scan"), Cancel(0))
class _CancelsLater(CoreAdapter):
    def cancel(self, query_id: str, reason: str) -> QueryState | Refusal:
        super().cancel(query_id, reason)
        return QueryState.RUNNING


@breaks("first-assignment-starts", Submit(0, "scan"), Status(0))
class _StartsAtSubmit(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        return changed(super().status(query_id), state=QueryState.RUNNING)


@breaks("start-time-stands", Submit(0, "scan"), Pull(0), Status(0), Wait(5), Status(0))
class _StartsAnew(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        return changed(super().status(query_id), started_at_ms=self.now_ms)


@breaks("success-needs-everything", Submit(0, "aggregate"), Pull(0), Complete(MAP), Status(0))
class _SucceedsEarly(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        return changed(
            super().status(query_id), state=QueryState.SUCCEEDED, finished_at_ms=self.now_ms
        )


@breaks("success-comes", Submit(0, "scan"), Pull(0), Complete(SINK), Status(0))
class _NeverSucceeds(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        return changed(super().status(query_id), state=QueryState.RUNNING, finished_at_ms=0)


@breaks("ends-only-for-cause", Submit(0, "scan"), Status(0))
class _CancelsByItself(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        self.cancel(query_id, "bored")
        return super().status(query_id)


@breaks("terminal-is-final", Submit(0, "scan"), Cancel(0), Status(0), Wait(5), Status(0))
class _FinishesAnew(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        return changed(super().status(query_id), finished_at_ms=self.now_ms)


@breaks("waiting-says-so", Submit(0, "custom"), Beat(0), Wait(10), Status(0))
@breaks(
    "failure-is-told",
    Submit(0, "scan"),
    *(
        step
        for attempt in range(1, 4)
        for step in (Wait(500), Pull(attempt), Report(At(0, 0, attempt), BAD))
    ),
    Status(0),
)
class _SaysNothing(CoreAdapter):
    def status(self, query_id: str) -> StatusView | Refusal:
        return changed(super().status(query_id), message="")


@breaks("results-after-success-only", Submit(0, "scan"), Results(0))
class _ServesAnything(CoreAdapter):
    def fetch_results(self, query_id: str) -> bytes | Refusal:
        return result_payload(0)


@breaks(
    "result-is-the-last-upload",
    Submit(0, "scan"),
    Pull(0),
    Upload(0, 1),
    Upload(0, 2),
    Report(SINK, OK),
    Results(0),
)
class _FirstUploadWins(CoreAdapter):
    uploaded = False

    def register_results(self, query_id: str, payload: bytes) -> Refusal | None:
        if self.uploaded:
            return None
        self.uploaded = True
        return super().register_results(query_id, payload)
