"""Running a custom operator over a stream of batches."""

from __future__ import annotations

import functools
import inspect
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from types import CodeType
from typing import Any, Final, TypeVar

import attrs
import duckdb
import pyarrow as pa

from ffq.engine.cancel import CancelToken
from ffq.engine.faults import Faults
from ffq.engine.operators import Operator
from ffq.errors import FfqError, OperatorError
from ffq.plan.model import Custom

T = TypeVar("T")

_END: Final = object()
"""What no operator yields."""


class OperatorInput(Iterator[pa.RecordBatch]):
    """What an operator reads, on any thread. Only what fails here is no fault of the operator.

    A thread of the operator's may outlive it: `end` when the operator has ended, and `close` before
    what the batches come from is closed, which would take it away under that thread's hands.
    """

    def __init__(
        self,
        operator: Operator,
        batches: Iterable[pa.RecordBatch],
        schema: pa.Schema,
        faults: Faults,
        cancel: CancelToken,
    ) -> None:
        self._operator = operator
        self.schema = schema
        self._batches = _at_least_one(batches, schema)
        self._faults = faults
        self._cancel = cancel
        self._failed = False
        self._ended = False
        self._pulling = threading.Lock()

    @property
    def failure(self) -> FfqError | None:
        """What it failed with, however the operator took that."""
        return self._faults.first if self._failed else None

    def __next__(self) -> pa.RecordBatch:
        with self._pulling:
            self._check()
            try:
                return next(self._batches)
            except (FfqError, duckdb.Error, pa.ArrowException, OSError) as error:
                self._check()
                self._failed = True
                raise self._faults.note(self._faults.translate(error, self._cancel)) from error

    def _check(self) -> None:
        if self._ended:  # to whoever reads on it must not look like the end of the rows
            raise OperatorError(
                f"operator {self._operator.name!r}{_defined_at(self._operator)} has ended: its "
                f"input can be read no more; right would be to stop its threads before it ends"
            )

    def end(self) -> None:
        """Whoever pulls from now on gets an OperatorError. Waits for nobody."""
        self._ended = True

    def close(self) -> None:
        """End it, and wait for the pull that is under way. The fragment must be over."""
        self.end()
        self._faults.close()
        self._cancel.interrupt()
        with self._pulling:
            self._batches = iter(())  # such a thread may hold this for long


@attrs.frozen
class _Run:
    node: Custom
    operator: Operator
    source: OperatorInput
    faults: Faults
    cancel: CancelToken


def operator_reader(
    node: Custom,
    operator: Operator,
    source: OperatorInput,
    faults: Faults,
    cancel: CancelToken,
) -> pa.RecordBatchReader:
    """What the operator yields, as it yields it. Runs it up to its first batch.

    Args:
        node: the plan's node.
        operator: the function of that name.
        source: its input, read once.
        faults: told what it raises.
        cancel: stops it between batches.

    Raises:
        OperatorError: it raised (or does so while the reader is read), or yielded something else
            than batches of one schema. Names the operator, what it said, and file and line.
    """
    run = _Run(node, operator, source, faults, cancel)
    outputs = _outputs(run)
    first: Any = next(outputs, None)
    if operator.schema is not None:
        schema = operator.schema
    elif isinstance(first, pa.RecordBatch):
        schema = first.schema
    else:
        schema = source.schema

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            if first is not None:
                yield _checked(run, first, schema)
            for batch in outputs:
                yield _checked(run, batch, schema)
        finally:
            outputs.close()

    return pa.RecordBatchReader.from_batches(schema, batches())


def _at_least_one(source: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """An operator that maps batch to batch thus shows its output's schema also for no rows."""
    empty = True
    for batch in source:
        empty = False
        yield batch
    if empty:
        yield pa.RecordBatch.from_pylist([], schema=schema)


def _outputs(run: _Run) -> Generator[Any, None, None]:
    try:
        yield from _yielded(run)
    finally:
        run.source.end()


def _yielded(run: _Run) -> Iterator[Any]:
    operator = run.operator
    call = functools.partial(operator.function, run.source, dict(run.node.config))
    returned: object = _step(run, call)
    if not isinstance(returned, Iterable):
        what = "None" if returned is None else f"a {type(returned).__name__}"
        raise run.faults.note(OperatorError(_misused(operator, f"returned {what}")))
    given = _step(run, functools.partial(iter, returned))
    while True:
        batch: Any = _step(run, functools.partial(next, given, _END))
        run.cancel.check()
        if run.source.failure is not None:
            raise run.source.failure  # it did not see all of its input, whatever it made of that
        if batch is _END:
            return
        if batch is None:
            raise run.faults.note(OperatorError(_misused(operator, "yielded None")))
        yield batch


def _step(run: _Run, code: Callable[[], T]) -> T:
    """What the operator's code gives.

    Raises what its input failed with, and an OperatorError in place of anything else, errors of
    our own tree among them: an operator may use ffq itself.
    """
    try:
        return code()
    except BaseException as error:  # whatever it raises is its own: it runs on a thread
        if error is run.source.failure:
            raise
        failure = OperatorError(
            f"operator {run.operator.name!r} raised {type(error).__name__}"
            f"{_raised_at(run.operator, error)}: {_text(error)}"
        )
        raise run.faults.note(failure) from error


def _misused(operator: Operator, what: str) -> str:
    return (
        f"operator {operator.name!r}{_defined_at(operator)} {what}; right would be to yield "
        f"record batches, or to return an iterable of them"
    )


def _text(error: BaseException) -> str:
    """What it says of itself, if it can."""
    try:
        return str(error)
    except BaseException as broken:  # noqa: BLE001  # its author's code, on a thread
        return f"(its text cannot be had: {type(broken).__name__})"


def _raised_at(operator: Operator, error: BaseException) -> str:
    """Of the operator's own file the innermost line, as " at path.py:12" (R17).

    Where its file has no frame (Python makes a new error of a StopIteration that leaves a
    generator), it is one of what the error was made of. Where there is none either (it is no Python
    function, or another's code alone was running), the innermost line of any code that it ran.
    """
    _ours, *lines = _lines(error)
    code = _code(operator)
    made_of = [] if error.__cause__ is None else _lines(error.__cause__)
    for known in (lines, made_of):
        own = [line for line in known if code is not None and line[0] == code.co_filename]
        if own:
            return " at {}:{}".format(*own[-1])
    return " at {}:{}".format(*lines[-1]) if lines else ""


def _lines(error: BaseException) -> list[tuple[str, int]]:
    walked = traceback.walk_tb(error.__traceback__)
    return [(frame.f_code.co_filename, line) for frame, line in walked]


def _defined_at(operator: Operator) -> str:
    code = _code(operator)
    return "" if code is None else f" (at {code.co_filename}:{code.co_firstlineno})"


def _code(operator: Operator) -> CodeType | None:
    """Of the function that was decorated, whatever was wrapped around it."""
    function: Any = inspect.unwrap(operator.function)
    if isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _checked(run: _Run, batch: Any, schema: pa.Schema) -> pa.RecordBatch:
    if not isinstance(batch, pa.RecordBatch):
        what = f"a {type(batch).__name__}"
    elif not batch.schema.equals(schema):
        what = f"a batch with columns {_described(batch.schema)}"
    else:
        return batch
    failure = OperatorError(
        f"operator {run.operator.name!r}{_defined_at(run.operator)} yielded {what}; "
        f"right would be record batches with columns {_described(schema)}"
    )
    raise run.faults.note(failure)


def _described(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)
