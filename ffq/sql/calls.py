"""How operators are called in SQL: `op('name', (SELECT ...), key => value, ...)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

import attrs

from ffq.engine.sql import identifier
from ffq.engine.types import FLOATS, INTEGERS
from ffq.errors import InvalidQuery
from ffq.plan.configs import ConfigValue
from ffq.sql.parsing import OPERATOR, QueryParser

_NUMBERS: Final = FLOATS | {"DECIMAL"}
_RIGHT: Final = "op('name', (SELECT ...), key => value, ...)"


@attrs.frozen
class Call:
    """op(...) as it is written. query: as the parser has it, of its input."""

    name: str
    query: dict[str, Any]
    config: Mapping[str, ConfigValue]
    returns: Mapping[str, ConfigValue] | None
    whole: bool

    def refuse(self, why: str, cause: Exception | None = None) -> NoReturn:
        raise InvalidQuery(f"{OPERATOR}({self.name!r}): {why}") from cause


def is_operator(function: Mapping[str, Any]) -> bool:
    return function["function_name"].lower() == OPERATOR and not function.get("schema")


def read_call(function: Mapping[str, Any], parser: QueryParser) -> Call:
    """Raises InvalidQuery, without a place: it is not called as it must be."""
    arguments = function["arguments"]
    bare = [each["expression"] for each in arguments if not each["name"]]
    name = _text(bare[0]) if bare else None
    if name is None:
        raise InvalidQuery(
            f"{OPERATOR}(...): its first argument is no text; right would be {_RIGHT}"
        )
    call = Call(name, {}, {}, None, whole=False)
    if len(bare) != 2:
        call.refuse(
            f"it has {len(bare) - 1} arguments without a name after the first; right would be "
            f"{_RIGHT}"
        )
    config: dict[str, ConfigValue] = {}
    for each in arguments:
        if each["name"] in config:
            call.refuse(f"{each['name']!r} is given twice")
        if each["name"]:
            config[each["name"]] = _value(call, each["name"], each["expression"])
    over, returns = config.pop("over", None), config.pop("returns", None)
    if over not in {None, "all"}:
        call.refuse(f"over is {over!r}; right would be over => 'all', where one task sees all rows")
    if returns is not None and not (isinstance(returns, dict) and returns):
        call.refuse(_right_returns(returns))
    query = _query(call, bare[1], parser)
    return Call(name, query, config, returns, whole=over is not None)


def _query(call: Call, given: Mapping[str, Any], parser: QueryParser) -> dict[str, Any]:
    """The input as a query: of a table's name, all of it."""
    if given["type"] == "SUBQUERY" and given["subquery_type"] == "SCALAR":
        query: dict[str, Any] = given["subquery"]
        return query
    if given["type"] == "COLUMN_REF":
        return parser.read(f"FROM {'.'.join(map(identifier, given['column_names']))}")
    return call.refuse(f"its input is neither a query nor a table's name; right would be {_RIGHT}")


def _value(call: Call, key: str, given: Mapping[str, Any]) -> ConfigValue:
    """A constant, or a list or struct of constants."""
    parts = given.get("arguments", ())
    if given["type"] == "VALUE_CONSTANT":
        return _constant(given["literal"])
    if given["type"] == "OPERATOR_CAST":
        return _converted(call, key, given)
    if given.get("function_name") == "list_value":
        return [_value(call, key, each["expression"]) for each in parts]
    if given.get("function_name") == "struct_pack":
        return {each["name"]: _value(call, key, each["expression"]) for each in parts}
    if given.get("function_name") == "map":
        keys, values = (_value(call, key, each["expression"]) for each in parts)
        if isinstance(keys, list) and isinstance(values, list) and len(keys) == len(values):
            names = [each for each in keys if isinstance(each, str)]
            if len(names) == len(keys):
                return dict(zip(names, values, strict=True))
    return _no_constant(call, key)


def _converted(call: Call, key: str, given: Mapping[str, Any]) -> ConfigValue:
    """A constant with a type, as parameters are written: a number, or the text of any other."""
    value = _value(call, key, given["child"])
    kind = given["type_expr"].get("type_name", "").upper()
    number = int if kind in INTEGERS else float if kind in _NUMBERS else None
    if number is None:
        return value if isinstance(value, str) else _no_constant(call, key)
    try:
        return number(value) if isinstance(value, str | int | float) else _no_constant(call, key)
    except ValueError:
        return _no_constant(call, key)


def _no_constant(call: Call, key: str) -> NoReturn:
    call.refuse(
        f"{key} is no constant; right would be a number, a text, true, false, null, or a list or "
        f"struct of these"
    )


def _constant(literal: Mapping[str, str]) -> str | bool | int | float | None:
    text = literal["text"]
    match literal["kind"]:
        case "NULL_LITERAL":
            return None
        case "BOOLEAN":
            return text == "true"
        case "INTEGER":
            return int(text)
        case "NUMERIC":
            return float(text)
        case _:
            return text


def _text(given: Mapping[str, Any]) -> str | None:
    literal = given.get("literal") or {}
    return literal["text"] if literal.get("kind") == "STRING" else None


def _right_returns(given: object) -> str:
    return f"returns is {given!r}; right would be a type by column, as {{'score': 'DOUBLE'}}"
