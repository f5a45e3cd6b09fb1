"""Running a custom operator over a stream of batches."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any

import attrs
import pyarrow as pa

from ffq.engine.cancel import CancelToken
from ffq.engine.faults import Faults
from ffq.engine.operators import Operator
from ffq.errors import FfqError, OperatorError
from ffq.plan.model import Custom


@attrs.frozen
class _Run:
    node: Custom
    operator: Operator
    faults: Faults
    cancel: CancelToken


def operator_reader(
    node: Custom,
    operator: Operator,
    source: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    faults: Faults,
    cancel: CancelToken,
) -> pa.RecordBatchReader:
    """What the operator yields, as it yields it. Runs it up to its first batch.

    Args:
        node: the plan's node.
        operator: the function of that name.
        source: its input, read once.
        schema: the input's.
        faults: told what it raises.
        cancel: stops it between batches.

    Raises:
        OperatorError: it raised (or does so while the reader is read), or yielded something else
            than batches of one schema. Names the operator and what it said.
    """
    run = _Run(node, operator, faults, cancel)
    outputs = _outputs(run, _at_least_one(source, schema))
    first = next(outputs, None)
    if operator.schema is not None:
        schema = operator.schema
    elif first is not None:
        schema = _checked(run, first, getattr(first, "schema", schema)).schema

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


def _outputs(run: _Run, source: Iterator[pa.RecordBatch]) -> Generator[pa.RecordBatch, None, None]:
    try:
        for batch in run.operator.function(source, dict(run.node.config)):
            run.cancel.check()
            yield batch
    except FfqError as error:
        # Its input failed, or it was canceled: no fault of the operator.
        raise run.faults.note(error) from error
    except (Exception, SystemExit) as error:
        failure = OperatorError(
            f"operator {run.operator.name!r} raised {type(error).__name__}: {error}"
        )
        raise run.faults.note(failure) from error


def _checked(run: _Run, batch: Any, schema: pa.Schema) -> pa.RecordBatch:
    if not isinstance(batch, pa.RecordBatch):
        what = f"a {type(batch).__name__}"
    elif not batch.schema.equals(schema):
        what = f"a batch with columns {_described(batch.schema)}"
    else:
        return batch
    failure = OperatorError(
        f"operator {run.operator.name!r} yielded {what}; "
        f"right would be record batches with columns {_described(schema)}"
    )
    raise run.faults.note(failure)


def _described(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name}: {field.type}" for field in schema)
