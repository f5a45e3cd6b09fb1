"""What a query's text names: tables, files, parameters; and what it may not call.

The engine's own parser reads it: a text that looks like one of these elsewhere is none. Its
functions are looked at here and not in the plan, where the planner has computed some already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs
import duckdb

from ffq.catalog.files import format_of_name
from ffq.engine.faults import one_line
from ffq.engine.scalars import ROW_FUNCTIONS
from ffq.errors import InvalidQuery
from ffq.sql.filecalls import READERS, table_options
from ffq.sql.kinds import ENGINE_ERRORS
from ffq.sql.shown import ShownTables, TableList, as_query
from ffq.sql.text import Edit, Edited, Token, query_error, tokens

Json = Mapping[str, Any]

_PARSE: Final = (
    "SELECT json_serialize_sql(?::VARCHAR, skip_null := true, skip_empty := true, "
    "skip_default := true)"
)
_READ: Final = "SELECT json_serialize_sql(?::VARCHAR)"
_WRITE: Final = "SELECT json_deserialize_sql(?::JSON)"
OPERATOR: Final = "op"
"""The function in FROM that runs an operator."""
_DEEPEST: Final = 400
"""JSON levels of what the engine says of a query: two for each call or operator."""
_NESTING: Final = frozenset({dict, list})
_MOST_SAID: Final = 400
"""Characters: of a function the engine lists every form there is."""
_BARE_BEFORE: Final = re.compile(rb"[^\s'\"(),;]*$")
_BARE_AFTER: Final = re.compile(rb"[^\s'\"(),;]*")
_SETTING: Final = re.compile(r' Use "?SET .*')
_ROWS: Final = frozenset({"range", "generate_series", "unnest"}) | ROW_FUNCTIONS
"""Functions in FROM that read nothing."""
_SESSION_NAMES: Final = """
    current_catalog current_connection_id current_database current_query current_query_id
    current_role current_schema current_schemas current_setting current_transaction_id
    current_user currval getenv getvariable in_search_path nextval pg_sleep session_user setseed
    setval sleep_ms stats txid_current user vector_type write_log
"""
_SESSION: Final = frozenset(_SESSION_NAMES.split())
"""Functions about the session that computes, which is another in every worker."""
_OF_VALUES: Final = frozenset({"pg_size_pretty", "pg_typeof"})
_SESSION_PREFIXES: Final = ("duckdb_", "has_", "inet_", "pg_", "pragma_")


@attrs.frozen
class TableRef:
    """A table in FROM.

    Attributes:
        name: as the text has it, a name or the path of a file.
        token: where that stands; None: the parser does not say.
        aliased: whether the text calls it otherwise.
    """

    name: str
    token: Token | None
    aliased: bool


@attrs.frozen
class ParameterRef:
    """`?`, `$1` or `$name`; those without a name are numbered."""

    name: str
    start: int
    end: int


@attrs.frozen
class FileCall:
    """A function in FROM that reads files: `read_csv('a.csv', delim := ';')`.

    Attributes:
        function: its name; `start` and `end` are the bytes of the whole call.
        format: of the files.
        paths: as the text has them, or parameters that say them.
        options: by the names that an entry of a catalog file has for them.
    """

    function: str
    start: int
    end: int
    format: str
    paths: tuple[str | ParameterRef, ...]
    options: tuple[tuple[str, Any], ...]
    aliased: bool


@attrs.frozen
class Parsed:
    """What stands in the text of one query.

    Attributes:
        operators: whether it calls any.
        lists: lists of all tables.
        edits: those that make a query of DESCRIBE, SUMMARIZE and SHOW.
    """

    text: bytes
    tables: tuple[TableRef, ...]
    files: tuple[FileCall, ...]
    parameters: tuple[ParameterRef, ...]
    ctes: frozenset[str]
    operators: bool
    lists: tuple[TableList, ...] = ()
    edits: tuple[Edit, ...] = ()


class QueryParser:
    """Reads queries, and runs nothing."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(
            config={"memory_limit": "512MB", "threads": 1, "enable_external_access": False}
        )

    def close(self) -> None:
        self._connection.close()

    def read(self, sql: str) -> dict[str, Any]:
        """The statement as the engine's parser has it, with all its parts; `write` takes it."""
        ((written,),) = self._connection.execute(_READ, [sql]).fetchall()
        found = read_json(written)
        if found.get("error"):
            raise complaint(found, Edited(sql.encode(), sql.encode()))
        statement: dict[str, Any] = found["statements"][0]
        return statement

    def write(self, statement: Json) -> str:
        """Its text again."""
        written = json.dumps({"error": False, "statements": [statement]})
        ((text,),) = self._connection.execute(_WRITE, [written]).fetchall()
        return str(text)

    def parse(self, sql: str) -> Parsed:
        """Raises InvalidQuery: it is no query, or calls what a query may not; says where."""
        try:
            ((written,),) = self._connection.execute(_PARSE, [sql]).fetchall()
        except ENGINE_ERRORS as error:
            raise InvalidQuery(f"the query cannot be read: {one_line(error)}") from error
        found = read_json(written)
        text = sql.encode()
        if found.get("error"):
            raise complaint(found, Edited(text, text))
        return _Reader(text).read(found["statements"])


