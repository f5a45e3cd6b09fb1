"""Sums of decimals that may pass 38 digits on the way to a result that does not.

Such a sum is two: `low`, and `high`, which counts units of 10^19 of the last place. A value is
divided only where 10^12 of its size could fill `low`, so that usual ones cost no division. Both
sums are exact, and so are the same in whatever order and however many parts rows are summed.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from ffq.engine.types import MAX_DIGITS, decimal_parts

_CUT: Final = 19
_FEW_DIGITS: Final = 26
_LOW: Final = re.compile(rf"low DECIMAL\({MAX_DIGITS},(\d+)\)")


def is_wide(kind: str) -> bool:
    """Whether 10^12 values of a type may pass 38 digits."""
    parts = decimal_parts(kind)
    return parts is not None and parts[0] > _FEW_DIGITS


def wide_scale(state: str) -> int | None:
    """Of the decimals that a state of this type sums; None where it holds no wide sum."""
    found = _LOW.search(state)
    return None if found is None else int(found[1])


def wide_sum(value: str, scale: int) -> str:
    """The state: null over no values."""
    bound = _decimal(Decimal(10) ** (_FEW_DIGITS - scale), scale)
    few = f"{value} BETWEEN -{bound} AND {bound}"
    low = f"sum(CASE WHEN {few} THEN {value} ELSE {_low(value, scale)} END)"
    high = f"sum(CASE WHEN {few} THEN {_high('0', scale)} ELSE {_high(value, scale)} END)"
    return f"struct_pack(high := {high}, low := {low})"


def wide_total(state: str, scale: int, overflow: str) -> str:
    """The sum from states, as a decimal.

    Args:
        overflow: SQL for a sum of more than 38 digits.
    """
    high, low = _parts(state, scale)
    whole, _, unit = _scales(scale)
    limit = _decimal(Decimal(10) ** (_CUT - whole), whole)
    times = f"CAST({unit} AS DECIMAL({_CUT + 1},0))"
    total = f"CAST({high} * {times} AS DECIMAL({MAX_DIGITS},{scale})) + {low}"
    return f"CASE WHEN abs({high}) >= {limit} THEN {overflow} ELSE {total} END"


def wide_double(state: str, scale: int) -> str:
    """The sum from states, as a double: it may have more digits than a decimal."""
    high, low = _parts(state, scale)
    return f"(CAST({high} AS DOUBLE) * {_scales(scale)[2]} + CAST({low} AS DOUBLE))"


def _parts(state: str, scale: int) -> tuple[str, str]:
    """`high` and `low` of one sign, `low` less than a unit: neither is more than the sum."""
    all_low = f"sum({state}.low)"
    high, low = f"(sum({state}.high) + {_high(all_low, scale)})", _low(all_low, scale)
    whole, _, _ = _scales(scale)
    one = f"CASE WHEN sign({high}) * sign({low}) < 0 THEN sign({high}) ELSE 0 END"
    step = _decimal(Decimal(10) ** -whole, whole)
    return f"({high} - {step} * ({one}))", f"({low} + {_unit(scale)} * ({one}))"


def _scales(scale: int) -> tuple[int, int, int]:
    """Of `high`: its scale, the digits before the point that it lacks, and one of its units."""
    missing = max(_CUT - scale, 0)
    return max(scale - _CUT, 0), missing, 10**missing


def _high(value: str, scale: int) -> str:
    whole, missing, unit = _scales(scale)
    cut = f"CAST(trunc({value}) AS HUGEINT) // {unit}" if missing else f"trunc({value}, {whole})"
    return f"CAST({cut} AS DECIMAL({MAX_DIGITS},{whole}))"


def _low(value: str, scale: int) -> str:
    return f"({value} % {_unit(scale)})"


def _unit(scale: int) -> str:
    return _decimal(Decimal(10) ** (_CUT - scale), scale)


def _decimal(value: Decimal, scale: int) -> str:
    return f"CAST('{value:f}' AS DECIMAL({MAX_DIGITS},{scale}))"
