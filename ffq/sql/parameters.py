"""Values of a query's parameters: what may be given, and how it travels. Pure.

As JSON a value is `{kind: payload}`, so that it comes out as the type that it went in as.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

from ffq.errors import InvalidRequest, words

Value: TypeAlias = Any
"""None, a bool, int, float, str, bytes, date, datetime, time, timedelta, Decimal, UUID, or a list,
tuple or dict of such. A dict of texts is a struct, of anything else a map.
"""

Parameters: TypeAlias = Sequence[Value] | Mapping[str, Value]
"""By place, from 1 (`?`, `$1`), or by name (`$name`)."""

_MAX_DEPTH: Final = 32
_MAX_DIGITS: Final = 38
MICROSECOND: Final = dt.timedelta(microseconds=1)
_INTEGERS: Final = (
    ("INTEGER", -(2**31), 2**31),
    ("BIGINT", -(2**63), 2**63),
    ("UBIGINT", 0, 2**64),
    ("HUGEINT", -(2**127), 2**127),
    ("UHUGEINT", 0, 2**128),
)


def dump_parameters(parameters: Parameters | None) -> bytes:
    """The JSON that travels; of none it is empty.

    Raises:
        InvalidRequest: a value that no parameter can be; names the parameter.
    """
    if parameters is None:
        return b""
    if isinstance(parameters, str | bytes | bytearray) or not isinstance(
        parameters, Sequence | Mapping
    ):
        raise InvalidRequest(
            f"parameters: a {type(parameters).__name__} is none; right would be a list of values "
            "or a dict of values by name"
        )
    if isinstance(parameters, Mapping):
        named = list(parameters.items())
    else:
        named = [(str(at), value) for at, value in enumerate(parameters, 1)]
    if not named:
        return b""
    found = {}
    for name, value in named:
        if not isinstance(name, str):
            raise InvalidRequest(f"parameters: {words(name, 40)} is no name; right would be a text")
        found[name] = _write(value, f"parameter ${name}", 0)
    return json.dumps(found, separators=(",", ":")).encode()


def load_parameters(data: bytes) -> dict[str, Value]:
    """The values by name; those given by place are named 1, 2, ...

    Raises:
        InvalidRequest: it is none of what `dump_parameters` writes.
    """
    if not data:
        return {}
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"parameters are not JSON that can be read: {error}") from None
    if not isinstance(found, dict):
        raise InvalidRequest("parameters: expected an object of values by name")
    return {name: _read(value, f"parameter ${name}", 0) for name, value in found.items()}


def plain_value(value: Value, name: str) -> Value:
    """What comes out where it has travelled: of a scalar of Arrow or NumPy, what it holds.

    Raises:
        InvalidRequest: a value that no parameter can be.
    """
    return _read(_write(value, name, 0), name, 0)


# --- as JSON ---------------------------------------------------------------------------------


def _write(value: Value, name: str, depth: int) -> dict[str, Any]:  # noqa: PLR0911, PLR0912
    if depth > _MAX_DEPTH:
        raise InvalidRequest(f"{name} nests deeper than {_MAX_DEPTH} levels")
    match value:
        case None:
            return {"null": None}
        case dt.date() | dt.timedelta() if value != value:  # noqa: PLR0124  # NaT of pandas
            return {"null": None}
        case bool():
            return {"bool": value}
        case int():
            integer_type(value, name)
            return {"int": str(value)}
        case float():
            return {"float": value.hex()}
        case str():
            return {"text": _checked(value, name)}
        case bytes() | bytearray() | memoryview():
            return {"bytes": base64.b64encode(bytes(value)).decode()}
        case dt.datetime():
            return {"datetime": value.isoformat()}
        case dt.date():
            return {"date": value.isoformat()}
        case dt.time():
            return {"time": value.isoformat()}
        case dt.timedelta():
            return {"timedelta": str(value // MICROSECOND)}
        case Decimal():
            decimal_type(value, name)
            return {"decimal": str(value)}
        case uuid.UUID():
            return {"uuid": str(value)}
        case Pairs():  # a map that has travelled before
            return _written_map(value, name, depth)
        case list() | tuple():
            return {"list": [_write(one, name, depth + 1) for one in value]}
        case Mapping():
            return _write_mapping(value, name, depth)
        case _:
            return _write_other(value, name, depth)


def _write_mapping(value: Mapping[Any, Value], name: str, depth: int) -> dict[str, Any]:
    if value and all(isinstance(key, str) and key for key in value):
        folded = {key.lower() for key in value}
        if len(folded) < len(value):
            raise InvalidRequest(f"{name}: fields of a struct that differ in case alone")
        fields = [[_checked(key, name), _write(one, name, depth + 1)] for key, one in value.items()]
        return {"struct": fields}
    return _written_map(value.items(), name, depth)


def _written_map(
    pairs: Iterable[tuple[Value, Value]], name: str, depth: int
) -> dict[str, list[list[dict[str, Any]]]]:
    return {
        "map": [[_write(key, name, depth + 1), _write(one, name, depth + 1)] for key, one in pairs]
    }


def _write_other(value: Value, name: str, depth: int) -> dict[str, Any]:
    as_py = getattr(value, "as_py", None) or getattr(value, "item", None)  # of pyarrow, of numpy
    if callable(as_py) and not isinstance(value, type):
        try:
            plain = as_py()
        except Exception:  # noqa: BLE001  # of whatever the class of others raises
            plain = value
        if type(plain) is not type(value):
            return _write(plain, name, depth + 1)
    raise InvalidRequest(
        f"{name}: a {type(value).__name__} is no value of a parameter; right would be None, a "
        "bool, number, text, bytes, date, time, timedelta, Decimal, UUID, or a list or dict of such"
    )


def _read(found: object, name: str, depth: int) -> Value:
    if depth > _MAX_DEPTH or not isinstance(found, dict) or len(found) != 1:
        raise InvalidRequest(f"{name} is not written as {{kind: value}}")
    ((kind, payload),) = found.items()
    read = _READERS.get(kind)
    if read is None:
        raise InvalidRequest(
            f"{name}: unknown kind {words(kind, 40)}; known: {', '.join(_READERS)}"
        )
    try:
        return read(payload, name, depth + 1)
    except (TypeError, ValueError, ArithmeticError):
        raise InvalidRequest(f"{name}: {words(payload, 60)} is no {kind}") from None


def _same(kind: type) -> Callable[[Any, str, int], Value]:
    def read(payload: Any, _name: str, _depth: int) -> Value:
        if type(payload) is not kind:
            raise TypeError
        return payload

    return read


def _made(make: Callable[[str], Value]) -> Callable[[Any, str, int], Value]:
    def read(payload: Any, _name: str, _depth: int) -> Value:
        if not isinstance(payload, str):
            raise TypeError
        return make(payload)

    return read


def _decimal(payload: str) -> Decimal:
    try:
        return Decimal(payload)
    except InvalidOperation:
        raise ValueError from None


_READERS: Final[dict[str, Callable[[Any, str, int], Value]]] = {
    "null": _same(type(None)),
    "bool": _same(bool),
    "int": _made(int),
    "float": _made(float.fromhex),
    "text": lambda payload, name, depth: _checked(_same(str)(payload, name, depth), name),
    "bytes": _made(lambda payload: base64.b64decode(payload, validate=True)),
    "datetime": _made(dt.datetime.fromisoformat),
    "date": _made(dt.date.fromisoformat),
    "time": _made(dt.time.fromisoformat),
    "timedelta": _made(lambda payload: int(payload) * MICROSECOND),
    "decimal": _made(_decimal),
    "uuid": _made(uuid.UUID),
    "list": lambda payload, name, depth: [_read(one, name, depth) for one in payload],
    "struct": lambda payload, name, depth: {
        str(key): _read(one, name, depth) for key, one in payload
    },
    "map": lambda payload, name, depth: Pairs(
        (_read(key, name, depth), _read(one, name, depth)) for key, one in payload
    ),
}


class Pairs(tuple[tuple[Value, Value], ...]):
    """A map: its keys may be what a dict cannot have."""

    __slots__ = ()


# --- types -----------------------------------------------------------------------------------


def integer_type(value: int, name: str) -> str:
    """The type of SQL that holds it. Raises InvalidRequest: none does."""
    for kind, low, high in _INTEGERS:
        if low <= value < high:
            return kind
    raise InvalidRequest(
        f"{name}: {words(value, 60)} is no integer of SQL: those have up to 128 bits"
    )


def decimal_type(value: Decimal, name: str) -> str:
    """The type of SQL that holds it. Raises InvalidRequest: none does."""
    _, digits, exponent = value.as_tuple()
    if isinstance(exponent, str):
        raise InvalidRequest(f"{name}: {value} is no decimal of SQL; right would be a float")
    scale = max(0, -exponent)
    width = max(len(digits) + max(0, exponent), scale, 1)
    if len(digits) < scale < _MAX_DIGITS:
        width += 1  # as DuckDB has it: for the zero before the point
    if width > _MAX_DIGITS:
        raise InvalidRequest(
            f"{name}: a decimal of {width} digits; the most that one has is {_MAX_DIGITS}"
        )
    return f"DECIMAL({width}, {scale})"


def _checked(value: str, name: str) -> str:
    if "\0" in value:
        raise InvalidRequest(f"{name}: a NUL character is in no text of SQL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f"{name}: a lone surrogate is not text") from None
    return value
