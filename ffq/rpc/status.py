"""The one map between errors and gRPC status, in both directions (R28, R29).

Every status carries a google.rpc.ErrorInfo with the error's stable reason, and a RetryInfo where a
retry may help. What was not raised on purpose leaves as INTERNAL with a generic line: no status is
ever UNKNOWN, and no traceback is on the wire.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

import attrs
import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from ffq import errors
from ffq.errors import FfqError
from ffq.runtime import errors as runtime_errors
from ffq.runtime.remarks import RemarkLogger

logger = RemarkLogger(logging.getLogger("ffq.rpc"))

DOMAIN = "ffq.dev"
DETAILS_KEY = "grpc-status-details-bin"
# The text is sent twice, in headers. Of those gRPC clients take 8 KiB: beyond that the caller sees
# RESOURCE_EXHAUSTED instead of the status. So the text is bounded as it is encoded there.
MAX_TEXT = 1000
MAX_TEXT_HEADER_BYTES = 6 * 1024
INTERNAL_TEXT = "internal error of this ffq process; its log has the details"

Code = grpc.StatusCode

# Looked up along an error's class hierarchy. Also read backwards: of the classes with a code, the
# one whose reason came with the status, else the first.
CODES: dict[type[FfqError], grpc.StatusCode] = {
    errors.InvalidRequest: Code.INVALID_ARGUMENT,
    errors.InvalidPlan: Code.INVALID_ARGUMENT,
    errors.InvalidQuery: Code.INVALID_ARGUMENT,
    errors.CallerError: Code.INVALID_ARGUMENT,
    errors.NotReady: Code.FAILED_PRECONDITION,
    errors.PlanningError: Code.FAILED_PRECONDITION,
    errors.PlanningLimit: Code.FAILED_PRECONDITION,
    errors.QueryFailed: Code.FAILED_PRECONDITION,
    errors.QueryCanceled: Code.FAILED_PRECONDITION,
    errors.UnsupportedPlan: Code.UNIMPLEMENTED,
    errors.UnknownId: Code.NOT_FOUND,
    errors.PlanConflict: Code.ALREADY_EXISTS,
    errors.AccessDenied: Code.UNAUTHENTICATED,
    errors.QuotaExceeded: Code.RESOURCE_EXHAUSTED,
    errors.ExecutionError: Code.INTERNAL,
    errors.DataError: Code.INTERNAL,
    errors.OperatorError: Code.INTERNAL,
    errors.OutOfMemory: Code.INTERNAL,
    errors.ShuffleInputError: Code.INTERNAL,
    errors.StorageError: Code.INTERNAL,
    errors.DiskError: Code.INTERNAL,
    errors.Unavailable: Code.UNAVAILABLE,
}
# Of the actor framework: outward only. A caller knows them as QuotaExceeded and Unavailable.
RUNTIME_CODES: dict[type[FfqError], grpc.StatusCode] = {
    runtime_errors.MailboxFull: Code.RESOURCE_EXHAUSTED,
    runtime_errors.MessageExpired: Code.DEADLINE_EXCEEDED,
    runtime_errors.ActorEnded: Code.UNAVAILABLE,
    runtime_errors.SystemClosed: Code.UNAVAILABLE,
}
_OUTWARD = CODES | RUNTIME_CODES
_PLACE = re.compile(r"[1-9][0-9]{0,8}")
PERMISSION_DENIED = "PERMISSION_DENIED"
BUSY_RETRY_MS = 100

# What a status of a peer stands for when it names no reason of ours.
FOREIGN: dict[grpc.StatusCode, type[FfqError]] = {
    Code.PERMISSION_DENIED: errors.AccessDenied,
    Code.OUT_OF_RANGE: errors.InvalidRequest,
    Code.DEADLINE_EXCEEDED: errors.Unavailable,
    Code.CANCELLED: errors.Unavailable,
    Code.ABORTED: errors.Unavailable,
}


@attrs.frozen
class RpcStatus:
    """How a call ended: `metadata` is the trailing metadata that carries the details."""

    code: grpc.StatusCode
    text: str
    metadata: tuple[tuple[str, bytes], ...]


def status_of(error: Exception) -> RpcStatus:
    """The status that tells a caller of `error`; logs what was not raised on purpose."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, DecodeError):
        error = errors.InvalidRequest("the request is not a valid protobuf message")
    code = _code_of(error)
    if code is None or not isinstance(error, FfqError):
        logger.error("a call failed unexpectedly", exc_info=error)
        return _status(Code.INTERNAL, INTERNAL_TEXT, FfqError.reason, None)
    retry_ms: int | None = None
    if isinstance(error, errors.QuotaExceeded):
        retry_ms = error.retry_after_ms
    elif code is Code.RESOURCE_EXHAUSTED:
        retry_ms = BUSY_RETRY_MS
    return _status(code, error.message, error.stable_reason, retry_ms, _place(error))


