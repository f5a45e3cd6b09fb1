"""Running a custom operator over a stream of batches."""

from __future__ import annotations

import functools
import inspect
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from types import CodeType
from typing import Any, Final, TypeVar

import attrs
import duckdb
import pyarrow as pa

from ffq.engine.cancel import CancelToken
from ffq.engine.faults import Faults
from ffq.engine.frames import FORMATS, Unconvertible
from ffq.engine.instances import Instance, Instances
from ffq.engine.operators import Operator
from ffq.engine.output_schemas import Mismatch, conformed, described
from ffq.errors import FfqError, OperatorError
from ffq.plan.model import Custom

T = TypeVar("T")

_END: Final = object()
"""What no operator yields."""


class OperatorInput(Iterator[Any]):
    """What an operator reads, in its format, on any thread. Only what fails here is no fault of it.

    A thread of the operator's may outlive it: `end` when the operator has ended, and `close` before
    what the batches come from is closed, which would take it away under that thread's hands.

    Attributes:
        empty: the one batch that was read is there because there was none.
    """

    def __init__(
        self,
        operator: Operator,
        batches: Iterable[pa.RecordBatch],
        schema: pa.Schema,
        faults: Faults,
        cancel: CancelToken,
    ) -> None:
        """Raises OperatorError: the library of its batch format cannot be imported."""
        self._operator = operator
        self.schema = schema
        self.format = FORMATS[operator.batch_format](operator.name)
        self.empty = False
        self._batches = self._at_least_one(batches)
        self._faults = faults
        self._cancel = cancel
        self._failed = False
        self._ended = False
        self._pulling = threading.Lock()

    @property
    def failure(self) -> FfqError | None:
        """What it failed with, however the operator took that."""
        return self._faults.first if self._failed else None

    def __next__(self) -> Any:
        return self._framed(self._pulled())

    def _pulled(self) -> pa.RecordBatch:
        with self._pulling:
            self._check()
            try:
                return next(self._batches)
            except (FfqError, duckdb.Error, pa.ArrowException, OSError) as error:
                self._check()
                self._failed = True
                raise self._faults.note(self._faults.translate(error, self._cancel)) from error

    def _framed(self, batch: pa.RecordBatch) -> Any:
        try:
            return self.format.from_arrow(batch)
        except Exception as error:  # whatever the library raises
            self._failed = True
            failure = OperatorError(
                f"operator {self._operator.name!r} takes {self.format.noun}, which do not hold its "
                f"input ({described(self.schema)}): {type(error).__name__}: {_text(error)}"
            )
            raise self._faults.note(failure) from error

    def _at_least_one(self, source: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """A function that maps batch to batch so shows its output's schema also for no rows."""
        empty = True
        for batch in source:
            empty = False
            yield batch
        if empty:
            self.empty = True
            yield pa.RecordBatch.from_pylist([], schema=self.schema)

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
    config: dict[str, Any]
    source: OperatorInput
    instances: Instances
    faults: Faults
    cancel: CancelToken


def operator_reader(
    node: Custom,
    operator: Operator,
    source: OperatorInput,
    instances: Instances,
    faults: Faults,
    cancel: CancelToken,
) -> pa.RecordBatchReader:
    """What the operator gives, as it gives it. Runs it up to its first batch.

    Args:
        node: the plan's node.
        operator: the one of that name.
        source: its input, read once.
        instances: where one that is a class is set up.
        faults: told what it raises.
        cancel: stops it between batches.

    Raises:
        PlanningError: the node's config is none that it takes; names the key.
        OperatorError: it raised (or does so while the reader is read), or gave something else
            than batches of one schema. Names the operator, what it said, and file and line.
    """
    config = operator.parameters.read(operator.name, dict(node.config))
    declared = operator.schema_over(source.schema)
    run = _Run(node, operator, config, source, instances, faults, cancel)
    outputs = _outputs(run, declared)
    first = next(outputs, None)
    if declared is not None:
        schema = declared
    elif first is not None:
        schema = first.schema
    else:
        schema = source.schema

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            if first is not None:
                yield first
            yield from outputs
        finally:
            outputs.close()

    return pa.RecordBatchReader.from_batches(schema, batches())


def _outputs(run: _Run, declared: pa.Schema | None) -> Generator[pa.RecordBatch, None, None]:
    """Record batches of one schema, made of what it gives."""
    schema, why = declared, "as it declares"
    with ExitStack() as closing:
        closing.callback(run.source.end)
        skips_empty = declared is not None
        given = _mapped(run, skips_empty, closing) if run.operator.is_class else _streamed(run)
        for value in given:
            table = _table(run, value, schema, why)
            if schema is None:
                schema, why = table.schema, "as in its first batch"
            # A table without rows may be without batches, which would hide its schema.
            yield from table.to_batches() or [pa.RecordBatch.from_pylist([], schema=schema)]


def _streamed(run: _Run) -> Iterator[Any]:
    """Of a function: what it yields."""
    return _yielded(run, _step(run, functools.partial(_called, run, run.source)))


def _called(run: _Run, *args: object) -> Any:
    if run.operator.parameters.whole:
        return run.operator.code(*args, run.config)
    return run.operator.code(*args, **run.config)


def _mapped(run: _Run, skips_empty: bool, closing: ExitStack) -> Iterator[Any]:
    """Of a class: what its instance gives for each batch."""
    instance: Instance | None = None
    while True:
        run.cancel.check()
        batch: Any = next(run.source, _END)
        if batch is _END or (run.source.empty and skips_empty):
            return
        if instance is None:
            key = (run.operator, run.node.config)
            make = functools.partial(_step, run, functools.partial(_called, run))
            instance = closing.enter_context(run.instances.using(key, make, run.cancel))
        returned = _guarded(run, instance, functools.partial(instance.value, batch))
        if _is_batch(run, returned):
            yield returned
        else:
            yield from _yielded(run, returned, instance)


def _guarded(run: _Run, instance: Instance | None, code: Callable[[], T]) -> T:
    """A step, while which no other thread takes one of the same instance.

    It ends with the step: between two of a generator, the engine may wait for another generator.
    """
    if instance is None or run.operator.concurrent:
        return _step(run, code)
    with instance.alone(run.cancel):
        return _step(run, code)


def _yielded(run: _Run, returned: object, instance: Instance | None = None) -> Iterator[Any]:
    # Some frames are iterables, of their columns.
    if not isinstance(returned, Iterable) or hasattr(returned, "columns"):
        what = "None" if returned is None else f"a {type(returned).__name__}"
        raise run.faults.note(OperatorError(_misused(run, f"returned {what}")))
    given = _guarded(run, instance, functools.partial(iter, returned))
    while True:
        value: Any = _guarded(run, instance, functools.partial(next, given, _END))
        run.cancel.check()
        if run.source.failure is not None:
            raise run.source.failure  # it did not see all of its input, whatever it made of that
        if value is _END:
            return
        if value is None:
            raise run.faults.note(OperatorError(_misused(run, "yielded None")))
        yield value


def _is_batch(run: _Run, value: object) -> bool:
    return isinstance(value, pa.RecordBatch | pa.Table) or run.source.format.is_frame(value)


def _table(run: _Run, value: Any, schema: pa.Schema | None, why: str) -> pa.Table:
    """What it gave, as Arrow data of that schema, if there is one yet.

    Raises OperatorError: it is none.
    """
    form = run.source.format
    who = f"operator {run.operator.name!r}{_defined_at(run.operator)}"
    if not _is_batch(run, value):
        columns = "" if schema is None else f" with columns {described(schema)}"
        failure = OperatorError(
            f"{who} yielded a {type(value).__name__}; right would be {form.noun}{columns}"
        )
        raise run.faults.note(failure)
    try:
        if isinstance(value, pa.RecordBatch):
            table = pa.Table.from_batches([value])
        else:
            table = value if isinstance(value, pa.Table) else form.to_arrow(value)
        if schema is None:
            return table
        return conformed(table, schema, casts=form.casts, why=why)
    except Exception as error:
        said = _text(error)
        if not isinstance(error, Mismatch | Unconvertible):
            said = f"that is no Arrow data: {type(error).__name__}: {said}"
        what = "batch" if isinstance(value, pa.RecordBatch | pa.Table) else "data frame"
        failure = OperatorError(f"{who} yielded a {what} {said}")
        raise run.faults.note(failure) from error


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


def _misused(run: _Run, what: str) -> str:
    noun = run.source.format.noun
    right = f"to yield {noun}, or to return an iterable of them"
    return (
        f"operator {run.operator.name!r}{_defined_at(run.operator)} {what}; right would be {right}"
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
    function: Any = inspect.unwrap(operator.code)
    if isinstance(function, functools.partial):
        function = function.func
    if operator.is_class:
        function = function.__call__
    elif not inspect.isroutine(function):
        function = type(function).__call__
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code if isinstance(code, CodeType) else None
