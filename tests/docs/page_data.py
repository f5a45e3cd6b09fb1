"""The files and tables that a page says it reads and does not make itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import ffq
from tests.docs.blocks import Reader

WARM: Final = """
import ffq

@ffq.operator("warm", output_schema=lambda schema: schema)
def warm(batches, *, above: float = 20.0):
    return batches
"""


def write(reader: Reader, file: str, columns: dict[str, Any]) -> None:
    place = reader.folder / file
    place.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), place)


def orders(reader: Reader) -> None:
    names = [("ada", "bob", "eve")[n % 3] for n in range(300)]
    days = [date(2025, 1 + n % 12, 1) for n in range(300)]
    write(reader, "orders/1.parquet", {"customer": names, "day": days, "total": list(range(300))})


def operators(reader: Reader) -> None:
    session: ffq.Session = reader.names["session"]
    write(reader, "weather.parquet", {"celsius": [10.0, 35.0]})
    people = {"id": [1, 2], "name": ["ada", "bob"], "months": [2, 30], "calls": [9, 1]}
    write(reader, "customers.parquet", people)
    np.save(reader.folder / "weights.npy", np.array([-0.1, 1.0]))
    (reader.folder / "my_operators.py").write_text(WARM)
    session.register("customers", "customers.parquet")


def sales(reader: Reader) -> None:
    session: ffq.Session = reader.names["session"]
    session.register(
        "sales",
        {
            "day": [date(2025, 1, 30), date(2025, 1, 31), date(2025, 2, 1), date(2025, 2, 2)],
            "shop": ["Oslo", "Riga", "Oslo", "Oslo"],
            "amount": [10, 20, 30, 50],
        },
    )


def writing(reader: Reader) -> None:
    session: ffq.Session = reader.names["session"]
    columns = {"k": [1, 2], "v": [10, -20], "day": [date(2026, 1, 1)] * 2}
    write(reader, "t/1.parquet", columns)
    write(reader, "more/1.parquet", columns)
    session.register("t", "t")


PAGE_DATA: Final[dict[str, Callable[[Reader], None]]] = {
    "docs/operators.md": operators,
    "docs/python-api.md": orders,
    "docs/sql.md": sales,
    "docs/writing.md": writing,
}

WITH_SESSION: Final = {"docs/operators.md", "docs/sql.md", "docs/writing.md"}
"""Pages whose SQL and Python use a `session` that they do not open."""
