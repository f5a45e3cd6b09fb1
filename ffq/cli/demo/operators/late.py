"""`demo.days_late`: what the plan vocabulary has no word for, in Python: days between two dates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from ffq.cli.demo.queries import LATE_OPERATOR
from ffq.engine.operators import operator


@operator(LATE_OPERATOR)
def days_late(
    batches: Iterator[pa.RecordBatch], config: Mapping[str, str]
) -> Iterable[pa.RecordBatch]:
    """Keep lines received at least `config["at_least"]` days after the promised date.

    Takes the columns l_shipmode, l_commitdate and l_receiptdate; gives l_shipmode (string)
    and days_late (int64).
    """
    at_least = int(config["at_least"])
    for batch in batches:
        days = pc.days_between(batch["l_commitdate"], batch["l_receiptdate"])
        lines = pa.record_batch({"l_shipmode": batch["l_shipmode"], "days_late": days})
        yield lines.filter(pc.greater_equal(days, at_least))