def read_json(written: str) -> Any:
    """Raises InvalidQuery: it nests deeper than is read."""
    try:
        found = json.loads(written)
    except RecursionError:
        raise _too_deep() from None
    level = [found]
    for _ in range(_DEEPEST):
        # By type() and in one expression: this looks at each value of each plan.
        level = [
            below
            for each in level
            for below in (each.values() if type(each) is dict else each)
            if type(below) in _NESTING
        ]
        if not level:
            return found
    raise _too_deep()


def _too_deep() -> InvalidQuery:
    return InvalidQuery("the query nests too deep: right would be one of less brackets and calls")


def complaint(found: Json, text: Edited) -> InvalidQuery:
    """The engine's own words, and the place that they are about, in the text before its edits."""
    said = " ".join(str(found.get("error_message", "the query cannot be planned")).split())
    said = _SETTING.sub("", said)  # nobody can set anything here
    if len(said) > _MOST_SAID:
        said = f"{said[:_MOST_SAID]}…"
    position = found.get("position")
    at = None if position is None else text.original(int(position))
    if at is not None and said.startswith(("syntax error", "unterminated")):
        said += _file_hint(text.first, at)
    return query_error(said, text.first, at)


def _file_hint(text: bytes, at: int) -> str:
    """Where a syntax error is in what is called as a file is: how those are written."""
    begin = _BARE_BEFORE.search(text, max(0, at - _MOST_SAID), at)
    end = _BARE_AFTER.match(text, at, at + _MOST_SAID)
    assert begin is not None
    assert end is not None
    name = (begin[0] + end[0]).decode(errors="replace")
    return f"; {_quote(name)}" if format_of_name(name) else ""


def _quote(name: str) -> str:
    return f"the path of a file stands in quotes: '{name}'"


