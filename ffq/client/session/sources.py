"""Where relations of a session begin."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from ffq.client.session.tables import Place, checked_name, defined
from ffq.errors import InvalidRequest
from ffq.relation.steps import Query, Step, Table
from ffq.sql.parameters import Parameters, dump_parameters

R = TypeVar("R")
Places: TypeAlias = Place | Sequence[Place]

_numbers = itertools.count(1)


class Sources(ABC, Generic[R]):
    """Of a session whose relations are `R`. All raise InvalidRequest."""

    def table(self, name: str) -> R:
        """The rows of a table: one that is registered, else the coordinator's of that name.

        Raises InvalidRequest: no name. That there is no such table is said when it is planned.
        """
        return self._relation(Table(checked_name(name)))

    def sql(self, text: str, parameters: Parameters | None = None) -> R:
        """The rows of a query in DuckDB's SQL. It is planned when its rows are asked for.

        Args:
            parameters: values for `?` and `$1` as a list, or for `$name` by name: None, numbers,
                texts, bytes, dates and times, decimals, UUIDs; lists and dicts of these.

        Raises:
            InvalidRequest: no text, or a value that SQL has no type for.
        """
        if not isinstance(text, str):
            raise InvalidRequest(
                f"sql: a {type(text).__name__}; right would be the text of a query"
            )
        return self._relation(Query(text, dump_parameters(parameters)))

    def read_parquet(self, files: Places, **options: object) -> R:
        """The rows of Parquet files.

        Args:
            files: a path, folder, glob or URI, or a list of these.
            options: of the format (docs/tables.md).

        Raises:
            InvalidRequest: no place, or an option that the format has not.
        """
        return self._files(files, "parquet", options)

    def read_csv(self, files: Places, **options: object) -> R:
        """As `read_parquet`, of CSV files."""
        return self._files(files, "csv", options)

    def read_json(self, files: Places, **options: object) -> R:
        """As `read_parquet`, of files with a JSON object on each line."""
        return self._files(files, "json", options)

    def _files(self, files: Places, format_: str, options: Mapping[str, object]) -> R:
        definition = defined("files", files, format_, options)
        name = f"{Path(definition.paths[0]).name or 'files'} #{next(_numbers)}"
        return self._relation(Table(name, defined(name, files, format_, options)))

    @abstractmethod
    def _relation(self, step: Step) -> R: ...
