"""Arrow streams on their way into DuckDB and out of it."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from ffq.engine.cancel import CancelToken
from ffq.engine.faults import Faults, one_line
from ffq.errors import FfqError, ShuffleInputError

PLACEHOLDER = pa.schema([pa.field("_", pa.int8())])
"""DuckDB takes no stream without columns: one that only counts rows gets this column."""


def guarded(
    reader: pa.RecordBatchReader, faults: Faults, cancel: CancelToken
) -> pa.RecordBatchReader:
    """The reader's batches for DuckDB to scan once; notes why reading failed.

    Columns are renamed by position, so that equal names do not collide.
    """
    names = [f"c{at}" for at in range(len(reader.schema.names))]
    fields = [reader.schema.field(at).with_name(name) for at, name in enumerate(names)]
    schema = pa.schema(fields) if fields else PLACEHOLDER

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            for batch in reader:
                cancel.check()
                yield _with_schema(batch, schema)
        except FfqError as error:
            raise faults.note(error) from error
        except (OSError, pa.ArrowException) as error:
            wrapped = ShuffleInputError(f"a shuffle input cannot be read: {one_line(error)}")
            raise faults.note(wrapped) from error

    return pa.RecordBatchReader.from_batches(schema, batches())


def _with_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if schema is PLACEHOLDER:
        return pa.RecordBatch.from_arrays([pa.nulls(batch.num_rows, pa.int8())], schema=schema)
    return pa.RecordBatch.from_arrays(batch.columns, schema=schema)