class _Reader:
    def __init__(self, text: bytes) -> None:
        self._text = text
        self._tables: list[TableRef] = []
        self._files: list[FileCall] = []
        self._parameters: dict[int, ParameterRef] = {}
        self._ctes: set[str] = set()
        self._operators = False
        self._in_from: set[int] = set()
        """By id, the calls of functions that stand in FROM: they are met after where they stand."""
        self._shown = ShownTables(text)

    def read(self, statements: Any) -> Parsed:
        for node in _nodes(statements):
            self._visit(node)
        (statement,) = statements
        is_shown = statement["node"].get("from_table", {}).get("type") == "SHOW_REF"
        return Parsed(
            self._text,
            tuple(self._tables),
            tuple(self._files),
            tuple(self._parameters.values()),
            frozenset(self._ctes),
            self._operators,
            tuple(self._shown.lists),
            (*(as_query(self._text) if is_shown else ()), *self._shown.edits),
        )

    def _visit(self, node: Json) -> None:
        self._ctes.update(
            each["key"].lower() for each in (node.get("cte_map") or {}).get("map", ())
        )
        match node.get("type"):
            case "BASE_TABLE":
                self._table(node)
            case "TABLE_FUNCTION":
                self._table_function(node)
            case "SHOW_REF":
                if (shown := self._shown.read(node)) is not None:
                    self._tables.append(TableRef(*shown, aliased=True))
            case "VALUE_PARAMETER":
                found = self._parameter(node)
                self._parameters[found.start] = found
            case "FUNCTION":
                self._function(node)
            case _:
                pass

    def _fail(self, message: str, node: Json) -> InvalidQuery:
        return query_error(message, self._text, node.get("query_location"))

    def _span(self, node: Json) -> tuple[int, int]:
        start = node.get("query_location", 0)
        return start, start + node.get("query_location_length", len(self._text) - start)

    def _parameter(self, node: Json) -> ParameterRef:
        start: int = node["query_location"]
        return ParameterRef(node["identifier"], start, start + node["query_location_length"])

    def _function(self, node: Json) -> None:
        name = node["function_name"].lower()
        if name == OPERATOR and id(node) not in self._in_from:
            raise self._fail(
                f"{OPERATOR}(...) gives rows, and stands in FROM; right would be "
                f"SELECT ... FROM {OPERATOR}('name', (SELECT ...))",
                node,
            )
        if name in _SESSION or (name.startswith(_SESSION_PREFIXES) and name not in _OF_VALUES):
            raise self._fail(
                f"the function {name} tells of a session or acts on it, and is not run", node
            )

    def _table(self, node: Json) -> None:
        schema, name = node.get("schema_name", ""), node.get("table_name", "")
        if node.get("catalog_name") or schema.lower() not in {"", "main"}:
            path = node["qualified_name"]["path"]
            known = None if "query_location" in node else self._shown.named(path[0])
            at = node.get("query_location") if known is None else known.start
            dotted = ".".join(path)
            hint = _quote(dotted) if format_of_name(dotted) else "tables stand in no schema here"
            raise query_error(f"no such table: {dotted}; {hint}", self._text, at)
        if "query_location" not in node:
            self._tables.append(TableRef(name, self._shown.named(name), aliased=True))
            return
        found = (token for token in tokens(self._text, *self._span(node)) if _says(token, name))
        self._tables.append(TableRef(name, next(found, None), bool(node.get("alias"))))

    def _table_function(self, node: Json) -> None:
        function = node["function"]
        name = function["function_name"].lower()
        if name in _ROWS:
            return
        if name == OPERATOR:
            self._operators = True
            self._in_from.add(id(function))
            self._operator_input(function)
            return
        kind = READERS.get(name)
        if kind is None or len(function["qualified_name"]["path"]) > 1:
            raise self._fail(
                f"the table function {name} is not run; those that are: "
                f"{', '.join(sorted([OPERATOR, *_ROWS, *READERS]))}",
                node,
            )
        paths: tuple[Any, ...] | None = None
        options = []
        for argument in function.get("arguments", ()):
            option, expression = _named(argument)
            value = self._constant(expression, name, node)
            if option:
                if isinstance(value, ParameterRef):
                    raise self._fail(f"{name}: {option} is a parameter, and not a constant", node)
                options.append((option, value))
            elif paths is None:
                paths = tuple(value if isinstance(value, list) else [value])
        if not paths or not all(isinstance(path, str | ParameterRef) for path in paths):
            raise self._fail(f"{name}: right would be a path in quotes, or a list of such", node)
        try:
            given = table_options(name, options)
        except InvalidQuery as error:
            raise self._fail(error.message, node) from None
        start, end = self._call(name, node)
        aliased = bool(node.get("alias"))
        self._files.append(FileCall(name, start, end, kind, paths, tuple(given.items()), aliased))

    def _operator_input(self, function: Json) -> None:
        """What it names as its input is a table; a query there is read as any other."""
        for argument in function.get("arguments", ()):
            given = argument["expression"]
            if given.get("type") == "COLUMN_REF" and not argument.get("name"):
                name = given["column_names"][-1]
                token = next(iter(tokens(self._text, *self._span(given))), None)
                self._tables.append(TableRef(name, token, aliased=True))

    def _constant(self, node: Json, function: str, call: Json) -> Any:
        match node.get("type"):
            case "VALUE_CONSTANT" if node["literal"]["kind"] in _LITERALS:
                literal = node["literal"]
                return _LITERALS[literal["kind"]](literal.get("text", ""))
            case "FUNCTION" if node["function_name"] in {"list_value", "struct_pack"}:
                items = [
                    (each.get("name", ""), self._constant(each["expression"], function, call))
                    for each in node.get("arguments", ())
                ]
                keyed = node["function_name"] == "struct_pack"
                return dict(items) if keyed else [value for _, value in items]
            case "ARRAY_CONSTRUCTOR":
                return [self._constant(each, function, call) for each in node.get("children", ())]
            case "VALUE_PARAMETER":
                return self._parameter(node)
            case _:
                raise self._fail(f"{function}: its arguments are constants, and this is none", call)

    def _call(self, name: str, node: Json) -> tuple[int, int]:
        """Where the function's name begins, and its closing bracket ends."""
        start: int | None = None
        depth = 0
        for token in tokens(self._text, *self._span(node)):
            if start is None:
                if token.kind in {"word", "name"} and token.value.lower() == name:
                    start = token.start
            elif token.raw == b"(":
                depth += 1
            elif token.raw == b")":
                depth -= 1
                if not depth:
                    return start, token.end
        raise self._fail(f"the end of {name}(...) is not found in the text", node)


def _says(token: Token, name: str) -> bool:
    if token.kind == "word":
        return token.value.lower() == name.lower()
    return token.kind in {"text", "name"} and token.value == name


def _named(argument: Json) -> tuple[str, Json]:
    """`name := value` and `name = value`; without a name it is ''."""
    expression = argument["expression"]
    if not argument.get("name") and expression.get("type") == "COMPARE_EQUAL":
        left = expression["left"]
        if left.get("type") == "COLUMN_REF" and len(left["column_names"]) == 1:
            return left["column_names"][0].lower(), expression["right"]
    return argument.get("name", "").lower(), expression


def _number(text: str) -> int | float:
    return float(text) if any(sign in text for sign in ".eE") else int(text)


_LITERALS: Final[dict[str, Callable[[str], Any]]] = {
    "STRING": str,
    "BOOLEAN": lambda text: text == "true",
    "INTEGER": _number,
    "NUMERIC": _number,
    "NULL_LITERAL": lambda _text: None,
}


def _nodes(value: Any) -> Iterator[Json]:
    """Every object in it, in the order of the text as far as the parser keeps that."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, list):
            pending.extend(reversed(each))
        elif isinstance(each, dict):
            yield each
            pending.extend(reversed(each.values()))
