"""The SQL that writes the rows of a query into files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias, get_args

import attrs

from ffq.engine.sql import identifier, text
from ffq.errors import InvalidRequest, words
from ffq.plan.builder import WriteHow
from ffq.relation.pieces import checked_column
from ffq.relation.writing import bracketed

OptionValue: TypeAlias = str | int | bool

_MODES: Final[Mapping[str, str]] = {"create": "", "append": "APPEND", "replace": "OVERWRITE"}
_OPTION: Final = re.compile(r"[a-z_]+")
_OWN: Final = frozenset({"format", "partition_by", "append", "overwrite", "per_thread_output"})
"""Options of COPY that a method has arguments for, or that a path says."""


@attrs.frozen
class Copy:
    """Where rows go. path: absolute. format: parquet, csv or json. options: as they are written."""

    path: str
    format: str
    partition_by: tuple[str, ...]
    mode: WriteHow
    options: tuple[tuple[str, str], ...]

    def statement(self, query: str) -> str:
        """The statement that writes the rows of a query there."""
        options = [f"FORMAT {self.format}"]
        if self.partition_by:
            options.append(f"PARTITION_BY ({', '.join(map(identifier, self.partition_by))})")
        if word := _MODES[self.mode]:
            options.append(word)
        options += (f"{name} {text(value)}" for name, value in self.options)
        return f"COPY ({bracketed(query)}) TO {text(self.path)} ({', '.join(options)})"


def copy_to(
    path: str,
    format_: str,
    partition_by: str | Iterable[str],
    mode: WriteHow,
    options: Mapping[str, OptionValue],
) -> Copy:
    """Raises InvalidRequest: what cannot be one of these; names the method and the argument."""
    method = f"write_{format_}"
    if not isinstance(mode, str) or mode not in _MODES:
        listed = ", ".join(get_args(WriteHow))
        raise InvalidRequest(f"{method}: mode={words(mode, 40)}; right would be one of {listed}")
    if not isinstance(partition_by, Iterable):
        raise InvalidRequest(
            f"{method}: partition_by={words(partition_by, 40)}; right would be names of columns"
        )
    names = [partition_by] if isinstance(partition_by, str) else list(partition_by)
    for name, value in options.items():
        if not _OPTION.fullmatch(name) or name in _OWN:
            raise InvalidRequest(f"{method}: {words(name, 40)} is no option of the format")
        if not isinstance(value, str | int) or "\0" in str(value):
            raise InvalidRequest(
                f"{method}: {name}={words(value, 40)}; right would be a text, a number, True or "
                "False"
            )
    written = tuple(sorted((name, str(value)) for name, value in options.items()))
    return Copy(path, format_, tuple(map(checked_column, names)), mode, written)