def _place(error: FfqError) -> dict[str, str]:
    """What ErrorInfo says of where in a query's text an error is."""
    if not isinstance(error, errors.InvalidQuery) or error.line is None or error.column is None:
        return {}
    return {"line": str(error.line), "column": str(error.column)}


class FailedCall(Protocol):
    """What gRPC's client-side exceptions have besides being exceptions."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def error_of(error: FailedCall, peer: str) -> FfqError:
    """The typed error that a failed call to `peer` stands for."""
    code, text = error.code(), error.details() or ""
    reason, retry_ms, place = _read_details(error)
    message = f"{peer}: {text or code.name}" if code is Code.UNAVAILABLE else text or code.name
    kinds = [kind for kind, kind_code in CODES.items() if kind_code is code]
    for kind in kinds:
        if kind.reason == reason:
            return _made(kind, message, reason, retry_ms, place)
    if code is Code.UNIMPLEMENTED and reason is None:  # what we refuse has a reason
        return errors.UnknownMethod(message)
    fallback = FOREIGN.get(code, errors.ExecutionError)
    return _made(kinds[0] if kinds else fallback, message, reason, retry_ms, place)


def as_told(error: Exception, peer: str) -> FfqError:
    """What a caller elsewhere sees of `error`, for one that is here."""
    return error_of(_Told(status_of(error)), peer)


@attrs.frozen
class _Told:
    """A `FailedCall` that no wire was needed for."""

    status: RpcStatus

    def code(self) -> grpc.StatusCode:
        return self.status.code

    def details(self) -> str:
        return self.status.text

    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]]:
        return self.status.metadata


def _code_of(error: Exception) -> grpc.StatusCode | None:
    if isinstance(error, errors.AccessDenied) and error.stable_reason == PERMISSION_DENIED:
        return Code.PERMISSION_DENIED
    return next((_OUTWARD[kind] for kind in type(error).__mro__ if kind in _OUTWARD), None)


def _status(
    code: grpc.StatusCode,
    text: str,
    reason: str,
    retry_ms: int | None,
    more: Mapping[str, str] = MappingProxyType({}),
) -> RpcStatus:
    line = _one_line(text)
    detail = status_pb2.Status(code=code.value[0], message=line)
    info = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=more)
    detail.details.add().Pack(info)
    if retry_ms is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(retry_ms)
        detail.details.add().Pack(retry)
    return RpcStatus(code, line, ((DETAILS_KEY, detail.SerializeToString()),))


def _one_line(text: str) -> str:
    """The text in one line of Unicode, cut so that the headers that carry it are not too large."""
    # A lone surrogate (of an undecodable file name, say) is in no encoding that gRPC sends.
    line = " ".join(text.encode(errors="replace").decode().split())
    room = MAX_TEXT_HEADER_BYTES
    for end, character in enumerate(line[:MAX_TEXT]):
        room -= _header_bytes(character)
        if room < 0:
            return line[: max(0, end - 1)] + "…"
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


def _header_bytes(character: str) -> int:
    """What it takes percent-encoded in grpc-message and base64-encoded in the details, at most."""
    if " " <= character <= "~" and character != "%":
        return 1 + 2
    size = len(character.encode())
    return 3 * size + 4 * size // 3 + 1


def _read_details(call: FailedCall) -> tuple[str | None, int | None, Mapping[str, str]]:
    """Reason, retry delay (ms) and what else came with a status; None for each that did not."""
    reason, retry_ms, more = None, None, {}
    raw = dict(call.trailing_metadata() or ()).get(DETAILS_KEY)
    if isinstance(raw, bytes):
        detail = status_pb2.Status()
        try:
            detail.ParseFromString(raw)
        except DecodeError:
            return None, None, {}
        for item in detail.details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if item.Unpack(info) and info.domain == DOMAIN:
                reason, more = info.reason, dict(info.metadata)
            elif item.Unpack(retry):
                retry_ms = retry.retry_delay.ToMilliseconds()
    return reason, retry_ms, more


def _made(
    kind: type[FfqError],
    message: str,
    reason: str | None,
    retry_ms: int | None,
    more: Mapping[str, str],
) -> FfqError:
    if issubclass(kind, errors.InvalidQuery):
        line, column = more.get("line", ""), more.get("column", "")
        if _PLACE.fullmatch(line) and _PLACE.fullmatch(column):
            return kind(message, line=int(line), column=int(column), reason=reason)
    if issubclass(kind, errors.QuotaExceeded) and retry_ms is not None:
        return kind(message, retry_after_ms=retry_ms, reason=reason)
    return kind(message, reason=reason)
