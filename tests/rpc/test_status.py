"""Errors to gRPC status and back: the table of R28 and R29, for every error there is."""

from __future__ import annotations

import base64
from urllib.parse import quote

import grpc
import pytest
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from ffq import errors
from ffq.errors import FfqError
from ffq.rpc.status import DETAILS_KEY, MAX_TEXT, RpcStatus, error_of, status_of
from ffq.runtime import errors as runtime_errors

Code = grpc.StatusCode


class Failed:
    """A failed call, as grpc's client shows it."""

    def __init__(self, status: RpcStatus) -> None:
        self._status = status

    def code(self) -> grpc.StatusCode:
        return self._status.code

    def details(self) -> str:
        return self._status.text

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return self._status.metadata


EXPECTED: list[tuple[FfqError, grpc.StatusCode, str]] = [
    (errors.InvalidRequest("m"), Code.INVALID_ARGUMENT, "INVALID_CONFIG"),
    (errors.InvalidPlan("m"), Code.INVALID_ARGUMENT, "INVALID_PLAN"),
    (errors.InvalidQuery("m"), Code.INVALID_ARGUMENT, "INVALID_QUERY"),
    (errors.InvalidQuery("m", line=2, column=5), Code.INVALID_ARGUMENT, "INVALID_QUERY"),
    (errors.PlanningLimit("m"), Code.FAILED_PRECONDITION, "PLANNING_LIMIT"),
    (errors.PlanningError("m"), Code.FAILED_PRECONDITION, "PLANNING"),
    (errors.UnsupportedPlan("m"), Code.UNIMPLEMENTED, "UNSUPPORTED"),
    (errors.UnknownId("m"), Code.NOT_FOUND, "UNKNOWN_QUERY"),
    (errors.UnknownId("m", reason="EXPIRED"), Code.NOT_FOUND, "EXPIRED"),
    (errors.UnknownId("m", reason="UNKNOWN_TASK"), Code.NOT_FOUND, "UNKNOWN_TASK"),
    (errors.PlanConflict("m"), Code.ALREADY_EXISTS, "PLAN_CONFLICT"),
    (errors.AccessDenied("m"), Code.UNAUTHENTICATED, "UNAUTHENTICATED"),
    (
        errors.AccessDenied("m", reason="PERMISSION_DENIED"),
        Code.PERMISSION_DENIED,
        "PERMISSION_DENIED",
    ),
    (errors.NotReady("m"), Code.FAILED_PRECONDITION, "NOT_READY"),
    (errors.QueryFailed("m"), Code.FAILED_PRECONDITION, "QUERY_FAILED"),
    (errors.QueryCanceled("m"), Code.FAILED_PRECONDITION, "QUERY_CANCELED"),
    (errors.QuotaExceeded("m"), Code.RESOURCE_EXHAUSTED, "QUOTA"),
    (errors.ExecutionError("m"), Code.INTERNAL, "EXECUTION"),
    (errors.DataError("m"), Code.INTERNAL, "DATA"),
    (errors.OperatorError("m"), Code.INTERNAL, "OPERATOR"),
    (errors.OutOfMemory("m"), Code.INTERNAL, "OUT_OF_MEMORY"),
    (errors.ShuffleInputError("m"), Code.INTERNAL, "SHUFFLE_INPUT"),
    (errors.StorageError("m"), Code.INTERNAL, "IO"),
    (errors.DiskError("m"), Code.INTERNAL, "DISK"),
    (errors.Unavailable("m"), Code.UNAVAILABLE, "UNAVAILABLE"),
]


@pytest.mark.parametrize(
    ("error", "code", "reason"), EXPECTED, ids=lambda value: getattr(value, "stable_reason", None)
)
def test_R28_R29_an_error_travels_as_its_code_and_comes_back_as_itself(
    error: FfqError, code: grpc.StatusCode, reason: str
) -> None:
    status = status_of(error)
    assert status.code is code
    back = error_of(Failed(status), "peer")
    assert (type(back), back.stable_reason) == (type(error), reason)


