"""Reading untrusted JSON: bounds checked before parsing, and a cursor that knows its path."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator
from typing import NoReturn

import attrs

from ffq.errors import InvalidPlan
from ffq.plan.limits import PlanLimits

# A JSON value, or anything at all while it has not been looked at.
Json = object

_MISSING = object()
_MAX_QUOTED = 60
_MAX_PATH = 400
# Strings are matched whole, so that brackets inside them do not count as structure.
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def load_json(data: bytes, limits: PlanLimits) -> Json:
    """Parse JSON text within bounds.

    Raises:
        InvalidPlan: too long, too deep, not UTF-8, or not JSON (NaN and Infinity are not).
    """
    check_size(data, limits)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidPlan(
            f"the plan is not UTF-8 text: {error.reason} at byte {error.start}"
        ) from None
    try:
        value: Json = json.loads(text, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InvalidPlan(
            f"the plan is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except ValueError:  # Python's bound on converting digits
        raise InvalidPlan("the plan is not JSON that can be read: a number is too long") from None
    return value


def check_size(data: bytes, limits: PlanLimits) -> None:
    """Refuse text that is too long, or would overflow a recursive parser or fill the memory.

    Counts brackets only: whether they match is the parser's business.

    Raises:
        InvalidPlan: naming the bound.
    """
    if len(data) > limits.max_bytes:
        raise InvalidPlan(f"the plan has {len(data)} bytes; the bound is {limits.max_bytes} bytes")
    depth = containers = 0
    for match in _STRUCTURE.finditer(data):
        token = match[0][:1]
        if token in (b"[", b"{"):
            depth += 1
            containers += 1
            if depth > limits.max_depth:
                raise InvalidPlan(
                    f"the plan nests deeper than {limits.max_depth} JSON levels at byte "
                    f"{match.start()}"
                )
        elif token in (b"]", b"}"):
            depth -= 1
    # A node or an expression needs one to five containers.
    if containers > 8 * limits.max_nodes:
        raise InvalidPlan(
            f"the plan has {containers} JSON objects and arrays, too many for the bound of "
            f"{limits.max_nodes} nodes and expressions"
        )


class _Object(dict[str, Json]):
    """A JSON object that remembers a key given twice, for an error with a path."""

    repeated: str | None = None


def _object(pairs: list[tuple[str, Json]]) -> _Object:
    result = _Object(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                result.repeated = key
                break
            seen.add(key)
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidPlan(f"the plan is not JSON: {name} is not a JSON number")


def shown(value: Json) -> str:
    """A JSON value in an error: its text where that is short, else its type and size."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return repr(_shortened(value))
    return json.dumps(value)


class Budget:
    """How many nodes and expressions may still be read or written."""

    def __init__(self, limits: PlanLimits) -> None:
        self.limits = limits
        self._left = limits.max_nodes
        self._depth = 0

    def spend(self) -> None:
        """Count one node or expression.

        Raises:
            InvalidPlan: there are more than `max_nodes`.
        """
        self._left -= 1
        if self._left < 0:
            raise InvalidPlan(
                f"the plan has more than {self.limits.max_nodes} nodes and expressions"
            )

    @contextlib.contextmanager
    def nested(self) -> Iterator[None]:
        """Count one node or expression to be written, and all that is written inside it.

        Raises:
            InvalidPlan: more than `max_nodes`, or nested deeper than `max_depth`.
        """
        self.spend()
        self._depth += 1
        if self._depth > self.limits.max_depth:
            raise InvalidPlan(f"the plan nests deeper than {self.limits.max_depth} JSON levels")
        yield
        self._depth -= 1


@attrs.frozen(eq=False)
class Cursor:
    """One value of the JSON document and where it stands.

    Every reading method raises InvalidPlan, with the path, when the value is of another type.
    """

    value: Json
    step: str
    parent: Cursor | None
    budget: Budget

    @classmethod
    def root(cls, value: Json, name: str, limits: PlanLimits) -> Cursor:
        return cls(value, name, None, Budget(limits))

    def path(self) -> str:
        steps: list[str] = []
        cursor: Cursor | None = self
        while cursor is not None:
            steps.append(cursor.step)
            cursor = cursor.parent
        path = "".join(reversed(steps))
        if len(path) > _MAX_PATH:
            path = f"{path[: _MAX_PATH // 2]}…{path[-_MAX_PATH // 2 :]}"
        return path

    def fail(self, problem: str) -> NoReturn:
        raise InvalidPlan(f"{self.path()}: {problem}")

    def _expect(self, what: str) -> NoReturn:
        self.fail(f"expected {what}, got {shown(self.value)}")

    def into(self, value: Json, step: str) -> Cursor:
        """A cursor on a part of this value."""
        return Cursor(value, step, self, self.budget)

    def object(self, what: str = "an object") -> dict[str, Json]:
        if not isinstance(self.value, dict):
            self._expect(what)
        if isinstance(self.value, _Object) and self.value.repeated is not None:
            self.fail(f"key {shown(self.value.repeated)} stands twice in one object")
        return self.value

    def field(self, name: str, *, default: Json = _MISSING) -> Cursor:
        """A key of this object.

        Raises:
            InvalidPlan: not an object, or the key is missing and has no default.
        """
        found = self.object(f"an object with {name!r}").get(name, default)
        if found is _MISSING:
            self.fail(f"missing {name!r}")
        return self.into(found, f".{name}")

    def items(self, what: str = "an array") -> list[Cursor]:
        if not isinstance(self.value, list):
            self._expect(what)
        return [self.into(item, f"[{index}]") for index, item in enumerate(self.value)]

    def exactly(self, count: int, what: str) -> list[Cursor]:
        """The items of an array of `count`."""
        if not isinstance(self.value, list) or len(self.value) != count:
            self._expect(what)
        return self.items()

    def string(self) -> str:
        if not isinstance(self.value, str):
            self._expect("a string")
        if not self.value.isascii():
            try:
                self.value.encode()
            except UnicodeEncodeError:
                self.fail("a lone surrogate is not text")
        return self.value

    def name(self) -> str:
        """A string that names something: not empty, no NUL character."""
        text = self.string()
        if not text or "\0" in text:
            self._expect("a name, not empty and without NUL characters")
        return text

    def integer(self, minimum: int, maximum: int) -> int:
        # A bool is an int to Python, not to JSON.
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self._expect(f"an integer from {minimum} to {maximum}")
        if not minimum <= self.value <= maximum:
            self._expect(f"an integer from {minimum} to {maximum}")
        return self.value

    def number(self, maximum: float) -> float:
        """A finite number of magnitude up to `maximum`."""
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            self._expect("a number")
        try:
            number = float(self.value)
        except OverflowError:
            number = math.inf
        if abs(number) > maximum:
            self._expect(f"a number of magnitude up to {maximum:g}")
        return number

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            self._expect("true or false")
        return self.value

    def variant(self, what: str) -> tuple[str, Cursor]:
        """An enum variant: `"Name"`, whose payload reads as null, or `{"Name": payload}`."""
        if isinstance(self.value, str):
            return self.value, self.into(None, f".{_shortened(self.value)}")
        variant = self.object(f"{what}: a name or an object with one key")
        if len(variant) != 1:
            self.fail(f"expected {what}: an object with exactly one key, got {len(variant)} keys")
        ((name, payload),) = variant.items()
        return name, self.into(payload, f".{_shortened(name)}")


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_QUOTED else text[:_MAX_QUOTED] + "…"
