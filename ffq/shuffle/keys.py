"""Keys that are exchanged apart from their rows: each once, as far as they are met together."""

from __future__ import annotations

import pyarrow as pa


def distinct(keys: pa.Table) -> pa.Table:
    """Rows that are alike once. All of them, where Arrow does not tell such values apart."""
    names = [str(at) for at in range(keys.num_columns)]
    try:
        grouped = keys.rename_columns(names).group_by(names, use_threads=False).aggregate([])
    except pa.ArrowNotImplementedError:
        return keys
    return pa.Table.from_arrays(grouped.select(names).columns, schema=keys.schema)