def test_an_error_in_a_query_keeps_its_place_on_the_way() -> None:
    error = errors.InvalidQuery("line 2, column 5: no", line=2, column=5)
    back = error_of(Failed(status_of(error)), "peer")
    assert isinstance(back, errors.InvalidQuery)
    assert (back.message, back.line, back.column) == (error.message, 2, 5)


def test_R29_every_error_of_ours_has_a_code_that_is_not_unknown() -> None:
    kinds, todo = [], [FfqError]
    while todo:
        kind = todo.pop()
        kinds.append(kind)
        todo += kind.__subclasses__()
    assert len(kinds) > 20
    for kind in kinds:
        error = kind.__new__(kind)
        FfqError.__init__(error, "message")
        error.__dict__.setdefault("retry_after_ms", 1)
        assert status_of(error).code not in {Code.UNKNOWN, Code.OK}


def test_R30_a_full_mailbox_says_when_to_come_back() -> None:
    back = error_of(Failed(status_of(runtime_errors.MailboxFull("full"))), "peer")
    assert isinstance(back, errors.QuotaExceeded)
    assert back.retry_after_ms < 1000


@pytest.mark.parametrize("error", [KeyError("secret"), errors.InvariantViolated("secret")])
def test_what_was_not_meant_for_callers_is_internal_and_generic(error: Exception) -> None:
    status = status_of(error)
    assert status.code is Code.INTERNAL
    assert "secret" not in status.text
    assert b"secret" not in dict(status.metadata)[DETAILS_KEY]


def test_the_one_error_in_a_nest_of_groups_is_the_error() -> None:
    nested = ExceptionGroup("outer", [ExceptionGroup("inner", [errors.NotReady("m")])])
    assert status_of(nested).code is Code.FAILED_PRECONDITION


def test_bytes_that_do_not_decode_are_the_callers_fault() -> None:
    assert status_of(DecodeError("junk")).code is Code.INVALID_ARGUMENT


def test_a_long_text_of_several_lines_becomes_one_short_line() -> None:
    status = status_of(errors.InvalidRequest("a\nb " + "x" * 5000))
    assert "\n" not in status.text
    assert len(status.text) == MAX_TEXT
    detail = status_pb2.Status.FromString(dict(status.metadata)[DETAILS_KEY])
    assert (detail.code, detail.message) == (Code.INVALID_ARGUMENT.value[0], status.text)


@pytest.mark.parametrize("character", ["x", "%", "\x01", "é", "日", "\U0001f600"])
def test_R29_a_long_text_fits_into_the_headers_however_it_is_encoded(character: str) -> None:
    status = status_of(errors.InvalidRequest(character * 5000))
    ((_, details),) = status.metadata
    in_headers = len(quote(status.text, safe=" ")) + len(base64.b64encode(details))
    assert 2_000 < in_headers < 7_500
    assert status.text.endswith("…")


def test_R29_a_text_that_is_no_unicode_is_sent_all_the_same() -> None:
    status = status_of(errors.StorageError("cannot read caf\udce9.parquet"))
    assert (status.code, status.text) == (Code.INTERNAL, "cannot read caf?.parquet")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.UNKNOWN, errors.ExecutionError),
        (Code.INTERNAL, errors.ExecutionError),
        (Code.NOT_FOUND, errors.UnknownId),
        (Code.FAILED_PRECONDITION, errors.NotReady),
        (Code.INVALID_ARGUMENT, errors.InvalidRequest),
        (Code.UNIMPLEMENTED, errors.UnknownMethod),
        (Code.DEADLINE_EXCEEDED, errors.Unavailable),
        (Code.CANCELLED, errors.Unavailable),
    ],
)
def test_a_foreign_status_without_a_reason_has_a_class_too(
    code: grpc.StatusCode, kind: type[FfqError]
) -> None:
    assert type(error_of(Failed(RpcStatus(code, "text", ())), "peer")) is kind
